//! May a request that failed go to an endpoint again? ingress-nginx's `proxy-next-upstream`, within a budget.
use std::sync::Arc;
use std::time::Instant;

use features::{Conditions, Route};
use pingora::{Error, ErrorSource, ErrorType, Result, RetryType};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use table::Rule;

use super::detour;
use crate::context::Context;
use crate::metrics::RetryReason;
use crate::proxy::Proxy;

/// Tries of a request that the endpoint did not process: kept connections that it had closed, refused streams.
const UNPROCESSED: u8 = 3;

/// Tries of a request whose rule sets no limit, unless the cluster has more endpoints. ingress-nginx would never end.
const ENDLESS: usize = 16;

/// What was decided about a further try of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Again {
    /// Another try was granted while the answer of this one was read.
    granted: bool,
    /// Tries that no endpoint processed.
    unprocessed: u8,
}

impl Again {
    /// Grants another try.
    pub(crate) fn grant(&mut self) {
        self.granted = true;
    }
}

/// A connection could not be made. Nothing was sent, so any method may be tried again.
pub(crate) fn after_connecting_failed(proxy: &Proxy, session: &Session, context: &mut Context, error: &mut Error) {
    let timed_out = matches!(error.etype(), ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout);
    context.attempts.end(0, if timed_out { 504 } else { 502 });
    let why = if timed_out { Conditions::TIMEOUT } else { Conditions::ERROR };
    // A connection that was refused cost nobody any work, and its request still arrives only once at another endpoint.
    let free = matches!(error.etype(), ErrorType::ConnectRefused | ErrorType::ConnectNoRoute);
    let failure = Failure { why, reason: RetryReason::Connect, sent: false, free };
    let again = failure.may_retry(proxy, session, context);
    let again = again || detour::after_failure(proxy, session, context, error);
    error.set_retry(again);
}

/// A request failed after it was sent, at least in part.
pub(crate) fn after_proxying_failed(
    proxy: &Proxy,
    session: &Session,
    context: &mut Context,
    reused: bool,
    error: &mut Error,
) {
    let failure = Failure::of(error);
    let code = if failure.as_ref().is_some_and(|failure| failure.why == Conditions::TIMEOUT) { 504 } else { 502 };
    context.attempts.end(0, code);
    if std::mem::take(&mut context.again.granted) {
        return error.set_retry(true);
    }
    let begun = session.response_written().is_some_and(|head| !head.status.is_informational());
    let failed = failure.is_some();
    let again = match failure {
        _ if begun || session.as_ref().retry_buffer_truncated() => false,
        Some(_) if is_unprocessed(error, session, context, reused) && context.again.unprocessed < UNPROCESSED => {
            context.again.unprocessed += 1;
            if error.etype != ErrorType::H2Error {
                // The connection was to blame, not the endpoint.
                context.tried.pop();
            }
            count(proxy, context, RetryReason::Unprocessed);
            true
        }
        Some(failure) => failure.may_retry(proxy, session, context),
        None => false,
    };
    let again = again || (failed && detour::after_failure(proxy, session, context, error));
    error.set_retry(again);
}

/// The head of an answer has come: a listed status goes to another endpoint.
///
/// # Errors
/// When there is to be another try.
pub(crate) fn after_head(proxy: &Proxy, session: &Session, head: &ResponseHeader, context: &mut Context) -> Result<()> {
    let status = head.status.as_u16();
    if context.detour.is_some() {
        return Ok(());
    }
    let listed = context.rule.as_ref().is_some_and(|rule| rule.policy.upstream.retry.on.lists(status));
    let Some(why) = Conditions::status(status).filter(|_| listed) else { return Ok(()) };
    let begun = session.response_written().is_some_and(|head| !head.status.is_informational());
    if begun || session.as_ref().retry_buffer_truncated() {
        return Ok(());
    }
    let failure = Failure { why, reason: RetryReason::Status, sent: true, free: false };
    if !failure.may_retry(proxy, session, context) {
        return Ok(());
    }
    context.again.grant();
    let mut error = Error::explain(ErrorType::HTTPStatus(status), "the answer is left for another try");
    error.esource = ErrorSource::Upstream;
    error.set_retry(true);
    Err(error)
}

/// How a try failed.
struct Failure {
    why: Conditions,
    reason: RetryReason,
    /// May the endpoint have seen the request?
    sent: bool,
    /// Does a try of another endpoint cost nothing of the budget?
    free: bool,
}

impl Failure {
    /// Why a try failed before its answer began; `None` when it was not for the endpoint.
    fn of(error: &Error) -> Option<Self> {
        use ErrorType::{InvalidH2, InvalidHTTPHeader, ReadTimedout, WriteTimedout};
        if error.esource != ErrorSource::Upstream {
            return None;
        }
        let (why, reason) = match error.etype() {
            ReadTimedout | WriteTimedout => (Conditions::TIMEOUT, RetryReason::Timeout),
            InvalidHTTPHeader | InvalidH2 => (Conditions::INVALID_HEADER, RetryReason::Invalid),
            ErrorType::HTTPStatus(_) => return None,
            _ => (Conditions::ERROR, RetryReason::Error),
        };
        Some(Self { why, reason, sent: true, free: false })
    }

    fn may_retry(&self, proxy: &Proxy, session: &Session, context: &Context) -> bool {
        let Some(rule) = &context.rule else { return false };
        let retry = &rule.policy.upstream.retry;
        if !retry.allows(self.why, &session.req_header().method, self.sent) {
            return false;
        }
        let Some(cluster) = proxy.cluster_of(context) else { return false };
        let (endpoints, live) = cluster.size();
        let tries = context.attempts.len().saturating_sub(context.again.unprocessed.into());
        let most = if retry.tries > 0 { retry.tries.into() } else { ENDLESS.max(endpoints) };
        let now = Instant::now();
        if tries >= most || has_run_out(rule, context, now) {
            return false;
        }
        // The next try prefers an endpoint that was not tried; without one it is any of them again.
        let free = self.free && cluster.has_untried(&context.tried);
        if !free && !cluster.budget.withdraw(retry, live, now) {
            cluster.metrics.flow.exhausted();
            return false;
        }
        cluster.metrics.flow.retry(self.reason);
        true
    }
}

/// Has the time for tries passed, or that for the whole request?
fn has_run_out(rule: &Rule<Route>, context: &Context, now: Instant) -> bool {
    let began = context.attempts.began().unwrap_or(context.started);
    let upstream = &rule.policy.upstream;
    upstream.retry.within.is_some_and(|within| now.saturating_duration_since(began) >= within)
        || context.deadline.is_some_and(|deadline| now >= deadline)
}

/// Is it certain, or for idempotent requests likely enough, that the endpoint did not process the request? It said so
/// (REFUSED_STREAM, GOAWAY: RFC 9113 section 8.7; HTTP_1_1_REQUIRED), or it had closed the kept connection that the request
/// was sent on (RFC 9112 section 9.3.1).
fn is_unprocessed(error: &Error, session: &Session, context: &Context, reused: bool) -> bool {
    match error.retry {
        RetryType::Decided(said) => said,
        RetryType::ReusedOnly => reused && may_arrive_twice(session, context),
    }
}

/// May a request be sent again that was sent on a kept connection, which the endpoint has closed, most likely before it came?
/// Not one that must not arrive twice, and none at all when the rule tries nothing again after errors.
pub(super) fn may_arrive_twice(session: &Session, context: &Context) -> bool {
    let tries = |rule: &Arc<Rule<Route>>| rule.policy.upstream.retry.on.contains(Conditions::ERROR);
    session.req_header().method.is_idempotent() && context.rule.as_ref().is_some_and(tries)
}

fn count(proxy: &Proxy, context: &Context, reason: RetryReason) {
    if let Some(cluster) = proxy.cluster_of(context) {
        cluster.metrics.flow.retry(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(error: ErrorType, source: ErrorSource) -> Option<Conditions> {
        let mut error = Error::new(error);
        error.esource = source;
        Failure::of(&error).map(|failure| failure.why)
    }

    #[test]
    fn failures_of_endpoints_have_nginxs_names() {
        let upstream = |error| failure(error, ErrorSource::Upstream);
        assert_eq!(upstream(ErrorType::ReadTimedout), Some(Conditions::TIMEOUT));
        assert_eq!(upstream(ErrorType::ConnectionClosed), Some(Conditions::ERROR));
        assert_eq!(upstream(ErrorType::InvalidHTTPHeader), Some(Conditions::INVALID_HEADER));
    }

    #[test]
    fn failures_of_clients_are_no_endpoints() {
        assert_eq!(failure(ErrorType::ConnectionClosed, ErrorSource::Downstream), None);
    }
}
