//! How busy the process is, and what it sheds.
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{Gauge, GaugeVec, IntCounter};

use super::label::{ByLabel, closed_label};
use super::register::Register;

/// How often the log says the same.
const TELL: Duration = Duration::from_secs(60);

closed_label! {
    /// Why a request was shed.
    ShedReason {
        /// The event loop of its worker is late.
        Lag = "lag",
        /// The memory is nearly used up.
        Memory = "memory",
    }
}

closed_label! {
    /// Why the body of a request was not read whole before an endpoint got it.
    Ungathered {
        /// The bodies of other requests have taken the room.
        Room = "room",
        /// No file can be written.
        Disk = "disk",
    }
}

/// The handles.
pub(crate) struct OverloadMetrics {
    shed: ByLabel<ShedReason, IntCounter>,
    ungathered: ByLabel<Ungathered, IntCounter>,
    lag: GaugeVec,
    memory: Gauge,
    /// When it was last told that bodies pass on as they come.
    told: Mutex<Option<Instant>>,
}

impl OverloadMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, prometheus::Error> {
        let shed = register.counters(
            "requests_shed_total",
            "Requests that were answered with 503 because the gateway itself had too much to do.",
            &["reason"],
        )?;
        let ungathered = register.counters(
            "bodies_passed_unread_total",
            "Bodies of requests that passed on as they came, although they were to be read whole first.",
            &["reason"],
        )?;
        Ok(Self {
            ungathered: ByLabel::new(|reason| ungathered.with_label_values(&[reason])),
            told: Mutex::default(),
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

    /// Counts a body that is not read whole, and tells so once in a while.
    pub(crate) fn ungathered(&self, reason: Ungathered) {
        self.ungathered.inc(reason);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TELL) {
            *told = Some(Instant::now());
            tracing::warn!(
                reason = reason.as_str(),
                "bodies of requests pass on as they come, although they were to be read whole first"
            );
        }
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
