//! Sends plain-text requests to HTTPS.
use crate::annotation::{Key, Reader, Row, boolean};
use crate::{Feature, Request, RuleFacts, Verdict};

const REDIRECT: Key<bool> = Key {
    row: Row {
        name: "ssl-redirect",
        sentence: "Redirects HTTP to HTTPS when the host has a certificate entry.",
        default: "true",
        example: "false",
    },
    parse: boolean,
};

const FORCE: Key<bool> = Key {
    row: Row {
        name: "force-ssl-redirect",
        sentence: "Redirects HTTP to HTTPS even when the host has no certificate entry.",
        default: "false",
        example: "true",
    },
    parse: boolean,
};

/// Present when the rule redirects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsRedirect;

impl Feature for TlsRedirect {
    const KEYS: &'static [Row] = &[REDIRECT.row, FORCE.row];

    fn read(reader: &mut Reader<'_>, facts: &RuleFacts) -> Option<Self> {
        let redirect = reader.take(&REDIRECT).unwrap_or(true) && facts.host_has_tls;
        let force = reader.take(&FORCE).unwrap_or(false);
        (redirect || force).then_some(Self)
    }

    /// 308 keeps the method, as ingress-nginx's `http-redirect-code` does by default.
    fn on_request(&self, request: &Request<'_>) -> Verdict {
        if request.tls {
            return Verdict::Continue;
        }
        // ingress-nginx cuts one final slash of the whole target, even of the root.
        let target = request.target.strip_suffix('/').unwrap_or(request.target);
        Verdict::Redirect { status: 308, location: format!("https://{}{target}", request.host) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(annotations: &[(&'static str, &'static str)], host_has_tls: bool) -> Option<TlsRedirect> {
        TlsRedirect::read(&mut Reader::new(annotations.iter().copied()), &RuleFacts { host_has_tls })
    }

    fn location(target: &str, tls: bool) -> Verdict {
        TlsRedirect.on_request(&Request {
            method: &http::Method::GET,
            tls,
            authority: "foo.com:80",
            host: "foo.com",
            path: "/",
            target,
            headers: &http::HeaderMap::new(),
        })
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
            assert_eq!(location(target, false), Verdict::Redirect { status: 308, location: want.to_owned() });
        }
    }

    #[test]
    fn tls_requests_pass() {
        assert_eq!(location("/", true), Verdict::Continue);
    }
}
