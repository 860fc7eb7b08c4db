//! Clients of the gateway on hyper: HTTP/1.1 and HTTP/2, plain and over TLS.
use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Offer, bounded, dial};

pub(crate) type Body = BoxBody<Bytes, Infallible>;

pub(crate) fn empty() -> Body {
    Empty::new().boxed()
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// A body that is written while it travels; dropping the sender ends it.
pub(crate) fn channel() -> (Sender<Bytes, Infallible>, Body) {
    let (sender, body) = Channel::new(1);
    (sender, body.boxed())
}

/// A response that arrived completely.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) async fn collect(response: Response<Incoming>) -> Result<Reply, hyper::Error> {
    let (parts, body) = response.into_parts();
    let body = bounded("the body", body.collect()).await?.to_bytes();
    Ok(Reply { status: parts.status, headers: parts.headers, body })
}

/// One connection to the gateway.
pub(crate) enum Client {
    H1(http1::SendRequest<Body>),
    /// With the scheme of its requests.
    H2(http2::SendRequest<Body>, &'static str),
}

impl Client {
    pub(crate) async fn h1(address: SocketAddr) -> Self {
        Self::over_h1(dial(address).await.unwrap()).await
    }

    /// HTTP/2 with prior knowledge.
    pub(crate) async fn h2c(address: SocketAddr) -> Self {
        Self::over_h2(dial(address).await.unwrap(), "http").await
    }

    /// Whatever ALPN chose.
    pub(crate) async fn tls(address: SocketAddr, offer: Offer<'_>) -> Self {
        let stream = offer.connect(address).await.unwrap();
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Self::over_h2(stream, "https").await,
            _ => Self::over_h1(stream).await,
        }
    }

    async fn over_h1(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self::H1(sender)
    }

    async fn over_h2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, scheme: &'static str) -> Self {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self::H2(sender, scheme)
    }

    pub(crate) fn is_h2(&self) -> bool {
        matches!(self, Self::H2(..))
    }

    /// A second handle on the same HTTP/2 connection.
    pub(crate) fn share(&self) -> Self {
        match self {
            Self::H1(_) => panic!("an HTTP/1 connection has one user"),
            Self::H2(sender, scheme) => Self::H2(sender.clone(), scheme),
        }
    }

    /// A request as this protocol writes it.
    pub(crate) fn request(&self, method: Method, host: &str, target: &str) -> http::request::Builder {
        match self {
            Self::H1(_) => Request::builder().method(method).uri(target).header("host", host),
            Self::H2(_, scheme) => Request::builder().method(method).uri(format!("{scheme}://{host}{target}")),
        }
    }

    /// Sends; returns with the head of the response.
    pub(crate) async fn try_send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        bounded("the response", async {
            match self {
                Self::H1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Self::H2(sender, _) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        })
        .await
    }

    pub(crate) async fn send(&mut self, request: Request<Body>) -> Reply {
        collect(self.try_send(request).await.unwrap()).await.unwrap()
    }

    pub(crate) async fn try_get(&mut self, host: &str, target: &str) -> Result<Reply, hyper::Error> {
        let request = self.request(Method::GET, host, target).body(empty()).unwrap();
        collect(self.try_send(request).await?).await
    }

    pub(crate) async fn get(&mut self, host: &str, target: &str) -> Reply {
        self.try_get(host, target).await.unwrap()
    }

    pub(crate) async fn post(&mut self, host: &str, target: &str, body: impl Into<Bytes>) -> Reply {
        self.send(self.request(Method::POST, host, target).body(full(body)).unwrap()).await
    }
}
