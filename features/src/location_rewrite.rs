//! Rewrites the Location and Refresh fields of an endpoint's redirects, as nginx's `proxy_redirect` does.
use http::header::{LOCATION, REFRESH};
use http::{HeaderName, HeaderValue};

use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::{Edits, Feature, Head, Keys, Request, RuleFacts, Template};

const fn key(name: &'static str, sentence: &'static str, example: &'static str) -> Key<Text> {
    let row = Row { name, sentence, default: "off", example, support: Support::Honoured };
    Key { row, parse: Text::parse, on_error: OnError::Default }
}

const FROM: Key<Text> = key(
    "proxy-redirect-from",
    "Begin of Location and Refresh in answers of endpoints that proxy-redirect-to replaces; `off` and `default` replace \
     nothing.",
    "http://internal/",
);

const TO: Key<Text> = key("proxy-redirect-to", "What replaces proxy-redirect-from; may hold variables.", "https://$host/");

#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    Off,
    Some(Template),
}

impl Text {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" | "default" => Ok(Self::Off),
            text if text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\;".contains(&byte)) => {
                Template::parse(text).map(Self::Some)
            }
            _ => Err("has characters that no URL has".to_owned()),
        }
    }
}

/// What is replaced by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationRewrite {
    from: Template,
    to: Template,
}

impl Feature for LocationRewrite {
    const KEYS: Keys = &[&FROM, &TO];
    /// The ConfigMap's hold where the annotations are not there.
    const CONFIG: Keys = &[&FROM, &TO];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        match (reader.take_or(&FROM, &FROM), reader.take_or(&TO, &TO)) {
            (Some(Text::Some(from)), Some(Text::Some(to))) => Some(Self { from, to }),
            _ => None,
        }
    }

    fn on_response(&self, request: &Request<'_>, _: &Edits, head: &mut dyn Head) {
        if !head.fields().contains_key(LOCATION) && !head.fields().contains_key(REFRESH) {
            return;
        }
        let from = self.from.expand(request, &[]);
        self.replace(LOCATION, 0, &from, request, head);
        let refresh = head.fields().get(REFRESH).and_then(|value| value.to_str().ok());
        let url = refresh.and_then(|value| value.to_ascii_lowercase().find("url=")).map(|at| at + "url=".len());
        if let Some(at) = url {
            self.replace(REFRESH, at, &from, request, head);
        }
    }
}

impl LocationRewrite {
    /// Replaces the text that begins at `at`.
    fn replace(&self, name: HeaderName, at: usize, from: &str, request: &Request<'_>, head: &mut dyn Head) {
        let value = head.fields().get(&name).and_then(|value| value.to_str().ok());
        let Some((before, text)) = value.and_then(|value| value.split_at_checked(at)) else { return };
        let Some(rest) = text.strip_prefix(from) else { return };
        let new = format!("{before}{}{rest}", self.to.expand(request, &[]));
        if let Ok(value) = HeaderValue::from_str(&new) {
            head.set(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::request::tests::plain;
    use crate::{Labels, NoObjects};

    fn rewritten(from: &'static str, field: HeaderName, value: &'static str) -> String {
        let config = Config::default();
        let annotations = [("proxy-redirect-from", from), ("proxy-redirect-to", "https://$host/")];
        let mut reader = Reader::new(annotations, &config, &NoObjects);
        let feature = LocationRewrite::read(&mut reader, &RuleFacts::default());
        let mut response = http::Response::builder().header(field.clone(), value).body(()).unwrap();
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        if let Some(feature) = feature {
            feature.on_response(&plain(&headers, &labels), &Edits::default(), &mut response);
        }
        response.headers()[field].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_begin_is_replaced() {
        assert_eq!(rewritten("http://in/", LOCATION, "http://in/x"), "https://foo.com/x");
        assert_eq!(rewritten("http://in/", LOCATION, "http://other/x"), "http://other/x");
        assert_eq!(rewritten("http://in/", REFRESH, "5; URL=http://in/x"), "5; URL=https://foo.com/x");
    }

    #[test]
    fn off_replaces_nothing() {
        assert_eq!(rewritten("off", LOCATION, "http://in/x"), "http://in/x");
    }

    #[test]
    fn the_config_map_holds_where_the_annotations_do_not() {
        let config = Config::new([("proxy-redirect-from", "http://in/"), ("proxy-redirect-to", "/")].map(|(name, value)| (name.to_owned(), value.to_owned())));
        let read = |annotations: &[(&'static str, &'static str)]| {
            let mut reader = Reader::new(annotations.iter().copied(), &config, &NoObjects);
            LocationRewrite::read(&mut reader, &RuleFacts::default())
        };
        assert!(read(&[]).is_some());
        assert_eq!(read(&[("proxy-redirect-from", "off")]), None);
    }
}
