//! One client connection as Pingora sees it: TCP or TLS, with what is known about the client.
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use http::HeaderValue;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID,
};
use pingora_http::ResponseHeader;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use crate::access_log::Tls;
use crate::admission::Permit;
use crate::client_auth::Shown;
use crate::metrics::OpenConnection;
use crate::proxy_header::Ends;

/// What is known about a client for as long as it is connected. Values that requests forward are made once here.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// Its IP address as a field value.
    pub(crate) ip: HeaderValue,
    /// The port that upstreams are told: 443 for TLS, whatever the listener's own is (as ingress-nginx does).
    pub(crate) port: HeaderValue,
    /// `https` or `http`, which upstreams are told.
    pub(crate) scheme: HeaderValue,
    /// The TLS session, if there is one.
    pub(crate) tls: Option<Tls>,
    /// What it has shown, where it was asked for a certificate.
    pub(crate) shown: Option<Shown>,
}

impl Client {
    /// What is known about a client that has just connected to a listener's port.
    pub(crate) fn new(address: SocketAddr, port: u16, tls: Option<Tls>) -> Self {
        let ip = text_value(&address.ip().to_canonical().to_string());
        let port = text_value(&if tls.is_some() { 443 } else { port }.to_string());
        let scheme = HeaderValue::from_static(if tls.is_some() { "https" } else { "http" });
        Self { address, ip, port, scheme, tls, shown: None }
    }

    /// What a load balancer's PROXY header says about the client. A destination port of 443 means that the balancer has
    /// ended the client's TLS (as ingress-nginx takes it).
    pub(crate) fn behind(mut self, ends: Option<&Ends>) -> Self {
        let Some(ends) = ends else { return self };
        self.address = ends.source;
        self.ip = text_value(&ends.source.ip().to_canonical().to_string());
        self.port = text_value(&ends.destination.port().to_string());
        if ends.destination.port() == 443 {
            self.scheme = HeaderValue::from_static("https");
        }
        self
    }

    /// Does the client speak HTTPS, with the gateway or with the load balancer before it?
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// The client of a session, which [`Connection`] put into its digest.
    pub(crate) fn of(digest: Option<&Digest>) -> Option<&Self> {
        digest?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
    }
}

/// Addresses and numbers are always valid field values.
pub(crate) fn text_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The bytes' way.
pub(crate) enum Transport {
    /// In plain text.
    Tcp(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

/// What a connection holds as long as it is open.
pub(crate) type Held = (Permit, OpenConnection);

/// Bytes of an HTTP/1 answer that wait for more of it, so that head and body leave in one system call.
const WRITE_BUFFER: usize = 4096;

/// A client connection.
pub(crate) struct Connection {
    transport: Transport,
    /// Written but not sent yet. Empty for HTTP/2, which gathers its frames itself, and whenever the connection is idle.
    unsent: Vec<u8>,
    /// Bytes that were read ahead and must be read again.
    replay: BytesMut,
    http2: bool,
    /// How long the client may take nothing of what is sent.
    send_timeout: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    client: Arc<ProxyDigest>,
    ssl: Option<Arc<SslDigest>>,
    socket: Arc<SocketDigest>,
    _permit: Permit,
    _open: OpenConnection,
}

impl Connection {
    /// Wraps an accepted connection. `http2` says what ALPN selected.
    pub(crate) fn new(transport: Transport, http2: bool, client: Client, send_timeout: Duration, held: Held) -> Self {
        let socket = SocketDigest::from_raw_fd(transport.socket().as_raw_fd());
        // Known already; asking the kernel again would cost a system call.
        let address = pingora::protocols::l4::socket::SocketAddr::Inet(client.address);
        socket.peer_addr.get_or_init(|| Some(address));
        let ssl = client
            .tls
            .as_ref()
            .map(|tls| Arc::new(SslDigest::new(String::new(), tls.version.to_string(), None, None, Vec::new())));
        let client = Arc::new(ProxyDigest::new(Box::new(no_response()), Some(Box::new(client))));
        Self {
            transport,
            unsent: Vec::new(),
            replay: BytesMut::new(),
            http2,
            send_timeout,
            stalled: None,
            client,
            ssl,
            socket: Arc::new(socket),
            _permit: held.0,
            _open: held.1,
        }
    }

    /// Did ALPN select HTTP/2?
    pub(crate) fn is_http2(&self) -> bool {
        self.http2
    }

    /// A connection whose first bytes were the HTTP/2 preface: from now on HTTP/2, and the preface is read again.
    pub(crate) fn into_http2(mut self, replay: BytesMut) -> Self {
        self.replay = replay;
        self.http2 = true;
        self
    }
}

/// Pingora's digest of a CONNECT proxy is the only place that reaches HTTP/1 and HTTP/2 sessions alike; it wants a
/// response, which nobody reads.
fn no_response() -> ResponseHeader {
    ResponseHeader::from(http::Response::new(()).into_parts().0)
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.replay.is_empty() {
            let len = self.replay.len().min(buf.remaining());
            buf.put_slice(self.replay.get(..len).unwrap_or_default());
            self.replay.advance(len);
            return Poll::Ready(Ok(()));
        }
        // Whoever reads has nothing more to write for now. An endpoint that takes its time after its head, or between
        // pieces of a body, must not keep what it has sent from the client.
        if !self.unsent.is_empty()
            && let Poll::Ready(Err(error)) = self.as_mut().poll_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        match &mut self.transport {
            Transport::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Transport::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
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

impl Connection {
    /// Sends what waits, together with the beginning of `more`; tells how much of `more` went with it.
    fn poll_send(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        while !self.unsent.is_empty() {
            let transport = Pin::new(&mut self.transport);
            let sent = ready!(if more.is_empty() {
                transport.poll_write(cx, &self.unsent)
            } else {
                transport.poll_write_vectored(cx, &[io::IoSlice::new(&self.unsent), io::IoSlice::new(more)])
            })?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let waited = sent.min(self.unsent.len());
            self.unsent.drain(..waited);
            if self.unsent.is_empty() {
                // An idle connection keeps no buffer.
                self.unsent = Vec::new();
                if sent > waited {
                    return Poll::Ready(Ok(sent - waited));
                }
            }
        }
        if more.is_empty() { Poll::Ready(Ok(0)) } else { Pin::new(&mut self.transport).poll_write(cx, more) }
    }

    /// Ends a connection whose client takes nothing for too long. Costs a timer only while it does.
    fn limit<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let timeout = self.send_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !self.http2 && self.unsent.len() + buf.len() <= WRITE_BUFFER {
            if self.unsent.is_empty() {
                self.unsent.reserve_exact(WRITE_BUFFER);
            }
            self.unsent.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        let sent = self.poll_send(cx, buf);
        self.limit(cx, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = match self.poll_send(cx, &[]) {
            Poll::Ready(Ok(_)) => Pin::new(&mut self.transport).poll_write_vectored(cx, bufs),
            other => other,
        };
        self.limit(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match self.poll_send(cx, &[]) {
            Poll::Ready(Ok(_)) => Pin::new(&mut self.transport).poll_flush(cx),
            other => other.map_ok(drop),
        };
        self.limit(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = match self.poll_send(cx, &[]) {
            Poll::Ready(Ok(_)) => Pin::new(&mut self.transport).poll_shutdown(cx),
            other => other.map_ok(drop),
        };
        self.limit(cx, shut)
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        // The peer may be gone already; there is nobody left to tell.
        AsyncWriteExt::shutdown(self).await.ok();
    }
}

impl UniqueID for Connection {
    fn id(&self) -> i32 {
        self.transport.socket().as_raw_fd()
    }
}

impl Ssl for Connection {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.ssl.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.http2.then_some(ALPN::H2)
    }
}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.client.clone())
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket.clone())
    }
}

#[async_trait]
impl Peek for Connection {}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("http2", &self.http2).finish_non_exhaustive()
    }
}
