//! Which endpoint gets the request, and how long it may take.
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use features::{Balance, Protocol, Route, Upstream};
use pingora::protocols::Digest;
use pingora::protocols::l4::ext::get_tcp_info;
use pingora::upstreams::peer::{HttpPeer, Peer};
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;
use table::Rule;

use super::{canary, retry};
use crate::connection::Client;
use crate::context::Context;
use crate::metrics::ConnectResult;
use crate::proxy::Proxy;
use crate::upstream::{self, Cluster, Connections, Lease, Room, Secure, Waits, Want, Why};

/// What the default backend speaks.
const PAGES: Protocol = Protocol::Http;

/// Chooses an endpoint that was not tried yet.
pub(crate) fn choose(proxy: &Proxy, session: &Session, context: &mut Context) -> Result<Box<HttpPeer>> {
    let Context { rule: Some(rule), tried, attempts, room, lease, edits, deadline, detour, canary, gathered, .. } =
        context
    else {
        return Error::e_explain(ErrorType::InternalError, "a request without a rule has no endpoint");
    };
    let canary = canary.as_deref();
    let Some(cluster) = proxy.cluster(rule, detour.as_deref(), canary) else {
        return answer(503, "the service has no endpoint");
    };
    // After every endpoint has failed once, a retry goes to any of them again.
    let (balance, key) = canary::way(rule, detour.is_some(), canary, edits.as_deref());
    let now = Instant::now();
    let want = Want { balance, tried, key, deadline: *deadline };
    let chosen = room.take().or_else(|| cluster.choose(&want, now).map(Room::unlimited));
    let Some(room) = chosen else {
        return answer(503, "the service has no endpoint");
    };
    let Some(waits) = waits(&rule.policy.upstream, *deadline, session.is_upgrade_req(), now) else {
        context.reason = "request_timeout";
        return answer(504, "the time for the request has passed");
    };
    if tried.is_empty() {
        cluster.budget.deposit();
    }
    let (address, incarnation) = (room.endpoint().address(), room.endpoint().incarnation());
    let connections = Connections::of(room.endpoint()).cloned();
    let connections = connections.as_ref();
    *lease = Some(Lease::new(room, cluster, rule, now));
    tried.push(address);
    attempts.begin(address, now);
    let upstream = &rule.policy.upstream;
    let mut peer = match detour {
        // A page is asked for in plain HTTP, whatever the rule's own endpoints speak.
        Some(detour) if detour.page => {
            upstream::peer(address, &Upstream { http_10: true, ..speaking(PAGES, upstream) }, waits, connections)
        }
        _ if upstream.protocol == Protocol::Auto => {
            let tls = Client::of(session.digest()).is_some_and(|client| client.tls.is_some());
            let protocol = if tls { Protocol::Https } else { Protocol::Http };
            upstream::peer(address, &speaking(protocol, upstream), waits, connections)
        }
        _ => upstream::peer(address, upstream, waits, connections),
    };
    peer.group_key ^= incarnation << 8;
    if gathered.is_some() {
        // Pingora means the time for all of a piece, which is the whole body. The kernel watches that it moves.
        peer.options.write_timeout = None;
    }
    Ok(peer)
}

fn speaking(protocol: Protocol, upstream: &Upstream) -> Upstream {
    Upstream { protocol, ..upstream.clone() }
}

/// A connection over TLS must be of the version, and have one of the cipher suites, that the rule asks for: with HTTP/2
/// Pingora offers more.
///
/// # Errors
/// When it is of another one.
pub(crate) fn check_version(context: &Context, digest: Option<&Digest>) -> Result<()> {
    let tls = context.rule.as_ref().and_then(|rule| rule.policy.upstream.tls.as_ref());
    let Some(tls) = tls.filter(|tls| tls.only.is_some() || !tls.suites.is_empty()) else { return Ok(()) };
    let Some(ssl) = digest.and_then(|digest| digest.ssl_digest.as_ref()) else { return Ok(()) };
    // The library writes TLSv1_3.
    let version = ssl.version.replace('_', ".");
    // The suites of TLS 1.3 are not the list's to say.
    let suite_fits =
        || version == "TLSv1.3" || tls.suites.is_empty() || tls.suites.iter().any(|suite| suite.has_name(&ssl.cipher));
    if tls.only.is_none_or(|only| version == only) && suite_fits() {
        return Ok(());
    }
    let mut error = Error::explain(
        ErrorType::TLSHandshakeFailure,
        "the version of TLS or the cipher suite is not one that is asked for",
    );
    error.esource = ErrorSource::Upstream;
    Err(error)
}

/// A certificate that was verified must not be too far from its authority. This counts how far it is when nobody knows. Kept
/// connections are looked at, too: one of HTTP/2 may be there before it was counted.
///
/// # Errors
/// When it is.
pub(crate) async fn check_chain(context: &Context, peer: &HttpPeer, digest: Option<&Digest>) -> Result<()> {
    let upstream = context.rule.as_ref().map(|rule| &rule.policy.upstream);
    let Some((upstream, tls)) = upstream.and_then(|upstream| Some((upstream, upstream.tls.as_ref()?))) else {
        return Ok(());
    };
    // What Pingora takes for a plain connection was counted in its handshake.
    let Some(ssl) = digest.and_then(|digest| digest.ssl_digest.as_ref()) else { return Ok(()) };
    let Some(chain_length) = Secure::of(tls).and_then(|secure| secure.chain_length.as_ref()) else { return Ok(()) };
    let Some(address) = peer.address().as_inet() else { return Ok(()) };
    if chain_length.is_known(&ssl.cert_digest) {
        return Ok(());
    }
    Box::pin(chain_length.check(&ssl.cert_digest, *address, upstream.connect_timeout)).await
}

/// What must not be sent twice is not sent at all on a kept connection that the endpoint has closed: this asks the kernel, as the
/// event of the close may still wait. Other requests need not, since they are sent again.
///
/// # Errors
/// When it is closed; nothing has been sent.
pub(crate) async fn check_open(session: &Session, context: &Context, socket: RawFd) -> Result<()> {
    if retry::may_arrive_twice(session, context) || !is_closed(socket) {
        return Ok(());
    }
    // Lets the events in, so that the next try meets no other connection that was closed at the same time.
    tokio::task::yield_now().await;
    let mut error = Error::explain(ErrorType::ConnectionClosed, "the endpoint has closed the kept connection");
    error.esource = ErrorSource::Upstream;
    error.set_retry(true);
    Err(error)
}

/// Has the other side closed or reset a TCP connection?
fn is_closed(socket: RawFd) -> bool {
    // TCP_CLOSE and TCP_CLOSE_WAIT of the kernel.
    get_tcp_info(socket).is_ok_and(|info| matches!(info.tcpi_state, 7 | 8))
}

/// The head of an answer came from the endpoint.
pub(crate) fn answered(proxy: &Proxy, context: &mut Context, status: u16) {
    let Context { rule: Some(rule), lease: Some(lease), attempts, edits, detour, canary, .. } = context else { return };
    let now = Instant::now();
    if let Some(attempt) = attempts.now() {
        attempt.status = status;
        attempt.answered = Some(now.saturating_duration_since(attempt.began));
    }
    if let Some(cluster) = proxy.cluster(rule, detour.as_deref(), canary.as_deref()) {
        lease.answered(cluster, rule, status, now);
        let balance = canary.as_ref().map_or(rule.policy.balance, |chosen| chosen.balance(rule));
        if let (Balance::Sticky { .. }, Some(edits)) = (balance, edits) {
            edits.endpoint = Some(lease.identity());
            edits.home = Some(cluster.identity);
            edits.homeless = edits.key.is_none_or(|key| !cluster.has(key));
        }
    }
}

/// The kernel tells of an endpoint that takes nothing as of a connection that failed.
pub(crate) fn name_timeout(error: &mut Error) {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    let timed_out = cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut);
    if timed_out && *error.esource() == ErrorSource::Upstream {
        error.etype = ErrorType::WriteTimedout;
    }
}

/// What the endpoint is to blame for counts against it. A kept connection that it has closed is no fault.
pub(crate) fn judge_failure(proxy: &Proxy, context: &Context, reused: bool, error: &Error) {
    let timeout = matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout);
    if *error.esource() == ErrorSource::Upstream && (timeout || !reused) {
        let why = if timeout { Why::Timeout } else { Why::Reset };
        blame(proxy, context, |lease, cluster, rule| lease.failed(cluster, rule, why));
    }
}

fn blame(proxy: &Proxy, context: &Context, tell: impl FnOnce(&Lease, &Cluster, &Arc<Rule<Route>>)) {
    let (Some(lease), Some(rule)) = (&context.lease, &context.rule) else { return };
    if let Some(cluster) = proxy.cluster_of(context) {
        tell(lease, cluster, rule);
    }
}

fn why_not_connected(error: &Error) -> Why {
    match outcome(error) {
        ConnectResult::Refused => Why::Refused,
        ConnectResult::Timeout => Why::ConnectTimeout,
        ConnectResult::Tls => Why::Tls,
        ConnectResult::Ok | ConnectResult::Reset | ConnectResult::Other => Why::Unreachable,
    }
}

/// How long a try may wait; `None` when there is no time left.
fn waits(upstream: &Upstream, deadline: Option<Instant>, upgrade: bool, now: Instant) -> Option<Waits> {
    let mut waits = Waits::of(upstream);
    if let Some(limit) = upstream.retry.try_timeout {
        waits = Waits { connect: waits.connect.min(limit), read: waits.read.min(limit) };
    }
    if let Some(idle) = upstream.upgrade_idle
        && upgrade
    {
        waits.read = idle;
    }
    if let Some(deadline) = deadline {
        let left = deadline.checked_duration_since(now).filter(|left| *left > Duration::ZERO)?;
        waits =
            Waits { connect: waits.connect.min(left), read: if upgrade { waits.read } else { waits.read.min(left) } };
    }
    Some(waits)
}

fn answer<T>(status: u16, why: &'static str) -> Result<T> {
    let mut error = Error::explain(ErrorType::HTTPStatus(status), why);
    error.esource = ErrorSource::Internal;
    Err(error)
}

/// A connection is there. A new one is counted.
pub(crate) fn connected(proxy: &Proxy, context: &mut Context, reused: bool) {
    if reused {
        return count_reused(proxy, context);
    }
    if let Some(attempt) = context.attempts.now() {
        attempt.connected = Some(attempt.began.elapsed());
    }
    count(proxy, context, ConnectResult::Ok);
}

fn count_reused(proxy: &Proxy, context: &Context) {
    if let Some(cluster) = proxy.cluster_of(context) {
        cluster.metrics.reused();
    }
}

/// A connection could not be made.
pub(crate) fn failed_to_connect(proxy: &Proxy, context: &Context, error: &Error) {
    count(proxy, context, outcome(error));
    blame(proxy, context, |lease, cluster, rule| lease.not_connected(cluster, rule, why_not_connected(error)));
}

fn count(proxy: &Proxy, context: &Context, result: ConnectResult) {
    if let Some(cluster) = proxy.cluster_of(context) {
        cluster.metrics.connect(result);
    }
}

fn outcome(error: &Error) -> ConnectResult {
    match error.etype() {
        ErrorType::ConnectRefused => ConnectResult::Refused,
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => ConnectResult::Timeout,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::HandshakeError => ConnectResult::Tls,
        _ if is_reset(error) => ConnectResult::Reset,
        _ => ConnectResult::Other,
    }
}

fn is_reset(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::Retry;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_kernel_tells_which_connections_are_closed() {
        use std::io::Read;
        use std::os::fd::AsRawFd;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut kept = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other, _) = listener.accept().unwrap();
        assert!(!is_closed(kept.as_raw_fd()));
        drop(other);
        assert_eq!(kept.read(&mut [0]).unwrap(), 0);
        assert!(is_closed(kept.as_raw_fd()));
        assert!(!is_closed(listener.as_raw_fd()), "what cannot tell counts as open");
    }

    #[test]
    fn a_try_waits_no_longer_than_the_shortest_limit() {
        let now = Instant::now();
        let upstream = Upstream::default();
        let plain = waits(&upstream, None, false, now).unwrap();
        assert_eq!((plain.connect, plain.read), (upstream.connect_timeout, upstream.read_timeout));
        let retry = Retry { try_timeout: Some(SECOND), ..Retry::default() };
        let tried = waits(&Upstream { retry, ..upstream.clone() }, None, false, now).unwrap();
        assert_eq!((tried.connect, tried.read), (SECOND, SECOND));
        let late = waits(&upstream, Some(now + SECOND * 2), false, now).unwrap();
        assert_eq!((late.connect, late.read), (SECOND * 2, SECOND * 2));
    }

    #[test]
    fn without_time_left_there_is_no_try() {
        let now = Instant::now();
        assert!(waits(&Upstream::default(), Some(now), false, now).is_none());
    }

    #[test]
    fn an_upgrade_has_its_own_patience() {
        let (now, upstream) = (Instant::now(), Upstream { upgrade_idle: Some(SECOND * 3600), ..Upstream::default() });
        assert_eq!(waits(&upstream, None, true, now).unwrap().read, SECOND * 3600);
        assert_eq!(waits(&upstream, None, false, now).unwrap().read, upstream.read_timeout);
    }
}
