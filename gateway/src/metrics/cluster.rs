//! Connections to endpoints, retries and endpoint counts by cluster.
use std::slice::from_ref;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};
use table::ClusterId;

use super::flow::{FlowMetrics, RetryReason};
use super::label::{ClosedLabel, closed_label};
use super::queue::{QueueMetrics, Queues};
use super::register::Register;
use super::tally::{Family, Published, Tally, inc};
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

/// What every cluster publishes from the start.
static FAMILIES: [Family; 6] = [
    Family {
        name: "upstream_connects_total",
        help: "Attempts to connect to an endpoint.",
        counts: true,
        label: Some(("result", ConnectResult::TEXTS)),
        tallies: |cluster| &cluster.connects,
    },
    Family {
        name: "upstream_endpoints",
        help: "Endpoints by whether they may get requests.",
        counts: false,
        label: Some(("state", EndpointState::TEXTS)),
        tallies: |cluster| &cluster.endpoints,
    },
    Family {
        name: "upstream_requests_in_flight",
        help: "Requests in flight at the endpoints of a Service; at endpoints of several Services those of all of them.",
        counts: false,
        label: None,
        tallies: |cluster| from_ref(&cluster.in_flight),
    },
    Family {
        name: "upstream_reused_connections_total",
        help: "Tries that went over a kept connection to an endpoint, or over one that others use at the same time.",
        counts: true,
        label: None,
        tallies: |cluster| from_ref(&cluster.reused),
    },
    Family {
        name: "upstream_retries_total",
        help: "Requests that were tried again, by why.",
        counts: true,
        label: Some(("reason", RetryReason::TEXTS)),
        tallies: |cluster| &cluster.flow.retries,
    },
    Family {
        name: "upstream_retries_denied_total",
        help: "Retries that the retry budget did not allow.",
        counts: true,
        label: None,
        tallies: |cluster| from_ref(&cluster.flow.exhausted),
    },
];

/// The handle of one cluster's metrics.
pub(crate) struct ClusterMetrics {
    connects: [Tally; ConnectResult::COUNT],
    endpoints: [Tally; EndpointState::COUNT],
    in_flight: Tally,
    reused: Tally,
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
        inc(&self.connects, result);
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
        self.set(EndpointState::Ejected, number);
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
        self.set(EndpointState::Ready, ready);
        self.set(EndpointState::Draining, draining);
    }

    fn set(&self, state: EndpointState, number: usize) {
        if let Some(tally) = self.endpoints.get(state.index()) {
            tally.set(u64::try_from(number).unwrap_or(u64::MAX));
        }
    }
}

/// The handles of all clusters.
pub(super) struct Clusters {
    rare: Rare,
    queues: Queues,
    published: Published,
}

impl Clusters {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, prometheus::Error> {
        let published = Published::default();
        register.tallies(&FAMILIES, &published)?;
        Ok(Self {
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
            queues: Queues::new(register)?,
            published,
        })
    }

    pub(super) fn get(&self, id: &ClusterId) -> Arc<ClusterMetrics> {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.entry(id.clone()).or_insert_with(|| Arc::new(self.resolve(id))).clone()
    }

    fn resolve(&self, id: &ClusterId) -> ClusterMetrics {
        ClusterMetrics {
            connects: Default::default(),
            endpoints: Default::default(),
            in_flight: Tally::default(),
            reused: Tally::default(),
            flow: FlowMetrics::default(),
            rare: self.rare.clone(),
            queues: self.queues.clone(),
            port: id.port().to_string(),
            id: id.clone(),
        }
    }

    pub(super) fn retire(&self, id: &ClusterId) {
        let retired = self.published.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        let Some(retired) = retired else { return };
        self.queues.retire(id);
        let labels = retired.labels();
        // Most of them never were.
        drop(self.rare.budget.remove_label_values(&labels));
        drop(self.rare.latency.remove_label_values(&labels));
        drop(self.rare.returns.remove_label_values(&labels));
        drop(self.rare.panic.remove_label_values(&labels));
        let [namespace, service, port] = labels;
        for reason in Why::TEXTS {
            drop(self.rare.ejections.remove_label_values(&[namespace, service, port, reason]));
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
