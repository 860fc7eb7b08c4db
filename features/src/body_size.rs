//! How large a request body may be.
use crate::Keys;
use crate::annotation::{Key, OnError, Reader, Row, Support};

/// Without any annotation: nginx's and ingress-nginx's default, in bytes.
pub(crate) const DEFAULT: u64 = 1024 * 1024;

const SENTENCE: &str = "Bytes of a request body, with `k`, `m` or `g` for more; 0 is no limit. Larger ones get 413.";

const SIZE: Key<u64> = Key {
    row: Row {
        name: "proxy-body-size",
        sentence: SENTENCE,
        default: "1m; without the annotation what the ConfigMap says",
        example: "8m",
        support: Support::Honoured,
    },
    parse: size,
    on_error: OnError::Default,
};

const CONFIG_SIZE: Key<u64> = Key {
    row: Row { name: "proxy-body-size", sentence: SENTENCE, default: "1m", example: "8m", support: Support::Honoured },
    parse: size,
    on_error: OnError::Default,
};

/// Annotations of this module.
pub(crate) const KEYS: Keys = &[&SIZE];

/// Keys of the ConfigMap of this module.
pub(crate) const CONFIG: Keys = &[&CONFIG_SIZE];

/// The largest body in bytes; 0 is no limit. A value that cannot be read is nginx's own default.
pub(crate) fn read(reader: &mut Reader<'_>) -> u64 {
    if reader.has(SIZE.row.name) {
        return reader.take(&SIZE).unwrap_or(DEFAULT);
    }
    reader.config().get(&CONFIG_SIZE).unwrap_or(DEFAULT)
}

/// nginx's sizes with offsets: `8`, `8k`, `8M`, `8g`.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let shift = match text.strip_prefix(digits).unwrap_or_default() {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err(NOT_A_SIZE.to_owned()),
    };
    let number = digits.parse::<u64>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    number.and_then(|number| number.checked_mul(1 << shift)).ok_or_else(|| NOT_A_SIZE.to_owned())
}

const NOT_A_SIZE: &str = "is not a number of bytes with k, m, g or nothing behind it";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoObjects;
    use crate::annotation::Config;

    #[test]
    fn sizes_are_nginxs() {
        for (text, want) in [("0", 0), ("10", 10), ("8k", 8192), ("8K", 8192), ("2m", 2 << 20), ("1g", 1 << 30)] {
            assert_eq!(size(text), Ok(want), "{text}");
        }
        for text in
            ["8b", "8kb", "-1", "+1", "1.5m", "m", " ", "8 m", "99999999999999999999", "20000000000g", "$x", "8\n"]
        {
            assert!(size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_read_is_one_megabyte() {
        for (annotation, global, want) in
            [("8b", "5m", DEFAULT), ("", "5m", 5 << 20), ("0", "5m", 0), ("", "garbage", DEFAULT)]
        {
            let config = Config::new([("proxy-body-size".to_owned(), global.to_owned())]);
            assert_eq!(
                read(&mut Reader::new([("proxy-body-size", annotation)], &config, &NoObjects)),
                want,
                "{annotation}"
            );
        }
    }
}
