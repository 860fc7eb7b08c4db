//! Client certificates: asking for them in the handshake, and what was shown.
//!
//! The handshake only proves that the client has the key of its certificate. Whether the certificate is valid is found out
//! after it, against the settings of the host, so that the client learns of it by an answer.
mod name;

use std::sync::Arc;

use features::{ClientAuth, Mode, Valid};
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::KeyUsage;

use crate::chain::Authorities;
use crate::signatures::Signatures;

/// What all fields begin with that tell endpoints of a client's certificate. No client may send one.
pub(crate) const FIELDS: &str = "ssl-client-";

/// What was made of a host's settings. Nothing when the authorities cannot be used: then no certificate is valid.
struct Ready(Option<Authorities>);

fn ready<'a>(settings: &'a ClientAuth, provider: &Arc<CryptoProvider>) -> Option<&'a Authorities> {
    let ready: &Ready = settings.resolved.get_or_init(|| {
        let authorities =
            Authorities::new(&settings.authorities, &settings.revoked, provider.signature_verification_algorithms);
        if authorities.is_none() && settings.mode != Mode::Closed {
            tracing::error!(
                "the authorities of auth-tls-secret cannot be used; no client certificate is valid for their hosts"
            );
        }
        Arc::new(Ready(authorities))
    })?;
    ready.0.as_ref()
}

/// Asks for a certificate in a handshake.
pub(crate) fn asking(settings: &ClientAuth, provider: &Arc<CryptoProvider>) -> Arc<dyn ClientCertVerifier> {
    let hints = ready(settings, provider).map(|authorities| authorities.names.clone()).unwrap_or_default();
    Arc::new(Asks { signatures: Signatures(provider.clone()), hints })
}

/// Takes any certificate, or none, as long as the client has its key.
#[derive(Debug)]
struct Asks {
    signatures: Signatures,
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for Asks {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.schemes()
    }
}

/// What a client has shown in its handshake, and what it is worth with the host's settings.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The settings that it was judged by.
    pub(crate) settings: Arc<ClientAuth>,
    certificate: Option<Certificate>,
}

#[derive(Debug)]
struct Certificate {
    valid: Valid,
    subject: String,
    issuer: String,
    /// As endpoints get it: PEM, percent-encoded.
    pem: HeaderValue,
}

impl Shown {
    /// Judges the certificates of a handshake, the client's own first.
    pub(crate) fn new(
        settings: Arc<ClientAuth>,
        plain: &Arc<ServerConfig>,
        chain: Option<&[CertificateDer<'static>]>,
    ) -> Self {
        let certificate = chain.and_then(<[_]>::split_first).map(|(own, sent)| {
            let authorities = ready(&settings, plain.crypto_provider());
            let valid = authorities
                .map_or(Valid::No, |authorities| authorities.judge(KeyUsage::client_auth(), own, sent, settings.depth));
            let (subject, issuer) = name::of(own).unwrap_or_default();
            Certificate { valid, subject, issuer, pem: name::pem(own) }
        });
        Self { settings, certificate }
    }

    /// The certificate and its subject.
    pub(crate) fn certificate(&self) -> Option<(Valid, &str)> {
        self.certificate.as_ref().map(|certificate| (certificate.valid, &*certificate.subject))
    }

    /// What endpoints and authentication services are told.
    pub(crate) fn fields(&self) -> Vec<(HeaderName, HeaderValue)> {
        let verify = match self.certificate() {
            None => "NONE",
            Some((Valid::Yes, _)) => "SUCCESS",
            Some((Valid::UnknownAuthority, _)) => "FAILED:unable to verify the first certificate",
            Some((Valid::No, _)) => "FAILED:certificate is not valid",
        };
        let mut fields = vec![(HeaderName::from_static("ssl-client-verify"), HeaderValue::from_static(verify))];
        let Some(certificate) = &self.certificate else { return fields };
        for (name, text) in
            [("ssl-client-subject-dn", &certificate.subject), ("ssl-client-issuer-dn", &certificate.issuer)]
        {
            // Names escape what is no text, so that they are always field values.
            fields.extend(HeaderValue::from_str(text).ok().map(|value| (HeaderName::from_static(name), value)));
        }
        if self.settings.forward {
            fields.push((HeaderName::from_static("ssl-client-cert"), certificate.pem.clone()));
        }
        fields
    }

    /// Puts them in place of whatever has their names.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        for (name, value) in self.fields() {
            headers.insert(name, value);
        }
    }
}
