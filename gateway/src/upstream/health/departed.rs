//! Endpoints that left their clusters or terminate: once their requests have ended, so do their connections.
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Health;
use crate::balance::{Endpoint, Member};
use crate::upstream::Connections;

/// Between two looks at an endpoint: an eighth of the time since it left, within these bounds. The first pause also lets
/// a request begin that chose the endpoint a moment before.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);
const PATIENCE: u32 = 8;

impl Health {
    /// Has the connections closed of those that get nothing new from now on.
    pub(in crate::upstream) fn part_with(&self, before: &[Member], now: &[Member]) {
        // Both are in the order of their addresses.
        let stays = |member: &Member| {
            let address = member.endpoint.address();
            let place = now.binary_search_by(|new| new.endpoint.address().cmp(&address));
            let new = place.ok().and_then(|place| now.get(place));
            new.is_some_and(|new| new.draining == member.draining && Arc::ptr_eq(&new.endpoint, &member.endpoint))
        };
        let gone = before.iter().filter(|member| !stays(member)).map(|member| member.endpoint.clone());
        let mut departed = self.departed();
        departed.extend(gone);
        if !departed.is_empty() {
            self.wake.notify_one();
        }
    }

    /// Does a cluster choose it?
    fn is_chosen(&self, endpoint: &Arc<Endpoint>) -> bool {
        let has = |members: &[Member]| members.iter().any(|member| Arc::ptr_eq(&member.endpoint, endpoint));
        self.clusters_of(endpoint).iter().any(|cluster| has(cluster.members().list()))
    }
}

/// Waits until the requests of an endpoint have ended, and closes its connections; or until a cluster chooses it again.
pub(super) async fn close_when_idle(health: Arc<Health>, endpoint: Arc<Endpoint>) {
    let left = Instant::now();
    loop {
        tokio::time::sleep((left.elapsed() / PATIENCE).clamp(SHORTEST, LONGEST)).await;
        if health.is_chosen(&endpoint) {
            return;
        }
        if endpoint.in_flight() == 0 {
            return Connections::of(&endpoint).into_iter().for_each(|connections| connections.close());
        }
    }
}
