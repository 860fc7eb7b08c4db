//! Which addresses may use a rule.
use std::sync::Arc;

use crate::annotation::{Config, Key, OnError, Reader, Row, Support};
use crate::networks::Networks;
use crate::{Answer, Edits, Feature, Keys, Request, RuleFacts, Verdict, satisfy};

const fn list(name: &'static str, sentence: &'static str, default: &'static str) -> Key<Networks> {
    let row = Row { name, sentence, default, example: "10.0.0.0/8,2001:db8::/32", support: Support::Honoured };
    Key { row, parse: Networks::parse, on_error: OnError::Close }
}

const ALLOW: Key<Networks> = list(
    "allowlist-source-range",
    "Addresses and networks, between commas, that may use the rules; others get 403.",
    "whitelist-source-range of the ConfigMap",
);

const WHITE: Key<Networks> = list(
    "whitelist-source-range",
    "The former name of `allowlist-source-range`, which goes before it.",
    "whitelist-source-range of the ConfigMap",
);

const DENY: Key<Networks> = list(
    "denylist-source-range",
    "Addresses and networks, between commas, that get 403; goes before the list of those that may.",
    "denylist-source-range of the ConfigMap",
);

const CONFIG_ALLOW: Key<Networks> = list(
    "whitelist-source-range",
    "Addresses and networks that may use rules whose Ingress does not list any; others get 403.",
    "everybody may",
);

const CONFIG_DENY: Key<Networks> = list(
    "denylist-source-range",
    "Addresses and networks that get 403 of rules whose Ingress does not list any.",
    "nobody",
);

const BLOCK: Key<Networks> =
    list("block-cidrs", "Addresses and networks that get 403 of all rules, whatever their Ingress lists.", "nobody");

/// Whose addresses may use a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpAccess {
    denied: [Option<Arc<Networks>>; 2],
    allowed: Option<Arc<Networks>>,
    any: bool,
}

impl Feature for IpAccess {
    const KEYS: Keys = &[&ALLOW, &WHITE, &DENY];
    const CONFIG: Keys = &[&CONFIG_ALLOW, &CONFIG_DENY, &BLOCK];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        let any = satisfy::any(reader);
        let white = reader.take(&WHITE);
        let allowed = reader.take(&ALLOW).or(white);
        let allowed = allowed.or_else(|| global(reader, &CONFIG_ALLOW));
        let denied = reader.take(&DENY).or_else(|| global(reader, &CONFIG_DENY));
        let denied = [denied, global(reader, &BLOCK)];
        let nothing = allowed.is_none() && denied.iter().all(Option::is_none);
        (!nothing).then(|| Self { denied: denied.map(|list| list.map(Arc::new)), allowed: allowed.map(Arc::new), any })
    }

    fn on_request(&self, request: &Request<'_>, edits: &mut Edits) -> Verdict {
        let Some(client) = request.client else { return self.forbid(edits, "client_unknown") };
        if self.denied.iter().flatten().any(|list| list.contains(client)) {
            return self.forbid(edits, "address_denied");
        }
        match &self.allowed {
            Some(list) if !list.contains(client) => self.forbid(edits, "address_not_allowed"),
            Some(_) => satisfy::passed(self.any, edits),
            None => Verdict::Continue,
        }
    }
}

impl IpAccess {
    fn forbid(&self, edits: &mut Edits, reason: &'static str) -> Verdict {
        satisfy::denied(self.any, edits, Answer { status: 403, fields: Vec::new(), body: None, reason })
    }
}

/// A key of the ConfigMap that protects: while its value cannot be read, the rules that it would protect do not serve.
pub(crate) fn global<T>(reader: &mut Reader<'_>, key: &Key<T>) -> Option<T> {
    let config: &Config = reader.config();
    let (_, value) = config.iter().find(|(name, _)| *name == key.row.name)?;
    match (key.parse)(value) {
        Ok(value) => Some(value),
        Err(message) => {
            let message = format!(
                "is not there, and the key {} of the controller's ConfigMap cannot take its place: its value {message}; \
                 until it is corrected the paths of this Ingress answer 503",
                key.row.name
            );
            reader.report(key.row.name, message, OnError::Close);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Labels, NoObjects};

    fn read(annotations: &[(&'static str, &'static str)], config: &[(&str, &str)]) -> (Option<IpAccess>, Option<OnError>) {
        let config = Config::new(config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut reader = Reader::new(annotations.iter().copied(), &config, &NoObjects);
        let feature = IpAccess::read(&mut reader, &RuleFacts::default());
        (feature, reader.finish().into_iter().map(|problem| problem.effect).max())
    }

    fn passes(feature: &IpAccess, client: &str) -> bool {
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        let plain = crate::request::tests::plain(&headers, &labels);
        let request = Request { client: Some(client.parse().unwrap()), ..plain };
        feature.on_request(&request, &mut Edits::default()) == Verdict::Continue
    }

    #[test]
    fn those_who_are_not_listed_are_refused() {
        let feature = read(&[("whitelist-source-range", "10.0.0.0/8")], &[]).0.unwrap();
        assert!(passes(&feature, "10.1.2.3") && passes(&feature, "::ffff:10.1.2.3"));
        assert!(!passes(&feature, "192.0.2.1") && !passes(&feature, "2001:db8::1"));
    }

    #[test]
    fn a_denied_address_is_refused_even_when_it_is_allowed() {
        let lists = [("allowlist-source-range", "10.0.0.0/8"), ("denylist-source-range", "10.0.0.1")];
        let feature = read(&lists, &[]).0.unwrap();
        assert!(passes(&feature, "10.0.0.2") && !passes(&feature, "10.0.0.1"));
    }

    #[test]
    fn an_annotation_takes_the_place_of_the_config_map_but_not_of_what_is_blocked() {
        let config = [("whitelist-source-range", "10.0.0.0/8"), ("block-cidrs", "192.0.2.9")];
        let feature = read(&[("allowlist-source-range", "192.0.2.0/24")], &config).0.unwrap();
        assert!(passes(&feature, "192.0.2.1") && !passes(&feature, "10.0.0.1") && !passes(&feature, "192.0.2.9"));
    }

    #[test]
    fn a_client_without_an_address_is_refused() {
        let feature = read(&[("denylist-source-range", "10.0.0.0/8")], &[]).0.unwrap();
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        let request = Request { client: None, ..crate::request::tests::plain(&headers, &labels) };
        assert!(matches!(feature.on_request(&request, &mut Edits::default()), Verdict::Answer(answer) if answer.status == 403));
    }

    #[test]
    fn values_that_are_no_networks_close() {
        for value in ["x", "10.0.0.0/99", "10.0.0.1 10.0.0.2", "$host", "}", "\u{0}", "1.2.3.4\n5.6.7.8", "a".repeat(70_000).leak()] {
            assert_eq!(read(&[("allowlist-source-range", value)], &[]).1, Some(OnError::Close), "{value:.20}");
            assert_eq!(read(&[("denylist-source-range", value)], &[]).1, Some(OnError::Close), "{value:.20}");
            assert_eq!(read(&[], &[("whitelist-source-range", value)]).1, Some(OnError::Close), "{value:.20}");
        }
        assert_eq!(read(&[("allowlist-source-range", " ")], &[]), (None, None));
    }

    #[test]
    fn with_any_a_listed_address_needs_nothing_else() {
        let feature = read(&[("allowlist-source-range", "192.0.2.1"), ("satisfy", "any")], &[]).0.unwrap();
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        let mut edits = Edits::default();
        let request = crate::request::tests::plain(&headers, &labels);
        assert_eq!(feature.on_request(&request, &mut edits), Verdict::Continue);
        assert!(edits.satisfied);
        let mut edits = Edits::default();
        let stranger = Request { client: Some([198, 51, 100, 1].into()), ..request };
        assert_eq!(feature.on_request(&stranger, &mut edits), Verdict::Continue);
        assert_eq!(edits.denied.map(|answer| answer.status), Some(403));
    }
}
