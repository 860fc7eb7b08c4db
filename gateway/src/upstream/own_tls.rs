//! TLS with endpoints of our own, for what Pingora's connector cannot be told: that only some versions or cipher suites are
//! offered, and how many certificates may lie between the endpoint's and an authority's.
//!
//! The handshake is done before Pingora gets the connection, which it takes for a plain one. It has no way to ask such a
//! connection whether it is still the same, and so keeps none: each request has a connection of its own, whose handshake
//! resumes the session of one before.
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use features::{UpstreamTls, Valid};
use pingora::connectors::L4Connect;
use pingora::protocols::l4::ext::TcpKeepalive;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, SignatureScheme, SupportedCipherSuite,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use webpki::KeyUsage;

use super::Connections;
use crate::chain::Authorities;
use crate::signatures::Unchecked;

/// What is offered, made once from the settings of a rule.
pub(super) struct OwnTls {
    config: Arc<ClientConfig>,
    /// What the certificate must be for, and what is sent; `None` sends nothing.
    name: Option<ServerName<'static>>,
}

impl OwnTls {
    /// Does a rule need it?
    pub(super) fn is_for(tls: &UpstreamTls) -> bool {
        tls.only.is_some() || !tls.suites.is_empty()
    }

    /// Offers these protocols.
    ///
    /// # Errors
    /// When the settings do not go together, as a key and another's certificate.
    pub(super) fn new(tls: &UpstreamTls, protocols: &[&str]) -> Result<Self, rustls::Error> {
        let provider = Arc::new(CryptoProvider { cipher_suites: suites(tls), ..aws_lc_rs::default_provider() });
        let versions: &[_] = match tls.only {
            Some("TLSv1.2") => &[&TLS12],
            Some("TLSv1.3") => &[&TLS13],
            _ => &[&TLS12, &TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier(tls, provider)?);
        let chain: Vec<_> = tls.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let mut config = if chain.is_empty() {
            builder.with_no_client_auth()
        } else {
            let key = PrivateKeyDer::try_from(tls.key.clone()).map_err(|why| rustls::Error::General(why.to_owned()))?;
            builder.with_client_auth_cert(chain, key)?
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let named = tls.verify || (tls.send_name && !tls.name.is_empty());
        let name = named.then(|| ServerName::try_from(tls.name.to_string())).transpose();
        let name = name.map_err(|_| rustls::Error::General("the name is no host name".to_owned()))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// When that fails, or the endpoint is not the one that is asked for.
    pub(super) async fn shake<S>(&self, address: IpAddr, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // An address is never sent.
        let name = self.name.clone().unwrap_or(ServerName::IpAddress(address.into()));
        TlsConnector::from(self.config.clone()).connect(name, stream).await
    }
}

/// Those of TLS 1.3, which the list does not name, and the listed ones in their order.
fn suites(tls: &UpstreamTls) -> Vec<SupportedCipherSuite> {
    let all = aws_lc_rs::default_provider().cipher_suites;
    let is_old = |suite: &SupportedCipherSuite| suite.version().version == ProtocolVersion::TLSv1_2;
    let (old, mut chosen): (Vec<_>, Vec<_>) = all.into_iter().partition(is_old);
    if tls.suites.is_empty() {
        chosen.extend(old);
    } else {
        let listed = tls
            .suites
            .iter()
            .filter_map(|suite| old.iter().find(|old| u16::from(old.suite()) == suite.number()).copied());
        chosen.extend(listed);
    }
    chosen
}

fn verifier(tls: &UpstreamTls, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
    if !tls.verify {
        return Ok(Arc::new(Unchecked::new(provider)));
    }
    let roots: Vec<_> = tls.roots.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let wrong = |why: &str| rustls::Error::General(why.to_owned());
    let authorities = Authorities::new(&roots, &[], provider.signature_verification_algorithms);
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots);
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build();
    let inner = inner.map_err(|error| wrong(&error.to_string()))?;
    let authorities = authorities.ok_or_else(|| wrong("no authority can be used"))?;
    Ok(Arc::new(Bounded { inner, authorities, depth: tls.depth }))
}

/// Verifies as usual, and that the chain is not too long.
struct Bounded {
    inner: Arc<WebPkiServerVerifier>,
    authorities: Authorities,
    depth: usize,
}

impl fmt::Debug for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").field("depth", &self.depth).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Bounded {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(own, sent, name, ocsp, now)?;
        match self.authorities.judge(KeyUsage::server_auth(), own, sent, self.depth) {
            Valid::Yes => Ok(verified),
            Valid::No | Valid::UnknownAuthority => Err(rustls::Error::General(format!(
                "more than {} certificates lie between the endpoint's and an authority's, which is what \
                 proxy-ssl-verify-depth allows",
                self.depth
            ))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Connects to one endpoint.
pub(super) struct Dial {
    pub(super) tls: Arc<OwnTls>,
    pub(super) connections: Arc<Connections>,
    /// How the kernel watches that the endpoint takes what is sent.
    pub(super) watched: Option<TcpKeepalive>,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

#[async_trait]
impl L4Connect for Dial {
    /// Pingora's limit of time for the whole connection holds here too.
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let mut tcp = self.connections.connect(address).await?;
        tcp.set_nodelay()?;
        if let Some(watched) = &self.watched {
            tcp.set_keepalive(watched)?;
        }
        let Some(ip) = address.as_inet().map(std::net::SocketAddr::ip) else {
            return Error::e_explain(ErrorType::InternalError, "an endpoint has an IP address");
        };
        match self.tls.shake(ip, tcp).await {
            Ok(stream) => Ok(VirtualSocketStream::new(Box::new(Secured(stream))).into()),
            Err(error) => Error::e_explain(ErrorType::TLSHandshakeFailure, format!("TLS with {address}: {error}")),
        }
    }
}

/// A connection after its handshake.
#[derive(Debug)]
struct Secured(TlsStream<Stream>);

impl VirtualSocket for Secured {
    /// What is to be set was set below.
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
