//! A TCP connection below TLS that sends what is written once nothing can be read or more is written.
//!
//! In TLS 1.3 the server's tickets follow the client's last message of the handshake, and the client's first request comes with that
//! message or right behind it. So tickets and the first answer leave together: a system call and a packet less for each connection.
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The connection.
#[derive(Debug)]
pub(crate) struct Deferred {
    tcp: TcpStream,
    /// What waits.
    held: Vec<u8>,
    /// So many bytes of it have been sent.
    sent: usize,
    /// Does what is written wait?
    holds: bool,
}

impl Deferred {
    /// A connection whose handshake begins.
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, held: Vec::new(), sent: 0, holds: true }
    }

    /// What it is made of.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.tcp
    }

    /// The handshake is over: what waits goes with what is written next, at the latest.
    pub(crate) fn release(&mut self) {
        self.holds = false;
    }

    fn rest(&self) -> &[u8] {
        self.held.get(self.sent..).unwrap_or_default()
    }

    /// So many more bytes of what waits were sent. Returns how many were of something else.
    fn advance(&mut self, bytes: usize) -> usize {
        let rest = self.rest().len();
        if bytes < rest {
            self.sent += bytes;
            return 0;
        }
        (self.held, self.sent) = (Vec::new(), 0);
        bytes - rest
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let rest = self.held.get(self.sent..).unwrap_or_default();
            let bytes = ready!(Pin::new(&mut self.tcp).poll_write(cx, rest))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Deferred {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        // The other side may wait for what is held.
        if read.is_pending()
            && let Poll::Ready(Err(error)) = self.poll_send(cx)
        {
            return Poll::Ready(Err(error));
        }
        read
    }
}

impl AsyncWrite for Deferred {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.holds {
            bufs.iter().for_each(|buf| self.held.extend_from_slice(buf));
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        while !self.held.is_empty() {
            let this = &mut *self;
            let rest = this.held.get(this.sent..).unwrap_or_default();
            let all: Vec<_> = std::iter::once(rest).chain(bufs.iter().map(|buf| &**buf)).map(IoSlice::new).collect();
            let bytes = ready!(Pin::new(&mut this.tcp).poll_write_vectored(cx, &all))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let own = self.advance(bytes);
            if own > 0 {
                return Poll::Ready(Ok(own));
            }
        }
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.holds {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        // The alert that says why a handshake failed. Nobody waits for a client that does not take it.
        if !self.rest().is_empty() {
            self.tcp.try_write(self.rest()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (Deferred, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Deferred::new(listener.accept().await.unwrap().0), client)
    }

    #[tokio::test]
    async fn what_waits_is_sent_when_nothing_can_be_read() {
        let (mut server, mut client) = pair().await;
        server.write_all(b"flight").await.unwrap();
        server.flush().await.unwrap();
        let answering = async {
            let mut got = [0; 6];
            client.read_exact(&mut got).await.unwrap();
            client.write_all(b"!").await.unwrap();
            got
        };
        let (got, read) = tokio::join!(answering, server.read_u8());
        assert_eq!((&got, read.unwrap()), (b"flight", b'!'));
    }

    #[tokio::test]
    async fn what_waits_goes_before_what_is_written_next() {
        let (mut server, mut client) = pair().await;
        server.write_all(b"tickets, ").await.unwrap();
        server.release();
        // More than a socket takes at once.
        let body = vec![b'x'; 8 << 20];
        let (written, got) = tokio::join!(
            async {
                server.write_all(&body).await.unwrap();
                server.shutdown().await
            },
            async {
                let mut got = Vec::new();
                client.read_to_end(&mut got).await.unwrap();
                got
            }
        );
        written.unwrap();
        assert!(got.starts_with(b"tickets, x") && got.len() == body.len() + 9);
    }

    #[tokio::test]
    async fn what_still_waits_at_the_end_is_sent() {
        let (mut server, mut client) = pair().await;
        server.write_all(b"alert").await.unwrap();
        drop(server);
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"alert");
    }
}
