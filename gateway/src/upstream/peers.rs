//! The endpoints of clusters as the gateway sees them now, as JSON for the operator.
use std::net::SocketAddr;

use serde::Serialize;

use super::cluster::Cluster;
use super::registry::Registry;
use crate::balance::Member;

/// The most endpoints that are shown.
const MOST: usize = 10_000;

#[derive(Serialize)]
struct Shown {
    cluster: String,
    /// More endpoints are ejected than may be; all are used.
    panic: bool,
    typical_ms: Option<f64>,
    /// Requests that hold a place, where there are limits.
    in_flight: u32,
    /// Requests that wait for one.
    waiting: usize,
    /// Places; 0 for no limit.
    limit: u32,
    /// Requests in flight with which an endpoint gets no more; 0 for no limit.
    limit_per_endpoint: u32,
    endpoints: Vec<Peer>,
}

#[derive(Serialize)]
struct Peer {
    address: SocketAddr,
    state: &'static str,
    weight: u16,
    near: bool,
    in_flight: u32,
    unanswered: u32,
    latency_ms: Option<f64>,
    /// The share of its requests that it gets in slow start.
    share: f64,
}

/// The clusters of a Service, `namespace/name`, or all of them; so many endpoints at most.
pub(crate) fn peers(registry: &Registry, service: &str) -> Vec<u8> {
    let now = registry.health().now();
    let mut left = MOST;
    let mut shown = Vec::new();
    for cluster in registry.all().iter().filter(|cluster| service.is_empty() || is(cluster, service)) {
        let endpoints: Vec<_> = cluster.all().iter().take(left).map(|member| peer(member, now)).collect();
        left -= endpoints.len();
        shown.push(Shown {
            cluster: cluster.id.to_string(),
            panic: cluster.panics(),
            in_flight: cluster.gate.in_flight(),
            waiting: cluster.gate.waiting(),
            limit: cluster.gate.most(),
            limit_per_endpoint: cluster.most_per_endpoint(),
            typical_ms: cluster.typical().map(|typical| typical.as_secs_f64() * 1_000.0),
            endpoints,
        });
        if left == 0 {
            break;
        }
    }
    // Numbers and plain texts always become JSON.
    serde_json::to_vec_pretty(&shown).unwrap_or_default()
}

fn is(cluster: &Cluster, service: &str) -> bool {
    service.split_once('/') == Some((cluster.id.namespace(), cluster.id.service()))
}

fn peer(member: &Member, now: u64) -> Peer {
    let endpoint = &member.endpoint;
    let share = endpoint.share(now);
    let state = match (endpoint.is_out(), member.draining) {
        (true, _) => "ejected",
        (false, true) => "draining",
        (false, false) if share < 1.0 => "slow_start",
        (false, false) => "serving",
    };
    Peer {
        address: endpoint.address(),
        state,
        weight: member.weight,
        near: member.near,
        in_flight: endpoint.in_flight(),
        unanswered: endpoint.unanswered(),
        latency_ms: endpoint.latency().map(|micros| f64::from(micros) / 1_000.0),
        share: share.into(),
    }
}
