//! TLS towards endpoints: who the gateway is, whom it trusts, and what name it asks for.
use std::fmt;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use table::Resolved;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};
use crate::ciphers::{self, Suite, Suites};
use crate::{Data, Keys, Protocol};

/// What connections to endpoints over TLS need besides the defaults: no certificate, no verification, no server name.
pub struct UpstreamTls {
    /// The gateway's own certificate chain, the leaf first, in DER; empty for none.
    pub chain: Vec<Vec<u8>>,
    /// Its private key in DER.
    pub key: Vec<u8>,
    /// Certificates that endpoints' are verified against, in DER.
    pub roots: Vec<Vec<u8>>,
    /// Must the endpoint's certificate be signed by one of the roots and be for the name?
    pub verify: bool,
    /// So many certificates may lie between the endpoint's and an authority's that is its own issuer.
    pub depth: usize,
    /// The name that is verified and sent.
    pub name: Box<str>,
    /// Is the name sent (SNI)?
    pub send_name: bool,
    /// The only version that is spoken, if only one may be: `TLSv1.2` or `TLSv1.3`.
    pub only: Option<&'static str>,
    /// The suites of TLS 1.2 that may be used; empty for all.
    pub suites: Box<[Suite]>,
    /// Do paths of the host have it that have none of their own?
    pub shared: bool,
    /// What the data plane made of it.
    pub resolved: Resolved,
}

impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain
            && self.key == other.key
            && self.roots == other.roots
            && self.verify == other.verify
            && self.depth == other.depth
            && self.name == other.name
            && self.send_name == other.send_name
            && self.only == other.only
            && self.suites == other.suites
            && self.shared == other.shared
    }
}

impl Eq for UpstreamTls {}

/// Without the key.
impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verify, name, send_name, only, .. } = self;
        f.debug_struct("UpstreamTls")
            .field("certificates", &self.chain.len())
            .field("roots", &self.roots.len())
            .field("verify", verify)
            .field("name", name)
            .field("send_name", send_name)
            .field("only", only)
            .finish_non_exhaustive()
    }
}

const SECRET: Key<String> = Key {
    row: Row {
        name: "proxy-ssl-secret",
        sentence: "Secret with what the gateway shows to endpoints (tls.crt, tls.key) and trusts (ca.crt). Without it, nothing else of proxy-ssl has an effect. With it, all proxy-ssl annotations also hold for the paths that other Ingresses of the namespace have on the same hosts without a Secret of their own.",
        default: "none",
        example: "shop/backend-tls",
        support: Support::Honoured,
    },
    parse: |text| Ok(text.to_owned()),
    on_error: OnError::Close,
};

const VERIFY: Key<bool> = Key {
    row: Row {
        name: "proxy-ssl-verify",
        sentence: "Verifies endpoints' certificates against ca.crt and proxy-ssl-name, which is sent as server name, too: on or off. \
                   Without either the paths answer 503.",
        default: "off",
        example: "on",
        support: Support::Honoured,
    },
    parse: switch,
    on_error: OnError::Close,
};

const DEPTH: Key<usize> = Key {
    row: Row {
        name: "proxy-ssl-verify-depth",
        sentence: "Certificates that may lie between an endpoint's and that of an authority that is its own issuer, at most; 0 counts as 1.",
        default: "1",
        example: "2",
        support: Support::Honoured,
    },
    parse: |text| text.parse().map_err(|_| "is not a whole number".to_owned()),
    on_error: OnError::Default,
};

const NAME: Key<String> = Key {
    row: Row {
        name: "proxy-ssl-name",
        sentence: "The name that endpoints' certificates must have, and that is sent with proxy-ssl-server-name.",
        default: "none",
        example: "backend.internal",
        support: Support::Honoured,
    },
    parse: |text| {
        let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let valid = text.len() <= 253 && text.bytes().all(name);
        if valid { Ok(text.to_ascii_lowercase()) } else { Err("is no host name".to_owned()) }
    },
    on_error: OnError::Close,
};

const SERVER_NAME: Key<bool> = Key {
    row: Row {
        name: "proxy-ssl-server-name",
        sentence: "Sends proxy-ssl-name as server name (SNI), and nothing without one: on or off.",
        default: "off",
        example: "on",
        support: Support::Honoured,
    },
    parse: switch,
    on_error: OnError::Default,
};

const CIPHERS: Key<Suites> = Key {
    row: Row {
        name: "proxy-ssl-ciphers",
        sentence: "Cipher suites towards endpoints that speak TLS 1.2, as OpenSSL writes them; only ECDHE with AES-GCM or CHACHA20 exists here. Each request has a connection of its own then.",
        default: "all that exist here",
        example: "ECDHE-RSA-AES128-GCM-SHA256",
        support: Support::Honoured,
    },
    parse: ciphers::parse,
    on_error: OnError::Close,
};

const PROTOCOLS: Key<Versions> = Key {
    row: Row {
        name: "proxy-ssl-protocols",
        sentence: "TLS versions towards endpoints: TLSv1.2, TLSv1.3 or both. With one, each request has a connection of its own.",
        default: "TLSv1.2 TLSv1.3",
        example: "TLSv1.3",
        support: Support::Honoured,
    },
    parse: protocols,
    on_error: OnError::Close,
};

const LOCATION_ONLY: Key<bool> = Key {
    row: Row {
        name: "proxy-ssl-location-only",
        sentence: "Keeps proxy-ssl annotations to the paths of their Ingress.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

/// The key of the ConfigMap that [`read`] takes.
pub(crate) const CONFIG: Keys = &[&LOCATION_ONLY];

/// The keys that [`read`] takes.
pub(crate) const KEYS: Keys = &[&SECRET, &VERIFY, &DEPTH, &NAME, &SERVER_NAME, &CIPHERS, &PROTOCOLS];

/// Reads the settings; `None` for the defaults.
pub(crate) fn read(reader: &mut Reader<'_>, protocol: Protocol) -> Option<Arc<UpstreamTls>> {
    let verify = reader.take(&VERIFY).unwrap_or(false);
    let name = reader.take(&NAME).unwrap_or_default();
    let send_name = reader.take(&SERVER_NAME).unwrap_or(false);
    let versions = reader.take(&PROTOCOLS).unwrap_or_default();
    if versions.has_older {
        reader.differs(PROTOCOLS.row.name, "versions before TLSv1.2 do not exist here");
    }
    let only = versions.only;
    let depth = reader.take(&DEPTH).unwrap_or(1).max(1);
    let suites = reader.take(&CIPHERS);
    if let Some(how) = suites.as_ref().and_then(Suites::difference) {
        reader.differs(CIPHERS.row.name, &how);
    }
    let suites = suites.map(|suites| suites.list).unwrap_or_default();
    // Pingora has the connections of HTTP/2, and cannot be told what to offer.
    let limited = [(CIPHERS.row.name, !suites.is_empty()), (PROTOCOLS.row.name, only.is_some())];
    for (name, is_limited) in limited {
        if is_limited && protocol == Protocol::H2 {
            reader.differs(name, "with GRPCS more is offered, and a connection that is not as listed is not used");
        }
    }
    let Some(reference) = reader.take(&SECRET) else {
        if verify {
            reader.close(VERIFY.row.name, "needs proxy-ssl-secret with a ca.crt to verify against; until there is one the paths of this Ingress answer 503");
        }
        return None;
    };
    let secret = match reader.objects().secret(&reference).and_then(|data| identity(&data)) {
        Ok(secret) => secret,
        Err(why) => {
            reader
                .close(SECRET.row.name, &format!("cannot be honoured, so the paths of this Ingress answer 503: {why}"));
            return None;
        }
    };
    if verify && (secret.roots.is_empty() || name.is_empty()) {
        reader.close(VERIFY.row.name, "needs a ca.crt in the Secret of proxy-ssl-secret and a proxy-ssl-name; until both are there the paths of this Ingress answer 503");
        return None;
    }
    let shared = !reader.config().get(&LOCATION_ONLY).unwrap_or(false);
    Some(Arc::new(UpstreamTls { verify, depth, name: name.into(), send_name, only, suites, shared, ..secret }))
}

/// What a Secret holds.
fn identity(data: &Data) -> Result<UpstreamTls, String> {
    let (chain, roots) = (certificates(data, "tls.crt")?, certificates(data, "ca.crt")?);
    let key = match data.get("tls.key") {
        Some(pem) if !chain.is_empty() => {
            let key = PrivateKeyDer::from_pem_slice(pem)
                .map_err(|_| "its tls.key holds no private key in PEM; correct it")?;
            key.secret_der().to_vec()
        }
        _ => Vec::new(),
    };
    if chain.is_empty() != key.is_empty() {
        return Err("it has only one of tls.crt and tls.key; add the other".to_owned());
    }
    if chain.is_empty() && roots.is_empty() {
        return Err("the Secret has neither tls.crt and tls.key nor ca.crt; add them".to_owned());
    }
    let name = Box::default();
    Ok(UpstreamTls {
        chain,
        key,
        roots,
        verify: false,
        depth: 1,
        name,
        send_name: false,
        only: None,
        suites: Box::default(),
        shared: false,
        resolved: Resolved::default(),
    })
}

/// The certificates of a key; none when it is absent.
fn certificates(data: &Data, key: &str) -> Result<Vec<Vec<u8>>, String> {
    let Some(pem) = data.get(key) else { return Ok(Vec::new()) };
    let wrong = || format!("its {key} holds no certificates in PEM; correct it");
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|_| wrong())?;
    let sound = |der: &CertificateDer<'_>| X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty());
    if read.is_empty() || !read.iter().all(sound) {
        return Err(wrong());
    }
    Ok(read.into_iter().map(|der| der.to_vec()).collect())
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("is neither on nor off".to_owned()),
    }
}

/// What a list of versions says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Versions {
    /// The only one that exists here.
    only: Option<&'static str>,
    /// Are there others that do not?
    has_older: bool,
}

fn protocols(text: &str) -> Result<Versions, String> {
    let listed = |version: &str| text.split_ascii_whitespace().any(|word| word == version);
    let only = match (listed("TLSv1.2"), listed("TLSv1.3")) {
        (true, true) => None,
        (true, false) => Some("TLSv1.2"),
        (false, true) => Some("TLSv1.3"),
        (false, false) => return Err("names neither TLSv1.2 nor TLSv1.3".to_owned()),
    };
    Ok(Versions { only, has_older: ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1"].into_iter().any(listed) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoObjects;
    use crate::annotation::{Config, Problem};

    fn problems(annotations: &[(&'static str, &'static str)]) -> Vec<Problem> {
        let config = Config::default();
        let mut reader = Reader::new(annotations.iter().copied(), &config, &NoObjects);
        assert_eq!(read(&mut reader, Protocol::Https), None);
        reader.finish()
    }

    #[test]
    fn verification_that_cannot_be_done_closes() {
        assert_eq!(problems(&[("proxy-ssl-verify", "on")])[0].effect, OnError::Close);
        assert_eq!(problems(&[("proxy-ssl-verify", "yes")])[0].effect, OnError::Close);
        assert!(problems(&[("proxy-ssl-verify", "off"), ("proxy-ssl-name", "a.b")]).is_empty());
    }

    #[test]
    fn a_secret_that_is_missing_closes() {
        assert_eq!(problems(&[("proxy-ssl-secret", "ns/none")])[0].effect, OnError::Close);
    }

    #[test]
    fn a_secret_must_be_whole() {
        let data = |key: &str, value: &str| Data::from([(key.to_owned(), value.as_bytes().to_vec())]);
        for data in [Data::new(), data("tls.crt", "nonsense"), data("ca.crt", ""), data("tls.key", "x")] {
            assert!(identity(&data).is_err(), "{:?}", data.keys());
        }
    }

    #[test]
    fn only_one_version_may_be_asked_for() {
        assert_eq!(protocols("TLSv1.3 TLSv1.2"), Ok(Versions::default()));
        assert_eq!(protocols("TLSv1 TLSv1.2"), Ok(Versions { only: Some("TLSv1.2"), has_older: true }));
        assert!(protocols("SSLv3").is_err());
    }
}
