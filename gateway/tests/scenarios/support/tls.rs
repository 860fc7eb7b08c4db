//! Certificates made on the spot, and TLS clients that accept and show any certificate.
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256, RevokedCertParams, SerialNumber, date_time_ymd,
};
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

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) leaf: CertificateDer<'static>,
    /// What is shown with it.
    pub(crate) links: Vec<CertificateDer<'static>>,
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

    /// Ended long ago.
    pub(crate) fn expired(names: &[&str]) -> Self {
        Self::until(names, &KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), 2010)
    }

    fn new(names: &[&str], key: &KeyPair) -> Self {
        Self::until(names, key, 2039)
    }

    fn until(names: &[&str], key: &KeyPair, year: i32) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let certificate = params.self_signed(key).unwrap();
        Self {
            leaf: certificate.der().clone(),
            links: Vec::new(),
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

    /// Speaks nothing newer than TLS 1.2.
    pub(crate) fn acceptor_tls12(&self) -> TlsAcceptor {
        self.acceptor_of(aws_lc_rs::default_provider())
    }

    /// Speaks TLS 1.2 with one cipher suite.
    pub(crate) fn acceptor_only(&self, suite: rustls::CipherSuite) -> TlsAcceptor {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|known| known.suite() == suite);
        self.acceptor_of(provider)
    }

    fn acceptor_of(&self, provider: rustls::crypto::CryptoProvider) -> TlsAcceptor {
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain(), self.key.clone_key())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        std::iter::once(&self.leaf).chain(&self.links).cloned().collect()
    }

    pub(crate) fn acceptor(&self, alpn: &[&str]) -> TlsAcceptor {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain(), self.key.clone_key())
            .unwrap();
        config.alpn_protocols = protocols(alpn);
        TlsAcceptor::from(Arc::new(config))
    }
}

/// An authority that signs certificates of clients.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) der: CertificateDer<'static>,
    /// The same as PEM.
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::signed(name, |params, key| params.self_signed(key))
    }

    /// One that this one has signed.
    pub(crate) fn authority(&self, name: &str) -> Self {
        Self::signed(name, |params, key| params.signed_by(key, &self.issuer))
    }

    fn signed(
        name: &str,
        sign: impl FnOnce(&CertificateParams, &KeyPair) -> Result<Certificate, rcgen::Error>,
    ) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = sign(&params, &key).unwrap();
        Self { issuer: Issuer::new(params, key), der: certificate.der().clone(), pem: certificate.pem() }
    }

    /// A client's certificate.
    pub(crate) fn client(&self, name: &str) -> Identity {
        self.client_until(name, 2039)
    }

    /// A client's certificate that ends with a year.
    pub(crate) fn client_until(&self, name: &str, year: i32) -> Identity {
        self.sign(CertificateParams::new(Vec::new()).unwrap(), ExtendedKeyUsagePurpose::ClientAuth, name, year)
    }

    /// A server's certificate.
    pub(crate) fn server(&self, name: &str) -> Identity {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth, name, 2039)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose, name: &str, year: i32) -> Identity {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        params.serial_number = Some(SerialNumber::from(name.as_bytes().to_vec()));
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            leaf: certificate.der().clone(),
            links: Vec::new(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            pem: (certificate.pem(), key.serialize_pem()),
        }
    }

    /// A list of revoked clients, by name, as PEM.
    pub(crate) fn revoking(&self, names: &[&str]) -> String {
        let revoked = |name: &&str| RevokedCertParams {
            serial_number: SerialNumber::from(name.as_bytes().to_vec()),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2039, 1, 1),
            crl_number: SerialNumber::from(vec![1]),
            issuing_distribution_point: None,
            revoked_certs: names.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
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
    /// What it shows when it is asked for a certificate.
    pub(crate) identity: Option<&'a Identity>,
}

impl<'a> Offer<'a> {
    /// HTTP/1.1 and any TLS version.
    pub(crate) fn h1(name: &'a str) -> Self {
        Self { name: Some(name), alpn: &["http/1.1"], versions: rustls::ALL_VERSIONS, identity: None }
    }

    /// HTTP/2 first.
    pub(crate) fn h2(name: &'a str) -> Self {
        Self { alpn: &["h2", "http/1.1"], ..Self::h1(name) }
    }

    /// With a certificate for whoever asks.
    pub(crate) fn showing(self, identity: &'a Identity) -> Self {
        Self { identity: Some(identity), ..self }
    }

    pub(crate) async fn connect(self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        self.over(dial(address).await?).await
    }

    /// Over a connection on which something was sent already.
    pub(crate) async fn over(self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything(provider)));
        let mut config = match self.identity {
            Some(Identity { leaf, links, key, .. }) => {
                let chain = std::iter::once(leaf).chain(links).cloned().collect();
                config.with_client_auth_cert(chain, key.clone_key()).unwrap()
            }
            None => config.with_no_client_auth(),
        };
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
