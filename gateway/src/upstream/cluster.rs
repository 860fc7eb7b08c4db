//! One cluster at run time: its endpoints, its policy, and what requests choose from.
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use features::{Alternative, Balance, Breaker, ClusterPolicy, hash};
use table::{ClusterId, Endpoints, Readiness};
use tokio::sync::Notify;

use super::adaptive::Adaptive;
use super::budget::Budget;
use super::gate::Gate;
use super::health::{Contribution, Health};
use crate::balance::{Ask, Bounds, Choice, Endpoint, Member, Members};
use crate::metrics::{ClusterMetrics, QueueMetrics};

/// The endpoints of one service port. Shared by every rule that names it, and kept across tables.
///
/// What requests choose from is an immutable list that is made anew when an endpoint comes, goes or changes sides, so that
/// choosing neither clones nor locks.
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    /// What names it in affinity cookies.
    pub(crate) identity: u64,
    health: Arc<Health>,
    choice: ArcSwap<Choice>,
    policy: ArcSwap<ClusterPolicy>,
    /// Is there a canary? Read before the canary itself, so that most requests pay nothing else.
    has_canary: AtomicBool,
    canary: ArcSwapOption<Canary>,
    turn: AtomicUsize,
    /// Requests have chosen since the last look.
    active: AtomicBool,
    /// The median latency of the endpoints in microseconds; 0 when nothing is known.
    typical: AtomicU32,
    inner: Mutex<Inner>,
    changed: Notify,
    /// Requests that wait for an endpoint.
    held: AtomicUsize,
    /// What sets the limit of the gate by the latency, if that is wanted.
    adaptive: ArcSwapOption<Adaptive>,
    /// What limits its requests, if anything does.
    pub(crate) gate: Gate,
    /// What retries may take.
    pub(crate) budget: Budget,
    /// Resolved handles.
    pub(crate) metrics: Arc<ClusterMetrics>,
    /// Resolved when a request first has to wait.
    queue_metrics: OnceLock<QueueMetrics>,
}

/// A cluster that takes some of the requests of another one.
pub(crate) struct Canary {
    /// Who takes them.
    pub(crate) cluster: Arc<Cluster>,
    /// Which ones.
    pub(crate) terms: Arc<Alternative>,
}

/// Requests that may wait for the first endpoint of a cluster at a time.
const HELD: usize = 1_024;

/// The most that adaptive concurrency lets pass where no limit is set (Envoy's `max_concurrency_limit` is the same).
const ADAPTIVE_MAX: u32 = 1_000;

/// Counts a request that waits, until dropped.
struct Held<'a>(&'a AtomicUsize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[derive(Default)]
struct Inner {
    all: Vec<Member>,
    members: Arc<Members>,
    /// Endpoints that the active check gets from this cluster.
    checked: Option<Contribution>,
}

impl Cluster {
    /// A cluster without endpoints.
    pub(crate) fn new(id: ClusterId, health: Arc<Health>, metrics: Arc<ClusterMetrics>) -> Self {
        Self {
            identity: hash::cluster(&id),
            id,
            health,
            choice: ArcSwap::default(),
            policy: ArcSwap::default(),
            has_canary: AtomicBool::new(false),
            canary: ArcSwapOption::empty(),
            turn: AtomicUsize::new(0),
            active: AtomicBool::new(false),
            typical: AtomicU32::new(0),
            inner: Mutex::default(),
            changed: Notify::new(),
            held: AtomicUsize::new(0),
            adaptive: ArcSwapOption::empty(),
            gate: Gate::default(),
            budget: Budget::default(),
            metrics,
            queue_metrics: OnceLock::new(),
        }
    }

    /// Takes a new policy.
    pub(crate) fn set_policy(&self, policy: &Arc<ClusterPolicy>) {
        self.policy.store(policy.clone());
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.contribute(&mut inner);
        self.remake(&inner);
        drop(inner);
        self.gate.set(policy.breaker.is_on(), self.limit(&policy.breaker));
    }

    /// The limit of all requests together; 0 for none.
    fn limit(&self, breaker: &Breaker) -> u32 {
        let Some(min) = breaker.adaptive else {
            self.adaptive.store(None);
            return breaker.requests;
        };
        let max = if breaker.requests > 0 { breaker.requests } else { ADAPTIVE_MAX };
        let bounds = Bounds { min: min.get().min(max), max };
        if let Some(adaptive) = &*self.adaptive.load() {
            return adaptive.rebound(bounds);
        }
        self.adaptive.store(Some(Arc::new(Adaptive::new(bounds, self.health.now()))));
        bounds.min
    }

    /// Does the limit follow the latency?
    pub(super) fn is_adaptive(&self) -> bool {
        self.adaptive.load().is_some()
    }

    /// An answer has come from an endpoint without a fault: the limit may change by it.
    pub(super) fn adapt(&self, micros: u64, now: u64) {
        if let Some(adaptive) = &*self.adaptive.load()
            && let Some(limit) = adaptive.answered(micros, self.gate.in_flight(), now)
        {
            self.gate.set(true, limit);
        }
    }

    /// Requests wait: without answers the limit may have to change, too.
    pub(super) fn adapt_without_answer(&self, now: Instant) {
        if let Some(adaptive) = &*self.adaptive.load()
            && let Some(limit) = adaptive.look(self.gate.in_flight(), self.health.at(now))
        {
            self.gate.set(true, limit);
        }
    }

    /// Takes a canary, or none.
    pub(super) fn set_canary(&self, canary: Option<Canary>) {
        let has = canary.is_some();
        self.canary.store(canary.map(Arc::new));
        self.has_canary.store(has, Relaxed);
    }

    /// The canary, if there is one.
    pub(crate) fn canary(&self) -> Option<Arc<Canary>> {
        if self.has_canary.load(Relaxed) { self.canary.load_full() } else { None }
    }

    /// The policy.
    pub(crate) fn policy(&self) -> Arc<ClusterPolicy> {
        self.policy.load_full()
    }

    /// Takes new endpoints.
    pub(crate) fn set_endpoints(self: &Arc<Self>, endpoints: &Endpoints) {
        let now = self.health.now();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let had = std::mem::take(&mut inner.all);
        inner.all = self.health.members(self, &had, endpoints);
        self.welcome(&had, &inner.all, now);
        inner.members = Arc::new(Members::new(&inner.all, &inner.members));
        let draining = endpoints.list.iter().filter(|endpoint| endpoint.readiness == Readiness::Draining).count();
        self.metrics.endpoints(endpoints.list.len() - draining, draining);
        self.contribute(&mut inner);
        self.remake(&inner);
        self.health.part_with(&had, &inner.all);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Gives its endpoints up: nothing is watched for it any more.
    pub(super) fn retire(self: &Arc<Self>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.checked = None;
        // Two clusters may be each other's canary.
        self.set_canary(None);
        self.health.leave(self, &inner.all);
    }

    /// What is new in a cluster that serves already starts at the others' latency, and slowly if the policy says so.
    fn welcome(&self, had: &[Member], all: &[Member], now: u64) {
        let policy = self.policy.load();
        let known = had.iter().filter_map(|member| member.endpoint.latency());
        let (sum, number) = known.fold((0.0, 0u16), |(sum, number), latency| (sum + latency, number.saturating_add(1)));
        for member in all.iter().filter(|member| had.iter().all(|old| !Arc::ptr_eq(&old.endpoint, &member.endpoint))) {
            if number > 0 && member.endpoint.latency().is_none() {
                member.endpoint.assume_latency(sum / f32::from(number), now);
            }
            if !had.is_empty() && policy.slow_start_new {
                member.endpoint.start_slowly(now, policy.slow_start);
            }
        }
    }

    fn contribute(&self, inner: &mut Inner) {
        let policy = self.policy.load();
        inner.checked = policy.check.as_ref().map(|check| {
            let addresses = inner.members.list().iter().map(|member| member.endpoint.address()).collect();
            self.health.contribute(check, inner.checked.take(), addresses)
        });
    }

    /// Makes the list of endpoints anew after one of them was ejected or has returned.
    pub(crate) fn refresh(&self) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.remake(&inner);
    }

    fn remake(&self, inner: &Inner) {
        let policy = self.policy.load();
        let choice = Choice::new(inner.members.clone(), self.health.now(), policy.ejection.max_percent)
            .limited(policy.breaker.requests_per_endpoint);
        let out = inner.members.list().iter().filter(|member| member.endpoint.is_out()).count();
        self.metrics.ejected(out);
        let panicked = self.choice.swap(Arc::new(choice)).panics();
        // One that came or returned may have room.
        self.gate.wake();
        let panics = self.choice.load().panics();
        if panics != panicked {
            self.metrics.panics(panics);
        }
        if panics && !panicked {
            tracing::warn!(cluster = %self.id, ejected = out, "more endpoints are ejected than may be; all are used");
        } else if panicked && !panics {
            tracing::info!(cluster = %self.id, ejected = out, "ejected endpoints are left out again");
        }
    }

    /// An endpoint that was not tried; `None` when all were.
    pub(crate) fn pick(
        &self,
        balance: Balance,
        tried: &[SocketAddr],
        key: Option<u64>,
        now: Instant,
    ) -> Option<Arc<Endpoint>> {
        if !self.active.load(Relaxed) {
            self.active.store(true, Relaxed);
        }
        let ask = Ask { now: self.health.at(now), random: fastrand::u64(..), tried, key };
        self.choice.load().pick(balance, &self.turn, &ask).cloned()
    }

    /// Publishes what is only looked up when somebody asks.
    pub(super) fn publish(&self) {
        let members = self.inner.lock().unwrap_or_else(PoisonError::into_inner).members.clone();
        let in_flight = members.list().iter().map(|member| member.endpoint.in_flight());
        self.metrics.in_flight(in_flight.fold(0, u32::saturating_add));
        if let Some(retries) = self.budget.left(Instant::now()) {
            self.metrics.budget(retries);
        }
        if let Some(typical) = self.typical() {
            self.metrics.latency(typical);
        }
        if self.gate.is_on() || self.queue_metrics.get().is_some() {
            self.queue_metrics().publish(self.gate.waiting(), self.gate.most());
        }
    }

    /// Requests in flight with which an endpoint gets no more; 0 for no limit.
    pub(super) fn most_per_endpoint(&self) -> u32 {
        self.choice.load().most()
    }

    /// Where it is counted who waits, and who was turned away.
    pub(crate) fn queue_metrics(&self) -> &QueueMetrics {
        self.queue_metrics.get_or_init(|| self.metrics.queue())
    }

    /// How many endpoints there are, and the requests in flight to them.
    pub(crate) fn size(&self) -> (usize, u32) {
        let members = self.members();
        let in_flight = members.list().iter().map(|member| member.endpoint.in_flight());
        (members.list().len(), in_flight.fold(0, u32::saturating_add))
    }

    /// Is there an endpoint that is not among `tried`?
    pub(crate) fn has_untried(&self, tried: &[SocketAddr]) -> bool {
        self.choice.load().has_untried(tried)
    }

    /// Is there an endpoint of this identity?
    pub(crate) fn has(&self, identity: u64) -> bool {
        self.choice.load().named(identity).is_some()
    }

    /// Waits for the first endpoint, for as long as the policy lets requests wait. Tells whether there is one.
    pub(crate) async fn hold(&self) -> bool {
        let hold = self.policy.load().hold;
        if hold.is_zero() {
            return false;
        }
        let before = self.held.fetch_add(1, Relaxed);
        let _held = Held(&self.held);
        if before >= HELD {
            return false;
        }
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                // Listens from here on, so that no change is missed between the look and the wait.
                changed.as_mut().enable();
                if self.has_untried(&[]) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(hold, wait).await.is_ok()
    }

    /// Have requests chosen since the last call?
    pub(super) fn take_active(&self) -> bool {
        self.active.swap(false, Relaxed)
    }

    /// The endpoints that may get requests, as of now.
    pub(crate) fn members(&self) -> Arc<Members> {
        self.choice.load().members().clone()
    }

    /// All endpoints, those that drain too.
    pub(crate) fn all(&self) -> Vec<Member> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).all.clone()
    }

    /// Are more endpoints ejected than may be, so that all are used?
    pub(crate) fn panics(&self) -> bool {
        self.choice.load().panics()
    }

    /// Where ejections go.
    pub(super) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// The median latency of the endpoints, if it is known.
    pub(crate) fn typical(&self) -> Option<Duration> {
        let typical = self.typical.load(Relaxed);
        (typical > 0).then(|| Duration::from_micros(typical.into()))
    }

    pub(super) fn set_typical(&self, micros: f32) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a latency is positive and fits")]
        self.typical.store(micros as u32, Relaxed);
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
