//! Sends plain-text requests to HTTPS.
use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};
use crate::{Edits, Feature, Keys, Request, RuleFacts, Verdict};

const REDIRECT: Key<bool> = Key {
    row: Row {
        name: "ssl-redirect",
        sentence: "Redirects HTTP to HTTPS when the host has a certificate entry.",
        default: "true",
        example: "false",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const FORCE: Key<bool> = Key {
    row: Row {
        name: "force-ssl-redirect",
        sentence: "Redirects HTTP to HTTPS even when the host has no certificate entry.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

/// Present when the rule redirects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsRedirect;

impl Feature for TlsRedirect {
    const KEYS: Keys = &[&REDIRECT, &FORCE];

    fn read(reader: &mut Reader<'_>, facts: &RuleFacts) -> Option<Self> {
        let redirect = reader.take(&REDIRECT).unwrap_or(true) && facts.host_has_tls;
        let force = reader.take(&FORCE).unwrap_or(false);
        (redirect || force).then_some(Self)
    }

    /// 308 keeps the method, as ingress-nginx's `http-redirect-code` does by default.
    fn on_request(&self, request: &Request<'_>, _: &mut Edits) -> Verdict {
        if request.tls {
            return Verdict::Continue;
        }
        // ingress-nginx cuts one final slash of the whole target, even of the root.
        let target = request.target.strip_suffix('/').unwrap_or(request.target);
        Verdict::redirect(308, &format!("https://{}{target}", request.host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::{Labels, NoObjects};

    fn read(annotations: &[(&'static str, &'static str)], host_has_tls: bool) -> Option<TlsRedirect> {
        let config = Config::default();
        let mut reader = Reader::new(annotations.iter().copied(), &config, &NoObjects);
        TlsRedirect::read(&mut reader, &RuleFacts { host_has_tls })
    }

    fn location(target: &str, tls: bool) -> Verdict {
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        let request = Request { tls, target, ..crate::request::tests::plain(&headers, &labels) };
        TlsRedirect.on_request(&request, &mut Edits::default())
    }

    #[test]
    fn a_host_with_tls_redirects_unless_told_not_to() {
        assert!(read(&[], true).is_some());
        assert!(read(&[("ssl-redirect", "false")], true).is_none());
        assert!(read(&[], false).is_none());
    }

    #[test]
    fn force_redirects_without_tls() {
        assert!(read(&[("force-ssl-redirect", "true")], false).is_some());
        assert!(read(&[("ssl-redirect", "false"), ("force-ssl-redirect", "true")], true).is_some());
    }

    #[test]
    fn the_location_has_no_port_and_loses_one_final_slash() {
        for (target, want) in [("/", "https://foo.com"), ("/a?b=c", "https://foo.com/a?b=c"), ("/x/?q=/", "https://foo.com/x/?q=")] {
            assert_eq!(location(target, false), Verdict::redirect(308, want));
        }
    }

    #[test]
    fn tls_requests_pass() {
        assert_eq!(location("/", true), Verdict::Continue);
    }
}
