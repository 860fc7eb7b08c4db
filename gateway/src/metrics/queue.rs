//! Requests that wait for room in a cluster with limits, and those that are turned away.
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use table::ClusterId;

use super::label::{ByLabel, ClosedLabel, closed_label};
use super::register::Register;

closed_label! {
    /// Why a request got no room.
    Rejection {
        /// As many waited as may, or none may.
        Full = "full",
        /// It had waited as long as it may.
        Timeout = "timeout",
        /// Its client left.
        Gone = "client_gone",
    }
}

/// Upper bounds of waits in seconds.
const WAITS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// The handles of one cluster.
pub(crate) struct QueueMetrics {
    rejections: ByLabel<Rejection, IntCounter>,
    waits: Histogram,
    length: IntGauge,
    limit: IntGauge,
}

impl QueueMetrics {
    /// Counts a request that got no room.
    pub(crate) fn reject(&self, rejection: Rejection) {
        self.rejections.inc(rejection);
    }

    /// Counts a request that got room after a wait.
    pub(crate) fn waited(&self, wait: Duration) {
        self.waits.observe(wait.as_secs_f64());
    }

    /// Publishes how many wait, and how many may be in flight (0 for no limit).
    pub(crate) fn publish(&self, waiting: usize, limit: u32) {
        self.length.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.limit.set(limit.into());
    }
}

/// The handles of all clusters.
#[derive(Clone)]
pub(super) struct Queues {
    rejections: IntCounterVec,
    waits: HistogramVec,
    length: IntGaugeVec,
    limit: IntGaugeVec,
}

impl Queues {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            rejections: register.counters(
                "upstream_rejections_total",
                "Requests that got no room within the limits of a Service, by why.",
                &["namespace", "service", "port", "reason"],
            )?,
            waits: register.histograms(
                "upstream_queue_wait_seconds",
                "How long requests waited that got room within the limits of a Service after a wait.",
                &["namespace", "service", "port"],
                WAITS,
            )?,
            length: register.gauges(
                "upstream_queue_length",
                "Requests that wait for room within the limits of a Service.",
                &["namespace", "service", "port"],
            )?,
            limit: register.gauges(
                "upstream_request_limit",
                "Requests that may be in flight to all endpoints of a Service that has limits; 0 when only each endpoint has one.",
                &["namespace", "service", "port"],
            )?,
        })
    }

    pub(super) fn resolve(&self, id: &ClusterId) -> QueueMetrics {
        let port = id.port().to_string();
        let (namespace, service): (&str, &str) = (id.namespace(), id.service());
        QueueMetrics {
            rejections: ByLabel::new(|reason| self.rejections.with_label_values(&[namespace, service, &port, reason])),
            waits: self.waits.with_label_values(&[namespace, service, &port]),
            length: self.length.with_label_values(&[namespace, service, &port]),
            limit: self.limit.with_label_values(&[namespace, service, &port]),
        }
    }

    /// Most clusters never had any.
    pub(super) fn retire(&self, id: &ClusterId) {
        let port = id.port().to_string();
        let (namespace, service): (&str, &str) = (id.namespace(), id.service());
        for reason in Rejection::TEXTS {
            drop(self.rejections.remove_label_values(&[namespace, service, &port, reason]));
        }
        drop(self.waits.remove_label_values(&[namespace, service, &port]));
        drop(self.length.remove_label_values(&[namespace, service, &port]));
        drop(self.limit.remove_label_values(&[namespace, service, &port]));
    }
}
