//! `from-to-www-redirect`: the name with or without `www.` redirects to the host.
use table::HostPattern;

use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};
use crate::{Configured, Edits, Feature, Keys, Request, RuleFacts, Verdict, tls_redirect};

const FROM_TO: Key<bool> = Key {
    row: Row {
        name: "from-to-www-redirect",
        sentence: "Redirects the name with `www.` to each host of the Ingress that has none, and the name without it to each \
                   that has, unless the name is a host of its own. The status is that of http-redirect-code.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

/// A host that redirects to its sibling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WwwRedirect {
    to: String,
    status: u16,
}

/// Is it wanted? With which status?
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<u16> {
    reader.take(&FROM_TO).unwrap_or(false).then(|| tls_redirect::status(reader.config()))
}

impl WwwRedirect {
    /// The sibling of a host, and what its only rule does.
    #[must_use]
    pub fn sibling(host: &HostPattern, status: u16) -> Option<(HostPattern, Configured)> {
        let HostPattern::Exact(to) = host else { return None };
        let from = to.strip_prefix("www.").map_or_else(|| format!("www.{to}"), str::to_owned);
        let from = HostPattern::parse(&from).ok()?;
        Some((from, Configured::WwwRedirect(Self { to: to.to_string(), status })))
    }
}

impl Feature for WwwRedirect {
    const KEYS: Keys = &[&FROM_TO];

    /// The rules of the host itself have none.
    fn read(_: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        None
    }

    /// As ingress-nginx: always with the port, without a final slash.
    fn on_request(&self, request: &Request<'_>, _: &mut Edits) -> Verdict {
        let target = request.target.strip_suffix('/').unwrap_or(request.target);
        Verdict::redirect(self.status, &format!("{}://{}:{}{target}", request.scheme(), self.to, request.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::tests::settings;
    use crate::{Labels, NoObjects, request};

    #[test]
    fn the_sibling_redirects_with_port_and_without_the_final_slash() {
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        let plain = request::tests::plain(&headers, &labels);
        for (host, from, target, want) in [
            ("a.com", "www.a.com", "/", "http://a.com:80"),
            ("www.a.com", "a.com", "/x/?q", "http://www.a.com:80/x/?q"),
        ] {
            let (sibling, feature) = WwwRedirect::sibling(&HostPattern::parse(host).unwrap(), 308).unwrap();
            assert_eq!(sibling.to_string(), from);
            let verdict = feature.on_request(&Request { target, ..plain }, &mut Edits::default());
            assert_eq!(verdict, Verdict::redirect(308, want));
        }
        assert_eq!(WwwRedirect::sibling(&HostPattern::parse("*.a.com").unwrap(), 308), None);
    }

    #[test]
    fn the_status_is_the_config_maps() {
        assert_eq!(settings(&[("from-to-www-redirect", "true")]).www_redirect, Some(308));
        assert_eq!(settings(&[("from-to-www-redirect", "no")]).www_redirect, None);
        let config = Config::new([("http-redirect-code".to_owned(), "301".to_owned())]);
        let mut reader = Reader::new([("from-to-www-redirect", "true")], &config, &NoObjects);
        assert_eq!(super::read(&mut reader), Some(301));
    }
}
