//! Active checks: one loop for each distinct check, each endpoint once however many clusters and routes have it.
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use features::Check;
use futures::FutureExt;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddress;
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::health_check::HealthCheck;
use pingora_load_balancing::{Backend, BackendView, Extensions, HealthRegistry};

use super::probe::Probe;
use super::{Health, Suspect, Why};

/// The share of the interval by which checks are spread.
const JITTER: f32 = 0.1;

/// All active checks that some cluster asks for.
pub(super) struct Checks {
    health: Weak<Health>,
    registries: Mutex<Vec<Registered>>,
}

struct Registered {
    check: Arc<Check>,
    registry: Weak<HealthRegistry>,
    started: bool,
}

/// What a cluster has checked, for as long as this lives.
pub(crate) struct Contribution {
    check: Arc<Check>,
    members: Arc<Addresses>,
    view: BackendView,
    _registry: Arc<HealthRegistry>,
}

impl Checks {
    pub(super) fn new(health: Weak<Health>) -> Self {
        Self { health, registries: Mutex::default() }
    }

    fn registry(&self, check: &Arc<Check>) -> Arc<HealthRegistry> {
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        registries.retain(|registered| registered.registry.strong_count() > 0);
        let same = registries.iter().find(|registered| registered.check == *check);
        if let Some(registry) = same.and_then(|registered| registered.registry.upgrade()) {
            return registry;
        }
        let registry = Arc::new(HealthRegistry::new());
        let (health, failures) = (self.health.clone(), Mutex::default());
        registry.set_health_check(Box::new(Checker { health, check: check.clone(), failures }));
        registries.push(Registered { check: check.clone(), registry: Arc::downgrade(&registry), started: false });
        registry
    }

    /// Starts the loops of checks that are new.
    pub(super) fn start_new(&self) {
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        for registered in registries.iter_mut().filter(|registered| !registered.started) {
            registered.started = true;
            tokio::spawn(repeat(registered.registry.clone(), registered.check.interval));
        }
    }
}

impl Health {
    /// Has these addresses checked for a cluster, instead of what it had before.
    pub(in crate::upstream) fn contribute(
        &self,
        check: &Arc<Check>,
        before: Option<Contribution>,
        addresses: Vec<SocketAddr>,
    ) -> Contribution {
        let contribution = before.filter(|before| before.check == *check).unwrap_or_else(|| {
            let (registry, members) = (self.checks.registry(check), Arc::<Addresses>::default());
            let view = BackendView::new_with_health_registry(Box::new(Discovery(members.clone())), registry.clone());
            Contribution { check: check.clone(), members, view, _registry: registry }
        });
        contribution.members.0.store(Arc::new(addresses));
        // Discovery is a copy of the list above: it neither waits nor fails.
        if !matches!(contribution.view.update(|_| ()).now_or_never(), Some(Ok(()))) {
            tracing::error!("the endpoints to be checked could not be updated");
        }
        self.wake.notify_one();
        contribution
    }
}

async fn repeat(registry: Weak<HealthRegistry>, interval: Duration) {
    while let Some(registry) = registry.upgrade() {
        registry.run_health_check(true).await;
        drop(registry);
        tokio::time::sleep(interval).await;
    }
}

#[derive(Default)]
struct Addresses(ArcSwap<Vec<SocketAddr>>);

struct Discovery(Arc<Addresses>);

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let backend =
            |address: &SocketAddr| Backend { addr: PingoraAddress::Inet(*address), weight: 1, ext: Extensions::new() };
        Ok((self.0.0.load().iter().map(backend).collect(), HashMap::new()))
    }
}

/// Checks endpoints and ejects those that fail. They return by probing, not by this check's own count.
struct Checker {
    health: Weak<Health>,
    check: Arc<Check>,
    failures: Mutex<HashMap<SocketAddr, u16>>,
}

#[async_trait]
impl HealthCheck for Checker {
    async fn check(&self, target: &Backend) -> pingora::Result<()> {
        let (Some(address), Some(health)) = (target.addr.as_inet().copied(), self.health.upgrade()) else {
            return Ok(());
        };
        tokio::time::sleep(self.check.interval.mul_f32(JITTER * fastrand::f32())).await;
        // One that is out is probed already.
        let Some(endpoint) = health.endpoint(address).filter(|endpoint| !endpoint.is_out()) else { return Ok(()) };
        let result = health.prober.run(&Probe::Check(self.check.clone()), address, self.check.timeout).await;
        if let Err(error) = &result {
            tracing::debug!(endpoint = %address, error, "an active check failed");
        }
        if self.count(address, result.is_ok()) {
            health.eject(Suspect { endpoint, why: Why::Check, rule: None });
        }
        Ok(())
    }

    /// The result is acted on above; Pingora's own state of health is not used.
    fn health_threshold(&self, _success: bool) -> usize {
        usize::MAX
    }
}

impl Checker {
    /// Counts failures in a row; tells whether there are too many.
    fn count(&self, address: SocketAddr, passed: bool) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if passed {
            failures.remove(&address);
            return false;
        }
        let row = failures.entry(address).or_default();
        *row = row.saturating_add(1);
        let many = *row >= self.check.fall;
        if many {
            failures.remove(&address);
        }
        many
    }
}
