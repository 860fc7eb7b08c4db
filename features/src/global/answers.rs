//! What clients get beside an endpoint's answer, on every rule.
use http::header::{CONNECTION, CONTENT_LENGTH, SERVER, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue};

use super::GlobalReader;
use super::sender::field_name;
use crate::annotation::{Config, Key, OnError, Row, Support, boolean};
use crate::units::number;
use crate::{Head, Keys};

const HSTS: Key<bool> = Key {
    row: Row {
        name: "hsts",
        sentence: "Answers over TLS carry Strict-Transport-Security.",
        default: "true",
        example: "false",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const MAX_AGE: Key<u32> = Key {
    row: Row {
        name: "hsts-max-age",
        sentence: "Seconds that browsers remember to use HTTPS.",
        default: "31536000",
        example: "15724800",
        support: Support::Honoured,
    },
    parse: number,
    on_error: OnError::Default,
};

const SUBDOMAINS: Key<bool> = Key {
    row: Row {
        name: "hsts-include-subdomains",
        sentence: "Strict-Transport-Security holds for all hosts below, too.",
        default: "true",
        example: "false",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const PRELOAD: Key<bool> = Key {
    row: Row {
        name: "hsts-preload",
        sentence: "Strict-Transport-Security carries preload.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const ADD: Key<String> = Key {
    row: Row {
        name: "add-headers",
        sentence: "ConfigMap, namespace/name, with fields that every answer carries.",
        default: "none",
        example: "ingress/headers",
        support: Support::Approximated("Values are taken as they are: nginx variables are not expanded."),
    },
    parse: super::reference,
    on_error: OnError::Default,
};

const HIDE: Key<Box<[HeaderName]>> = Key {
    row: Row {
        name: "hide-headers",
        sentence: "Fields, with commas, that are removed from endpoints' answers.",
        default: "none",
        example: "X-Powered-By,X-Runtime",
        support: Support::Honoured,
    },
    parse: names,
    on_error: OnError::Default,
};

const TOKENS: Key<bool> = Key {
    row: Row {
        name: "server-tokens",
        sentence: "Answers carry a Server field that names the gateway.",
        default: "false",
        example: "true",
        support: Support::Approximated("The field says ingora, without a version."),
    },
    parse: boolean,
    on_error: OnError::Default,
};

const BACKEND_SERVER: Key<bool> = Key {
    row: Row {
        name: "allow-backend-server-header",
        sentence: "Clients get the Server field of the endpoint.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

/// The keys that [`Answers::read`] takes.
pub(crate) const CONFIG: Keys = &[&HSTS, &MAX_AGE, &SUBDOMAINS, &PRELOAD, &ADD, &HIDE, &TOKENS, &BACKEND_SERVER];

/// Fields that say how a message is read: nobody may set them from outside.
pub(super) const FRAMING: &[HeaderName] = &[CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];

/// What becomes of the Server field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerField {
    /// There is none.
    #[default]
    Absent,
    /// The gateway names itself.
    Own,
    /// The endpoint's passes.
    Endpoint,
}

/// What clients get beside an endpoint's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Strict-Transport-Security of answers over TLS.
    pub hsts: Option<HeaderValue>,
    /// Fields that every answer carries.
    pub add: Box<[(HeaderName, HeaderValue)]>,
    /// Fields that endpoints' answers lose.
    pub hide: Box<[HeaderName]>,
    /// What becomes of the Server field.
    pub server: ServerField,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            hsts: hsts(&Config::default()),
            add: Box::default(),
            hide: Box::default(),
            server: ServerField::default(),
        }
    }
}

impl Answers {
    pub(super) fn read(reader: &mut GlobalReader<'_>) -> Self {
        let config = reader.config;
        let flag = |key| config.get(key).unwrap_or(false);
        Self {
            hsts: hsts(config),
            add: added(reader),
            hide: config.get(&HIDE).unwrap_or_default(),
            server: match (flag(&BACKEND_SERVER), flag(&TOKENS)) {
                (true, _) => ServerField::Endpoint,
                (false, true) => ServerField::Own,
                (false, false) => ServerField::Absent,
            },
        }
    }

    /// Takes from an endpoint's answer what clients must not see. `X-Accel-` fields are orders to nginx.
    pub fn hide(&self, head: &mut dyn Head) {
        for name in &self.hide {
            head.remove(name);
        }
        while let Some(name) = head.fields().keys().find(|name| name.as_str().starts_with("x-accel-")).cloned() {
            head.remove(&name);
        }
        if self.server != ServerField::Endpoint {
            head.remove(&SERVER);
        }
    }

    /// Adds to an answer, the endpoint's or the gateway's own, what every client gets.
    pub fn add(&self, tls: bool, head: &mut dyn Head) {
        if let (true, Some(value)) = (tls, &self.hsts) {
            head.set(STRICT_TRANSPORT_SECURITY, value.clone());
        }
        if self.server == ServerField::Own {
            head.set(SERVER, HeaderValue::from_static("ingora"));
        }
        for (name, value) in &self.add {
            head.set(name.clone(), value.clone());
        }
    }
}

fn hsts(config: &Config) -> Option<HeaderValue> {
    if !config.get(&HSTS).unwrap_or(true) {
        return None;
    }
    let mut text = format!("max-age={}", config.get(&MAX_AGE).unwrap_or(31_536_000));
    if config.get(&SUBDOMAINS).unwrap_or(true) {
        text += "; includeSubDomains";
    }
    if config.get(&PRELOAD).unwrap_or(false) {
        text += "; preload";
    }
    HeaderValue::from_str(&text).ok()
}

fn added(reader: &mut GlobalReader<'_>) -> Box<[(HeaderName, HeaderValue)]> {
    let data = reader.config_map(&ADD);
    let mut fields = Vec::with_capacity(data.len());
    for (name, value) in &data {
        let field = field_name(name).ok().filter(|field| !FRAMING.contains(field));
        match field.zip(HeaderValue::from_bytes(value.trim_ascii()).ok()) {
            Some(field) => fields.push(field),
            None => {
                reader.report(
                    ADD.row.name,
                    format!("names a ConfigMap whose entry {name:?} is no field that may be set"),
                );
            }
        }
    }
    fields.into()
}

fn names(text: &str) -> Result<Box<[HeaderName]>, String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(field_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NoObjects, global::Global};

    fn answers(pairs: &[(&str, &str)]) -> Answers {
        let owned = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Global::read(&Config::new(owned), &NoObjects).0.answers
    }

    #[test]
    fn hsts_is_on_by_default_and_has_its_parts() {
        assert_eq!(answers(&[]).hsts.unwrap(), "max-age=31536000; includeSubDomains");
        let all = answers(&[("hsts-max-age", "1"), ("hsts-include-subdomains", "false"), ("hsts-preload", "true")]);
        assert_eq!(all.hsts.unwrap(), "max-age=1; preload");
        assert_eq!(answers(&[("hsts", "false")]).hsts, None);
    }

    #[test]
    fn clients_see_no_server_and_no_orders_to_nginx() {
        let mut head = http::Response::new(());
        for name in ["server", "x-accel-redirect", "x-accel-buffering", "x-runtime", "x-kept"] {
            head.headers_mut().insert(name, HeaderValue::from_static("1"));
        }
        answers(&[("hide-headers", "X-Runtime, ")]).hide(&mut head);
        assert_eq!(head.headers().keys().collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn only_tls_gets_strict_transport_security() {
        for tls in [true, false] {
            let mut head = http::Response::new(());
            answers(&[]).add(tls, &mut head);
            assert_eq!(head.headers().contains_key(STRICT_TRANSPORT_SECURITY), tls);
        }
    }
}
