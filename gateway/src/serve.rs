//! Serving one client connection: HTTP/1 request by request, HTTP/2 by Pingora.
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_proxy::HttpProxy;
use pingora_timeout::timeout;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;

use crate::answer;
use crate::config::{Limits, Timeouts};
use crate::connection::Connection;
use crate::head::{self, Progress, Refused};
use crate::metrics::BadRequest;
use crate::proxy::Proxy;

/// What a head is read into, in bytes: most fit.
const HEAD_BUFFER: usize = 4096;

/// How long a client whose request was refused may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// How long an idle connection stays open when the gateway drains, or a quarter of the drain timeout if that is shorter.
const LAST_CALL: Duration = Duration::from_secs(2);

/// What a refused client may still send meanwhile, in bytes.
const LINGER_BYTES: usize = 1024 * 1024;

/// Limits for HTTP/2 connections, on top of Pingora's own.
pub(crate) fn http2_options(limits: &Limits) -> H2Options {
    let mut options = default_h2_options();
    options.max_concurrent_streams(limits.concurrent_streams);
    options.max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
    options
}

/// Pingora's own options for connections.
pub(crate) fn server_options(limits: &Limits, timeouts: &Timeouts) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    options.keepalive_request_limit = Some(reuses(limits));
    options.h2_idle_timeout = Some(timeouts.keep_alive);
    options
}

/// Pingora counts how often a connection is used again.
fn reuses(limits: &Limits) -> u32 {
    limits.requests_per_connection.saturating_sub(1)
}

/// What reading a head came to.
enum Read {
    /// A whole head, and what followed it.
    Head(BytesMut),
    /// The HTTP/2 preface, and what followed it.
    Http2(BytesMut),
    /// A head that is refused.
    Refused(Refused),
    /// The client left, was idle for too long, or the gateway drains.
    Over,
}

/// Serves connections for a worker.
pub(crate) struct Server {
    pub(crate) proxy: Proxy,
    http: Arc<HttpProxy<Proxy>>,
}

impl Server {
    /// `http` runs `proxy`.
    pub(crate) fn new(proxy: Proxy, http: Arc<HttpProxy<Proxy>>) -> Self {
        Self { proxy, http }
    }

    /// Serves a connection to its end.
    pub(crate) async fn serve(&self, mut connection: Connection) {
        let negotiated_http2 = connection.is_http2();
        // Also where ALPN has selected HTTP/2: what waits for the preface behind this has no deadline.
        match self.first_head(&mut connection).await {
            Read::Http2(replay) => self.serve_http2(connection.into_http2(replay)).await,
            // It negotiated HTTP/2 and speaks something else.
            Read::Head(_) if negotiated_http2 => {}
            Read::Head(head) => self.serve_http1(Box::new(connection), head).await,
            Read::Refused(refused) => self.refuse(&mut connection, refused).await,
            Read::Over => {}
        }
    }

    async fn serve_http2(&self, connection: Connection) {
        self.http.process_new(Box::new(connection), &self.proxy.draining).await;
    }

    async fn serve_http1(&self, mut stream: Stream, mut head: BytesMut) {
        let mut settings: Option<HttpPersistentSettings> = None;
        // One for all requests: to begin to wait for it costs more than to look again.
        let mut last_call = pin!(last_call(self.proxy.draining.clone(), self.proxy.terms().1.drain));
        loop {
            let session = self.session(stream, head, settings.take());
            let Some(reused) = self.http.process_new_http(session, &self.proxy.draining).await else { return };
            (stream, settings) = reused.consume();
            match self.next_head(&mut stream, last_call.as_mut()).await {
                Read::Head(next) => head = next,
                Read::Refused(refused) => return self.refuse(&mut stream, refused).await,
                Read::Http2(_) | Read::Over => return,
            }
        }
    }

    /// A session whose head is read already: Pingora parses it without another read.
    fn session(&self, stream: Stream, head: BytesMut, settings: Option<HttpPersistentSettings>) -> ServerSession {
        let (limits, timeouts) = self.proxy.terms();
        let mut session = ServerSession::new_http1(stream);
        match settings {
            Some(settings) => settings.apply_to_session(&mut session),
            None => session.set_keepalive_reuses_remaining(Some(reuses(&limits))),
        }
        session.set_pipelined_prefix(head);
        session.set_read_timeout(Some(timeouts.body));
        session.set_total_drain_timeout(Some(timeouts.head));
        session
    }

    /// Reads the first head: a connection that was accepted gets its first request answered.
    async fn first_head(&self, stream: &mut (impl AsyncRead + Unpin)) -> Read {
        let (limits, timeouts) = self.proxy.terms();
        match timeout(timeouts.head, what_comes(stream)).await {
            Ok(Ok(begun)) => self.read_head(begun, stream, true, &limits, timeouts.head).await,
            _ => Read::Over,
        }
    }

    /// Reads the next head, unless the connection is to end.
    async fn next_head(&self, stream: &mut Stream, last_call: Pin<&mut impl Future<Output = ()>>) -> Read {
        let (limits, timeouts) = self.proxy.terms();
        let begun = tokio::select! {
            biased;
            begun = timeout(timeouts.keep_alive, what_comes(stream)) => begun,
            () = last_call => return Read::Over,
        };
        match begun {
            Ok(Ok(begun)) => self.read_head(begun, stream, false, &limits, timeouts.head).await,
            _ => Read::Over,
        }
    }

    /// Reads a head to its end within a total deadline, which Pingora does not have.
    async fn read_head(
        &self,
        mut buf: BytesMut,
        stream: &mut (impl AsyncRead + Unpin),
        first: bool,
        limits: &Limits,
        deadline: Duration,
    ) -> Read {
        if buf.is_empty() {
            return Read::Over;
        }
        let examined = match head::examine(&buf, 0, first, limits) {
            // Nearly always: one read, no timer.
            Ok(Progress::Partial) => match timeout(deadline, rest_of_head(stream, &mut buf, first, limits)).await {
                Ok(Some(examined)) => examined,
                Ok(None) => return Read::Over,
                Err(_) => Err(Refused { status: 408, reason: BadRequest::HeadTimeout }),
            },
            examined => examined,
        };
        match examined {
            Ok(Progress::Http2) => Read::Http2(buf),
            Ok(_) => Read::Head(buf),
            Err(refused) => {
                self.proxy.metrics.connections.bad_request(refused.reason);
                Read::Refused(refused)
            }
        }
    }

    /// Answers, and reads on for a moment: closing with bytes unread would reset the connection before the client has
    /// read the answer.
    async fn refuse(&self, stream: &mut (impl AsyncRead + AsyncWriteExt + Unpin), refused: Refused) {
        let answered = async {
            stream.write_all(&answer::raw(refused.status)).await?;
            stream.shutdown().await?;
            // Not in the connection's future, which idle connections hold, too.
            let mut rest = vec![0; 4096];
            let mut budget = LINGER_BYTES;
            while let (1.., read @ 1..) = (budget, stream.read(&mut rest).await?) {
                budget = budget.saturating_sub(read);
            }
            std::io::Result::Ok(())
        };
        // Whether it arrived or not, the connection is over.
        drop(timeout(LINGER, answered).await);
    }
}

/// Reads until a head is complete or refused; nothing when the client left.
async fn rest_of_head(
    stream: &mut (impl AsyncRead + Unpin),
    buf: &mut BytesMut,
    first: bool,
    limits: &Limits,
) -> Option<Result<Progress, Refused>> {
    loop {
        let seen = buf.len();
        buf.reserve(HEAD_BUFFER);
        if !matches!(stream.read_buf(buf).await, Ok(1..)) {
            return None;
        }
        match head::examine(buf, seen, first, limits) {
            Ok(Progress::Partial) => {}
            examined => return Some(examined),
        }
    }
}

/// What comes next, in a buffer that is made when it has come: an idle connection has none. Empty when the client left.
async fn what_comes(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<BytesMut> {
    poll_fn(|context| {
        let mut space = [MaybeUninit::uninit(); HEAD_BUFFER];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut read))?;
        Poll::Ready(Ok(BytesMut::from(read.filled())))
    })
    .await
}

/// Ends when an idle connection may be closed because the gateway drains: not at once, for the client may be sending a
/// request just now and would have it reset. Its answer says that it is the last one.
async fn last_call(mut draining: watch::Receiver<bool>, drain: Duration) {
    // An error means that nobody is left who could drain.
    drop(draining.wait_for(|draining| *draining).await);
    tokio::time::sleep(LAST_CALL.min(drain / 4)).await;
}
