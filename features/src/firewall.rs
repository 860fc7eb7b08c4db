//! ModSecurity, which is not here: a rule that asks for it must not serve without.
use crate::Keys;
use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};

const ENABLE: Key<bool> = Key {
    row: Row {
        name: "enable-modsecurity",
        sentence: "Puts a web application firewall in front of the rule.",
        default: "false",
        example: "false",
        support: Support::Refused(
            "There is no web application firewall here, and paths that ask for one answer 503; run one in front of the Service or the gateway.",
        ),
    },
    parse: boolean,
    on_error: OnError::Close,
};

pub(crate) const KEYS: Keys = &[&ENABLE];

/// Closes the rules of an Ingress that asks for protection.
pub(crate) fn read(reader: &mut Reader<'_>) {
    if reader.take(&ENABLE) == Some(true) {
        reader.close(ENABLE.row.name, "asks for a web application firewall, which is not here, so its paths answer 503; remove the annotation to serve them without, or run a firewall in front of the Service");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoObjects;
    use crate::annotation::Config;

    fn closes(value: &'static str) -> bool {
        let config = Config::default();
        let mut reader = Reader::new([("enable-modsecurity", value)], &config, &NoObjects);
        read(&mut reader);
        reader.finish().iter().any(|problem| problem.effect == OnError::Close)
    }

    #[test]
    fn a_rule_that_asks_for_it_closes() {
        assert!(closes("true") && closes("maybe"));
    }

    #[test]
    fn a_rule_that_turns_it_off_serves() {
        assert!(!closes("false"));
    }
}
