//! The first message of a TLS client, read before anything is decided and kept for whoever ends TLS.
use std::io;

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Largest ClientHello, in bytes (ingress-nginx reads as many for the server name).
const LARGEST: usize = 16 * 1024;

/// What most fit into.
const USUAL: usize = 2048;

/// Reads a ClientHello: what it says, and all bytes that were read.
///
/// # Errors
/// When the client leaves, or what it sends is no ClientHello or too large a one; a client that can be told why is.
pub(crate) async fn read(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<(Accepted, Vec<u8>)> {
    let mut acceptor = Acceptor::default();
    let mut bytes = Vec::with_capacity(USUAL);
    loop {
        let seen = bytes.len();
        let Some(room @ 1..) = LARGEST.checked_sub(seen) else { return Err(invalid("the ClientHello is too large")) };
        let room = u64::try_from(room).unwrap_or(u64::MAX);
        if (&mut *stream).take(room).read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut fresh = bytes.get(seen..).unwrap_or_default();
        while !fresh.is_empty() {
            acceptor.read_tls(&mut fresh)?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok((accepted, bytes)),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut told = Vec::new();
                alert.write_all(&mut told)?;
                // Whether it arrives or not, the connection is over.
                stream.write_all(&told).await.ok();
                return Err(invalid(error));
            }
        }
    }
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;
    use std::sync::Arc;

    fn hello(name: &'static str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let name = ServerName::try_from(name).unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[tokio::test]
    async fn the_name_is_read_and_every_byte_is_kept_however_it_arrives() {
        let sent = hello("a.test");
        for pieces in [1, 7, 4096] {
            let (mut client, mut server) = tokio::io::duplex(pieces);
            let writing = sent.clone();
            let write = tokio::spawn(async move { client.write_all(&writing).await.map(|()| client) });
            let (accepted, bytes) = read(&mut server).await.unwrap();
            assert_eq!(accepted.client_hello().server_name(), Some("a.test"));
            assert_eq!(bytes, sent);
            write.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_no_hello_is_refused_and_told() {
        let (mut client, mut server) = tokio::io::duplex(4096);
        client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        assert!(read(&mut server).await.is_err());
        drop(server);
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        assert_eq!(told.first(), Some(&21), "an alert record");
    }

    #[tokio::test]
    async fn a_hello_without_end_is_refused() {
        let (mut client, mut server) = tokio::io::duplex(64 * 1024);
        // One handshake message of 64 KiB less one, in records of 4 KiB.
        let mut endless = Vec::new();
        for record in 0..8 {
            endless.extend([22, 3, 1, 16, 0]);
            let begin: &[u8] = if record == 0 { &[1, 0, 255, 255] } else { &[] };
            endless.extend(begin);
            endless.resize(endless.len() + 4096 - begin.len(), 0);
        }
        client.write_all(&endless).await.unwrap();
        assert!(read(&mut server).await.is_err());
    }
}
