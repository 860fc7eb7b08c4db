//! What keeps an outage small: retries by reason, and what was refused to protect a cluster.
use prometheus::{IntCounter, IntCounterVec};
use table::ClusterId;

use super::label::{ByLabel, ClosedLabel, closed_label};
use super::register::Register;

closed_label! {
    /// Why a request was tried again.
    RetryReason {
        /// The connection could not be made.
        Connect = "connect",
        /// The connection ended before the answer began.
        Error = "error",
        /// A time ran out before the answer began.
        Timeout = "timeout",
        /// What came was no HTTP answer.
        Invalid = "invalid",
        /// The status is listed.
        Status = "status",
        /// A kept connection had been closed, or the endpoint said that it did not process the request.
        Unprocessed = "unprocessed",
    }
}

/// The handles of one cluster.
pub(crate) struct FlowMetrics {
    retries: ByLabel<RetryReason, IntCounter>,
    exhausted: IntCounter,
}

impl FlowMetrics {
    /// Counts a request that is tried again.
    pub(crate) fn retry(&self, reason: RetryReason) {
        self.retries.inc(reason);
    }

    /// Counts a retry that the budget did not allow.
    pub(crate) fn exhausted(&self) {
        self.exhausted.inc();
    }
}

/// The handles of all clusters.
pub(super) struct Flow {
    retries: IntCounterVec,
    exhausted: IntCounterVec,
}

impl Flow {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            retries: register.counters(
                "upstream_retries_total",
                "Requests that were tried again, by why.",
                &["namespace", "service", "port", "reason"],
            )?,
            exhausted: register.counters(
                "upstream_retries_denied_total",
                "Retries that the retry budget did not allow.",
                &["namespace", "service", "port"],
            )?,
        })
    }

    pub(super) fn resolve(&self, id: &ClusterId) -> FlowMetrics {
        let port = id.port().to_string();
        let (namespace, service): (&str, &str) = (id.namespace(), id.service());
        FlowMetrics {
            retries: ByLabel::new(|reason| self.retries.with_label_values(&[namespace, service, &port, reason])),
            exhausted: self.exhausted.with_label_values(&[namespace, service, &port]),
        }
    }

    /// All of them were made together; one that is gone already is what is wanted.
    pub(super) fn retire(&self, id: &ClusterId) {
        let port = id.port().to_string();
        let (namespace, service): (&str, &str) = (id.namespace(), id.service());
        for reason in RetryReason::TEXTS {
            drop(self.retries.remove_label_values(&[namespace, service, &port, reason]));
        }
        drop(self.exhausted.remove_label_values(&[namespace, service, &port]));
    }
}
