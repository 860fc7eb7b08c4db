//! The TLS handshake of a client. The ClientHello is read before anything is decided, so that what is decided may depend
//! on the server name.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use features::ClientAuth;
use rustls::server::Acceptor;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};
use table::RequestHost;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::access_log::Tls;
use crate::client_auth::{self, Shown};
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
    match tokio::time::timeout(limit, accept(server, &config, tcp)).await {
        Ok(Ok((stream, settings))) => {
            let session = stream.get_ref().1;
            connections.tls_session(agreed(session), started.elapsed());
            let http2 = session.alpn_protocol() == Some(b"h2");
            let mut client = Client::new(address, port, Some(describe(session))).behind(ends);
            client.shown = settings.map(|settings| Shown::new(settings, &config, session.peer_certificates()));
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

type Accepted = (TlsStream<TcpStream>, Option<Arc<ClientAuth>>);

/// A host may ask for a certificate: then what it asks comes with the stream.
async fn accept(server: &Server, plain: &Arc<ServerConfig>, tcp: TcpStream) -> std::io::Result<Accepted> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
    let settings = settings(server, hello.client_hello().server_name());
    let config = settings.as_ref().map_or_else(|| plain.clone(), |settings| client_auth::config(settings, plain));
    Ok((hello.into_stream(config).await?, settings))
}

fn settings(server: &Server, name: Option<&str>) -> Option<Arc<ClientAuth>> {
    let host = name.and_then(|name| RequestHost::parse(name.as_bytes()).ok());
    let table = server.proxy.live.table();
    table.settings_of(host.as_ref().map_or("", RequestHost::as_str)).cloned()
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
