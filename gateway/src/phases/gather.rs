//! Reads the body of a request whole before an endpoint gets it (`proxy-request-buffering`).
//!
//! Pingora sends on a body that is read already only from its own buffer, which holds 64 KiB at most. So the buffer always has
//! something, and [`Gathered::put`] sends what was gathered in its place.
use std::collections::VecDeque;
use std::future::poll_fn;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use features::BODY_MEMORY;
use http::Version;
use http::header::{CONTENT_LENGTH, EXPECT};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource, ErrorType, OrErr, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use pingora_timeout::timeout;

use super::body;
use crate::context::Context;
use crate::gather::Gathering;
use crate::metrics::Ungathered;
use crate::proxy::Proxy;

/// What Pingora keeps of a body by itself, in bytes.
const KEPT: u64 = 64 * 1024;

/// A body of one byte, in chunks.
const STAND_IN: &[u8] = b"1\r\n.\r\n0\r\n\r\n";

/// A body, or its begin, that was read before there was an endpoint.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// In order.
    parts: Vec<Bytes>,
    /// So many bytes at the begin of Pingora's buffer are none that are to be sent.
    skip: usize,
    /// What this try has not sent yet.
    unsent: VecDeque<Bytes>,
    unskipped: usize,
}

impl Gathered {
    /// These parts come first, then what Pingora has, without so many bytes at its begin.
    fn new(parts: Vec<Bytes>, skip: usize) -> Self {
        Self { parts, skip, unsent: VecDeque::new(), unskipped: 0 }
    }

    /// Another try sends everything again.
    pub(crate) fn restart(&mut self) {
        self.unsent = self.parts.iter().cloned().collect();
        self.unskipped = self.skip;
    }

    /// Sends what was gathered before what Pingora has.
    pub(crate) fn put(&mut self, part: &mut Option<Bytes>, end: bool) {
        let mut own = part.take().unwrap_or_default();
        drop(own.split_to(self.unskipped.min(own.len())));
        self.unskipped = 0;
        if !own.is_empty() {
            self.unsent.push_back(own);
        }
        let first = self.unsent.pop_front();
        *part = match first {
            Some(first) if end && !self.unsent.is_empty() => {
                let mut all = BytesMut::from(first);
                self.unsent.drain(..).for_each(|rest| all.extend_from_slice(&rest));
                Some(all.freeze())
            }
            // Pingora takes nothing for the end.
            None if !end => Some(Bytes::new()),
            first => first,
        };
    }
}

/// The memory that a body may have which is to be read whole now.
pub(crate) fn due(session: &mut Session, context: &Context) -> Option<u64> {
    let upstream = &context.rule.as_ref()?.policy.upstream;
    // HTTP/1.0 has no chunks.
    let needs_length = || upstream.http_10 && announced(session.req_header()).is_none();
    // As nginx, whose mirror reads the body first.
    let copies = || !upstream.protocol.speaks_http2_only() && has_copy(context);
    let memory = upstream.gather.or_else(|| (needs_length() || copies()).then_some(BODY_MEMORY))?;
    (!session.as_mut().is_body_done() && !session.is_upgrade_req()).then_some(memory)
}

/// Does a mirror get a copy of the body?
fn has_copy(context: &Context) -> bool {
    context.edits.as_ref().and_then(|edits| edits.copy.as_ref()).is_some_and(|copy| copy.body)
}

/// The body, when all of it is here.
pub(crate) fn whole(session: &Session, context: &Context) -> Option<Bytes> {
    context.body.whole?;
    match context.gathered.as_ref().map(|gathered| gathered.parts.as_slice()) {
        Some([body]) => Some(body.clone()),
        // Rather late than in two pieces.
        Some(_) => None,
        None => Some(session.as_ref().get_retry_buffer().unwrap_or_default()),
    }
}

/// Will the body go to an endpoint without a length?
pub(crate) fn is_endless(session: &mut Session, context: &Context) -> bool {
    context.body.whole.is_none() && !session.as_mut().is_body_done() && announced(session.req_header()).is_none()
}

/// Reads the body to its end, or as far as there is room for it.
///
/// # Errors
/// When it is too large or broken, or the client is too slow or has left.
pub(crate) async fn read(proxy: &Proxy, session: &mut Session, context: &mut Context, memory: u64) -> Result<()> {
    let length = announced(session.req_header());
    let large = length.is_none_or(|length| length > KEPT);
    if length.is_some_and(|length| length > memory && !proxy.room.is_for(length)) {
        proxy.metrics.overload.ungathered(Ungathered::Room);
        return Ok(());
    }
    go_on(session).await?;
    let mut reading = Reading {
        length,
        unframed: session.is_http2() && length.is_none(),
        read: 0,
        keeps: false,
        kept: 0,
        patience: proxy.terms().1.body,
    };
    let mut gathering = large.then(|| Gathering::new(&proxy.room, memory));
    let mut skip = usize::MAX;
    while let Some(piece) = reading.next(session, context).await? {
        let Some(gathering) = &mut gathering else { continue };
        if let Some(full) = gathering.add(&piece).await.map_err(lost)? {
            proxy.metrics.overload.ungathered(full);
            skip = reading.kept;
            reading.fill(session, context).await?;
            break;
        }
    }
    let whole = session.is_body_done();
    if whole {
        context.body.whole = Some(reading.read);
    }
    let Some(gathering) = gathering.filter(|_| reading.read > 0) else { return Ok(()) };
    if whole && skip == usize::MAX && reading.kept as u64 == reading.read {
        // Pingora has all of it.
        return Ok(());
    }
    if whole && reading.kept == 0 {
        stand_in(session).await?;
        skip = usize::MAX;
    }
    let parts = gathering.finish().await.map_err(lost)?;
    context.gathered = Some(Box::new(Gathered::new(parts, skip)));
    Ok(())
}

/// How far the reading of a body is.
struct Reading {
    /// The length that the client has announced.
    length: Option<u64>,
    /// HTTP/2 without a length.
    unframed: bool,
    /// Bytes so far.
    read: u64,
    /// Does Pingora keep what comes?
    keeps: bool,
    /// So many bytes does Pingora have.
    kept: usize,
    /// How long a client may send nothing.
    patience: Duration,
}

impl Reading {
    /// The next piece; nothing at the end.
    async fn next(&mut self, session: &mut Session, context: &mut Context) -> Result<Option<Bytes>> {
        if session.is_body_done() {
            return Ok(None);
        }
        // What comes last has to be in Pingora's buffer, and the buffer is emptied when it overflows. The last piece can be
        // told from a length. In HTTP/2 there is a way around the buffer once that has something, in chunks there is none.
        if self.unframed || self.length.is_some_and(|length| length.saturating_sub(self.read) <= KEPT) {
            self.keep(session);
        }
        let aside = self.unframed && self.kept > 0;
        self.take(session, context, aside).await
    }

    fn keep(&mut self, session: &mut Session) {
        if !self.keeps {
            self.keeps = true;
            session.as_mut().enable_retry_buffering();
        }
    }

    /// Puts something into Pingora's buffer, if there is anything left.
    async fn fill(&mut self, session: &mut Session, context: &mut Context) -> Result<()> {
        self.keep(session);
        while self.kept == 0 && !session.is_body_done() {
            self.take(session, context, false).await?;
        }
        Ok(())
    }

    async fn take(&mut self, session: &mut Session, context: &mut Context, aside: bool) -> Result<Option<Bytes>> {
        let left = context.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let patience = left.map_or(self.patience, |left| left.min(self.patience));
        let Ok(piece) = timeout(patience, piece(session.as_mut(), aside)).await else {
            context.in_time()?;
            return Err(Error::explain(ErrorType::ReadTimedout, "the body of the request does not come").into_down());
        };
        let piece = piece.map_err(Error::into_down)?;
        body::received(session, piece.as_ref(), context)?;
        let len = piece.as_ref().map_or(0, Bytes::len);
        self.read += len as u64;
        if self.keeps && !aside {
            self.kept += len;
        }
        Ok(piece)
    }
}

/// A piece of a body, around Pingora's buffer if need be.
async fn piece(session: &mut ServerSession, aside: bool) -> Result<Option<Bytes>> {
    match session {
        ServerSession::H2(stream) if aside => {
            let read = poll_fn(|context| stream.poll_read_body_bytes(context)).await.transpose();
            read.or_err(ErrorType::ReadError, "while reading the body of a request")
        }
        session => session.read_request_body().await,
    }
}

/// The length that a request announces for its body.
fn announced(head: &RequestHeader) -> Option<u64> {
    head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Tells a client that waits for it to send the body (RFC 9110 section 10.1.1).
async fn go_on(session: &mut Session) -> Result<()> {
    let head = session.req_header();
    let waits = head.version == Version::HTTP_11
        && head.headers.get(EXPECT).is_some_and(|what| what.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if !waits {
        return Ok(());
    }
    // Pingora closes a connection on which it has answered before the body was there, and takes this for an answer.
    let keepalive = session.get_keepalive();
    session.as_mut().write_continue_response().await.map_err(Error::into_down)?;
    session.set_keepalive(keepalive);
    Ok(())
}

/// Pingora sends nothing of a body in chunks that was read to its end while its buffer is empty. So it reads the same head again
/// with a body of one byte behind it, which fills the buffer. What the client has sent after the body stays behind that.
async fn stand_in(session: &mut Session) -> Result<()> {
    let session = &mut session.downstream_session;
    let head = session.to_h1_raw();
    let text = |rest: &[u8]| BytesMut::from([&head[..], STAND_IN, rest].concat().as_slice());
    let (nowhere, _) = tokio::io::duplex(1);
    let mut other = ServerSession::new_http1(Box::new(nowhere));
    // Nothing below fails; if it did, this would be the session, and one without a head cannot even be logged.
    other.set_pipelined_prefix(text(b""));
    other.read_request().await?;
    let mut old = std::mem::replace(&mut **session, other);
    let (keepalive, reuses) = (old.get_keepalive(), old.get_keepalive_reuses_remaining());
    let (read, write, drain) = (old.get_read_timeout(), old.get_write_timeout(), old.get_total_drain_timeout());
    // What the session gives away when it can be used again is its stream and what was read too much.
    old.set_keepalive(Some(0));
    old.set_keepalive_reuses_remaining(None);
    old.set_pipelining_enabled(true);
    let ServerSession::H1(old) = old else {
        return Error::e_explain(ErrorType::InternalError, "only HTTP/1 has chunks");
    };
    let Some(stream) = old.reuse().await? else {
        return Error::e_explain(ErrorType::InternalError, "a session did not give its stream away");
    };
    let (stream, rest) = stream.into_parts();
    let mut new = ServerSession::new_http1(stream);
    new.set_pipelined_prefix(text(&rest.unwrap_or_default()));
    new.set_read_timeout(read);
    new.read_request().await?;
    new.set_write_timeout(write);
    new.set_total_drain_timeout(drain);
    new.set_keepalive(keepalive);
    new.set_keepalive_reuses_remaining(reuses);
    new.enable_retry_buffering();
    while new.read_request_body().await?.is_some() {}
    **session = new;
    Ok(())
}

fn lost(error: std::io::Error) -> Box<Error> {
    let mut error = Error::because(ErrorType::InternalError, "the body of a request was lost", error);
    error.esource = ErrorSource::Internal;
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(gathered: &mut Gathered, part: Option<&'static str>, end: bool) -> Option<Bytes> {
        let mut part = part.map(Bytes::from);
        gathered.put(&mut part, end);
        part
    }

    #[test]
    fn a_whole_body_takes_the_place_of_what_pingora_has_in_each_try() {
        let mut gathered = Gathered::new(vec!["whole".into()], usize::MAX);
        for _ in 0..2 {
            gathered.restart();
            assert_eq!(put(&mut gathered, Some("ole"), true).unwrap(), "whole");
        }
    }

    #[test]
    fn what_comes_after_the_begin_follows_it() {
        let mut gathered = Gathered::new(vec!["a".into(), "b".into()], 2);
        gathered.restart();
        assert_eq!(put(&mut gathered, Some("abc"), false).unwrap(), "a");
        assert_eq!(put(&mut gathered, Some("d"), false).unwrap(), "b");
        assert_eq!(put(&mut gathered, None, true).unwrap(), "cd");
        gathered.restart();
        assert_eq!(put(&mut gathered, Some("abcd"), true).unwrap(), "abcd");
    }

    #[test]
    fn nothing_is_no_end() {
        let mut gathered = Gathered::new(Vec::new(), 0);
        gathered.restart();
        assert_eq!(put(&mut gathered, None, false).unwrap(), "");
        assert_eq!(put(&mut gathered, None, true), None);
    }
}
