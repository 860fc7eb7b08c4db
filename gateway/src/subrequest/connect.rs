//! Connections for requests of the gateway's own: names, TCP, TLS.
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connect_tls;

/// For a name, a connection and a handshake together.
const CONNECT: Duration = Duration::from_secs(5);

/// How long addresses of a name are used, and how long it counts as unknown.
const KNOWN: Duration = Duration::from_secs(10);
const UNKNOWN: Duration = Duration::from_secs(1);

/// Names whose addresses are remembered.
const NAMES: usize = 1024;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    names: Arc<Names>,
    tls: Arc<ClientConfig>,
}

impl Connector {
    pub(super) fn new() -> Result<Self, rustls::Error> {
        Ok(Self { names: Arc::default(), tls: Arc::new(connect_tls::config()?) })
    }

    /// Another that knows no names yet.
    pub(super) fn anew(&self) -> Self {
        Self { names: Arc::default(), tls: self.tls.clone() }
    }

    async fn connect(self, uri: Uri) -> io::Result<TokioIo<Stream>> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let tls = uri.scheme_str() == Some("https");
        let host = uri.host().ok_or_else(invalid)?.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let tcp = dial(&self.names.resolve(host).await?, port).await?;
        tcp.set_nodelay(true)?;
        if !tls {
            return Ok(TokioIo::new(Stream::Tcp(tcp)));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| invalid())?;
        let tls = TlsConnector::from(self.tls).connect(name, tcp).await?;
        Ok(TokioIo::new(Stream::Tls(Box::new(tls))))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            match tokio::time::timeout(CONNECT, connector.connect(uri)).await {
                Ok(result) => result,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        })
    }
}

/// The first address that accepts.
async fn dial(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(*address, port)).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Addresses of names, as the system resolves them.
#[derive(Default)]
struct Names(Mutex<HashMap<Box<str>, Known>>);

/// Addresses, and until when they hold.
type Known = (Instant, Arc<[IpAddr]>);

impl Names {
    async fn resolve(&self, host: &str) -> io::Result<Arc<[IpAddr]>> {
        if let Ok(address) = host.parse() {
            return Ok([address].into());
        }
        if let Some(known) = self.known(host, Instant::now()) {
            return Ok(known);
        }
        let addresses: Arc<[IpAddr]> = match tokio::net::lookup_host((host, 0)).await {
            Ok(found) => found.map(|address| address.ip()).collect(),
            Err(_) => [].into(),
        };
        let lasts = if addresses.is_empty() { UNKNOWN } else { KNOWN };
        self.remember(host, addresses.clone(), Instant::now() + lasts);
        Ok(addresses)
    }

    fn known(&self, host: &str, now: Instant) -> Option<Arc<[IpAddr]>> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(host).filter(|(expires, _)| *expires > now).map(|(_, addresses)| addresses.clone())
    }

    fn remember(&self, host: &str, addresses: Arc<[IpAddr]>, expires: Instant) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES {
            names.clear();
        }
        names.insert(host.into(), (expires, addresses));
    }
}

/// How many requests a connection has had.
#[derive(Clone, Default)]
pub(super) struct Uses(Arc<AtomicU32>);

impl Uses {
    /// Counts one more, and tells how many there were.
    pub(super) fn count(&self) -> u32 {
        self.0.fetch_add(1, Relaxed).saturating_add(1)
    }
}

/// The bytes' way.
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().extra(Uses::default())
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_name_are_used_for_a_while() {
        let (names, now) = (Names::default(), Instant::now());
        names.remember("a.test", [IpAddr::from([192, 0, 2, 1])].into(), now + KNOWN);
        assert!(names.known("a.test", now).is_some());
        assert!(names.known("a.test", now + KNOWN).is_none());
        assert!(names.known("b.test", now).is_none());
    }
}
