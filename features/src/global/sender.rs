//! Who a request comes from: PROXY protocol and forwarded fields, and who is believed.
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::Keys;
use crate::annotation::{Config, Key, OnError, Row, Support, boolean};
use crate::networks::Networks;
use crate::units::duration;

const USE_FORWARDED: Key<bool> = Key {
    row: Row {
        name: "use-forwarded-headers",
        sentence: "Believes X-Forwarded-For, -Proto, -Port and -Host of peers in proxy-real-ip-cidr.",
        default: "false",
        example: "true",
        support: Support::Approximated(
            "ingress-nginx believes -Proto, -Port and -Host of any peer; here proxy-real-ip-cidr, whose default is everyone, decides on all of them.",
        ),
    },
    parse: boolean,
    on_error: OnError::Default,
};

const REAL_IP: Key<bool> = Key {
    row: Row {
        name: "enable-real-ip",
        sentence: "Believes the client's address in forwarded-for-header, and none of the other forwarded fields.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const FOR_FIELD: Key<HeaderName> = Key {
    row: Row {
        name: "forwarded-for-header",
        sentence: "Field that lists the addresses that a request has come through.",
        default: "X-Forwarded-For",
        example: "CF-Connecting-IP",
        support: Support::Honoured,
    },
    parse: field_name,
    on_error: OnError::Default,
};

const HOST_FIELD: Key<HeaderName> = Key {
    row: Row {
        name: "forwarded-host-header",
        sentence: "Field with the host that the client asked a proxy in front for.",
        default: "X-Forwarded-Host",
        example: "X-Original-Host",
        support: Support::Honoured,
    },
    parse: field_name,
    on_error: OnError::Default,
};

const TRUSTED: Key<Networks> = Key {
    row: Row {
        name: "proxy-real-ip-cidr",
        sentence: "Peers whose forwarded fields and PROXY protocol are believed: addresses and ranges with commas.",
        default: "0.0.0.0/0",
        example: "10.0.0.0/8,192.0.2.1",
        support: Support::Honoured,
    },
    parse: Networks::parse,
    on_error: OnError::Close,
};

const FULL: Key<bool> = Key {
    row: Row {
        name: "compute-full-forwarded-for",
        sentence: "Endpoints get the whole list of addresses with the peer's at its end, not the client's address alone.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const PROXY_PROTOCOL: Key<bool> = Key {
    row: Row {
        name: "use-proxy-protocol",
        sentence: "Every connection to both ports begins with a PROXY protocol header, version 1 or 2.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const PROXY_TIMEOUT: Key<Duration> = Key {
    row: Row {
        name: "proxy-protocol-header-timeout",
        sentence: "How long the PROXY protocol header may take.",
        default: "5s",
        example: "10s",
        support: Support::Honoured,
    },
    parse: duration,
    on_error: OnError::Default,
};

/// The keys that [`Sender::read`] takes.
pub(crate) const CONFIG: Keys =
    &[&USE_FORWARDED, &REAL_IP, &FOR_FIELD, &HOST_FIELD, &TRUSTED, &FULL, &PROXY_PROTOCOL, &PROXY_TIMEOUT];

/// Who is believed about where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Forwarded scheme, port and host are believed.
    pub forwarded: bool,
    /// The forwarded address is believed.
    pub real_ip: bool,
    /// The field with addresses.
    pub for_field: HeaderName,
    /// The field with the host.
    pub host_field: HeaderName,
    /// Peers that are believed.
    pub trusted: Networks,
    /// Endpoints get the whole list of addresses.
    pub full_for: bool,
    /// Connections begin with a PROXY protocol header, which may take so long.
    pub proxy_protocol: Option<Duration>,
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            forwarded: false,
            real_ip: false,
            for_field: HeaderName::from_static("x-forwarded-for"),
            host_field: HeaderName::from_static("x-forwarded-host"),
            trusted: Networks::parse(TRUSTED.row.default).unwrap_or_default(),
            full_for: false,
            proxy_protocol: None,
        }
    }
}

/// What trusted fields say about a request. What they do not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The client.
    pub client: Option<IpAddr>,
    /// The scheme, as sent.
    pub scheme: Option<HeaderValue>,
    /// The port, as sent.
    pub port: Option<HeaderValue>,
    /// The host, of several the first.
    pub host: Option<HeaderValue>,
}

impl Sender {
    /// Reads the settings. A list of ranges that cannot be read trusts nobody.
    pub(crate) fn read(config: &Config) -> Self {
        let default = Self::default();
        let flag = |key| config.get(key).unwrap_or(false);
        let forwarded = flag(&USE_FORWARDED);
        Self {
            forwarded,
            real_ip: forwarded || flag(&REAL_IP),
            for_field: config.get(&FOR_FIELD).unwrap_or(default.for_field),
            host_field: config.get(&HOST_FIELD).unwrap_or(default.host_field),
            trusted: match config.parsed(&TRUSTED) {
                None => default.trusted,
                Some(trusted) => trusted.unwrap_or_default(),
            },
            full_for: forwarded && flag(&FULL),
            proxy_protocol: flag(&PROXY_PROTOCOL).then(|| config.get(&PROXY_TIMEOUT).unwrap_or(Duration::from_secs(5))),
        }
    }

    /// Is a peer believed? A range that holds every address of its family stands for everyone.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.contains(peer) || self.trusted.holds_a_family()
    }

    /// What the fields of a request of `peer` say, as far as it is believed; `None` when they say nothing.
    #[must_use]
    pub fn claims(&self, headers: &HeaderMap, peer: IpAddr) -> Option<Claims> {
        if !self.real_ip || !self.trusts(peer) {
            return None;
        }
        let mut claims = Claims { client: self.client(headers, peer), ..Claims::default() };
        if self.forwarded {
            let field = |name: &str| headers.get(name).filter(|value| !value.is_empty()).cloned();
            claims.scheme = field("x-forwarded-proto");
            claims.port = field("x-forwarded-port");
            claims.host = headers.get(&self.host_field).and_then(first);
        }
        (claims != Claims::default()).then_some(claims)
    }

    /// The last address from the right that a believed peer has named: nginx's `real_ip_recursive`.
    fn client(&self, headers: &HeaderMap, peer: IpAddr) -> Option<IpAddr> {
        let mut client = None;
        let lines: Vec<&HeaderValue> = headers.get_all(&self.for_field).iter().collect();
        for line in lines.iter().rev() {
            let hops = line.as_bytes().rsplit(|byte| matches!(byte, b',' | b' '));
            for hop in hops.filter(|hop| !hop.is_empty()) {
                let (true, Some(address)) = (self.trusted.contains(client.unwrap_or(peer)), address(hop)) else {
                    return client;
                };
                client = Some(address);
            }
        }
        client
    }
}

/// An address, with or without port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

/// The first item of a list.
fn first(list: &HeaderValue) -> Option<HeaderValue> {
    let item = list.as_bytes().split(|byte| *byte == b',').next()?.trim_ascii();
    HeaderValue::from_bytes(item).ok().filter(|item| !item.is_empty())
}

/// The name of a field.
pub(super) fn field_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is not the name of a field".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(pairs: &[(&str, &str)]) -> Sender {
        let owned = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Sender::read(&Config::new(owned))
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn client(sender: &Sender, list: &'static str, peer: &str) -> Option<String> {
        let headers = headers(&[("x-forwarded-for", list)]);
        sender.claims(&headers, peer.parse().unwrap())?.client.map(|client| client.to_string())
    }

    #[test]
    fn nothing_is_believed_unless_told_so() {
        assert_eq!(client(&sender(&[]), "192.0.2.9", "10.0.0.1"), None);
    }

    #[test]
    fn the_last_address_that_a_believed_peer_named_is_the_clients() {
        let everyone = sender(&[("use-forwarded-headers", "true")]);
        assert_eq!(client(&everyone, "192.0.2.9, 10.0.0.2", "10.0.0.1").unwrap(), "192.0.2.9");
        let ours = sender(&[("use-forwarded-headers", "true"), ("proxy-real-ip-cidr", "10.0.0.0/8")]);
        for (list, want) in [
            ("192.0.2.9, 198.51.100.7, 10.0.0.2", Some("198.51.100.7")),
            ("10.0.0.3,10.0.0.2", Some("10.0.0.3")),
            ("192.0.2.9:4711", Some("192.0.2.9")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("nonsense, 10.0.0.2", Some("10.0.0.2")),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(client(&ours, list, "10.0.0.1").as_deref(), want, "{list}");
        }
        assert_eq!(client(&ours, "192.0.2.9", "203.0.113.1"), None);
    }

    #[test]
    fn scheme_port_and_host_are_believed_of_the_listed_peers_only() {
        let fields = headers(&[
            ("x-forwarded-proto", "https,http"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-host", "a.com, b.com"),
        ]);
        let ours = sender(&[("use-forwarded-headers", "true"), ("proxy-real-ip-cidr", "10.0.0.0/8")]);
        assert_eq!(ours.claims(&fields, "203.0.113.1".parse().unwrap()), None);
        let claims = ours.claims(&fields, "10.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(claims.scheme.unwrap(), "https,http");
        assert_eq!((claims.port.unwrap(), claims.host.unwrap()), (HeaderValue::from(8443), "a.com".parse().unwrap()));
        let only_ip = sender(&[("enable-real-ip", "true")]);
        assert_eq!(only_ip.claims(&fields, "10.0.0.1".parse().unwrap()), None);
    }

    #[test]
    fn everyone_includes_ipv6_peers() {
        let everyone = sender(&[("use-forwarded-headers", "true")]);
        let fields = headers(&[("x-forwarded-proto", "https")]);
        assert!(everyone.claims(&fields, "2001:db8::1".parse().unwrap()).is_some());
    }

    #[test]
    fn ranges_that_cannot_be_read_trust_nobody() {
        let broken = sender(&[("use-forwarded-headers", "true"), ("proxy-real-ip-cidr", "10.0.0.0/99")]);
        assert_eq!(client(&broken, "192.0.2.9", "10.0.0.1"), None);
    }

    #[test]
    fn another_field_may_hold_the_address() {
        let cloud = sender(&[("enable-real-ip", "true"), ("forwarded-for-header", "CF-Connecting-IP")]);
        let fields = headers(&[("cf-connecting-ip", "192.0.2.9"), ("x-forwarded-for", "198.51.100.1")]);
        let claims = cloud.claims(&fields, "10.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(claims.client, Some("192.0.2.9".parse().unwrap()));
    }
}
