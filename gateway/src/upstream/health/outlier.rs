//! Endpoints that are much slower than the others of their cluster.
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Suspect, Why};
use crate::balance::Endpoint;
use crate::upstream::cluster::Cluster;
use crate::upstream::registry::Registry;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Answers in a period that say something about an endpoint.
const ANSWERS: u32 = 5;

/// Endpoints that say something about a cluster.
const ENDPOINTS: usize = 3;

/// Differences below it do not matter, in microseconds.
const TOLERANCE: f32 = 20_000.0;

/// Periods in a row that make an outlier.
const PERIODS: u8 = 3;

/// Looks at each cluster that had requests, once a period.
pub(super) async fn watch(registry: Arc<Registry>) {
    let mut slow = HashMap::new();
    let mut pace = tokio::time::interval(PERIOD);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        for cluster in registry.active() {
            look(&cluster, &mut slow);
        }
    }
}

fn look(cluster: &Cluster, slow: &mut HashMap<SocketAddr, u8>) {
    let members = cluster.members();
    let windows = members.list().iter().map(|member| (&member.endpoint, member.endpoint.take_window()));
    let windows: Vec<_> = windows.filter(|(_, (count, _))| *count >= ANSWERS).map(|(e, (_, mean))| (e, mean)).collect();
    let Some(median) = median(windows.iter().map(|(_, mean)| *mean)) else { return };
    cluster.set_typical(median);
    let factor = f32::from(cluster.policy().ejection.latency_factor);
    if windows.len() < ENDPOINTS || factor <= 0.0 {
        return;
    }
    for (endpoint, mean) in windows {
        if mean > median * factor && mean > median + TOLERANCE {
            judge(cluster, endpoint, slow);
        } else {
            slow.remove(&endpoint.address());
        }
    }
}

fn judge(cluster: &Cluster, endpoint: &Arc<Endpoint>, slow: &mut HashMap<SocketAddr, u8>) {
    let periods = slow.entry(endpoint.address()).or_default();
    *periods += 1;
    if *periods >= PERIODS {
        slow.remove(&endpoint.address());
        cluster.health().eject(Suspect { endpoint: endpoint.clone(), why: Why::Slow, rule: None });
    }
}

/// The middle one; of two middle ones the smaller.
fn median(values: impl Iterator<Item = f32>) -> Option<f32> {
    let mut values: Vec<f32> = values.collect();
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable_by(middle, f32::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([].into_iter()), None);
        assert_eq!(median([5.0, 1.0, 9.0].into_iter()), Some(5.0));
        assert_eq!(median([5.0, 1.0].into_iter()), Some(1.0));
    }
}
