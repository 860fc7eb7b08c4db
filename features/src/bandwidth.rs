//! How fast a client gets an answer: nginx's `limit_rate`.
use std::time::Duration;

use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::{Edits, Feature, Keys, Request, RuleFacts, Verdict};

const fn kilobytes(name: &'static str, sentence: &'static str, default: &'static str) -> Key<u32> {
    Key {
        row: Row { name, sentence, default, example: "100", support: Support::Honoured },
        parse: |text| text.parse().map_err(|_| "is not a whole number from 0 to 4294967295".to_owned()),
        on_error: OnError::Close,
    }
}

const RATE_SENTENCE: &str = "Kilobytes of an answer that a client gets in a second; 0 is no limit.";
const AFTER_SENTENCE: &str = "Kilobytes of an answer that go before `limit-rate` holds.";

const RATE: Key<u32> = kilobytes("limit-rate", RATE_SENTENCE, "limit-rate of the ConfigMap");
const AFTER: Key<u32> = kilobytes("limit-rate-after", AFTER_SENTENCE, "limit-rate-after of the ConfigMap");
const CONFIG_RATE: Key<u32> = Key { on_error: OnError::Default, ..kilobytes("limit-rate", RATE_SENTENCE, "0") };
const CONFIG_AFTER: Key<u32> = Key { on_error: OnError::Default, ..kilobytes("limit-rate-after", AFTER_SENTENCE, "0") };

/// The speed of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    bytes_per_second: u64,
    free: u64,
}

impl Feature for Bandwidth {
    const KEYS: Keys = &[&RATE, &AFTER];
    const CONFIG: Keys = &[&CONFIG_RATE, &CONFIG_AFTER];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        let rate = reader.take_or(&RATE, &CONFIG_RATE).unwrap_or(0);
        let after = reader.take_or(&AFTER, &CONFIG_AFTER).unwrap_or(0);
        (rate > 0).then(|| Self { bytes_per_second: u64::from(rate) * 1024, free: u64::from(after) * 1024 })
    }

    fn on_request(&self, _: &Request<'_>, edits: &mut Edits) -> Verdict {
        edits.bandwidth = Some(*self);
        Verdict::Continue
    }
}

impl Bandwidth {
    /// How long to wait after so many bytes of a body that began so long ago.
    #[must_use]
    pub fn pause(&self, sent: u64, since: Duration) -> Option<Duration> {
        let limited = u128::from(sent.saturating_sub(self.free));
        let due = limited * 1_000_000 / u128::from(self.bytes_per_second.max(1));
        let due = Duration::from_micros(u64::try_from(due).unwrap_or(u64::MAX));
        due.checked_sub(since).filter(|pause| !pause.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoObjects;
    use crate::annotation::Config;

    #[test]
    fn what_is_over_the_rate_waits() {
        let bandwidth = Bandwidth { bytes_per_second: 1024, free: 2048 };
        for (sent, since, want) in [(2048, 0, None), (3072, 0, Some(1000)), (3072, 400, Some(600)), (3072, 1000, None)] {
            let pause = bandwidth.pause(sent, Duration::from_millis(since));
            assert_eq!(pause.map(|pause| pause.as_millis()), want, "{sent} {since}");
        }
    }

    #[test]
    fn an_annotation_goes_before_the_config_map() {
        let config = Config::new([("limit-rate".to_owned(), "10".to_owned())]);
        let read = |annotations: &[(&'static str, &'static str)]| {
            let mut reader = Reader::new(annotations.iter().copied(), &config, &NoObjects);
            let feature = Bandwidth::read(&mut reader, &RuleFacts::default());
            (feature.map(|feature| feature.bytes_per_second), reader.finish().len())
        };
        assert_eq!(read(&[]), (Some(10 * 1024), 0));
        assert_eq!(read(&[("limit-rate", "1")]), (Some(1024), 0));
        assert_eq!(read(&[("limit-rate", "0")]), (None, 0));
        assert_eq!(read(&[("limit-rate", "1m")]).1, 1);
    }
}
