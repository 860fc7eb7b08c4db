//! How large the body of a request may be, and how fast that of an answer goes.
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use crate::context::Context;

/// Why a request is refused whose body is too large.
pub(crate) const TOO_LARGE: &str = "body_too_large";

/// What has gone of the bodies of one request and its answer.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    /// Bytes of the request's.
    pub(crate) received: u64,
    /// The length of the request's, when it was read whole before there was an endpoint.
    pub(crate) whole: Option<u64>,
    /// The request's has no length, and passes on as it comes.
    pub(crate) endless: bool,
    /// Bytes of the answer's, where its speed is limited, and when it began.
    sent: u64,
    began: Option<Instant>,
}

/// Does a request announce a body of more than so many bytes? 0 is no limit.
pub(crate) fn announces_more(head: &RequestHeader, most: u64) -> bool {
    let length = head.headers.get(CONTENT_LENGTH);
    // A length that is no number was refused before; what is larger than any number is larger than the limit.
    length.is_some_and(|length| {
        most > 0
            && length.to_str().ok().and_then(|text| text.trim().parse().ok()).is_none_or(|length: u64| length > most)
    })
}

/// Counts a piece of a request's body, which may have announced no length.
///
/// # Errors
/// When the body is too large.
pub(crate) fn received(session: &Session, piece: Option<&Bytes>, context: &mut Context) -> Result<()> {
    let most = context.rule.as_ref().map_or(0, |rule| rule.policy.upstream.max_body);
    let Some(piece) = piece.filter(|_| most > 0) else { return Ok(()) };
    context.body.received = context.body.received.saturating_add(piece.len() as u64);
    // What follows a change of protocol is no body.
    if context.body.received <= most || session.as_downstream().was_upgraded() {
        return Ok(());
    }
    let mut error = Error::explain(ErrorType::HTTPStatus(413), "the request body is too large");
    error.esource = ErrorSource::Downstream;
    Err(error)
}

/// How many bytes of a request's body the client has sent.
pub(crate) fn sent_by_client(session: &Session, context: &Context) -> u64 {
    context.body.whole.unwrap_or_else(|| session.body_bytes_read() as u64)
}

/// How long a piece of an answer's body waits, where its speed is limited.
pub(crate) fn sent(piece: Option<&Bytes>, context: &mut Context) -> Option<Duration> {
    let bandwidth = context.edits.as_ref()?.bandwidth?;
    let before = context.body.sent;
    context.body.sent = before.saturating_add(piece?.len() as u64);
    let now = Instant::now();
    let began = *context.body.began.get_or_insert(now);
    bandwidth.pause(before, now - began)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announces(length: &str, most: u64) -> bool {
        let mut head = RequestHeader::build("POST", b"/", None).unwrap();
        head.insert_header("Content-Length", length).unwrap();
        announces_more(&head, most)
    }

    #[test]
    fn the_announced_length_may_be_the_limit() {
        assert!(!announces("10", 10) && announces("11", 10));
        assert!(!announces("99999999999999999999", 0) && announces("99999999999999999999", 10));
    }
}
