//! Requests to clusters with limits: room at an endpoint at once, after a wait, or an answer.
use std::time::Duration;

use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;

use super::canary;
use super::request::Decision;
use crate::context::Context;
use crate::metrics::Rejection;
use crate::proxy::Proxy;
use crate::upstream::Want;

/// How often it is looked whether an HTTP/1 client that waits has left.
const LOOK: Duration = Duration::from_millis(100);

/// States of a TCP connection whose other side has closed it: CLOSE, CLOSE_WAIT, LAST_ACK and CLOSING.
const CLOSED: [u8; 4] = [7, 8, 9, 11];

/// Does the next try of the request need room that it has not got?
pub(crate) fn is_due(proxy: &Proxy, context: &Context) -> bool {
    let cluster = proxy.cluster_of(context);
    context.room.is_none() && cluster.is_some_and(|cluster| cluster.gate.is_on())
}

/// Finds room for a request before its first try: answered here, its client may keep the connection.
///
/// # Errors
/// When its client has left.
pub(crate) async fn enter(proxy: &Proxy, session: &mut Session, context: &mut Context) -> Result<Decision> {
    match find(proxy, session, context).await {
        Ok(()) => Ok(Decision::Proceed),
        Err(Rejection::Full) => Ok(Decision::answer(503, reason(Rejection::Full))),
        Err(Rejection::Timeout) => Ok(Decision::answer(503, reason(Rejection::Timeout))),
        Err(Rejection::Gone) => Err(gone_error()),
    }
}

/// Finds room for a further try. The place of the one before is free again.
///
/// # Errors
/// When there is none, or the client has left.
pub(crate) async fn enter_again(proxy: &Proxy, session: &mut Session, context: &mut Context) -> Result<()> {
    context.lease = None;
    match find(proxy, session, context).await {
        Ok(()) => Ok(()),
        Err(Rejection::Gone) => Err(gone_error()),
        Err(rejection) => {
            context.reason = reason(rejection);
            let mut error = Error::explain(ErrorType::HTTPStatus(503), "the limits of the service are reached");
            error.esource = ErrorSource::Internal;
            Err(error)
        }
    }
}

async fn find(proxy: &Proxy, session: &mut Session, context: &mut Context) -> Result<(), Rejection> {
    let Context { rule: Some(rule), detour, canary, tried, edits, deadline, room, .. } = context else { return Ok(()) };
    let canary = canary.as_deref();
    let Some(cluster) = proxy.cluster(rule, detour.as_deref(), canary) else { return Ok(()) };
    if !cluster.has_untried(&[]) {
        // That is answered in its own way.
        return Ok(());
    }
    let (balance, key) = canary::way(rule, detour.is_some(), canary, edits.as_deref());
    let want = Want { balance, tried, key, deadline: *deadline };
    *room = Some(cluster.room(&want, gone(session)).await?);
    Ok(())
}

/// Resolves when the client has left.
async fn gone(session: &mut Session) {
    if let Some(reset) = session.as_mut().watch_h2_stream_close() {
        drop(reset.await);
        return;
    }
    // Reading would tell at once, but what is read might be the request's body, which is for the endpoint.
    loop {
        tokio::time::sleep(LOOK).await;
        let socket = session.digest().and_then(|digest| digest.socket_digest.as_ref());
        if socket.and_then(|socket| socket.tcp_info()).is_some_and(|info| CLOSED.contains(&info.tcpi_state)) {
            return;
        }
    }
}

fn gone_error() -> Box<Error> {
    let mut error = Error::explain(ErrorType::ConnectionClosed, "the client left while its request waited");
    error.esource = ErrorSource::Downstream;
    error
}

fn reason(rejection: Rejection) -> &'static str {
    match rejection {
        Rejection::Full => "queue_full",
        Rejection::Timeout => "queue_timeout",
        Rejection::Gone => "client_gone",
    }
}
