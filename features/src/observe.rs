//! What is kept of a rule's requests: whether they are logged, and whether they are traced.
use std::sync::Arc;

use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};
use crate::{Keys, Template};

const ACCESS_LOG: Key<bool> = Key {
    row: Row {
        name: "enable-access-log",
        sentence: "Writes a line of the access log for each request.",
        default: "true",
        example: "false",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const ENABLE: Key<bool> = Key {
    row: Row {
        name: "enable-opentelemetry",
        sentence: "Traces requests: each has a W3C trace context, and a span goes to the collector that the ConfigMap names.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const OPERATION: Key<Arc<Template>> = Key {
    row: Row {
        name: "opentelemetry-operation-name",
        sentence: "Name of the spans, with nginx variables.",
        default: "path of the rule",
        example: "HTTP $request_method $service_name",
        support: Support::Honoured,
    },
    parse: operation,
    on_error: OnError::Default,
};

const TRUST: Key<bool> = Key {
    row: Row {
        name: "opentelemetry-trust-incoming-span",
        sentence: "Goes on with the client's trace where requests are traced; otherwise a new one begins.",
        default: "true",
        example: "false",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

/// The annotations that [`Observe::read`] takes.
pub(crate) const KEYS: Keys = &[&ACCESS_LOG, &ENABLE, &OPERATION, &TRUST];

/// Its keys of the ConfigMap: defaults for all rules.
pub(crate) const CONFIG: Keys = &[&ENABLE, &OPERATION, &TRUST];

/// What is kept of a rule's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observe {
    /// They are logged.
    pub log: bool,
    /// They are traced.
    pub trace: Option<Trace>,
}

/// How a rule's requests are traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The client's trace context is believed.
    pub trust: bool,
    /// Name of the spans; without one it is the path of the rule, as nginx names a location.
    pub operation: Option<Arc<Template>>,
}

impl Default for Observe {
    fn default() -> Self {
        Self { log: true, trace: None }
    }
}

impl Observe {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let enabled = reader.take_or(&ENABLE, &ENABLE).unwrap_or(false);
        let operation = reader.take_or(&OPERATION, &OPERATION);
        let trust = reader.take_or(&TRUST, &TRUST).unwrap_or(true);
        Self { log: reader.take(&ACCESS_LOG).unwrap_or(true), trace: enabled.then_some(Trace { trust, operation }) }
    }
}

/// A short text with variables, without control characters.
fn operation(text: &str) -> Result<Arc<Template>, String> {
    if text.len() > 256 || text.chars().any(char::is_control) {
        return Err("is longer than 256 bytes or holds control characters".to_owned());
    }
    Template::parse(text).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoObjects;
    use crate::annotation::Config;

    fn observe(annotations: &[(&'static str, &'static str)], config: &[(&str, &str)]) -> (Observe, usize) {
        let config = Config::new(config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut reader = Reader::new(annotations.iter().copied(), &config, &NoObjects);
        let observe = Observe::read(&mut reader);
        (observe, reader.finish().len())
    }

    #[test]
    fn nothing_is_traced_unless_asked_for() {
        assert_eq!(observe(&[("opentelemetry-trust-incoming-span", "false")], &[]), (Observe::default(), 0));
        let (with, _) = observe(&[], &[("enable-opentelemetry", "true")]);
        assert_eq!(with.trace, Some(Trace { trust: true, operation: None }));
        assert_eq!(observe(&[("enable-opentelemetry", "false")], &[("enable-opentelemetry", "true")]).0.trace, None);
    }

    #[test]
    fn an_annotation_takes_the_place_of_the_config_map() {
        let annotations = [("enable-opentelemetry", "true"), ("opentelemetry-trust-incoming-span", "false")];
        let config = [("opentelemetry-trust-incoming-span", "true"), ("opentelemetry-operation-name", "HTTP $uri")];
        let (observe, _) = observe(&annotations, &config);
        assert_eq!(observe.trace, Some(Trace { trust: false, operation: operation("HTTP $uri").ok() }));
    }

    #[test]
    fn what_cannot_be_read_is_told_and_changes_nothing() {
        let wrong = [
            ("enable-access-log", "no"),
            ("enable-opentelemetry", "yes"),
            ("opentelemetry-operation-name", "$uri\n$uri"),
        ];
        assert_eq!(observe(&wrong, &[]), (Observe::default(), 3));
        let unknown = [("enable-opentelemetry", "true"), ("opentelemetry-operation-name", "$lua_name")];
        assert_eq!(
            observe(&unknown, &[]),
            (Observe { trace: Some(Trace { trust: true, operation: None }), log: true }, 1)
        );
    }
}
