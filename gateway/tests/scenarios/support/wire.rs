//! HTTP/1 by hand: sends any bytes, and shows fields in their order and case. Serves clients and backends.
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bounded;

/// A connection with what was read ahead.
pub(crate) struct Wire<S = TcpStream> {
    stream: S,
    ahead: Vec<u8>,
}

/// First line and fields of a message.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) first: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// A connection that waits for nothing before it sends.
pub(crate) async fn dial(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = bounded("connect", TcpStream::connect(address)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Wire<TcpStream> {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(dial(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    pub(crate) fn into_stream(self) -> S {
        assert!(self.ahead.is_empty(), "nothing was read ahead");
        self.stream
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends to a peer that may have closed.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        bounded("write", async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Sends to a peer that may stall for as long as it likes.
    pub(crate) async fn try_send_unbounded(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends a GET for `a.test`.
    pub(crate) async fn get(&mut self, target: &str) {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> bool {
        self.ahead.reserve(64 * 1024);
        // A reset is an end like any other here.
        bounded("read", self.stream.read_buf(&mut self.ahead)).await.is_ok_and(|count| count > 0)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        self.ahead.drain(..count).collect()
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.ahead.windows(end.len()).position(|window| window == end) {
                return Some(self.take(at + end.len()));
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// The next head of a peer that may keep the connection for as long as it likes; `None` when it closes.
    pub(crate) async fn head_without_limit(&mut self) -> Option<Head> {
        if self.ahead.is_empty() {
            self.stream.read_buf(&mut self.ahead).await.ok().filter(|count| *count > 0)?;
        }
        self.try_head().await
    }

    /// The next head; `None` when the peer closes first.
    pub(crate) async fn try_head(&mut self) -> Option<Head> {
        let bytes = self.until(b"\r\n\r\n").await?;
        let text = String::from_utf8(bytes).unwrap();
        let mut lines = text.trim_end().split("\r\n");
        let first = lines.next().unwrap().to_owned();
        let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Some(Head { first, fields: lines.map(|line| field(line).unwrap()).collect() })
    }

    pub(crate) async fn head(&mut self) -> Head {
        self.try_head().await.expect("a head before the end of the connection")
    }

    /// Exactly so many bytes.
    pub(crate) async fn exact(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count {
            assert!(self.fill().await, "{count} bytes before the end");
        }
        self.take(count)
    }

    /// Reads so many bytes and drops them; fewer at the end of the connection.
    pub(crate) async fn count(&mut self, limit: usize) -> usize {
        let mut count = 0;
        loop {
            count += self.take(self.ahead.len().min(limit - count)).len();
            if count == limit || !self.fill().await {
                return count;
            }
        }
    }

    async fn line(&mut self) -> String {
        let bytes = self.until(b"\r\n").await.expect("a line before the end");
        String::from_utf8(bytes).unwrap().trim_end().to_owned()
    }

    /// One chunk of a chunked body; empty at its end, where trailers are dropped.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let line = self.line().await;
        let size = usize::from_str_radix(line.split(';').next().unwrap(), 16).unwrap();
        if size == 0 {
            while !self.line().await.is_empty() {}
            return Vec::new();
        }
        let data = self.exact(size).await;
        assert_eq!(self.line().await, "");
        data
    }

    /// The body that a head announces; without a length, everything up to the end of the connection for responses.
    pub(crate) async fn body(&mut self, head: &Head) -> Vec<u8> {
        if head.one("transfer-encoding") == Some("chunked") {
            let mut body = Vec::new();
            loop {
                let chunk = self.chunk().await;
                if chunk.is_empty() {
                    return body;
                }
                body.extend(chunk);
            }
        }
        match head.one("content-length") {
            Some(length) => self.exact(length.parse().unwrap()).await,
            None if !head.is_response() || matches!(head.status(), 100..=199 | 204 | 304) => Vec::new(),
            None => self.rest().await,
        }
    }

    /// A whole response to anything but HEAD.
    pub(crate) async fn response(&mut self) -> (Head, Vec<u8>) {
        let head = self.head().await;
        let body = self.body(&head).await;
        (head, body)
    }

    /// Everything until the peer closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.ahead)
    }

    /// Waits for the peer to close, and requires that it sends nothing more.
    pub(crate) async fn closed(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "nothing more before the end, not {:?}", String::from_utf8_lossy(&rest));
    }

    /// Sends a request and requires a status and the end of the connection.
    pub(crate) async fn refused_with(mut self, request: impl AsRef<[u8]>, statuses: &[u16]) {
        let text = String::from_utf8_lossy(request.as_ref()).chars().take(300).collect::<String>();
        // The gateway may close while the rest is still being written.
        let sent = self.try_send(&request).await;
        let Some(head) = self.try_head().await else { panic!("no answer to {text:?} (write: {sent:?})") };
        assert!(statuses.contains(&head.status()), "{text:?} got {:?}, not one of {statuses:?}", head.first);
        assert!(head.closes(), "{text:?} got {head:?}, which does not close");
        self.rest().await;
    }
}

impl Head {
    fn is_response(&self) -> bool {
        self.first.starts_with("HTTP/")
    }

    pub(crate) fn status(&self) -> u16 {
        self.first.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The request target.
    pub(crate) fn target(&self) -> &str {
        self.first.split(' ').nth(1).unwrap()
    }

    /// Does it announce the end of the connection?
    pub(crate) fn closes(&self) -> bool {
        self.one("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a field that stands at most once.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} stands at most once: {all:?}");
        all.first().copied()
    }
}
