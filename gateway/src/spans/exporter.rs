//! Carries spans to one collector, in portions, on a thread of its own.
use std::sync::Arc;
use std::time::Duration;

use features::Export;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::PATIENCE;
use super::span::{self, Span};
use crate::metrics::{Lost, Metrics};

/// What one export may take (OpenTelemetry, OTLP exporters: 10 s).
const LIMIT: Duration = Duration::from_secs(10);

/// How often an export is tried that may succeed later, and the first pause between two tries, each of which is twice the
/// one before. New spans wait meanwhile; a collector that restarts within half a minute misses none that find room.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_secs(1);

/// One collector's exporter.
pub(super) struct Exporter {
    export: Arc<Export>,
    spans: mpsc::Receiver<Span>,
    /// A portion is full.
    enough: Arc<Notify>,
    end: watch::Receiver<bool>,
    metrics: Arc<Metrics>,
    /// What is exported next.
    portion: Vec<Span>,
    /// The connection, which is made when it is needed.
    client: Option<TraceServiceClient<Channel>>,
    /// Whether the last export succeeded.
    works: Option<bool>,
}

/// What came of an export.
enum Outcome {
    Taken { rejected: u64 },
    Later(Status),
    Never(Status),
}

impl Exporter {
    pub(super) fn new(
        export: Arc<Export>,
        spans: mpsc::Receiver<Span>,
        enough: Arc<Notify>,
        end: watch::Receiver<bool>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { export, spans, enough, end, metrics, portion: Vec::new(), client: None, works: None }
    }

    /// Exports until it is told to end. Blocks.
    pub(super) fn run(mut self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "spans cannot be exported"),
        };
        runtime.block_on(async {
            self.serve().await;
            self.finish().await;
        });
        drop(self);
        // A name that is still looked up would be waited for.
        runtime.shutdown_background();
    }

    async fn serve(&mut self) {
        tracing::info!(collector = %self.export, "spans are exported");
        let mut end = self.end.clone();
        // An error means that nobody is left who could say it later.
        let ended = async move { drop(end.wait_for(|end| *end).await) };
        tokio::select! {
            () = ended => {}
            () = self.export_all() => {}
        }
    }

    /// Exports whenever a portion is full or its first span has waited long enough. What is cut off stays in the portion.
    async fn export_all(&mut self) {
        loop {
            if self.portion.is_empty() && self.spans.recv_many(&mut self.portion, self.export.batch).await == 0 {
                return;
            }
            if self.portion.len() < self.export.batch {
                tokio::select! {
                    () = sleep(self.export.delay) => {}
                    () = self.enough.notified() => {}
                }
                self.fill();
            }
            let mut pause = PAUSE;
            for further in (0..TRIES).rev() {
                match self.try_once().await {
                    Outcome::Later(_) if further > 0 => {
                        sleep(pause).await;
                        pause *= 2;
                    }
                    outcome => {
                        self.settle(&outcome);
                        break;
                    }
                }
            }
        }
    }

    /// What waits goes, within bounded time; the rest is counted.
    async fn finish(&mut self) {
        self.spans.close();
        let rest = async {
            loop {
                self.fill();
                if self.portion.is_empty() {
                    return;
                }
                let outcome = self.try_once().await;
                self.settle(&outcome);
                if matches!(outcome, Outcome::Later(_)) {
                    return;
                }
            }
        };
        if timeout(PATIENCE, rest).await.is_err() {
            tracing::warn!(collector = %self.export, "the collector did not take the last spans in time");
        }
        let mut left = self.portion.len();
        while self.spans.try_recv().is_ok() {
            left += 1;
        }
        self.metrics.spans.dropped(Lost::Ended, left as u64);
    }

    fn fill(&mut self) {
        while self.portion.len() < self.export.batch
            && let Ok(span) = self.spans.try_recv()
        {
            self.portion.push(span);
        }
    }

    async fn try_once(&mut self) -> Outcome {
        let outcome = match self.send().await {
            Ok(rejected) => Outcome::Taken { rejected },
            Err(status) if is_passing(&status) => Outcome::Later(status),
            Err(status) => Outcome::Never(status),
        };
        match &outcome {
            Outcome::Taken { .. } => self.works(),
            Outcome::Later(status) | Outcome::Never(status) => self.fails(status),
        }
        outcome
    }

    async fn send(&mut self) -> Result<u64, Status> {
        let request =
            ExportTraceServiceRequest { resource_spans: vec![span::message(&self.export.service, &self.portion)] };
        let client = match &mut self.client {
            Some(client) => client,
            None => self.client.insert(connect(&self.export)?),
        };
        let late = |_| Status::deadline_exceeded(format!("no answer within {} s", LIMIT.as_secs()));
        let answer = timeout(LIMIT, client.export(request)).await.map_err(late)??.into_inner();
        Ok(answer.partial_success.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0)))
    }

    /// Counts what became of the portion, which is over.
    fn settle(&mut self, outcome: &Outcome) {
        let spans = self.portion.len() as u64;
        self.portion.clear();
        match outcome {
            Outcome::Taken { rejected } => {
                let rejected = spans.min(*rejected);
                self.metrics.spans.exported(spans - rejected);
                self.metrics.spans.dropped(Lost::Rejected, rejected);
            }
            Outcome::Later(_) => self.metrics.spans.dropped(Lost::Failed, spans),
            Outcome::Never(_) => self.metrics.spans.dropped(Lost::Rejected, spans),
        }
    }

    fn works(&mut self) {
        if self.works.replace(true) == Some(false) {
            tracing::info!(collector = %self.export, "the collector takes spans again");
        }
    }

    fn fails(&mut self, status: &Status) {
        self.metrics.spans.failed();
        // The next try looks the name up anew and has a connection that cannot hang yet.
        self.client = None;
        if self.works.replace(false) != Some(false) {
            tracing::warn!(
                collector = %self.export,
                code = ?status.code(),
                "spans cannot be exported; requests go on without: {}; check otlp-collector-host and otlp-collector-port",
                reason(status)
            );
        }
    }
}

/// Connects when it is used. Needs a runtime.
fn connect(export: &Export) -> Result<TraceServiceClient<Channel>, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{export}"));
    let endpoint = endpoint.map_err(|error| Status::invalid_argument(error.to_string()))?;
    Ok(TraceServiceClient::new(endpoint.connect_timeout(LIMIT).connect_lazy()))
}

/// Failures after which the same spans may be sent again (OTLP, section "Failures"), and those of connections.
fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unknown
    )
}

/// The innermost cause, which names what the outer ones only hint at.
fn reason(status: &Status) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(status);
    let mut text = status.message().to_owned();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}
