//! The TLS handshake of a client. The ClientHello is read before anything is decided, so that what is decided may depend
//! on the server name.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use features::{ClientAuth, Route};
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion, ServerConfig};
use table::{RequestHost, Table};
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use crate::access_log::Tls;
use crate::client_auth::Shown;
use crate::connection::{Client, Connection, Held, Transport};
use crate::hello;
use crate::metrics::{Alpn, Handshake, TlsSession, TlsVersion};
use crate::proxy_header::Ends;
use crate::serve::Server;
use crate::stream::passthrough::{self, Target};
use crate::tls::Handshakes;

/// Shakes hands within the time that a request head may take. A connection whose TLS an endpoint ends is served to its end.
pub(crate) async fn handshake(
    server: &Server,
    handshakes: &Handshakes,
    tcp: TcpStream,
    (address, port): (SocketAddr, u16),
    ends: Option<&Ends>,
    held: Held,
) -> Option<Connection> {
    let limit = server.proxy.terms().1.head;
    let connections = &server.proxy.metrics.connections;
    let started = Instant::now();
    match tokio::time::timeout(limit, accept(server, handshakes, tcp)).await {
        Ok(Ok(Accepted::Ended(stream, settings, config))) => {
            let session = stream.get_ref().1;
            connections.tls_session(agreed(session), started.elapsed());
            let http2 = session.alpn_protocol() == Some(b"h2");
            let mut client = Client::new(address, port, Some(describe(session))).behind(ends);
            client.shown = settings.map(|settings| Shown::new(settings, &config, session.peer_certificates()));
            Some(Connection::new(Transport::Tls(stream), http2, client, server.proxy.timeouts.send, held))
        }
        Ok(Ok(Accepted::Passes(tcp, hello, target))) => {
            connections.handshake(Handshake::Passed);
            // Few connections are of this kind; the others need not be as large.
            Box::pin(passthrough::serve(&server.proxy, tcp, &hello, target, port, held)).await;
            None
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

/// What came of a ClientHello.
enum Accepted {
    /// The handshake is over. A host may ask for a certificate: then with what it asks. And with what hosts get that say
    /// nothing.
    Ended(Box<TlsStream<TcpStream>>, Option<Arc<ClientAuth>>, Arc<ServerConfig>),
    /// An endpoint shakes hands: with what the client has sent so far.
    Passes(TcpStream, Vec<u8>, Target),
}

async fn accept(server: &Server, handshakes: &Handshakes, mut tcp: TcpStream) -> std::io::Result<Accepted> {
    let (accepted, hello) = hello::read(&mut tcp).await?;
    let (decided, http2) = {
        let client_hello = accepted.client_hello();
        let host = client_hello.server_name().and_then(|name| RequestHost::parse(name.as_bytes()).ok());
        let table = server.proxy.live.table();
        let decided = decide(&table, handshakes, host.as_ref().map_or("", RequestHost::as_str));
        (decided, table.global.connections.http2)
    };
    let (plain, mut config, asked) = match decided {
        Decided::Passes(target) => return Ok(Accepted::Passes(tcp, hello, target)),
        Decided::Ends { plain, config, asked } => (plain, config, asked),
    };
    if !http2 {
        // Shares everything else, the sessions that can be resumed included.
        Arc::make_mut(&mut config).alpn_protocols.retain(|protocol| protocol != b"h2");
    }
    drop(hello);
    let stream = StartHandshake::from_parts(accepted, tcp).into_stream(config).await?;
    Ok(Accepted::Ended(Box::new(stream), asked, plain))
}

/// Who ends TLS, and how.
enum Decided {
    /// An endpoint.
    Passes(Target),
    /// The gateway: with what hosts get that say nothing, what this one gets, and what it asks of clients.
    Ends { plain: Arc<ServerConfig>, config: Arc<ServerConfig>, asked: Option<Arc<ClientAuth>> },
}

fn decide(table: &Table<Route>, handshakes: &Handshakes, host: &str) -> Decided {
    let tls = &table.global.tls;
    let plain = handshakes.plain(tls);
    match table.settings_of(host) {
        None => Decided::Ends { config: plain.clone(), plain, asked: None },
        Some(settings) if settings.passthrough => Decided::Passes(features::passes_to(table, host).flatten().cloned()),
        Some(settings) => Decided::Ends {
            config: handshakes.of_host(tls, &plain, settings),
            plain,
            asked: settings.client_auth.clone(),
        },
    }
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
    Tls {
        version: version.into(),
        sni: session.server_name().map(Into::into),
        cipher: session.negotiated_cipher_suite().map_or("", |suite| cipher(suite.suite())),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
    }
}

/// OpenSSL's name, which logs have always had.
fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        other => other.as_str().unwrap_or_default(),
    }
}
