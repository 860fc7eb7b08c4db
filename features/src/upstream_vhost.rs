//! The Host field that endpoints get.
use http::HeaderValue;

use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::{Edits, Feature, Keys, Request, RuleFacts, Template, Verdict};

const VHOST: Key<Template> = Key {
    row: Row {
        name: "upstream-vhost",
        sentence: "The Host field that endpoints get instead of the client's; may hold variables.",
        default: "the client's",
        example: "internal.example.com",
        support: Support::Honoured,
    },
    parse: Template::parse,
    on_error: OnError::Default,
};

/// Present when the rule has a Host of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamVhost(Template);

impl Feature for UpstreamVhost {
    const KEYS: Keys = &[&VHOST];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        reader.take(&VHOST).map(Self)
    }

    /// What is no field value leaves the client's Host.
    fn on_request(&self, request: &Request<'_>, edits: &mut Edits) -> Verdict {
        if let Ok(host) = HeaderValue::from_str(&self.0.expand(request, &[])) {
            edits.host = Some(host);
        }
        Verdict::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::{Labels, NoObjects};

    fn host(value: &str) -> Option<HeaderValue> {
        let config = Config::default();
        let mut reader = Reader::new([("upstream-vhost", value)], &config, &NoObjects);
        let feature = UpstreamVhost::read(&mut reader, &RuleFacts::default())?;
        let (headers, labels, mut edits) = (http::HeaderMap::new(), Labels::default(), Edits::default());
        feature.on_request(&crate::request::tests::plain(&headers, &labels), &mut edits);
        edits.host
    }

    #[test]
    fn the_endpoint_gets_another_host() {
        assert_eq!(host("inside.test").unwrap(), "inside.test");
        assert_eq!(host("x-$host").unwrap(), "x-foo.com");
    }
}
