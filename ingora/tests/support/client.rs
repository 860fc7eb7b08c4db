//! A client that keeps one HTTP/1.1 connection for as long as the server does not announce its end.
use std::net::SocketAddr;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

pub(crate) struct Client {
    address: SocketAddr,
    sender: SendRequest<Empty<Bytes>>,
    /// The last answer said `Connection: close`.
    ended: bool,
}

pub(crate) async fn connect(address: SocketAddr) -> Client {
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    Client { address, sender, ended: false }
}

impl Client {
    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Result<(u16, String), hyper::Error> {
        if self.ended {
            *self = connect(self.address).await;
        }
        let request = hyper::Request::get(path).header("Host", host).body(Empty::new()).unwrap();
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        self.ended = response.headers().get("connection").is_some_and(|value| value == "close");
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}
