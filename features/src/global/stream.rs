//! Connections that pass as bytes: TCP and UDP services, and TLS that endpoints end.
use std::time::Duration;

use crate::Keys;
use crate::annotation::{Config, Key, OnError, Row, Support, boolean};
use crate::units::{duration, number};

const TIMEOUT: Key<Duration> = Key {
    row: Row {
        name: "proxy-stream-timeout",
        sentence: "How long both sides of a TCP connection, of a UDP session or of TLS that passes through may be silent.",
        default: "600s",
        example: "600s",
        support: Support::Honoured,
    },
    parse: positive,
    on_error: OnError::Default,
};

const AGAIN: Key<bool> = Key {
    row: Row {
        name: "proxy-stream-next-upstream",
        sentence: "Tries another endpoint when a connection to one cannot be made.",
        default: "true",
        example: "false",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const WITHIN: Key<Duration> = Key {
    row: Row {
        name: "proxy-stream-next-upstream-timeout",
        sentence: "How long after the first try another endpoint may be tried; 0 is no limit.",
        default: "600s",
        example: "10s",
        support: Support::Honoured,
    },
    parse: duration,
    on_error: OnError::Default,
};

const TRIES: Key<u32> = Key {
    row: Row {
        name: "proxy-stream-next-upstream-tries",
        sentence: "How many endpoints are tried; 0 is no limit.",
        default: "3",
        example: "2",
        support: Support::Honoured,
    },
    parse: number,
    on_error: OnError::Default,
};

const RESPONSES: Key<u32> = Key {
    row: Row {
        name: "proxy-stream-responses",
        sentence: "Answers to each datagram of a UDP session; after as many it has ended.",
        default: "1",
        example: "2",
        support: Support::Honoured,
    },
    parse: number,
    on_error: OnError::Default,
};

/// The keys that [`Streams::read`] takes.
pub(crate) const CONFIG: Keys = &[&TIMEOUT, &AGAIN, &WITHIN, &TRIES, &RESPONSES];

/// How connections that pass as bytes are handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streams {
    /// How long both sides may be silent.
    pub idle: Duration,
    /// How many endpoints are tried, at least 1.
    pub tries: u32,
    /// How long after the first try another may begin; `None` is no limit.
    pub tries_within: Option<Duration>,
    /// Answers to each datagram.
    pub responses: u32,
}

impl Default for Streams {
    fn default() -> Self {
        let (idle, tries_within) = (Duration::from_secs(600), Some(Duration::from_secs(600)));
        Self { idle, tries: 3, tries_within, responses: 1 }
    }
}

impl Streams {
    pub(crate) fn read(config: &Config) -> Self {
        let default = Self::default();
        let tries = match (config.get(&AGAIN), config.get(&TRIES)) {
            (Some(false), _) => 1,
            (_, Some(0)) => u32::MAX,
            (_, tries) => tries.unwrap_or(default.tries),
        };
        Self {
            idle: config.get(&TIMEOUT).unwrap_or(default.idle),
            tries,
            tries_within: config.get(&WITHIN).map_or(default.tries_within, |time| Some(time).filter(|t| !t.is_zero())),
            responses: config.get(&RESPONSES).unwrap_or(default.responses),
        }
    }

    /// May another endpoint be tried after so many, so long after the first?
    #[must_use]
    pub fn may_try(&self, tried: usize, elapsed: Duration) -> bool {
        u32::try_from(tried).is_ok_and(|tried| tried < self.tries)
            && self.tries_within.is_none_or(|limit| elapsed < limit)
    }
}

fn positive(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| if time.is_zero() { Err("is zero".to_owned()) } else { Ok(time) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Streams {
        Streams::read(&Config::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))))
    }

    #[test]
    fn tries_end_by_number_and_by_time() {
        let second = Duration::from_secs(1);
        assert!(Streams::default().may_try(2, second) && !Streams::default().may_try(3, second));
        let streams = read(&[("proxy-stream-next-upstream-timeout", "1s")]);
        assert!(streams.may_try(1, second / 2) && !streams.may_try(1, second));
        assert!(!read(&[("proxy-stream-next-upstream", "false")]).may_try(1, Duration::ZERO));
        let names = ["proxy-stream-next-upstream-timeout", "proxy-stream-next-upstream-tries"];
        assert!(read(&names.map(|name| (name, "0"))).may_try(1_000, second * 1_000));
    }

    #[test]
    fn a_bad_value_keeps_its_default() {
        let names = ["proxy-stream-timeout", "proxy-stream-next-upstream-tries", "proxy-stream-responses"];
        for value in ["0x", "-1", "", "1y", "99999999999999999999"] {
            assert_eq!(read(&names.map(|name| (name, value))), Streams::default(), "{value}");
        }
        assert_eq!(read(&[("proxy-stream-timeout", "0")]), Streams::default());
    }
}
