//! `upstream-hash-by`: requests with the same key go to the same endpoint.
use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::{Edits, Feature, Keys, Request, RuleFacts, Template, Verdict, affinity, hash};

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashKey(Template);

const BY: Key<Template> = Key {
    row: Row {
        name: "upstream-hash-by",
        sentence: "Text with variables, such as $request_uri, $remote_addr, $http_name or $cookie_name: requests for which \
                   it is the same go to the same endpoint. Where it is empty, endpoints take turns.",
        default: "no hashing",
        example: "$http_x_tenant",
        support: Support::Honoured,
    },
    parse: |text| {
        let template = Template::parse(text)?;
        match template.fixed() {
            Some(_) => Err("has no variable, so that all requests would go to one endpoint".to_owned()),
            None => Ok(template),
        }
    },
    on_error: OnError::Default,
};

/// Does the rule hash?
pub(crate) fn is_set(reader: &Reader<'_>) -> bool {
    reader.peek(&BY).is_some()
}

impl Feature for HashKey {
    const KEYS: Keys = &[&BY];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        // Affinity wins, and has a key of its own.
        reader.take(&BY).filter(|_| affinity::mode(reader).is_none()).map(Self)
    }

    fn on_request(&self, request: &Request<'_>, edits: &mut Edits) -> Verdict {
        let text = self.0.expand(request, &[]);
        edits.key = (!text.is_empty()).then(|| hash::bytes(text.as_bytes()));
        Verdict::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::settings;
    use crate::{Labels, request};

    fn key(by: &'static str, field: &'static str) -> Option<u64> {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-tenant", http::HeaderValue::from_static(field));
        let labels = Labels::default();
        let mut edits = Edits::default();
        let plan = settings(&[("upstream-hash-by", by)]).plan;
        crate::run(&plan, &request::tests::plain(&headers, &labels), &mut edits, |_, _, _| ());
        edits.key
    }

    #[test]
    fn the_same_text_is_the_same_key() {
        assert_eq!(key("$http_x_tenant", "a"), key("$http_x_tenant", "a"));
        assert_ne!(key("$http_x_tenant", "a"), key("$http_x_tenant", "b"));
    }

    #[test]
    fn an_empty_field_is_no_key() {
        assert_eq!(key("$http_x_tenant", ""), None);
        assert_eq!(key("$http_x_nobody", "a"), None);
    }

    #[test]
    fn a_text_without_variables_does_not_hash() {
        let settings = settings(&[("upstream-hash-by", "constant")]);
        assert_eq!((settings.problems.len(), settings.balance), (1, crate::Balance::RoundRobin));
    }
}
