//! What endpoints get beside the client's request, on every rule.
use http::{HeaderName, HeaderValue};

use super::GlobalReader;
use super::sender::field_name;
use crate::annotation::{Key, OnError, Row, Support, boolean};
use crate::{Keys, Request, Template};

const REQUEST_ID: Key<bool> = Key {
    row: Row {
        name: "generate-request-id",
        sentence: "Gives requests without X-Request-ID a random one.",
        default: "true",
        example: "false",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const SET_FIELDS: Key<String> = Key {
    row: Row {
        name: "proxy-set-headers",
        sentence: "ConfigMap, namespace/name, with fields that every endpoint gets; values may hold nginx variables.",
        default: "none",
        example: "ingress/headers",
        support: Support::Approximated(
            "Fields whose values hold a variable that is not known are left out and told of.",
        ),
    },
    parse: super::reference,
    on_error: OnError::Default,
};

const ORIGINAL_URI: Key<bool> = Key {
    row: Row {
        name: "proxy-add-original-uri-header",
        sentence: "Endpoints get the path and query of the client in X-Original-URI.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const UNDERSCORES: Key<bool> = Key {
    row: Row {
        name: "enable-underscores-in-headers",
        sentence: "Endpoints get the client's fields with underscores in their names.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const INVALID: Key<bool> = Key {
    row: Row {
        name: "ignore-invalid-headers",
        sentence: "Leaves out the client's fields whose names hold anything but letters, digits and hyphens.",
        default: "true",
        example: "true",
        support: Support::Approximated("Names that are no token of RFC 9110 answer 400 whatever this says."),
    },
    parse: boolean,
    on_error: OnError::Default,
};

/// The keys that [`Requests::read`] takes.
pub(crate) const CONFIG: Keys = &[&REQUEST_ID, &SET_FIELDS, &ORIGINAL_URI, &UNDERSCORES, &INVALID];

/// What endpoints get beside the client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requests {
    /// A request without X-Request-ID gets one.
    pub request_id: bool,
    /// X-Original-URI is set.
    pub original_uri: bool,
    /// Fields with underscores pass.
    pub underscores: bool,
    /// Fields with other unusual characters are dropped.
    pub drop_invalid: bool,
    /// Fields that are set, in order of their names.
    pub set: Box<[(HeaderName, Template)]>,
}

impl Default for Requests {
    fn default() -> Self {
        Self { request_id: true, original_uri: false, underscores: false, drop_invalid: true, set: Box::default() }
    }
}

impl Requests {
    pub(super) fn read(reader: &mut GlobalReader<'_>) -> Self {
        let default = Self::default();
        let config = reader.config;
        Self {
            request_id: config.get(&REQUEST_ID).unwrap_or(default.request_id),
            original_uri: config.get(&ORIGINAL_URI).unwrap_or(default.original_uri),
            underscores: config.get(&UNDERSCORES).unwrap_or(default.underscores),
            drop_invalid: config.get(&INVALID).unwrap_or(default.drop_invalid),
            set: fields(reader, &SET_FIELDS),
        }
    }

    /// Does a field of the client pass?
    #[must_use]
    pub fn passes(&self, name: &HeaderName) -> bool {
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        name.as_str().bytes().all(|byte| match byte {
            b'_' => self.underscores,
            byte => usual(byte) || !self.drop_invalid,
        })
    }

    /// The fields that are set on a request.
    pub fn expand(&self, request: &Request<'_>) -> impl Iterator<Item = (&HeaderName, HeaderValue)> {
        self.set.iter().filter_map(|(name, value)| {
            Some((name, HeaderValue::from_str(&value.expand(request, &[])).ok().filter(|value| !value.is_empty())?))
        })
    }
}

/// The fields of a ConfigMap that a key names.
fn fields(reader: &mut GlobalReader<'_>, key: &Key<String>) -> Box<[(HeaderName, Template)]> {
    let data = reader.config_map(key);
    let mut fields = Vec::with_capacity(data.len());
    for (name, value) in &data {
        match field(name, value) {
            Ok(field) => fields.push(field),
            Err(message) => reader.report(key.row.name, format!("names a ConfigMap whose entry {message}")),
        }
    }
    fields.into()
}

fn field(name: &str, value: &[u8]) -> Result<(HeaderName, Template), String> {
    let field = field_name(name).map_err(|_| format!("{name:?} is not the name of a field"))?;
    if super::answers::FRAMING.contains(&field) {
        return Err(format!("{name} would change how the message is read; remove it"));
    }
    let text = std::str::from_utf8(value).map_err(|_| format!("{name} is not text"))?.trim();
    if text.chars().any(char::is_control) {
        return Err(format!("{name} holds control characters"));
    }
    let template = Template::parse(text).map_err(|message| format!("{name} {message}"))?;
    Ok((field, template))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusual_names_pass_only_when_asked_for() {
        let name = |name: &'static str| HeaderName::from_static(name);
        let default = Requests::default();
        assert!(default.passes(&name("x-a1")) && !default.passes(&name("x_a")) && !default.passes(&name("x.a")));
        let all = Requests { underscores: true, drop_invalid: false, ..default };
        assert!(all.passes(&name("x_a")) && all.passes(&name("x.a")));
    }

    #[test]
    fn a_field_that_cannot_be_set_is_told() {
        assert_eq!(field("X-A", b"a $host").unwrap().0, "x-a");
        for (name, value) in [("X A", "1"), ("Content-Length", "1"), ("X-A", "$nonsense"), ("X-A", "a\r\nb")] {
            assert!(field(name, value.as_bytes()).is_err(), "{name} {value:?}");
        }
    }
}
