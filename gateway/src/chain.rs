//! Whether a certificate leads to one of the authorities that are trusted, and over how many others.
//!
//! OpenSSL follows a chain up to a certificate that is its own issuer, and limits how many lie between that one and the
//! first, wherever they come from (`SSL_CTX_set_verify_depth`). So what stands in `ca.crt` below another certificate of it
//! is a link of the chain, and not the end of one.
use std::cell::Cell;

use features::Valid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{DistinguishedName, RootCertStore};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage, OwnedCertRevocationList, RevocationOptions,
    RevocationOptionsBuilder, VerifiedPath,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Authorities, as certificates are checked against them.
pub(crate) struct Authorities {
    ends: Vec<TrustAnchor<'static>>,
    links: Vec<CertificateDer<'static>>,
    revoked: Vec<CertRevocationList<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    /// What the other side is told that it may show certificates of.
    pub(crate) names: Vec<DistinguishedName>,
}

impl Authorities {
    /// Nothing when no certificate or not each list can be used.
    pub(crate) fn new(
        authorities: &[CertificateDer<'static>],
        revoked: &[CertificateRevocationListDer<'static>],
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Option<Self> {
        let mut all = RootCertStore::empty();
        all.add_parsable_certificates(authorities.iter().cloned());
        let known: Vec<_> = authorities.iter().filter_map(|der| Some((der, Names::of(der)?))).collect();
        let (mut ends, mut links) = (RootCertStore::empty(), Vec::new());
        for (der, names) in &known {
            let is_link = !names.is_own_issuer() && known.iter().any(|(_, other)| other.subject == names.issuer);
            if is_link {
                links.push((*der).clone());
            } else {
                ends.add_parsable_certificates([(*der).clone()]);
            }
        }
        let list = |der: &_| Some(OwnedCertRevocationList::from_der(der).ok()?.into());
        let revoked = revoked.iter().map(|der| list(der.as_ref())).collect::<Option<_>>()?;
        (!ends.is_empty()).then(|| Self { names: all.subjects(), ends: ends.roots, links, revoked, algorithms })
    }

    /// Judges a certificate for a use, sent with others, of which at most `depth` may lie between it and the end.
    pub(crate) fn judge(
        &self,
        usage: KeyUsage,
        own: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        depth: usize,
    ) -> Valid {
        let links: Vec<CertificateDer<'_>> =
            self.links.iter().chain(sent).map(|der| CertificateDer::from(der.as_ref())).collect();
        let too_long = Cell::new(false);
        let fits = |path: &VerifiedPath<'_>| {
            if path.intermediate_certificates().count() <= depth {
                return Ok(());
            }
            too_long.set(true);
            Err(Error::MaximumPathDepthExceeded)
        };
        let lists: Vec<_> = self.revoked.iter().collect();
        let verified = EndEntityCert::try_from(own).and_then(|own| {
            let (algorithms, now) = (self.algorithms.all, UnixTime::now());
            own.verify_for_usage(algorithms, &self.ends, &links, now, usage, revocation(&lists), Some(&fits)).map(drop)
        });
        match verified {
            Ok(()) => Valid::Yes,
            Err(Error::UnknownIssuer) if !too_long.get() => Valid::UnknownAuthority,
            Err(_) => Valid::No,
        }
    }
}

/// Each certificate but the end must be in a list that has not expired, as with nginx's `ssl_crl`.
fn revocation<'a>(lists: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let options = RevocationOptionsBuilder::new(lists).ok()?;
    Some(options.with_expiration_policy(ExpirationPolicy::Enforce).build())
}

/// The names of a certificate in DER.
struct Names<'a> {
    subject: &'a [u8],
    issuer: &'a [u8],
}

impl<'a> Names<'a> {
    fn of(der: &'a CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der.as_ref()).ok()?;
        Some(Self { subject: parsed.tbs_certificate.subject.as_raw(), issuer: parsed.tbs_certificate.issuer.as_raw() })
    }

    fn is_own_issuer(&self) -> bool {
        self.subject == self.issuer
    }
}
