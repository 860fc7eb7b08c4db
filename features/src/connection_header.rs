//! The Connection field that endpoints get.
use http::{HeaderValue, header};

use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::{Edits, Feature, Keys, Request, RuleFacts, Verdict};

const CONNECTION: Key<HeaderValue> = Key {
    row: Row {
        name: "connection-proxy-header",
        sentence: "The Connection field that endpoints get: close or keep-alive. WebSockets do not work with it. HTTP/2 has no such field.",
        default: "none, or upgrade",
        example: "keep-alive",
        support: Support::Honoured,
    },
    parse: |text| match text {
        "close" => Ok(HeaderValue::from_static("close")),
        "keep-alive" => Ok(HeaderValue::from_static("keep-alive")),
        _ => Err("is neither close nor keep-alive".to_owned()),
    },
    on_error: OnError::Default,
};

/// Present when the rule has a Connection field of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionHeader(HeaderValue);

impl Feature for ConnectionHeader {
    const KEYS: Keys = &[&CONNECTION];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        reader.take(&CONNECTION).map(Self)
    }

    fn on_request(&self, _: &Request<'_>, edits: &mut Edits) -> Verdict {
        edits.upstream_fields.push((header::CONNECTION, Some(self.0.clone())));
        Verdict::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::{Labels, NoObjects};

    #[test]
    fn the_endpoint_gets_what_is_asked_for() {
        let config = Config::default();
        let mut reader = Reader::new([("connection-proxy-header", "close")], &config, &NoObjects);
        let feature = ConnectionHeader::read(&mut reader, &RuleFacts::default()).unwrap();
        let (headers, labels, mut edits) = (http::HeaderMap::new(), Labels::default(), Edits::default());
        feature.on_request(&crate::request::tests::plain(&headers, &labels), &mut edits);
        assert_eq!(edits.upstream_fields, [(header::CONNECTION, Some(HeaderValue::from_static("close")))]);
    }
}
