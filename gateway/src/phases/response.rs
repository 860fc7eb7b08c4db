//! What the client gets: the endpoint's answer, or the gateway's own when there is none.
use http::Version;
use http::header::TRANSFER_ENCODING;
use pingora::{Error, ErrorSource, ErrorType};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

/// Fits the endpoint's answer to the client's protocol: HTTP/1.0 has no chunks, so a body without a length ends with the
/// connection (RFC 9112 section 6.1).
pub(crate) fn fit(session: &mut Session, head: &mut ResponseHeader) {
    if session.req_header().version == Version::HTTP_10 && head.remove_header(&TRANSFER_ENCODING).is_some() {
        session.set_keepalive(None);
    }
}

/// The status and reason of a request that failed; status 0 when there is nobody left to answer.
pub(crate) fn failure(error: &Error) -> (u16, &'static str) {
    use ErrorType::{
        ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout, ConnectionClosed, HTTPStatus, InvalidHTTPHeader,
        ReadError, ReadTimedout, TLSHandshakeFailure, TLSHandshakeTimedout, WriteError, WriteTimedout,
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
        (ErrorSource::Downstream, ReadTimedout) => (408, "client_timeout"),
        (ErrorSource::Downstream, _) => (400, "client_malformed"),
        (ErrorSource::Internal | ErrorSource::Unset, _) => (500, "internal"),
    }
}

/// The status that the client got, 499 when it left before (as nginx counts it).
pub(crate) fn status(session: &Session) -> u16 {
    session.response_written().map_or(499, |head| head.status.as_u16())
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
