//! Certificates made on the spot, and TLS clients that accept and show any certificate.
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{bounded, dial};

/// End of 2039, far enough for any clock a test runs under.
const NOT_AFTER: i64 = 2_208_988_799;

/// A self-signed certificate with its key.
pub(crate) struct Identity {
    pub(crate) leaf: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    /// Certificate and key as a Secret holds them.
    pub(crate) pem: (String, String),
}

impl Identity {
    pub(crate) fn ecdsa(names: &[&str]) -> Self {
        Self::new(names, &KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    pub(crate) fn rsa(names: &[&str]) -> Self {
        Self::new(names, &KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap())
    }

    fn new(names: &[&str], key: &KeyPair) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(key).unwrap();
        Self {
            leaf: certificate.der().clone(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            pem: (certificate.pem(), key.serialize_pem()),
        }
    }

    /// As the table carries it.
    pub(crate) fn certificate(&self) -> table::Certificate {
        self.with_chain(vec![self.leaf.clone()])
    }

    /// The key with another chain.
    pub(crate) fn with_chain(&self, chain: Vec<CertificateDer<'static>>) -> table::Certificate {
        table::Certificate {
            source: "default/secret".into(),
            chain,
            key: self.key.clone_key(),
            not_after: NOT_AFTER,
            serial: "01".into(),
            resolved: table::Resolved::default(),
        }
    }

    /// Accepts only clients that show this very certificate.
    pub(crate) fn acceptor_for(&self, client: &Self) -> TlsAcceptor {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(client.leaf.clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![self.leaf.clone()], self.key.clone_key())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    pub(crate) fn acceptor(&self, alpn: &[&str]) -> TlsAcceptor {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.leaf.clone()], self.key.clone_key())
            .unwrap();
        config.alpn_protocols = protocols(alpn);
        TlsAcceptor::from(Arc::new(config))
    }
}

fn protocols(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// What a client offers in its handshake.
#[derive(Clone, Copy)]
pub(crate) struct Offer<'a> {
    /// The server name; `None` sends none.
    pub(crate) name: Option<&'a str>,
    pub(crate) alpn: &'a [&'a str],
    pub(crate) versions: &'a [&'static SupportedProtocolVersion],
}

impl<'a> Offer<'a> {
    /// HTTP/1.1 and any TLS version.
    pub(crate) fn h1(name: &'a str) -> Self {
        Self { name: Some(name), alpn: &["http/1.1"], versions: rustls::ALL_VERSIONS }
    }

    /// HTTP/2 first.
    pub(crate) fn h2(name: &'a str) -> Self {
        Self { alpn: &["h2", "http/1.1"], ..Self::h1(name) }
    }

    pub(crate) async fn connect(self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        self.over(dial(address).await?).await
    }

    /// Over a connection on which something was sent already.
    pub(crate) async fn over(self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything(provider)))
            .with_no_client_auth();
        config.alpn_protocols = protocols(self.alpn);
        let name = match self.name {
            Some(name) => ServerName::try_from(name.to_owned()).unwrap(),
            // An address is not sent as a server name.
            None => ServerName::IpAddress(stream.peer_addr()?.ip().into()),
        };
        bounded("the handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }

    /// The certificate that the gateway shows.
    pub(crate) async fn leaf(self, address: SocketAddr) -> CertificateDer<'static> {
        let stream = self.connect(address).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    }
}

/// Trusts every certificate whose key signed the handshake.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
