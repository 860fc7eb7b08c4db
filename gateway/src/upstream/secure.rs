//! What Pingora needs for TLS with endpoints, made once from the settings of a rule.
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use features::UpstreamTls;
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};

use super::chain_length::ChainLength;
use super::own_tls::OwnTls;

/// The settings as Pingora takes them. Everything in them was checked when they were read.
pub(crate) struct Secure {
    client: Option<Arc<CertKey>>,
    roots: Option<Arc<CaType>>,
    /// For HTTP/1.1 where Pingora cannot offer what is asked for. Without it, what comes of Pingora's offer is refused.
    pub(super) own: Option<Arc<OwnTls>>,
    /// Where certificates are verified.
    pub(crate) chain_length: Option<ChainLength>,
    /// Connections are shared only by rules with the very same settings.
    group: u64,
}

impl Secure {
    /// The settings of a rule, made on first use.
    pub(crate) fn of(tls: &UpstreamTls) -> Option<&Self> {
        tls.resolved.get_or_init(|| Arc::new(Self::new(tls)))
    }

    fn new(tls: &UpstreamTls) -> Self {
        let client = (!tls.chain.is_empty()).then(|| Arc::new(CertKey::new(tls.chain.clone(), tls.key.clone())));
        let roots: Vec<WrappedX509> = tls.roots.iter().map(|der| WrappedX509::new(der.clone(), parse_x509)).collect();
        let mut hasher = DefaultHasher::new();
        (&tls.chain, &tls.key, &tls.roots, tls.verify, &tls.name, tls.send_name, tls.only, &tls.suites, tls.depth)
            .hash(&mut hasher);
        let own = OwnTls::is_for(tls).then(|| OwnTls::new(tls, &["http/1.1"]).ok().map(Arc::new)).flatten();
        let roots = (!roots.is_empty()).then(|| roots.into());
        Self { own, client, roots, chain_length: ChainLength::new(tls), group: hasher.finish() | 1 }
    }

    /// Puts the settings into the description of an endpoint.
    pub(crate) fn apply(&self, tls: &UpstreamTls, peer: &mut HttpPeer) {
        if tls.verify || (tls.send_name && !tls.name.is_empty()) {
            peer.sni = tls.name.to_string();
        }
        peer.client_cert_key.clone_from(&self.client);
        peer.group_key ^= self.group;
        let options = &mut peer.options;
        options.verify_cert = tls.verify;
        options.verify_hostname = tls.verify;
        options.ca.clone_from(&self.roots);
    }
}
