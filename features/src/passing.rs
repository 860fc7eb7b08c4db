//! Keys of nginx's buffering and of the protocol version towards endpoints: read, checked, and different here.
use crate::Keys;
use crate::annotation::{Key, OnError, Reader, Row, Support};

/// Both the ConfigMap and annotations have them.
const BUFFERING: Key<()> = key(
    "proxy-buffering",
    "Reads the answer ahead of the client: on or off.",
    "off",
    "off",
    "answers are passed on as they come.",
    on_or_off,
);

const VERSION: Key<()> = key(
    "proxy-http-version",
    "Version of HTTP towards endpoints: 1.0 or 1.1.",
    "1.1",
    "1.1",
    "HTTP/1.1 is spoken.",
    |text| if matches!(text, "1.0" | "1.1") { Ok(()) } else { Err("is neither 1.0 nor 1.1".to_owned()) },
);

/// The keys that [`read`] takes.
pub(crate) const KEYS: Keys = &[&BUFFERING, &VERSION];

/// Tells what is wrong with them; nothing else comes of them.
pub(crate) fn read(reader: &mut Reader<'_>) {
    for key in [&BUFFERING, &VERSION] {
        reader.take(key);
    }
}

const fn key(
    name: &'static str,
    sentence: &'static str,
    default: &'static str,
    example: &'static str,
    how: &'static str,
    parse: fn(&str) -> Result<(), String>,
) -> Key<()> {
    let row = Row { name, sentence, default, example, support: Support::Approximated(how) };
    Key { row, parse, on_error: OnError::Default }
}

fn on_or_off(text: &str) -> Result<(), String> {
    if matches!(text, "on" | "off") { Ok(()) } else { Err("is neither on nor off".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_although_they_change_nothing() {
        assert!(on_or_off("on").is_ok());
        assert!(on_or_off("true").is_err());
    }
}
