//! Connections to endpoints, retries and endpoint counts by cluster.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use table::ClusterId;

use super::flow::{Flow, FlowMetrics};
use super::label::{ByLabel, ClosedLabel, closed_label};
use super::queue::{QueueMetrics, Queues};
use super::register::Register;
use crate::upstream::Why;

closed_label! {
    /// What became of an attempt to connect to an endpoint.
    ConnectResult {
        /// It succeeded.
        Ok = "ok",
        /// The endpoint's host refused.
        Refused = "refused",
        /// The connect timeout ran out.
        Timeout = "timeout",
        /// The connection was reset.
        Reset = "reset",
        /// The TLS handshake failed.
        Tls = "tls",
        /// Anything else.
        Other = "other",
    }
}

closed_label! {
    /// May an endpoint get requests?
    EndpointState {
        /// Yes.
        Ready = "ready",
        /// Only when none is ready.
        Draining = "draining",
        /// It was ejected and is being probed.
        Ejected = "ejected",
    }
}

/// The handle of one cluster's metrics.
pub(crate) struct ClusterMetrics {
    connects: ByLabel<ConnectResult, IntCounter>,
    endpoints: ByLabel<EndpointState, IntGauge>,
    in_flight: IntGauge,
    reused: IntCounter,
    /// Retries, and what was refused.
    pub(crate) flow: FlowMetrics,
    /// Resolved when something happens: few clusters ever lose an endpoint.
    rare: Rare,
    queues: Queues,
    port: String,
    id: ClusterId,
}

/// What happens rarely.
#[derive(Clone)]
struct Rare {
    ejections: IntCounterVec,
    returns: IntCounterVec,
    panic: IntGaugeVec,
    latency: GaugeVec,
    budget: GaugeVec,
}

impl ClusterMetrics {
    /// Counts an attempt to connect.
    pub(crate) fn connect(&self, result: ConnectResult) {
        self.connects.inc(result);
    }

    /// Counts an endpoint that left the rotation.
    pub(crate) fn ejection(&self, why: Why) {
        let [namespace, service, port] = self.labels();
        self.rare.ejections.with_label_values(&[namespace, service, port, why.as_str()]).inc();
    }

    /// Counts an endpoint that returned.
    pub(crate) fn returned(&self) {
        self.rare.returns.with_label_values(&self.labels()).inc();
    }

    /// Publishes how many endpoints are out of the rotation, and whether they are used all the same.
    pub(crate) fn ejected(&self, number: usize) {
        if let Some(gauge) = self.endpoints.get(EndpointState::Ejected) {
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }

    /// Publishes whether all endpoints are used because too many are out of the rotation.
    pub(crate) fn panics(&self, panics: bool) {
        self.rare.panic.with_label_values(&self.labels()).set(panics.into());
    }

    /// Publishes how many requests are in flight.
    pub(crate) fn in_flight(&self, number: u32) {
        self.in_flight.set(number.into());
    }

    /// Counts a try over a kept connection.
    pub(crate) fn reused(&self) {
        self.reused.inc();
    }

    /// Publishes the median latency of the endpoints.
    pub(crate) fn latency(&self, latency: Duration) {
        self.rare.latency.with_label_values(&self.labels()).set(latency.as_secs_f64());
    }

    /// Publishes how many retries may be made now.
    pub(crate) fn budget(&self, retries: f64) {
        self.rare.budget.with_label_values(&self.labels()).set(retries);
    }

    /// Where it is counted who waits for room. Takes a lock: keep the result.
    pub(crate) fn queue(&self) -> QueueMetrics {
        self.queues.resolve(&self.id)
    }

    fn labels(&self) -> [&str; 3] {
        [self.id.namespace(), self.id.service(), &self.port]
    }

    /// Publishes how many endpoints there are.
    pub(crate) fn endpoints(&self, ready: usize, draining: usize) {
        for (state, number) in [(EndpointState::Ready, ready), (EndpointState::Draining, draining)] {
            if let Some(gauge) = self.endpoints.get(state) {
                gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
            }
        }
    }
}

/// The handles of all clusters.
pub(super) struct Clusters {
    connects: IntCounterVec,
    endpoints: IntGaugeVec,
    in_flight: IntGaugeVec,
    reused: IntCounterVec,
    rare: Rare,
    flow: Flow,
    queues: Queues,
    handles: Mutex<HashMap<ClusterId, Arc<ClusterMetrics>>>,
}

impl Clusters {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            connects: register.counters(
                "upstream_connects_total",
                "Attempts to connect to an endpoint.",
                &["namespace", "service", "port", "result"],
            )?,
            endpoints: register.gauges(
                "upstream_endpoints",
                "Endpoints by whether they may get requests.",
                &["namespace", "service", "port", "state"],
            )?,
            in_flight: register.gauges(
                "upstream_requests_in_flight",
                "Requests in flight at the endpoints of a Service; at endpoints of several Services those of all of them.",
                &["namespace", "service", "port"],
            )?,
            reused: register.counters(
                "upstream_reused_connections_total",
                "Tries that went over a kept connection to an endpoint, or over one that others use at the same time.",
                &["namespace", "service", "port"],
            )?,
            rare: Rare {
                latency: register.float_gauges(
                    "upstream_latency_seconds",
                    "Median of the latencies of a Service's endpoints until the head of an answer, in the last second with requests.",
                    &["namespace", "service", "port"],
                )?,
                budget: register.float_gauges(
                    "upstream_retry_budget",
                    "Retries that the retry budget of a Service allows now; published from the first one on.",
                    &["namespace", "service", "port"],
                )?,
                ejections: register.counters(
                    "upstream_ejections_total",
                    "Endpoints that left the rotation, by reason.",
                    &["namespace", "service", "port", "reason"],
                )?,
                returns: register.counters(
                    "upstream_returns_total",
                    "Ejected endpoints that passed a probe and returned.",
                    &["namespace", "service", "port"],
                )?,
                panic: register.gauges(
                    "upstream_panic",
                    "1 while more endpoints are ejected than may be, so that all are used.",
                    &["namespace", "service", "port"],
                )?,
            },
            flow: Flow::new(register)?,
            queues: Queues::new(register)?,
            handles: Mutex::default(),
        })
    }

    pub(super) fn get(&self, id: &ClusterId) -> Arc<ClusterMetrics> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.entry(id.clone()).or_insert_with(|| Arc::new(self.resolve(id))).clone()
    }

    fn resolve(&self, id: &ClusterId) -> ClusterMetrics {
        let port = id.port().to_string();
        let (namespace, service): (&str, &str) = (id.namespace(), id.service());
        ClusterMetrics {
            connects: ByLabel::new(|result| self.connects.with_label_values(&[namespace, service, &port, result])),
            endpoints: ByLabel::new(|state| self.endpoints.with_label_values(&[namespace, service, &port, state])),
            in_flight: self.in_flight.with_label_values(&[namespace, service, &port]),
            reused: self.reused.with_label_values(&[namespace, service, &port]),
            flow: self.flow.resolve(id),
            rare: self.rare.clone(),
            queues: self.queues.clone(),
            port,
            id: id.clone(),
        }
    }

    pub(super) fn retire(&self, id: &ClusterId) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if handles.remove(id).is_none() {
            return;
        }
        self.flow.retire(id);
        self.queues.retire(id);
        let port = id.port().to_string();
        let (namespace, service): (&str, &str) = (id.namespace(), id.service());
        // All of them were made together; one that is gone already is what is wanted.
        for result in ConnectResult::TEXTS {
            drop(self.connects.remove_label_values(&[namespace, service, &port, result]));
        }
        drop(self.reused.remove_label_values(&[namespace, service, &port]));
        drop(self.rare.budget.remove_label_values(&[namespace, service, &port]));
        drop(self.rare.latency.remove_label_values(&[namespace, service, &port]));
        drop(self.in_flight.remove_label_values(&[namespace, service, &port]));
        drop(self.rare.returns.remove_label_values(&[namespace, service, &port]));
        drop(self.rare.panic.remove_label_values(&[namespace, service, &port]));
        for reason in Why::TEXTS {
            drop(self.rare.ejections.remove_label_values(&[namespace, service, &port, reason]));
        }
        for state in EndpointState::TEXTS {
            drop(self.endpoints.remove_label_values(&[namespace, service, &port, state]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::lines;
    use crate::metrics::{Metrics, RetryReason};
    use table::ServicePort;

    #[test]
    fn a_cluster_is_published_until_it_retires() {
        let metrics = Metrics::new().unwrap();
        let id = ClusterId::new("shop", "cart", ServicePort::Name("web".into()));
        let cluster = metrics.cluster(&id);
        cluster.connect(ConnectResult::Refused);
        cluster.flow.retry(RetryReason::Status);
        cluster.endpoints(3, 1);
        let all = lines(&metrics, r#"namespace="shop""#);
        assert_eq!(all.len(), ConnectResult::TEXTS.len() + EndpointState::TEXTS.len() + RetryReason::TEXTS.len() + 3);
        for line in [
            r#"ingora_upstream_connects_total{namespace="shop",port="web",result="refused",service="cart"} 1"#,
            r#"ingora_upstream_retries_total{namespace="shop",port="web",reason="status",service="cart"} 1"#,
            r#"ingora_upstream_endpoints{namespace="shop",port="web",service="cart",state="ready"} 3"#,
            r#"ingora_upstream_endpoints{namespace="shop",port="web",service="cart",state="draining"} 1"#,
        ] {
            assert!(all.iter().any(|have| have == line), "{line}");
        }
        metrics.retire_cluster(&id);
        cluster.flow.retry(RetryReason::Status);
        assert_eq!(lines(&metrics, "shop"), [""; 0]);
    }

    #[test]
    fn a_cluster_has_one_handle() {
        let metrics = Metrics::new().unwrap();
        let id = ClusterId::new("shop", "cart", ServicePort::Number(80));
        assert!(Arc::ptr_eq(&metrics.cluster(&id), &metrics.cluster(&id.clone())));
    }
}
