//! A connection of bytes at an endpoint: counted while it is open, judged by whether it could be made.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::cluster::Cluster;
use super::health::{Suspect, Why};
use crate::balance::Endpoint;
use crate::metrics::ConnectResult;

/// A connection at an endpoint. Ends when dropped.
pub(crate) struct Visit {
    endpoint: Arc<Endpoint>,
    began: Instant,
}

impl Visit {
    /// A connection is going to be made.
    pub(crate) fn new(endpoint: Arc<Endpoint>, cluster: &Cluster, began: Instant) -> Self {
        endpoint.begin(cluster.health().at(began));
        Self { endpoint, began }
    }

    /// Where it goes.
    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoint.address()
    }

    /// The connection is there. What takes long to connect counts as slow: nothing else is known of its answers.
    pub(crate) fn connected(&self, cluster: &Cluster) {
        let now = Instant::now();
        let micros = now.saturating_duration_since(self.began).as_secs_f32() * 1_000_000.0;
        self.endpoint.answered(micros, cluster.health().at(now));
        self.endpoint.succeeded();
        cluster.metrics.connect(ConnectResult::Ok);
    }

    /// The connection could not be made: the endpoint leaves the rotation if the policy says so.
    pub(crate) fn failed(&self, cluster: &Cluster, why: Why) {
        cluster.metrics.connect(match why {
            Why::Refused => ConnectResult::Refused,
            Why::ConnectTimeout => ConnectResult::Timeout,
            _ => ConnectResult::Other,
        });
        if cluster.policy().ejection.on_connect {
            cluster.health().eject(Suspect { endpoint: self.endpoint.clone(), why, rule: None });
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.endpoint.end();
    }
}
