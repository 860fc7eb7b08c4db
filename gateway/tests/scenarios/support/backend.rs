//! Well-behaved backends on hyper: HTTP/1.1, HTTP/2 with prior knowledge, and both over TLS.
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::CipherSuite;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{Body, Identity, full};

/// Head of a request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// The server name of its TLS handshake.
    pub(crate) server_name: Option<String>,
    /// The cipher suite of its TLS connection.
    pub(crate) suite: Option<CipherSuite>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

type Handler = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// A server; ends with all its connections on drop.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Cloned for each open connection.
    open: Arc<()>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
enum Talk {
    Http1,
    H2c,
    Tls(TlsAcceptor),
}

/// A response with a body.
pub(crate) fn respond(body: impl Into<bytes::Bytes>) -> Response<Body> {
    Response::new(full(body))
}

impl Backend {
    /// HTTP/1.1: answers with its name, or with the body it got, and with its name in `x-backend`.
    pub(crate) async fn echo(name: &'static str) -> Self {
        Self::start(Talk::Http1, echo(name)).await
    }

    /// HTTP/1.1 with a handler.
    pub(crate) async fn handling<F>(handler: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::start(Talk::Http1, Arc::new(move |request| Box::pin(handler(request)))).await
    }

    /// HTTP/2 with prior knowledge.
    pub(crate) async fn h2c(name: &'static str) -> Self {
        Self::start(Talk::H2c, echo(name)).await
    }

    /// TLS with these application protocols.
    pub(crate) async fn tls(name: &'static str, alpn: &[&str]) -> Self {
        let acceptor = Identity::ecdsa(&["backend.test"]).acceptor(alpn);
        Self::start(Talk::Tls(acceptor), echo(name)).await
    }

    /// TLS as an acceptor has it.
    pub(crate) async fn accepting(name: &'static str, acceptor: TlsAcceptor) -> Self {
        Self::start(Talk::Tls(acceptor), echo(name)).await
    }

    /// As [`Backend::echo`], on another address than all others.
    pub(crate) async fn elsewhere(name: &'static str) -> Self {
        Self::on("127.0.0.2:0", Talk::Http1, echo(name)).await
    }

    async fn start(talk: Talk, handler: Handler) -> Self {
        Self::on("127.0.0.1:0", talk, handler).await
    }

    async fn on(address: &str, talk: Talk, handler: Handler) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let record = seen.clone();
        let open = Arc::new(());
        let held = Arc::downgrade(&open);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (talk, handler, record) = (talk.clone(), handler.clone(), record.clone());
                let held = held.upgrade();
                connections.spawn(async move {
                    let _held = held;
                    match talk {
                        Talk::Http1 => serve(stream, false, (None, None), handler, record).await,
                        Talk::H2c => serve(stream, true, (None, None), handler, record).await,
                        Talk::Tls(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            let session = stream.get_ref().1;
                            let h2 = session.alpn_protocol() == Some(b"h2");
                            let name = session.server_name().map(str::to_owned);
                            let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
                            serve(stream, h2, (name, suite), handler, record).await;
                        }
                    }
                });
            }
        });
        Self { address, seen, open, task }
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }

    /// The requests seen so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("a request was seen")
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn echo(name: &'static str) -> Handler {
    Arc::new(move |request| {
        Box::pin(async move {
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let body = if body.is_empty() { name.into() } else { body };
            Response::builder().header("x-backend", name).body(full(body)).unwrap()
        })
    })
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    h2: bool,
    (server_name, suite): (Option<String>, Option<CipherSuite>),
    handler: Handler,
    record: Arc<Mutex<Vec<Seen>>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        record.lock().unwrap().push(Seen {
            method: request.method().clone(),
            target: request.uri().to_string(),
            version: request.version(),
            headers: request.headers().clone(),
            server_name: server_name.clone(),
            suite,
        });
        let response = handler(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let io = TokioIo::new(stream);
    // A client that goes away is no concern of a backend's.
    if h2 {
        http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await.ok();
    } else {
        http1::Builder::new().serve_connection(io, service).with_upgrades().await.ok();
    }
}

/// An address that refuses connections for as long as this lives: bound, but not listening.
pub(crate) struct Refusing {
    pub(crate) address: SocketAddr,
    _socket: TcpSocket,
}

impl Refusing {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self { address: socket.local_addr().unwrap(), _socket: socket }
    }
}
