//! A collector of spans: OTLP over gRPC, as the OpenTelemetry collector takes it.
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tonic::{Request, Response, Status};

use super::bounded;

/// A collector; ends on drop.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    exports: mpsc::UnboundedReceiver<ExportTraceServiceRequest>,
    task: JoinHandle<()>,
}

/// What a collector says to an export.
#[derive(Clone, Copy)]
pub(crate) enum Says {
    /// It has taken the spans.
    Taken,
    /// It has taken all but so many.
    Rejected(i64),
    /// It cannot now.
    Unavailable,
    /// Nothing.
    Nothing,
}

struct Service {
    exports: mpsc::UnboundedSender<ExportTraceServiceRequest>,
    /// In this order, the last one for ever.
    says: &'static [Says],
    said: AtomicUsize,
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.exports.send(request.into_inner()).unwrap();
        let turn = self.said.fetch_add(1, Ordering::Relaxed).min(self.says.len() - 1);
        let partial_success = match self.says[turn] {
            Says::Taken => None,
            Says::Rejected(rejected_spans) => {
                Some(ExportTracePartialSuccess { rejected_spans, error_message: "too old".to_owned() })
            }
            Says::Unavailable => return Err(Status::unavailable("busy")),
            Says::Nothing => std::future::pending().await,
        };
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::saying(&[Says::Taken]).await
    }

    pub(crate) async fn saying(says: &'static [Says]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, exports) = mpsc::unbounded_channel();
        let service = TraceServiceServer::new(Service { exports: sender, says, said: AtomicUsize::new(0) });
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                connections.spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, exports, task }
    }

    /// The ConfigMap that names it; each span goes at once.
    pub(crate) fn config(&self) -> Vec<(&'static str, String)> {
        vec![
            ("otlp-collector-host", self.address.ip().to_string()),
            ("otlp-collector-port", self.address.port().to_string()),
            ("otel-max-export-batch-size", "1".to_owned()),
            ("enable-opentelemetry", "true".to_owned()),
        ]
    }

    /// The next export.
    pub(crate) async fn next(&mut self) -> ExportTraceServiceRequest {
        bounded("an export", self.exports.recv()).await.unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}
