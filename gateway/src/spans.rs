//! Spans of requests on their way to a collector, by OTLP over gRPC.
//!
//! The request path leaves a [`Span`] and goes on: what finds no room is dropped and counted, never waited for. A thread of
//! its own exports; there is none while the ConfigMap names no collector.
mod exporter;
mod query;
mod span;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use features::Export;
use tokio::sync::{Notify, mpsc, watch};

use crate::metrics::{Lost, Metrics};
use exporter::Exporter;
pub(crate) use span::{Ids, Span};

/// How long an exporter that ends goes on with what waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where requests leave their spans.
pub(crate) struct Spans {
    line: ArcSwapOption<Line>,
    metrics: Arc<Metrics>,
}

/// The way to one collector. The exporter ends when it is dropped, or told to.
struct Line {
    export: Arc<Export>,
    queue: mpsc::Sender<Span>,
    /// An export is full.
    enough: Arc<Notify>,
    ending: watch::Sender<bool>,
    /// Disconnects when the exporter has ended.
    ended: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Spans {
    /// There is no collector yet.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { line: ArcSwapOption::empty(), metrics }
    }

    /// Exports to this collector from now on. The exporter to another one ends by itself, within [`PATIENCE`].
    pub(crate) fn follow(&self, export: Option<&Arc<Export>>) {
        if self.line.load().as_ref().map(|line| &line.export) == export {
            return;
        }
        let next = export.and_then(|export| match self.open(export) {
            Ok(line) => Some(Arc::new(line)),
            Err(error) => {
                tracing::error!(%error, "the exporter of spans cannot start; requests have none");
                None
            }
        });
        if let Some(before) = self.line.swap(next) {
            before.ending.send_replace(true);
        }
    }

    fn open(&self, export: &Arc<Export>) -> std::io::Result<Line> {
        let (queue, spans) = mpsc::channel(export.queue);
        let (ending, end) = watch::channel(false);
        let (alive, ended) = sync_channel(0);
        let enough = Arc::<Notify>::default();
        let exporter = Exporter::new(export.clone(), spans, enough.clone(), end, self.metrics.clone());
        std::thread::Builder::new().name("spans".to_owned()).spawn(move || {
            exporter.run();
            drop(alive);
        })?;
        Ok(Line { export: export.clone(), queue, enough, ending, ended: std::sync::Mutex::new(ended) })
    }

    /// Leaves a span, which is made when there is room for it. Never waits.
    pub(crate) fn leave(&self, make: impl FnOnce() -> Span) {
        let line = self.line.load();
        let Some(line) = line.as_ref() else { return self.metrics.spans.dropped(Lost::Ended, 1) };
        match line.queue.try_reserve() {
            Ok(place) => place.send(make()),
            Err(mpsc::error::TrySendError::Full(())) => return self.metrics.spans.dropped(Lost::Full, 1),
            Err(mpsc::error::TrySendError::Closed(())) => return self.metrics.spans.dropped(Lost::Ended, 1),
        }
        if line.queue.max_capacity() - line.queue.capacity() >= line.export.batch {
            line.enough.notify_one();
        }
    }

    /// Exports what waits, and ends. Waits, but not for ever.
    pub(crate) fn stop(&self) {
        let Some(line) = self.line.swap(None) else { return };
        line.ending.send_replace(true);
        let ended = line.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // The exporter keeps to its time; this is for one that does not.
        if ended.recv_timeout(PATIENCE * 2) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the exporter of spans did not end; spans may be missing");
        }
    }
}
