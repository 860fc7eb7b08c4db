//! Figures of single endpoints, filled when somebody asks for metrics: off unless wanted, and never without bound.
use prometheus::{GaugeVec, IntGaugeVec};
use table::ClusterId;

use super::register::Register;
use crate::balance::Member;

/// What stands in the place of an address for all endpoints that are not shown by themselves.
const OTHER: &str = "other";

/// Figures of endpoints.
pub(crate) struct EndpointMetrics {
    most: usize,
    in_flight: IntGaugeVec,
    ejected: IntGaugeVec,
    latency: GaugeVec,
}

const LABELS: &[&str] = &["namespace", "service", "port", "endpoint"];

impl EndpointMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            most: 0,
            in_flight: register.gauges(
                "endpoint_requests_in_flight",
                "Requests in flight at an endpoint (--metrics-per-endpoint); beyond that number all of a Service are \"other\".",
                LABELS,
            )?,
            ejected: register.gauges(
                "endpoint_ejected",
                "1 while an endpoint is ejected (--metrics-per-endpoint); for \"other\" how many are.",
                LABELS,
            )?,
            latency: register.float_gauges(
                "endpoint_latency_seconds",
                "Moving average of an endpoint's latency until the head of its answer (--metrics-per-endpoint).",
                LABELS,
            )?,
        })
    }

    /// So many endpoints are shown by themselves; 0 shows none, and no others either.
    pub(super) fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// Forgets what was published, and publishes what there is. Clusters come in a stable order, so that the same endpoints
    /// are shown each time.
    pub(crate) fn publish(&self, clusters: impl Iterator<Item = (ClusterId, Vec<Member>)>) {
        if self.most == 0 {
            return;
        }
        self.in_flight.reset();
        self.ejected.reset();
        self.latency.reset();
        let mut left = self.most;
        for (id, members) in clusters {
            let port = id.port().to_string();
            for member in &members {
                let endpoint = &member.endpoint;
                let address = if left > 0 { endpoint.address().to_string() } else { OTHER.to_owned() };
                let labels = [id.namespace(), id.service(), &*port, &*address];
                self.in_flight.with_label_values(&labels).add(endpoint.in_flight().into());
                self.ejected.with_label_values(&labels).add(endpoint.is_out().into());
                if let (Some(micros), 1..) = (endpoint.latency(), left) {
                    self.latency.with_label_values(&labels).set(f64::from(micros) / 1_000_000.0);
                }
                left = left.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Endpoint;
    use crate::metrics::Metrics;
    use crate::metrics::tests::lines;
    use std::sync::Arc;
    use table::ServicePort;

    fn clusters() -> Vec<(ClusterId, Vec<Member>)> {
        let member = |port: u16| {
            let endpoint = Arc::new(Endpoint::new(std::net::SocketAddr::from(([10, 0, 0, 1], port))));
            endpoint.enter();
            endpoint.assume_latency(2_000.0, 0);
            endpoint.eject();
            Member { endpoint, weight: 1, draining: false, near: true }
        };
        vec![(ClusterId::new("shop", "cart", ServicePort::Number(80)), (1..=3).map(member).collect())]
    }

    #[test]
    fn endpoints_are_shown_up_to_a_number_and_the_others_together() {
        let metrics = Metrics::new().unwrap().per_endpoint(1);
        for _ in 0..2 {
            metrics.endpoints.publish(clusters().into_iter());
        }
        let have = lines(&metrics, "ingora_endpoint_");
        let of = |name: &str, endpoint: &str, value: &str| {
            let labels = format!(r#"endpoint="{endpoint}",namespace="shop",port="80",service="cart""#);
            format!("ingora_endpoint_{name}{{{labels}}} {value}")
        };
        let want = [
            of("ejected", "10.0.0.1:1", "1"),
            of("ejected", OTHER, "2"),
            of("latency_seconds", "10.0.0.1:1", "0.002"),
            of("requests_in_flight", "10.0.0.1:1", "1"),
            of("requests_in_flight", OTHER, "2"),
        ];
        assert_eq!(have, want);
    }

    #[test]
    fn without_the_wish_none_is_shown() {
        let metrics = Metrics::new().unwrap();
        metrics.endpoints.publish(clusters().into_iter());
        assert_eq!(lines(&metrics, "ingora_endpoint_"), [""; 0]);
    }
}
