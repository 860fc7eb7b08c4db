//! TLS termination: the certificate for a server name, from the live table.
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use table::{Certificate, RequestHost};

use crate::Error;
use crate::live::Live;

/// Sessions that may be resumed by id (TLS 1.2) at a time.
const SESSIONS: usize = 20_480;

/// The name in the certificate that serves when nothing else does.
const SELF_SIGNED_NAME: &str = "ingora-self-signed.invalid";

/// The settings of every TLS handshake.
pub(crate) fn server_config(live: Arc<Live>) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let fallback = self_signed(&provider)?;
    let resolver = Certificates { live, provider: provider.clone(), fallback };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| Error(format!("TLS cannot be set up: {error}")))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()
        .map_err(|error| Error(format!("TLS session tickets cannot be set up: {error}")))?;
    Ok(Arc::new(config))
}

/// Chooses a certificate by server name: its own, a wildcard's, the default one, and at last a self-signed one.
#[derive(Debug)]
struct Certificates {
    live: Arc<Live>,
    provider: Arc<CryptoProvider>,
    fallback: Arc<CertifiedKey>,
}

impl Certificates {
    fn key(&self, certificate: &Certificate) -> Option<Arc<CertifiedKey>> {
        let key = certificate.resolved.get_or_init(|| {
            let key = CertifiedKey::from_der(certificate.chain.clone(), certificate.key.clone_key(), &self.provider);
            if let Err(error) = &key {
                tracing::error!(secret = %certificate.source, %error, "certificate cannot be used; the default one serves instead");
            }
            Arc::new(key.ok().map(Arc::new))
        });
        key.cloned().flatten()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.live.table();
        let named = hello
            .server_name()
            .and_then(|name| RequestHost::parse(name.as_bytes()).ok())
            .and_then(|host| table.certificates.find(host.as_str()).and_then(|certificate| self.key(certificate)));
        named
            .or_else(|| table.default_certificate.as_ref().and_then(|certificate| self.key(certificate)))
            .or_else(|| Some(self.fallback.clone()))
    }
}

fn self_signed(provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Error> {
    let failed = |error: &dyn std::fmt::Display| Error(format!("the self-signed certificate cannot be made: {error}"));
    let made = rcgen::generate_simple_self_signed([SELF_SIGNED_NAME.to_owned()]).map_err(|error| failed(&error))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let key = CertifiedKey::from_der(vec![made.cert.der().clone()], key, provider).map_err(|error| failed(&error))?;
    Ok(Arc::new(key))
}
