//! The way back: an ejected endpoint is probed with growing intervals until it passes.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use features::Check;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::probe::Probe;
use super::{EndpointChange, EndpointEvent, Health, Suspect, Why};
use crate::upstream::cluster::Cluster;

/// Between two probes: an eighth of the time since the ejection, within these bounds.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);
const PATIENCE: u32 = 8;

/// For one probe.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Probes that may wait for an answer at a time: one that an endpoint never answers does not keep the next one waiting, and
/// they do not heap up at an endpoint that is only slow.
const AT_A_TIME: usize = 4;

/// What was much slower than the others is left alone for so long.
const SLOW_REST: Duration = Duration::from_secs(10);

/// Tells that an endpoint has left, and brings it back. Ends also when no cluster has it any more.
pub(super) async fn bring_back(health: Arc<Health>, suspect: Suspect) {
    let (address, why) = (suspect.endpoint.address(), suspect.why);
    let strikes = strike(&health, &suspect);
    for cluster in health.clusters_of(&suspect.endpoint) {
        cluster.refresh();
        cluster.metrics.ejection(why);
        tracing::warn!(cluster = %cluster.id, endpoint = %address, why = why.as_str(), "an endpoint was ejected");
        tell(&health, &cluster, address, EndpointChange::Ejected, why);
    }
    let ejected = Instant::now();
    if wait_until_it_passes(&health, &suspect, ejected, strikes).await {
        come_back(&health, &suspect, ejected);
    } else {
        // An address that comes again starts anew.
        suspect.endpoint.restore(health.now(), Duration::ZERO);
    }
}

/// Counts how often it came back in vain: requests failed again although the probe had passed.
fn strike(health: &Health, suspect: &Suspect) -> u32 {
    let mut known = health.known();
    let Some(entry) = known.get_mut(&suspect.endpoint.address()) else { return 0 };
    let in_vain = !suspect.why.is_connect() && !suspect.endpoint.has_proved();
    entry.strikes = if in_vain { entry.strikes.saturating_add(1) } else { 0 };
    entry.strikes
}

/// False when no cluster has it any more.
async fn wait_until_it_passes(health: &Health, suspect: &Suspect, ejected: Instant, strikes: u32) -> bool {
    let rest = SHORTEST.saturating_mul(1 << strikes.saturating_sub(1).min(10)).min(LONGEST);
    let first = if suspect.why == Why::Slow { SLOW_REST.max(rest) } else { rest };
    let address = suspect.endpoint.address();
    let mut due = ejected + jittered(first);
    let (mut needed, mut passed) = (1, 0);
    let mut probes = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => {
                let clusters = health.clusters_of(&suspect.endpoint);
                if clusters.is_empty() {
                    return false;
                }
                due = Instant::now() + jittered((ejected.elapsed() / PATIENCE).clamp(SHORTEST, LONGEST));
                if probes.len() < AT_A_TIME {
                    let check = clusters.iter().find_map(|cluster| cluster.policy().check.clone());
                    needed = check.as_ref().map_or(1, |check| check.rise.max(1));
                    let (probe, timeout) = probe(suspect, check);
                    probes.push(async move { health.prober.run(&probe, address, timeout).await });
                }
            }
            Some(outcome) = probes.next() => match outcome {
                Ok(()) => {
                    passed += 1;
                    if passed >= needed {
                        return true;
                    }
                    // What began earlier and still waits says nothing any more.
                    probes.clear();
                    due = Instant::now() + jittered(SHORTEST);
                }
                Err(error) => {
                    passed = 0;
                    tracing::debug!(endpoint = %address, error, "an ejected endpoint failed a probe");
                }
            }
        }
    }
}

/// The active check if there is one, else what comes closest to what failed.
fn probe(suspect: &Suspect, check: Option<Arc<Check>>) -> (Probe, Duration) {
    match (check, &suspect.rule) {
        (Some(check), _) => {
            let timeout = check.timeout;
            (Probe::Check(check), timeout)
        }
        (None, Some(rule)) if !suspect.why.is_connect() => (Probe::Ask(rule.clone()), TIMEOUT),
        (None, _) => (Probe::Connect, TIMEOUT),
    }
}

fn come_back(health: &Health, suspect: &Suspect, ejected: Instant) {
    let (address, clusters) = (suspect.endpoint.address(), health.clusters_of(&suspect.endpoint));
    let slow_start = clusters.iter().map(|cluster| cluster.policy().slow_start).max().unwrap_or_default();
    if let Some(typical) = clusters.iter().find_map(|cluster| cluster.typical()) {
        suspect.endpoint.assume_latency(typical.as_secs_f32() * 1_000_000.0, health.now());
    }
    suspect.endpoint.restore(health.now(), slow_start);
    let after = ejected.elapsed();
    for cluster in clusters {
        cluster.refresh();
        cluster.metrics.returned();
        tracing::info!(cluster = %cluster.id, endpoint = %address, after_ms = after.as_millis(), "an endpoint has returned");
        tell(health, &cluster, address, EndpointChange::Returned, suspect.why);
    }
}

fn tell(health: &Health, cluster: &Cluster, address: SocketAddr, change: EndpointChange, why: Why) {
    health.tell(EndpointEvent { cluster: cluster.id.clone(), address, change, why: why.as_str() });
}

/// A tenth shorter to a tenth longer, so that probes of many endpoints do not meet.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f32(0.9 + 0.2 * fastrand::f32())
}
