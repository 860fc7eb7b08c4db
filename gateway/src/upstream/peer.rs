//! What Pingora needs to know to connect to an endpoint.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use features::{Protocol, Upstream};
use pingora::protocols::l4::ext::TcpKeepalive;
use pingora::upstreams::peer::{H1UpgradePolicy, HttpPeer};

use super::Connections;
use super::own_tls::Dial;
use super::secure::Secure;

/// How long an idle connection to an endpoint is kept (ingress-nginx's `upstream-keepalive-timeout`).
const IDLE: Duration = Duration::from_secs(60);

/// How long a connection is silent before it is asked whether it is there still, and how often it is asked.
const PROBE: Duration = Duration::from_secs(60);
const PROBES: usize = 3;

/// What the kernel can count in milliseconds.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Streams that share one HTTP/2 connection to an endpoint.
const STREAMS: usize = 100;

/// How long one try may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// For a connection.
    pub(crate) connect: Duration,
    /// Between two reads, the first one for the head of the answer included.
    pub(crate) read: Duration,
}

impl Waits {
    /// What a rule says without regard to the request.
    pub(crate) fn of(upstream: &Upstream) -> Self {
        Self { connect: upstream.connect_timeout, read: upstream.read_timeout }
    }
}

/// A connection for one request.
fn once(peer: &mut HttpPeer) {
    peer.options.idle_timeout = Some(Duration::ZERO);
    peer.group_key ^= fastrand::u64(..) << 8;
}

/// Describes an endpoint. Built for each try: that is cheaper than cloning a finished one.
///
/// Certificates of endpoints are not verified and no server name is sent, as ingress-nginx does by default
/// (`proxy-ssl-verify`, `proxy-ssl-server-name`); the name that is given here is the address, which never is sent as SNI.
/// A new connection is one of `connections`.
pub(crate) fn peer(
    address: SocketAddr,
    upstream: &Upstream,
    waits: Waits,
    connections: Option<&Arc<Connections>>,
) -> Box<HttpPeer> {
    let secure = upstream.tls.as_deref().filter(|_| upstream.protocol.is_tls());
    let secure = secure.and_then(|tls| Some((tls, Secure::of(tls)?)));
    // HTTP/2 over a connection that it takes for a plain one would have the wrong scheme.
    let own = secure.and_then(|(_, secure)| secure.own.as_ref()).filter(|_| upstream.protocol == Protocol::Https);
    let tls = upstream.protocol.is_tls() && own.is_none();
    let name = if tls { address.ip().to_string() } else { String::new() };
    let mut peer = Box::new(HttpPeer::new(address, tls, name));
    let options = &mut peer.options;
    options.connection_timeout = Some(waits.connect);
    options.total_connection_timeout = Some(waits.connect);
    options.read_timeout = Some(waits.read);
    options.write_timeout = Some(upstream.send_timeout);
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: PROBE,
        interval: PROBE,
        count: PROBES,
        user_timeout: upstream.send_timeout.min(LONGEST),
    });
    options.idle_timeout = Some(IDLE);
    options.verify_cert = false;
    options.verify_hostname = false;
    options.max_h2_streams = STREAMS;
    options.http_upstream_request_policy.h1_upgrade = H1UpgradePolicy::Preserve;
    match upstream.protocol {
        // Endpoints that could speak HTTP/2 over TLS often only answer to other names then (421), and upgrades end.
        Protocol::Http | Protocol::Https | Protocol::Auto => options.set_http_version(1, 1),
        Protocol::H2c | Protocol::H2 => options.set_http_version(2, 2),
    }
    // Pingora tells connections apart by address, TLS, names and client certificate, but not by what is spoken on them.
    peer.group_key = u64::from(upstream.protocol.speaks_http2_only()) << 1 | u64::from(upstream.protocol.is_tls()) << 2;
    if upstream.http_10 && !upstream.protocol.speaks_http2_only() {
        // No connection is like another, and none is kept.
        once(&mut peer);
    }
    // Nor by how long their endpoints may take nothing, which the kernel watches for each connection.
    peer.group_key ^= (upstream.send_timeout.as_secs() ^ 60) << 40;
    if let Some((tls, secure)) = secure {
        secure.apply(tls, &mut peer);
    }
    let connections = connections.cloned();
    if let Some(tls) = own.cloned() {
        once(&mut peer);
        let (connections, watched) = (connections.unwrap_or_default(), peer.options.tcp_keepalive.clone());
        peer.options.custom_l4 = Some(Arc::new(Dial { tls, connections, watched }));
    } else if let Some(connections) = connections {
        peer.options.custom_l4 = Some(connections);
    }
    peer
}
