//! What the client gets: the endpoint's answer, or the gateway's own when there is none.
use http::Version;
use http::header::TRANSFER_ENCODING;
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use crate::context::Context;

/// Fits the endpoint's answer to the client's protocol: HTTP/1.0 has no chunks, so a body without a length ends with the
/// connection (RFC 9112 section 6.1).
pub(crate) fn fit(session: &mut Session, head: &mut ResponseHeader) {
    if session.req_header().version == Version::HTTP_10 && head.remove_header(&TRANSFER_ENCODING).is_some() {
        session.set_keepalive(None);
    }
}

/// The head of an endpoint's answer may be as large as `proxy-buffer-size` says.
///
/// # Errors
/// When it is larger.
pub(crate) fn check_size(context: &Context, head: &ResponseHeader) -> Result<()> {
    let limit = context.rule.as_ref().and_then(|rule| rule.policy.upstream.max_head);
    let Some(limit) = limit.filter(|_| context.detour.is_none()) else { return Ok(()) };
    // As HTTP/1.1 writes it: the status line, a line for each field, an empty line.
    let status = "HTTP/1.1 200 \r\n".len() + head.get_reason_phrase().map_or(0, str::len);
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    let size = u64::try_from(status + fields.sum::<usize>() + "\r\n".len()).unwrap_or(u64::MAX);
    if size <= limit {
        return Ok(());
    }
    let why = format!("the head of the answer has {size} bytes, and proxy-buffer-size allows {limit}");
    let mut error = Error::explain(ErrorType::InvalidHTTPHeader, why);
    error.esource = ErrorSource::Upstream;
    Err(error)
}

/// The status and reason of a request that failed; status 0 when there is nobody left to answer.
pub(crate) fn failure(error: &Error) -> (u16, &'static str) {
    use ErrorType::{
        ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout, ConnectionClosed, Custom, HTTPStatus,
        InvalidHTTPHeader, ReadError, ReadTimedout, TLSHandshakeFailure, TLSHandshakeTimedout, WriteError,
        WriteTimedout,
    };
    match (error.esource(), error.etype()) {
        (_, HTTPStatus(503)) => (503, "no_endpoints"),
        (_, HTTPStatus(413)) => (413, super::body::TOO_LARGE),
        (_, HTTPStatus(status)) => (*status, "refused"),
        (ErrorSource::Upstream, ConnectTimedout | TLSHandshakeTimedout) => (504, "connect_timeout"),
        (ErrorSource::Upstream, ReadTimedout | WriteTimedout) => (504, "upstream_timeout"),
        (ErrorSource::Upstream, ConnectRefused | ConnectNoRoute | ConnectError) => (502, "connect_failed"),
        (ErrorSource::Upstream, TLSHandshakeFailure) => (502, "upstream_tls"),
        (ErrorSource::Upstream, ConnectionClosed | ReadError | WriteError) => (502, "upstream_reset"),
        (ErrorSource::Upstream, InvalidHTTPHeader) => (502, "upstream_malformed"),
        (ErrorSource::Upstream, _) => (502, "upstream_failed"),
        (ErrorSource::Downstream, ConnectionClosed | ReadError | WriteError | WriteTimedout) => (0, "client_gone"),
        // Of a body with a length.
        (ErrorSource::Downstream, Custom("PrematureBodyEnd")) => (0, "client_gone"),
        (ErrorSource::Downstream, ReadTimedout) => (408, "client_timeout"),
        (ErrorSource::Downstream, _) => (400, "client_malformed"),
        (ErrorSource::Internal | ErrorSource::Unset, _) => (500, "internal"),
    }
}

/// The status that the client got, 499 when it left before (as nginx counts it).
pub(crate) fn status(session: &Session) -> u16 {
    answer(session).map_or(499, |head| head.status.as_u16())
}

/// The head of the answer that the client got. What only tells it to go on is none.
pub(crate) fn answer(session: &Session) -> Option<&ResponseHeader> {
    session.response_written().filter(|head| !head.status.is_informational() || head.status == 101)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure_of(error: ErrorType, source: ErrorSource) -> (u16, &'static str) {
        let mut error = Error::new(error);
        error.esource = source;
        failure(&error)
    }

    #[test]
    fn endpoints_that_fail_are_bad_gateways_and_slow_ones_time_out() {
        assert_eq!(failure_of(ErrorType::ConnectRefused, ErrorSource::Upstream), (502, "connect_failed"));
        assert_eq!(failure_of(ErrorType::ConnectTimedout, ErrorSource::Upstream), (504, "connect_timeout"));
        assert_eq!(failure_of(ErrorType::ReadTimedout, ErrorSource::Upstream), (504, "upstream_timeout"));
        assert_eq!(failure_of(ErrorType::ConnectionClosed, ErrorSource::Upstream), (502, "upstream_reset"));
    }

    #[test]
    fn a_client_that_left_gets_nothing() {
        assert_eq!(failure_of(ErrorType::ConnectionClosed, ErrorSource::Downstream).0, 0);
    }

    #[test]
    fn a_service_without_endpoints_is_unavailable() {
        assert_eq!(failure_of(ErrorType::HTTPStatus(503), ErrorSource::Internal), (503, "no_endpoints"));
    }
}
