//! gRPC with the ready-made health service of tonic.
use std::net::SocketAddr;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tonic::body::Body;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::HealthReporter;

/// A gRPC server over HTTP/2 with prior knowledge; ends on drop.
pub(crate) struct GrpcBackend {
    pub(crate) address: SocketAddr,
    /// Sets what the health service says.
    pub(crate) reporter: HealthReporter,
    task: JoinHandle<()>,
}

impl GrpcBackend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reporter, service) = tonic_health::server::health_reporter();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let service = TowerToHyperService::new(service.clone());
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                connections.spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, reporter, task }
    }
}

impl Drop for GrpcBackend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The client of a connection.
pub(crate) async fn grpc_client(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    origin: &'static str,
) -> HealthClient<
    impl tower::Service<Request<Body>, Response = Response<Incoming>, Error = hyper::Error, Future: Send> + Clone,
> {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let service = tower::service_fn(move |request: Request<Body>| {
        let mut sender: http2::SendRequest<Body> = sender.clone();
        async move { sender.send_request(request).await }
    });
    HealthClient::with_origin(service, origin.parse().unwrap())
}
