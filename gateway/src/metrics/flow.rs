//! What keeps an outage small: retries by reason, and what was refused to protect a cluster.
use super::label::closed_label;
use super::tally::{Tally, inc};

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

/// The figures of one cluster.
#[derive(Debug, Default)]
pub(crate) struct FlowMetrics {
    pub(super) retries: [Tally; RetryReason::COUNT],
    pub(super) exhausted: Tally,
}

impl FlowMetrics {
    /// Counts a request that is tried again.
    pub(crate) fn retry(&self, reason: RetryReason) {
        inc(&self.retries, reason);
    }

    /// Counts a retry that the budget did not allow.
    pub(crate) fn exhausted(&self) {
        self.exhausted.inc();
    }
}
