//! Which endpoint gets the request, and whether another one may try after a failure.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use features::Route;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result, RetryType};
use pingora_proxy::Session;
use table::Rule;

use crate::context::Context;
use crate::metrics::ConnectResult;
use crate::proxy::Proxy;
use crate::upstream::{self, Cluster, Lease, Why};

/// Endpoints that one request may try (ingress-nginx's `proxy-next-upstream-tries`).
const TRIES: usize = 3;

/// Chooses an endpoint that was not tried yet.
pub(crate) fn choose(proxy: &Proxy, context: &mut Context) -> Result<Box<HttpPeer>> {
    let Context { rule: Some(rule), tried, lease, edits, .. } = context else {
        return Error::e_explain(ErrorType::InternalError, "a request without a rule has no endpoint");
    };
    let Some(cluster) = proxy.handles(rule).and_then(|handles| handles.cluster.as_ref()) else {
        return no_endpoint();
    };
    // After every endpoint has failed once, a retry goes to any of them again: a kept connection may have been stale.
    let (balance, key, now) = (rule.policy.balance, edits.as_ref().and_then(|edits| edits.key), Instant::now());
    let pick = |tried: &[SocketAddr]| cluster.pick(balance, tried, key, now);
    let Some(endpoint) = pick(tried).or_else(|| pick(&[])) else {
        return no_endpoint();
    };
    let address = endpoint.address();
    *lease = Some(Lease::new(endpoint, cluster, rule, now));
    if !tried.is_empty() {
        cluster.metrics.retry();
    }
    tried.push(address);
    Ok(upstream::peer(address, &rule.policy.upstream))
}

/// The head of an answer came from the endpoint.
pub(crate) fn answered(proxy: &Proxy, context: &mut Context, status: u16) {
    let Context { rule: Some(rule), lease: Some(lease), .. } = context else { return };
    if let Some(cluster) = proxy.handles(rule).and_then(|handles| handles.cluster.as_ref()) {
        lease.answered(cluster, rule, status);
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
    if let Some(cluster) = proxy.handles(rule).and_then(|handles| handles.cluster.as_ref()) {
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

fn no_endpoint<T>() -> Result<T> {
    let mut error = Error::explain(ErrorType::HTTPStatus(503), "the service has no endpoint");
    error.esource = ErrorSource::Internal;
    Err(error)
}

/// Counts a new connection.
pub(crate) fn connected(proxy: &Proxy, context: &Context) {
    count(proxy, context.rule.as_ref(), ConnectResult::Ok);
}

/// A connection could not be made. Nothing was sent, so any request may go to another endpoint.
pub(crate) fn failed_to_connect(proxy: &Proxy, context: &Context, error: &mut Error) {
    count(proxy, context.rule.as_ref(), outcome(error));
    blame(proxy, context, |lease, cluster, rule| lease.not_connected(cluster, rule, why_not_connected(error)));
    let handles = context.rule.as_ref().and_then(|rule| proxy.handles(rule));
    let another =
        handles.and_then(|handles| handles.cluster.as_ref()).is_some_and(|cluster| cluster.has_untried(&context.tried));
    error.set_retry(another && context.tried.len() < TRIES);
}

/// A request failed after it was sent, at least in part. It may be sent again when the endpoint has said that it did not
/// process it (REFUSED_STREAM, GOAWAY: RFC 9113 section 8.7), or when it is idempotent and the connection was a kept one
/// that the endpoint closed.
pub(crate) fn failed_while_proxying(session: &Session, context: &Context, reused: bool, error: &mut Error) {
    let unprocessed = error.etype == ErrorType::H2Error && error.retry == RetryType::Decided(true);
    let again = context.tried.len() < TRIES
        && !session.as_ref().retry_buffer_truncated()
        && (unprocessed || session.req_header().method.is_idempotent());
    if again {
        error.retry.decide_reuse(reused);
    } else {
        error.set_retry(false);
    }
}

fn count(proxy: &Proxy, rule: Option<&Arc<Rule<Route>>>, result: ConnectResult) {
    let handles = rule.and_then(|rule| proxy.handles(rule));
    if let Some(cluster) = handles.and_then(|handles| handles.cluster.as_ref()) {
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
