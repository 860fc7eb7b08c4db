//! Sends plain-text requests to HTTPS.
use crate::annotation::{Config, Key, OnError, Reader, Row, Support, boolean};
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

const REDIRECT_CONFIG: Key<bool> = Key {
    row: Row { sentence: "Redirects HTTP to HTTPS on hosts with a certificate entry.", ..REDIRECT.row },
    ..REDIRECT
};

const FORCE_CONFIG: Key<bool> = Key {
    row: Row { sentence: "Redirects HTTP to HTTPS on all hosts.", ..FORCE.row },
    ..FORCE
};

const KEEP_SLASH: Key<bool> = Key {
    row: Row {
        name: "preserve-trailing-slash",
        sentence: "Keeps the final slash of the target in the redirect to HTTPS.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const USE_PORT: Key<bool> = Key {
    row: Row {
        name: "use-port-in-redirects",
        sentence: "Puts the port of the HTTPS listener into redirects to HTTPS.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const CODE: Key<u16> = Key {
    row: Row {
        name: "http-redirect-code",
        sentence: "Status of redirects to HTTPS and between a host and its www name: 301, 302, 307 or 308.",
        default: "308",
        example: "301",
        support: Support::Honoured,
    },
    parse: |text| match text.parse() {
        Ok(code @ (301 | 302 | 307 | 308)) => Ok(code),
        _ => Err("is none of 301, 302, 307 and 308".to_owned()),
    },
    on_error: OnError::Default,
};

const EXEMPT: Key<Vec<String>> = Key {
    row: Row {
        name: "no-tls-redirect-locations",
        sentence: "Paths of Ingresses, not of requests, that are not redirected to HTTPS: those that begin with one of \
                   these texts, separated by commas.",
        default: "/.well-known/acme-challenge",
        example: "/.well-known/acme-challenge,/health",
        support: Support::Honoured,
    },
    parse: |text| Ok(text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()),
    on_error: OnError::Default,
};

/// The status of redirects that the gateway makes by itself.
pub(crate) fn status(config: &Config) -> u16 {
    config.get(&CODE).unwrap_or(308)
}

/// How a rule redirects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsRedirect {
    status: u16,
    /// Also without a certificate.
    force: bool,
    keep_slash: bool,
    /// With the port of the HTTPS listener.
    port: bool,
    exempt: Vec<String>,
}

impl Feature for TlsRedirect {
    const KEYS: Keys = &[&REDIRECT, &FORCE, &KEEP_SLASH, &USE_PORT];
    const CONFIG: Keys = &[&REDIRECT_CONFIG, &FORCE_CONFIG, &KEEP_SLASH, &USE_PORT, &CODE, &EXEMPT];

    fn read(reader: &mut Reader<'_>, facts: &RuleFacts) -> Option<Self> {
        let redirect = reader.take_or(&REDIRECT, &REDIRECT_CONFIG).unwrap_or(true) && facts.host_has_tls;
        let force = reader.take_or(&FORCE, &FORCE_CONFIG).unwrap_or(false);
        let keep_slash = reader.take_or(&KEEP_SLASH, &KEEP_SLASH).unwrap_or(false);
        let port = reader.take_or(&USE_PORT, &USE_PORT).unwrap_or(false);
        let config = reader.config();
        (redirect || force).then(|| Self {
            status: status(config),
            force,
            keep_slash,
            port,
            exempt: config.get(&EXEMPT).unwrap_or_else(|| vec![EXEMPT.row.default.to_owned()]),
        })
    }

    fn bind(self, path: &str) -> Option<Self> {
        let exempt = self.exempt.iter().any(|text| path.starts_with(text));
        (!exempt).then_some(self)
    }

    fn on_request(&self, request: &Request<'_>, _: &mut Edits) -> Verdict {
        if request.tls || (!self.force && is_bare_alias(request)) {
            return Verdict::Continue;
        }
        // ingress-nginx cuts one final slash of the whole target, even of the root.
        let cut = request.target.strip_suffix('/').filter(|_| !self.keep_slash);
        let target = cut.unwrap_or(request.target);
        let location = if self.port {
            format!("https://{}:{}{target}", request.host, request.world.https_port())
        } else {
            format!("https://{}{target}", request.host)
        };
        Verdict::redirect(self.status, &location)
    }
}

/// Is the host an alias of the rule's that no certificate is for?
fn is_bare_alias(request: &Request<'_>) -> bool {
    let host = &request.labels.host;
    let own = host.is_empty() || host.starts_with("*.") || host.eq_ignore_ascii_case(request.host);
    !own && !request.world.has_certificate(request.host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Labels, NoObjects};

    fn read(annotations: &[(&'static str, &'static str)], host_has_tls: bool) -> Option<TlsRedirect> {
        let config = Config::default();
        let mut reader = Reader::new(annotations.iter().copied(), &config, &NoObjects);
        TlsRedirect::read(&mut reader, &RuleFacts { host_has_tls })
    }

    fn location(target: &str, tls: bool) -> Verdict {
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        let request = Request { tls, target, ..crate::request::tests::plain(&headers, &labels) };
        read(&[("force-ssl-redirect", "true")], false).unwrap().on_request(&request, &mut Edits::default())
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
    fn the_config_map_decides_status_slash_and_exemptions() {
        let config = Config::new(
            [
                ("force-ssl-redirect", "true"),
                ("http-redirect-code", "301"),
                ("preserve-trailing-slash", "true"),
                ("no-tls-redirect-locations", "/open, /health"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let feature = TlsRedirect::read(&mut Reader::new([], &config, &NoObjects), &RuleFacts::default()).unwrap();
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        let request = Request { target: "/x/", ..crate::request::tests::plain(&headers, &labels) };
        let verdict = feature.on_request(&request, &mut Edits::default());
        assert_eq!(verdict, Verdict::redirect(301, "https://foo.com/x/"));
        assert!(feature.clone().bind("/openly").is_none() && feature.bind("/").is_some());
    }

    #[test]
    fn the_port_of_the_listener_is_put_in_on_request() {
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        let request = Request { target: "/x", ..crate::request::tests::plain(&headers, &labels) };
        let feature = read(&[("use-port-in-redirects", "true")], true).unwrap();
        let verdict = feature.on_request(&request, &mut Edits::default());
        assert_eq!(verdict, Verdict::redirect(308, "https://foo.com:443/x"));
    }

    #[test]
    fn tls_requests_pass() {
        assert_eq!(location("/", true), Verdict::Continue);
    }
}
