//! Is the body of a request read whole before an endpoint gets it?
use crate::Keys;
use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::units::size;

/// What is kept of a body in memory at least, in bytes: Pingora keeps as much for another try anyway.
pub const LEAST: u64 = 64 * 1024;

/// What it is where nobody says otherwise, in bytes: bodies that `proxy-body-size` lets pass by default wait for no disk.
/// All of them together are bounded by the gateway.
pub(crate) const USUAL: u64 = 1024 * 1024;

const BUFFERING: Key<bool> = Key {
    row: Row {
        name: "proxy-request-buffering",
        sentence: "Reads the body of a request whole before an endpoint gets it, with its length: on or off. Requests to \
                   GRPC and GRPCS endpoints always pass as they come.",
        default: "on",
        example: "off",
        support: Support::Honoured,
    },
    parse: |text| match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("is neither on nor off".to_owned()),
    },
    on_error: OnError::Default,
};

/// The keys that [`read`] takes, of annotations and of the ConfigMap.
pub(crate) const KEYS: Keys = &[&BUFFERING, &MEMORY];

const MEMORY: Key<u64> = Key {
    row: Row {
        name: "client-body-buffer-size",
        sentence: "Bytes of a request body that are kept in memory, with `k`, `m` or `g` for more; what is larger goes to \
                   a file. Less than 64k counts as 64k.",
        default: "1m",
        example: "128k",
        support: Support::Honoured,
    },
    parse: size,
    on_error: OnError::Default,
};

/// How many bytes of a body are kept in memory while it is read whole; `None` when it is passed on as it comes.
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<u64> {
    let memory = reader.take_or(&MEMORY, &MEMORY).unwrap_or(USUAL).max(LEAST);
    reader.take_or(&BUFFERING, &BUFFERING).unwrap_or(true).then_some(memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoObjects;
    use crate::annotation::Config;

    fn of(annotations: &[(&'static str, &'static str)], config: &[(&str, &str)]) -> Option<u64> {
        let config = Config::new(config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        read(&mut Reader::new(annotations.iter().copied(), &config, &NoObjects))
    }

    #[test]
    fn bodies_are_read_whole_unless_someone_says_otherwise() {
        assert_eq!(of(&[], &[]), Some(USUAL));
        assert_eq!(of(&[("proxy-request-buffering", "off")], &[]), None);
        assert_eq!(of(&[], &[("proxy-request-buffering", "off")]), None);
        assert_eq!(of(&[("proxy-request-buffering", "on")], &[("proxy-request-buffering", "off")]), Some(USUAL));
        assert_eq!(of(&[("proxy-request-buffering", "false")], &[]), Some(USUAL), "what is wrong is the default");
    }

    #[test]
    fn the_memory_for_a_body_has_a_least() {
        assert_eq!(of(&[("client-body-buffer-size", "8k")], &[]), Some(LEAST));
        assert_eq!(of(&[("client-body-buffer-size", "2m")], &[]), Some(2 << 20));
        assert_eq!(of(&[], &[("client-body-buffer-size", "128k")]), Some(128 << 10));
    }
}
