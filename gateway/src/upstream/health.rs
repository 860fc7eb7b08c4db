//! Who is in the rotation: endpoints are ejected by requests and checks, and probed until they may return.
//!
//! A request that ejects only sets a flag and leaves a note; everything else happens in [`watch`].
mod check;
mod departed;
mod ejected;
mod event;
mod outlier;
mod probe;

pub(crate) use check::Contribution;
pub(crate) use event::Why;
pub use event::{EndpointChange, EndpointEvent};

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use features::Route;
use table::{Endpoints, Readiness, Rule};
use tokio::sync::{Notify, mpsc};

use super::cluster::Cluster;
use super::registry::Registry;
use crate::balance::{Endpoint, Member};

/// The state of all endpoints, shared by the clusters that have them.
pub(crate) struct Health {
    epoch: Instant,
    /// The gateway's own zone.
    zone: Option<Arc<str>>,
    known: Mutex<HashMap<SocketAddr, Known>>,
    suspects: Mutex<Vec<Suspect>>,
    /// Endpoints that get nothing new and may have connections.
    departed: Mutex<Vec<Arc<Endpoint>>>,
    wake: Notify,
    events: Option<mpsc::Sender<EndpointEvent>>,
    checks: check::Checks,
    prober: probe::Prober,
}

/// An address that some cluster has.
struct Known {
    endpoint: Weak<Endpoint>,
    clusters: Vec<Weak<Cluster>>,
    /// How often it came back in vain.
    strikes: u32,
}

/// An endpoint that was taken out of the rotation.
pub(crate) struct Suspect {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) why: Why,
    /// The rule whose requests failed.
    pub(crate) rule: Option<Arc<Rule<Route>>>,
}

impl Health {
    /// Starts without endpoints.
    pub(crate) fn new(zone: Option<Arc<str>>, events: Option<mpsc::Sender<EndpointEvent>>) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| Self {
            epoch: Instant::now(),
            zone,
            known: Mutex::default(),
            suspects: Mutex::default(),
            departed: Mutex::default(),
            wake: Notify::new(),
            events,
            checks: check::Checks::new(this.clone()),
            prober: probe::Prober::default(),
        })
    }

    /// A point of time in milliseconds since the start.
    pub(crate) fn at(&self, time: Instant) -> u64 {
        u64::try_from(time.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }

    /// Now, in milliseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SocketAddr, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn departed(&self) -> MutexGuard<'_, Vec<Arc<Endpoint>>> {
        self.departed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The members that a cluster has from now on. State that an address has in another cluster is shared.
    pub(super) fn members(&self, cluster: &Arc<Cluster>, before: &[Member], endpoints: &Endpoints) -> Vec<Member> {
        let zone = self.own_zone(endpoints);
        let mut known = self.known();
        let this = Arc::downgrade(cluster);
        let stays = |address: SocketAddr| endpoints.list.binary_search_by(|new| new.address.cmp(&address)).is_ok();
        for address in before.iter().map(|member| member.endpoint.address()).filter(|address| !stays(*address)) {
            forget(&mut known, address, &this);
        }
        let mut members = Vec::with_capacity(endpoints.list.len());
        for endpoint in &endpoints.list {
            let entry = known.entry(endpoint.address).or_insert_with(Known::nobody);
            let shared = entry.endpoint.upgrade().unwrap_or_else(|| Arc::new(Endpoint::new(endpoint.address)));
            entry.endpoint = Arc::downgrade(&shared);
            if !entry.clusters.iter().any(|other| other.ptr_eq(&this)) {
                entry.clusters.push(this.clone());
            }
            let near = zone.is_none_or(|zone| endpoint.for_zones.contains(zone));
            let draining = endpoint.readiness == Readiness::Draining;
            members.push(Member { endpoint: shared, weight: endpoint.weight, draining, near });
        }
        members
    }

    /// The own zone, when the hints of these endpoints are to be followed: all of those that are ready have some, and one of
    /// them is for the own zone (as kube-proxy does).
    fn own_zone(&self, endpoints: &Endpoints) -> Option<&Arc<str>> {
        let zone = self.zone.as_ref()?;
        let hinted = endpoints.eligible().all(|endpoint| !endpoint.for_zones.is_empty());
        let ours = endpoints.eligible().any(|endpoint| endpoint.for_zones.contains(zone));
        (hinted && ours).then_some(zone)
    }

    /// Takes an endpoint out of the rotation at once; [`watch`] does the rest.
    #[cold]
    pub(super) fn eject(&self, suspect: Suspect) {
        if suspect.endpoint.eject() {
            self.suspects.lock().unwrap_or_else(PoisonError::into_inner).push(suspect);
            self.wake.notify_one();
        }
    }

    /// A cluster is no more.
    pub(super) fn leave(&self, cluster: &Arc<Cluster>, members: &[Member]) {
        let (mut known, this) = (self.known(), Arc::downgrade(cluster));
        members.iter().for_each(|member| forget(&mut known, member.endpoint.address(), &this));
        drop(known);
        self.part_with(members, &[]);
    }

    /// The clusters that have an endpoint. None when its address has come anew in the meantime.
    fn clusters_of(&self, endpoint: &Arc<Endpoint>) -> Vec<Arc<Cluster>> {
        let known = self.known();
        let entry = known.get(&endpoint.address()).filter(|entry| entry.endpoint.as_ptr() == Arc::as_ptr(endpoint));
        entry.map(|entry| entry.clusters.iter().filter_map(Weak::upgrade).collect()).unwrap_or_default()
    }

    /// The endpoint of an address.
    fn endpoint(&self, address: SocketAddr) -> Option<Arc<Endpoint>> {
        self.known().get(&address)?.endpoint.upgrade()
    }

    fn tell(&self, event: EndpointEvent) {
        // Whoever does not keep up misses some; the log and the metrics have them all.
        if let Some(events) = &self.events {
            events.try_send(event).ok();
        }
    }
}

/// An address that no cluster has is not known: when it comes again, it is somebody else.
fn forget(known: &mut HashMap<SocketAddr, Known>, address: SocketAddr, cluster: &Weak<Cluster>) {
    if let Some(entry) = known.get_mut(&address) {
        entry.clusters.retain(|other| !other.ptr_eq(cluster) && other.strong_count() > 0);
        if entry.clusters.is_empty() {
            known.remove(&address);
        }
    }
}

impl Known {
    fn nobody() -> Self {
        Self { endpoint: Weak::new(), clusters: Vec::new(), strikes: 0 }
    }
}

/// Brings ejected endpoints back, runs active checks and looks for outliers, until the gateway ends.
pub(crate) async fn watch(registry: Arc<Registry>) {
    let health = registry.health().clone();
    tokio::spawn(outlier::watch(registry));
    loop {
        health.checks.start_new();
        let suspects = std::mem::take(&mut *health.suspects.lock().unwrap_or_else(PoisonError::into_inner));
        for suspect in suspects {
            tokio::spawn(ejected::bring_back(health.clone(), suspect));
        }
        let departed = std::mem::take(&mut *health.departed());
        for endpoint in departed {
            tokio::spawn(departed::close_when_idle(health.clone(), endpoint));
        }
        health.wake.notified().await;
    }
}
