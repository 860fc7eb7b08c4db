//! What becomes of spans.
use prometheus::IntCounter;

use super::label::{ByLabel, closed_label};
use super::register::Register;

closed_label! {
    /// Why a span never reached the collector.
    Lost {
        /// As many waited as may.
        Full = "queue_full",
        /// The collector could not be reached or did not answer, as often as it was tried.
        Failed = "failed",
        /// The collector did not take it.
        Rejected = "rejected",
        /// The gateway ended or turned to another collector before.
        Ended = "ended",
    }
}

/// The handles.
pub(crate) struct SpanMetrics {
    exported: IntCounter,
    failures: IntCounter,
    dropped: ByLabel<Lost, IntCounter>,
}

impl SpanMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, prometheus::Error> {
        let dropped =
            register.counters("spans_dropped_total", "Spans that never reached the collector, by why.", &["reason"])?;
        Ok(Self {
            exported: register.counter("spans_exported_total", "Spans that the collector has taken.")?,
            failures: register
                .counter("span_export_failures_total", "Exports of spans that failed; most are tried again.")?,
            dropped: ByLabel::new(|reason| dropped.with_label_values(&[reason])),
        })
    }

    /// Counts spans that the collector has taken.
    pub(crate) fn exported(&self, spans: u64) {
        self.exported.inc_by(spans);
    }

    /// Counts a failed export.
    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    /// Counts spans that are lost.
    pub(crate) fn dropped(&self, why: Lost, spans: u64) {
        if let Some(counter) = self.dropped.get(why) {
            counter.inc_by(spans);
        }
    }
}
