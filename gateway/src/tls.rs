//! TLS termination: the certificate for a server name, from the live table.
use std::sync::Arc;

use arc_swap::ArcSwap;
use features::{HostSettings, Suite, Tls, Versions};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use table::{Certificate, RequestHost};

use crate::live::Live;
use crate::{Error, client_auth};

/// Sessions that may be resumed by id (TLS 1.2) at a time.
const SESSIONS: usize = 20_480;

/// The name in the certificate that serves when nothing else does.
const SELF_SIGNED_NAME: &str = "ingora-self-signed.invalid";

/// Versions by what the ConfigMap says.
const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The settings of handshakes, by what the ConfigMap and hosts say. Sessions resume with all that came of the same
/// beginning.
pub(crate) struct Handshakes {
    /// What all others are made of.
    begin: ServerConfig,
    /// For hosts that say nothing, and by what of the ConfigMap.
    plain: ArcSwap<(Tls, Arc<ServerConfig>)>,
}

/// For one host, and what it was made of.
type OfHost = ArcSwap<(Arc<ServerConfig>, Arc<ServerConfig>)>;

impl Handshakes {
    pub(crate) fn new(live: Arc<Live>) -> Result<Arc<Self>, Error> {
        let begin = server_config(live)?;
        let plain = ArcSwap::from_pointee((Tls::default(), Arc::new(begin.clone())));
        Ok(Arc::new(Self { begin, plain }))
    }

    /// The settings for hosts that say nothing.
    pub(crate) fn plain(&self, tls: &Tls) -> Arc<ServerConfig> {
        let made = self.plain.load();
        if made.0 == *tls {
            return made.1.clone();
        }
        let config = Arc::new(self.with(tls, &HostSettings::default()));
        self.plain.store(Arc::new((tls.clone(), config.clone())));
        config
    }

    /// The settings for a host, made when they are first needed and whenever the ConfigMap says something else; `plain` are
    /// those for hosts that say nothing.
    pub(crate) fn of_host(&self, tls: &Tls, plain: &Arc<ServerConfig>, host: &HostSettings) -> Arc<ServerConfig> {
        if (&host.client_auth, &host.suites, &host.prefers) == (&None, &None, &None) {
            return plain.clone();
        }
        let make = || Arc::new((plain.clone(), Arc::new(self.with(tls, host))));
        let Some(slot) = host.resolved.get_or_init::<OfHost>(|| Arc::new(ArcSwap::new(make()))) else {
            return make().1.clone();
        };
        let made = slot.load();
        if Arc::ptr_eq(&made.0, plain) {
            return made.1.clone();
        }
        let made = make();
        slot.store(made.clone());
        made.1.clone()
    }

    fn with(&self, tls: &Tls, host: &HostSettings) -> ServerConfig {
        let suites = host.suites.as_deref().unwrap_or(&tls.suites);
        let versions = match tls.versions {
            Versions::Both => BOTH,
            Versions::Tls12 => TLS12,
            Versions::Tls13 => TLS13,
        };
        let provider = Arc::new(offering(self.begin.crypto_provider(), suites));
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions);
        // It only fails without any suite, and those of TLS 1.3 are always there.
        let Ok(builder) = builder else { return self.begin.clone() };
        let builder = match &host.client_auth {
            Some(settings) => builder.with_client_cert_verifier(client_auth::asking(settings, &provider)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(self.begin.cert_resolver.clone());
        config.alpn_protocols.clone_from(&self.begin.alpn_protocols);
        config.ignore_client_order = host.prefers.unwrap_or(!suites.is_empty());
        if host.client_auth.is_some() {
            // Nothing is resumed: who was known once may not be any more.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            config.session_storage = self.begin.session_storage.clone();
            config.ticketer = self.begin.ticketer.clone();
        }
        config
    }
}

/// A provider that offers these suites of TLS 1.2, in this order, after those of TLS 1.3; all when there are none.
fn offering(provider: &CryptoProvider, suites: &[Suite]) -> CryptoProvider {
    let mut provider = provider.clone();
    if !suites.is_empty() {
        let all = std::mem::take(&mut provider.cipher_suites);
        let number = |suite: &rustls::SupportedCipherSuite| u16::from(suite.suite());
        let tls12 = suites.iter().filter_map(|wanted| all.iter().find(|suite| number(suite) == wanted.number()));
        provider.cipher_suites = all.iter().filter(|suite| suite.tls13().is_some()).chain(tls12).copied().collect();
    }
    provider
}

/// The settings that all others are made of.
fn server_config(live: Arc<Live>) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let fallback = self_signed(&provider)?;
    let resolver = Certificates { live, provider: provider.clone(), fallback };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(BOTH)
        .map_err(|error| Error(format!("TLS cannot be set up: {error}")))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()
        .map_err(|error| Error(format!("TLS session tickets cannot be set up: {error}")))?;
    Ok(config)
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
