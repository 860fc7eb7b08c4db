//! Room for one request at an endpoint, within the limits of its cluster.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use features::Balance;

use super::cluster::Cluster;
use crate::balance::Endpoint;
use crate::metrics::Rejection;

/// How often others may take the last place of an endpoint between a look and a step before the request waits.
const RACES: usize = 8;

/// How often the first of those that wait looks by itself: room at an endpoint may come from another cluster that has it,
/// which knows nothing of this queue.
const LOOK: Duration = Duration::from_millis(100);

/// A request in flight at an endpoint. Ends when dropped.
pub(crate) struct Room {
    endpoint: Arc<Endpoint>,
    /// Dropped after the endpoint was told that it has ended.
    slot: Option<Slot>,
}

impl Room {
    /// In a cluster without limits.
    pub(crate) fn unlimited(endpoint: Arc<Endpoint>) -> Self {
        endpoint.enter();
        Self { endpoint, slot: None }
    }

    /// Its answer begins, and was no failure. With adaptive concurrency that ends what the limit of the cluster counts: how
    /// long the answer takes from here on is the client's affair or a stream's.
    pub(super) fn answered(&mut self, cluster: &Cluster, micros: f32, now: u64, well: bool) {
        if self.slot.is_none() || !cluster.is_adaptive() {
            return;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "latencies are positive and short")]
        if well {
            cluster.adapt(micros as u64, now);
        }
        self.slot = None;
    }

    /// The endpoint.
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.endpoint.end();
    }
}

/// A place in a cluster with limits. Given back when dropped.
struct Slot(Arc<Cluster>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.gate.leave();
    }
}

/// What a request wants from a cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want<'r> {
    /// How an endpoint is chosen.
    pub(crate) balance: Balance,
    /// Endpoints that it has tried.
    pub(crate) tried: &'r [SocketAddr],
    /// What hashing goes by.
    pub(crate) key: Option<u64>,
    /// When it must have ended.
    pub(crate) deadline: Option<Instant>,
}

impl Cluster {
    /// An endpoint that was not tried, or after every one was, any.
    pub(crate) fn choose(&self, want: &Want<'_>, now: Instant) -> Option<Arc<Endpoint>> {
        let pick = |tried: &[SocketAddr]| self.pick(want.balance, tried, want.key, now);
        pick(want.tried).or_else(|| pick(&[]))
    }

    /// Room for a request of a cluster with limits: at once, or in its turn. `gone` resolves when its client has left.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn room(
        self: &Arc<Self>,
        want: &Want<'_>,
        gone: impl Future<Output = ()>,
    ) -> Result<Room, Rejection> {
        if self.gate.waiting() == 0 {
            if let Some(room) = self.try_room(want) {
                return Ok(room);
            }
            self.adapt_without_answer(Instant::now());
            // One that has just begun to wait may have missed the place that was held meanwhile.
            self.gate.wake();
        }
        let waited = self.wait(want, gone).await;
        if let Err(rejection) = waited {
            self.queue_metrics().reject(rejection);
        }
        waited
    }

    async fn wait(self: &Arc<Self>, want: &Want<'_>, gone: impl Future<Output = ()>) -> Result<Room, Rejection> {
        let breaker = self.policy().breaker;
        if breaker.pending_timeout.is_zero() {
            return Err(Rejection::Full);
        }
        let turn = self.gate.join(breaker.pending).ok_or(Rejection::Full)?;
        let began = Instant::now();
        let end = began + breaker.pending_timeout;
        let end = want.deadline.map_or(end, |deadline| deadline.min(end));
        tokio::pin!(gone);
        loop {
            if turn.is_first()
                && let Some(room) = self.try_room(want)
            {
                drop(turn);
                self.queue_metrics().waited(began.elapsed());
                return Ok(room);
            }
            let now = Instant::now();
            self.adapt_without_answer(now);
            let left = end.saturating_duration_since(now);
            if left.is_zero() {
                return Err(Rejection::Timeout);
            }
            tokio::select! {
                () = turn.told() => {}
                () = &mut gone => return Err(Rejection::Gone),
                () = tokio::time::sleep(left.min(LOOK)) => {}
            }
        }
    }

    fn try_room(self: &Arc<Self>, want: &Want<'_>) -> Option<Room> {
        if !self.gate.enter() {
            return None;
        }
        let now = Instant::now();
        for _ in 0..RACES {
            let Some(endpoint) = self.choose(want, now) else { break };
            let most = self.most_per_endpoint();
            if most == 0 {
                endpoint.enter();
            } else if !endpoint.try_enter(most) {
                continue;
            }
            return Some(Room { endpoint, slot: Some(Slot(self.clone())) });
        }
        self.gate.give_back();
        None
    }
}
