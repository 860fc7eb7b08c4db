//! The key of nginx's buffering of answers: read, checked, and different here.
use crate::Keys;
use crate::annotation::{Key, OnError, Reader, Row, Support};

/// Both the ConfigMap and annotations have it.
const BUFFERING: Key<()> = Key {
    row: Row {
        name: "proxy-buffering",
        sentence: "Reads the answer ahead of the client: on or off.",
        default: "off",
        example: "off",
        support: Support::Approximated("answers are passed on as they come."),
    },
    parse: on_or_off,
    on_error: OnError::Default,
};

/// The keys that [`read`] takes.
pub(crate) const KEYS: Keys = &[&BUFFERING];

/// Tells what is wrong with it; nothing else comes of it.
pub(crate) fn read(reader: &mut Reader<'_>) {
    reader.take(&BUFFERING);
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
