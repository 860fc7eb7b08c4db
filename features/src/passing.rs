//! nginx's buffering of answers: they are passed on as they come here, which is what `off` asks for.
use crate::Keys;
use crate::annotation::{Key, OnError, Reader, Row, Support};

/// What `on` lacks.
const HOW: &str = "answers are passed on as they come";

const BUFFERING: Key<bool> = Key {
    row: Row {
        name: "proxy-buffering",
        sentence: "Reads the answer ahead of the client: on or off. What `on` asks for is not done, and a note tells.",
        default: "off",
        example: "off",
        support: Support::Honoured,
    },
    parse: on_or_off,
    on_error: OnError::Default,
};

const GLOBAL: Key<bool> = Key {
    row: Row {
        sentence: "Reads the answer ahead of the client: on or off.",
        support: Support::Approximated("answers are passed on as they come."),
        ..BUFFERING.row
    },
    ..BUFFERING
};

/// The keys that [`read`] takes.
pub(crate) const KEYS: Keys = &[&BUFFERING];

/// The key of the ConfigMap.
pub(crate) const CONFIG: Keys = &[&GLOBAL];

/// Tells of what differs; nothing else comes of it.
pub(crate) fn read(reader: &mut Reader<'_>) {
    if reader.take(&BUFFERING) == Some(true) {
        reader.differs(BUFFERING.row.name, HOW);
    }
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("is neither on nor off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoObjects;
    use crate::annotation::Config;

    #[test]
    fn what_is_not_done_is_told() {
        let effect = |value: &'static str| {
            let config = Config::default();
            let mut reader = Reader::new([("proxy-buffering", value)], &config, &NoObjects);
            read(&mut reader);
            reader.finish().first().map(|problem| problem.effect)
        };
        assert_eq!(["off", "on", "true"].map(effect), [None, Some(OnError::Differs), Some(OnError::Default)]);
    }
}
