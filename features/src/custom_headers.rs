//! Fields of the answer that a ConfigMap lists.
use http::{HeaderName, HeaderValue};

use crate::annotation::{Config, Key, OnError, Reader, Row, Support};
use crate::{Edits, Feature, Head, Keys, Request, RuleFacts};

const CUSTOM_HEADERS: Key<String> = Key {
    row: Row {
        name: "custom-headers",
        sentence: "ConfigMap whose entries are set as fields of every answer, as `namespace/name`. The operator must allow \
                   each name (ConfigMap `global-allowed-response-headers`).",
        default: "none",
        example: "default/headers",
        support: Support::Honoured,
    },
    parse: |text| match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(text.to_owned())
        }
        _ => Err("is not the name of a ConfigMap as namespace/name".to_owned()),
    },
    on_error: OnError::Close,
};

const ALLOWED: Key<Vec<HeaderName>> = Key {
    row: Row {
        name: "global-allowed-response-headers",
        sentence: "Fields that the annotation `custom-headers` may set, separated by commas.",
        default: "none",
        example: "X-Frame-Options,X-Team",
        support: Support::Honoured,
    },
    parse: |text| {
        let names = text.split(',').map(|name| HeaderName::from_bytes(name.trim().as_bytes()));
        names.collect::<Result<_, _>>().map_err(|_| "is not a list of field names separated by commas".to_owned())
    },
    on_error: OnError::Default,
};

/// Fields that every answer gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomHeaders(Box<[(HeaderName, HeaderValue)]>);

impl Feature for CustomHeaders {
    const KEYS: Keys = &[&CUSTOM_HEADERS];
    const CONFIG: Keys = &[&ALLOWED];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        let reference = reader.take(&CUSTOM_HEADERS)?;
        match fields(&reference, reader) {
            Ok(fields) => Some(Self(fields)),
            Err(message) => {
                reader.report(CUSTOM_HEADERS.row.name, message, OnError::Close);
                None
            }
        }
    }

    fn on_response(&self, _: &Request<'_>, _: &Edits, head: &mut dyn Head) {
        for (name, value) in &self.0 {
            head.set(name.clone(), value.clone());
        }
    }
}

fn fields(reference: &str, reader: &Reader<'_>) -> Result<Box<[(HeaderName, HeaderValue)]>, String> {
    let allowed = allowed(reader.config());
    let data = reader.objects().config_map(reference).map_err(|why| format!("names a ConfigMap that cannot be used: {why}"))?;
    data.iter().map(|(name, value)| field(name, value, &allowed)).collect()
}

fn allowed(config: &Config) -> Vec<HeaderName> {
    config.get(&ALLOWED).unwrap_or_default()
}

/// nginx would replace variables in a value; a dollar sign is refused, so that nobody gets the text of one instead.
fn field(name: &str, value: &[u8], allowed: &[HeaderName]) -> Result<(HeaderName, HeaderValue), String> {
    let shown: String = name.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("names a ConfigMap whose key {shown} is not a field name; correct it"))?;
    if !allowed.contains(&name) {
        return Err(format!(
            "sets the field {name}, which the operator does not allow; ask for it in the controller's ConfigMap \
             (global-allowed-response-headers) or remove it"
        ));
    }
    let value = value.trim_ascii();
    let sound = value.iter().all(|byte| (b' '..=b'~').contains(byte) && *byte != b'$');
    let value = HeaderValue::from_bytes(value).ok().filter(|_| sound).ok_or_else(|| {
        format!("sets the field {name} to a value with control characters, a dollar sign or non-ASCII text; correct it")
    })?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Data, Labels, Objects};
    use table::ClusterId;

    struct OneMap(&'static str, &'static str);

    impl Objects for OneMap {
        fn secret(&self, _: &str) -> Result<Data, String> {
            Err("no Secret".to_owned())
        }

        fn config_map(&self, reference: &str) -> Result<Data, String> {
            assert_eq!(reference, "ns/headers");
            Ok([(self.0.to_owned(), self.1.as_bytes().to_vec())].into())
        }

        fn service(&self, _: &str) -> Result<ClusterId, String> {
            Err("no Service".to_owned())
        }
    }

    fn read(reference: &'static str, map: &OneMap) -> Result<CustomHeaders, OnError> {
        let config = Config::new([("global-allowed-response-headers".to_owned(), "X-Team, x-other".to_owned())]);
        let mut reader = Reader::new([("custom-headers", reference)], &config, map);
        let feature = CustomHeaders::read(&mut reader, &RuleFacts::default());
        feature.ok_or_else(|| reader.finish()[0].effect)
    }

    #[test]
    fn an_allowed_field_replaces_the_endpoints() {
        let feature = read("ns/headers", &OneMap("x-team", " blue\n")).unwrap();
        let mut response = http::Response::builder().header("X-Team", "red").body(()).unwrap();
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        feature.on_response(&crate::request::tests::plain(&headers, &labels), &Edits::default(), &mut response);
        assert_eq!(response.headers().get_all("x-team").iter().collect::<Vec<_>>(), ["blue"]);
    }

    #[test]
    fn what_the_operator_does_not_allow_closes() {
        for map in [OneMap("X-Evil", "1"), OneMap("X-Team", "a\nb"), OneMap("X-Team", "$host"), OneMap("X Team", "1")] {
            assert_eq!(read("ns/headers", &map), Err(OnError::Close), "{}: {}", map.0, map.1);
        }
    }

    #[test]
    fn the_namespace_is_required() {
        assert_eq!(read("headers", &OneMap("X-Team", "1")), Err(OnError::Close));
    }
}
