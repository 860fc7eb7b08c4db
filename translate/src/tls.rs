//! A Secret to a certificate with its key.
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use table::{Certificate, HostPattern};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A certificate that could be read, with what its leaf says.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) certificate: Arc<Certificate>,
    /// Begin of the leaf's validity, seconds since the Unix epoch.
    pub(crate) not_before: i64,
    /// The DNS names that the leaf covers.
    names: BTreeSet<HostPattern>,
    /// The names come from the subject's common name, which clients ignore.
    pub(crate) common_name_only: bool,
}

/// May a certificate be used now?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    NotYet,
    Valid,
    Expired,
}

impl Parsed {
    pub(crate) fn validity(&self, now: i64) -> Validity {
        if now > self.certificate.not_after {
            Validity::Expired
        } else if now < self.not_before {
            Validity::NotYet
        } else {
            Validity::Valid
        }
    }

    /// When the validity changes next, in seconds since the Unix epoch.
    pub(crate) fn next_boundary(&self, now: i64) -> Option<i64> {
        match self.validity(now) {
            Validity::NotYet => Some(self.not_before),
            Validity::Valid => self.certificate.not_after.checked_add(1),
            Validity::Expired => None,
        }
    }

    /// Do the names cover every host of a pattern?
    pub(crate) fn covers(&self, pattern: &HostPattern) -> bool {
        self.names.contains(pattern) || parent(pattern).is_some_and(|parent| self.names.contains(&parent))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &HostPattern> {
        self.names.iter()
    }
}

/// The wildcard pattern that also covers a name.
pub(crate) fn parent(pattern: &HostPattern) -> Option<HostPattern> {
    match pattern {
        HostPattern::Exact(name) => name.split_once('.').map(|(_, parent)| HostPattern::Wildcard(parent.into())),
        HostPattern::Wildcard(_) | HostPattern::Below(_) | HostPattern::Regex(_) | HostPattern::Any => None,
    }
}

/// Reads the certificate and key of a Secret.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence that begins with the Secret. Never holds data of the Secret.
pub(crate) fn parse(secret: &Secret, source: Arc<str>) -> Result<Parsed, &'static str> {
    let chain = data(secret, "tls.crt").ok_or("has no tls.crt; store the certificate chain there as PEM")?;
    let key = data(secret, "tls.key").ok_or("has no tls.key; store the private key there as PEM")?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|_| "has a tls.crt that is not valid PEM; store the certificate chain there as PEM")?;
    let leaf = chain.first().ok_or("has a tls.crt without a certificate; store the certificate chain there as PEM")?;
    let (_, leaf) = X509Certificate::from_der(leaf)
        .map_err(|_| "has a tls.crt whose first certificate cannot be read; issue it anew")?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|_| "has a tls.key without a private key in PEM; store the key there unencrypted")?;
    let signer = any_supported_type(&key).map_err(|_| {
        "has a tls.key of an unsupported kind; use an RSA key of 2048 to 8192 bits, an ECDSA key (P-256, P-384, P-521) \
         or an Ed25519 key"
    })?;
    if signer.public_key().is_none_or(|public| public.as_ref() != leaf.public_key().raw) {
        return Err(
            "has a tls.key that does not belong to the first certificate of tls.crt; store the matching pair, \
                    the server's certificate first",
        );
    }
    let (names, common_name_only) = names(&leaf);
    let (not_before, not_after) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let serial = leaf.raw_serial().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    });
    let certificate =
        Certificate { source, chain, key, not_after, serial: serial.into(), resolved: table::Resolved::default() };
    Ok(Parsed { certificate: Arc::new(certificate), not_before, names, common_name_only })
}

/// `stringData` wins, as it does when the API server stores a Secret.
fn data<'a>(secret: &'a Secret, name: &str) -> Option<Cow<'a, [u8]>> {
    let text = secret.string_data.as_ref().and_then(|map| map.get(name)).map(|text| text.as_bytes());
    let bytes = text.or_else(|| secret.data.as_ref()?.get(name).map(|bytes| &*bytes.0));
    bytes.filter(|bytes| !bytes.is_empty()).map(Cow::Borrowed)
}

/// The DNS names of the subject alternative name extension; without any, the common name.
fn names(leaf: &X509Certificate<'_>) -> (BTreeSet<HostPattern>, bool) {
    let extension = leaf.subject_alternative_name().ok().flatten();
    let alternatives = extension.iter().flat_map(|extension| &extension.value.general_names);
    let texts = alternatives.filter_map(|name| match name {
        GeneralName::DNSName(text) => Some(*text),
        _ => None,
    });
    let names: BTreeSet<_> = texts.filter_map(dns_name).collect();
    if !names.is_empty() {
        return (names, false);
    }
    let common = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok()).filter_map(dns_name).collect();
    (common, true)
}

fn dns_name(text: &str) -> Option<HostPattern> {
    HostPattern::parse(text).ok().filter(|pattern| *pattern != HostPattern::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! pem {
        ($name:literal) => {
            include_str!(concat!("../tests/certificates/", $name))
        };
    }

    fn read(certificate: &str, key: &str) -> Result<Parsed, &'static str> {
        let data = [("tls.crt".to_owned(), certificate.to_owned()), ("tls.key".to_owned(), key.to_owned())];
        let secret = Secret { string_data: Some(data.into()), ..Secret::default() };
        parse(&secret, "ns/secret".into())
    }

    fn covers(parsed: &Parsed, host: &str) -> bool {
        parsed.covers(&HostPattern::parse(host).unwrap())
    }

    #[test]
    fn a_matching_pair_is_read() {
        for (certificate, key) in [(pem!("foo.crt"), pem!("foo.key")), (pem!("rsa.crt"), pem!("rsa.key"))] {
            let parsed = read(certificate, key).unwrap();
            assert_eq!((parsed.not_before, parsed.certificate.not_after), (1_577_836_800, 4_733_510_400));
            assert!(covers(&parsed, "foo.com") && !covers(&parsed, "a.foo.com") && !covers(&parsed, "*.foo.com"));
            assert!(!parsed.certificate.serial.is_empty() && !parsed.common_name_only);
        }
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        let parsed = read(pem!("wildcard.crt"), pem!("wildcard.key")).unwrap();
        assert!(covers(&parsed, "a.foo.com") && covers(&parsed, "*.foo.com"));
        assert!(!covers(&parsed, "foo.com") && !covers(&parsed, "a.b.foo.com"));
    }

    #[test]
    fn what_cannot_serve_is_refused() {
        for (certificate, key, complaint) in [
            (pem!("foo.crt"), pem!("other-foo.key"), "does not belong"),
            (pem!("foo.crt"), "", "has no tls.key"),
            ("", pem!("foo.key"), "has no tls.crt"),
            (pem!("foo.key"), pem!("foo.key"), "without a certificate"),
            (pem!("foo.crt"), pem!("foo.crt"), "without a private key"),
        ] {
            let error = read(certificate, key).unwrap_err();
            assert!(error.contains(complaint), "{error}");
        }
    }

    #[test]
    fn validity_begins_and_ends_to_the_second() {
        let parsed = read(pem!("expired.crt"), pem!("expired.key")).unwrap();
        let (begin, end) = (parsed.not_before, parsed.certificate.not_after);
        for (now, validity, next) in [
            (begin - 1, Validity::NotYet, Some(begin)),
            (begin, Validity::Valid, Some(end + 1)),
            (end, Validity::Valid, Some(end + 1)),
            (end + 1, Validity::Expired, None),
        ] {
            assert_eq!((parsed.validity(now), parsed.next_boundary(now)), (validity, next), "{now}");
        }
    }
}
