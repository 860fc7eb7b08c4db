//! The TLS handshake of a client. The ClientHello is read before anything is decided, so that what is decided may depend
//! on the server name.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::server::Acceptor;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::access_log::Tls;
use crate::connection::{Client, Connection, Held, Transport};
use crate::metrics::{Alpn, Handshake, TlsSession, TlsVersion};
use crate::proxy_header::Ends;
use crate::serve::Server;

/// Shakes hands within the time that a request head may take.
pub(crate) async fn handshake(
    server: &Server,
    config: Arc<ServerConfig>,
    tcp: TcpStream,
    (address, port): (SocketAddr, u16),
    ends: Option<&Ends>,
    held: Held,
) -> Option<Connection> {
    let limit = server.proxy.terms().1.head;
    let connections = &server.proxy.metrics.connections;
    let started = Instant::now();
    match tokio::time::timeout(limit, accept(config, tcp)).await {
        Ok(Ok(stream)) => {
            let session = stream.get_ref().1;
            connections.tls_session(agreed(session), started.elapsed());
            let http2 = session.alpn_protocol() == Some(b"h2");
            let client = Client::new(address, port, Some(describe(session))).behind(ends);
            let transport = Transport::Tls(Box::new(stream));
            Some(Connection::new(transport, http2, client, server.proxy.timeouts.send, held))
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, client = %address, "TLS handshake failed");
            connections.handshake(Handshake::Failed);
            None
        }
        Err(_) => {
            connections.handshake(Handshake::Timeout);
            None
        }
    }
}

async fn accept(config: Arc<ServerConfig>, tcp: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
    hello.into_stream(config).await
}

fn agreed(session: &rustls::ServerConnection) -> TlsSession {
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
        _ => TlsVersion::Tls13,
    };
    let alpn = if session.alpn_protocol() == Some(b"h2") { Alpn::H2 } else { Alpn::Http1 };
    TlsSession { version, alpn, resumed: session.handshake_kind() == Some(HandshakeKind::Resumed) }
}

fn describe(session: &rustls::ServerConnection) -> Tls {
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    };
    Tls { version: version.into(), sni: session.server_name().map(Into::into) }
}
