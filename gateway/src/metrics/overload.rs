//! How busy the process is, and what it sheds.
use prometheus::{Gauge, GaugeVec, IntCounter};

use super::label::{ByLabel, closed_label};
use super::register::Register;

closed_label! {
    /// Why a request was shed.
    ShedReason {
        /// The event loop of its worker is late.
        Lag = "lag",
        /// The memory is nearly used up.
        Memory = "memory",
    }
}

/// The handles.
pub(crate) struct OverloadMetrics {
    shed: ByLabel<ShedReason, IntCounter>,
    lag: GaugeVec,
    memory: Gauge,
}

impl OverloadMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, prometheus::Error> {
        let shed = register.counters(
            "requests_shed_total",
            "Requests that were answered with 503 because the gateway itself had too much to do.",
            &["reason"],
        )?;
        Ok(Self {
            shed: ByLabel::new(|reason| shed.with_label_values(&[reason])),
            lag: register.float_gauges(
                "worker_lag_seconds",
                "How late the event loop of a worker was; the best of its last three looks.",
                &["worker"],
            )?,
            memory: register.float_gauge(
                "memory_used_ratio",
                "Share of the memory limit that is in use; 0 when no limit is known.",
            )?,
        })
    }

    /// Counts a request that was shed.
    pub(crate) fn shed(&self, reason: ShedReason) {
        self.shed.inc(reason);
    }

    /// Publishes how late a worker was, in seconds.
    pub(crate) fn lag(&self, worker: &str, seconds: f64) {
        self.lag.with_label_values(&[worker]).set(seconds);
    }

    /// Publishes the share of the memory that is in use.
    pub(crate) fn memory(&self, share: f64) {
        self.memory.set(share);
    }
}
