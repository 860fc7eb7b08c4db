//! How many certificates lie between an endpoint's and an authority's (`proxy-ssl-verify-depth`).
//!
//! Pingora verifies the chain but shows the endpoint's own certificate only. So the first connection that shows a certificate
//! is followed by a handshake of our own, in which the whole chain is counted; what came of it holds for the certificate.
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use features::UpstreamTls;
use lru::LruCache;
use pingora::{Error, ErrorSource, ErrorType, OkOrErr, OrErr, Result};
use tokio::net::TcpStream;

use super::own_tls::OwnTls;
use crate::remember::bounded;

/// Certificates that are remembered for one rule's settings: more than its endpoints have at a time.
const CERTIFICATES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// What is known of the endpoints of rules with the same settings.
pub(crate) struct ChainLength {
    /// Nothing when the settings do not go together.
    tls: Option<Arc<OwnTls>>,
    /// SHA-256 of certificates whose chains are short enough.
    short: Mutex<LruCache<Box<[u8]>, ()>>,
}

impl ChainLength {
    /// Nothing where nothing is verified.
    pub(super) fn new(tls: &UpstreamTls) -> Option<Self> {
        // What the endpoint chooses does not matter: nothing is sent.
        let own = || OwnTls::new(tls, &["h2", "http/1.1"]).ok().map(Arc::new);
        tls.verify.then(|| Self { tls: own(), short: Mutex::new(bounded(CERTIFICATES)) })
    }

    /// Is the chain of a certificate known to be short enough?
    pub(crate) fn is_known(&self, certificate: &[u8]) -> bool {
        self.short.lock().unwrap_or_else(PoisonError::into_inner).get(certificate).is_some()
    }

    /// Finds out.
    ///
    /// # Errors
    /// When it is too long, or cannot be found out within a time.
    pub(crate) async fn check(&self, certificate: &[u8], address: SocketAddr, limit: Duration) -> Result<()> {
        let shown = tokio::time::timeout(limit, self.shown(address)).await;
        let shown = shown.or_err(ErrorType::TLSHandshakeTimedout, "while the chain is counted").and_then(|shown| shown);
        let shown = shown.map_err(upstream)?;
        if *shown != *certificate {
            let why = "the endpoint shows another certificate each time, so none can be counted";
            return Err(upstream(Error::explain(ErrorType::TLSHandshakeFailure, why)));
        }
        self.short.lock().unwrap_or_else(PoisonError::into_inner).put(shown, ());
        Ok(())
    }

    /// The certificate of an endpoint whose chain is short enough.
    async fn shown(&self, address: SocketAddr) -> Result<Box<[u8]>> {
        let failed = || format!("the chain of {address} cannot be counted");
        let Some(tls) = &self.tls else { return Error::e_explain(ErrorType::TLSHandshakeFailure, failed()) };
        let tcp = TcpStream::connect(address).await.or_err_with(ErrorType::ConnectError, failed)?;
        let stream = tls.shake(address.ip(), tcp).await.or_err_with(ErrorType::TLSHandshakeFailure, failed)?;
        let own = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let own = own.or_err_with(ErrorType::TLSHandshakeFailure, failed)?;
        Ok(digest(&SHA256, own).as_ref().into())
    }
}

fn upstream(mut error: Box<Error>) -> Box<Error> {
    error.esource = ErrorSource::Upstream;
    error
}
