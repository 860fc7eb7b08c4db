//! The clusters that rules name, and their endpoints.
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use features::{Alternative, ClusterPolicy, ClusterSettings, HealthCheck};
use k8s_openapi::api::core::v1::Service;
use table::{ClusterId, Endpoint, Endpoints, Readiness, ServicePort, Transport};

use crate::endpoint_slice::{self, Zones};
use crate::notes::{NoteBook, Notes};
use crate::object::{Kind, ObjectRef};
use crate::readiness_probe::{Samples, Unused};
use crate::report::Note;
use crate::seniority::Seniority;
use crate::service::{self, Source};
use crate::snapshot::{Key, Snapshot};
use crate::text::{Plain, Sentence};
use crate::translator::{ExternalName, Output};

#[derive(Debug)]
struct Cluster {
    /// Ingresses that name it; rules that lost count too, so that they can take over without a gap.
    users: usize,
    /// What Ingresses say about it, the oldest first.
    wants: BTreeMap<Seniority, Arc<ClusterSettings>>,
    /// Who takes some of its requests.
    canary: Option<Arc<Alternative>>,
    /// As it was published; the default needs no publication.
    policy: Arc<ClusterPolicy>,
    /// `None` until the first refresh.
    known: Option<Known>,
}

#[derive(Debug, PartialEq)]
enum Known {
    Endpoints(Arc<Endpoints>),
    External(ExternalName),
}

/// All clusters.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    map: BTreeMap<ClusterId, Cluster>,
    /// Services with clusters that came or went since the last refresh.
    stale: BTreeSet<Key>,
    /// EndpointSlices with notes, by Service.
    noted: BTreeMap<Key, BTreeSet<Key>>,
    /// Services with notes.
    noted_services: BTreeSet<Key>,
    /// What is wrong with the Service that serves by default.
    default_backend_notes: Option<(Key, Vec<Note>)>,
    /// What the controller's ConfigMap says about every cluster.
    defaults: ClusterSettings,
    /// Services that are checked by the readinessProbe of these pods.
    samples: BTreeMap<Key, Samples>,
    /// These changed.
    resampled: bool,
    /// Pods that were asked for last.
    asked: BTreeSet<ObjectRef>,
}

impl Clusters {
    /// Counts a further user.
    pub(crate) fn acquire(&mut self, id: &ClusterId) {
        if let Some(cluster) = self.map.get_mut(id) {
            cluster.users += 1;
        } else {
            let (wants, policy) = (BTreeMap::new(), Arc::default());
            self.map.insert(id.clone(), Cluster { users: 1, wants, canary: None, policy, known: None });
            self.stale.insert(service_of(id));
        }
    }

    /// Counts one user less. The cluster stays until the next refresh, in case another user comes.
    pub(crate) fn release(&mut self, id: &ClusterId) {
        if let Some(cluster) = self.map.get_mut(id) {
            cluster.users = cluster.users.saturating_sub(1);
            if cluster.users == 0 {
                self.stale.insert(service_of(id));
            }
        }
    }

    /// Takes in what an Ingress says about a cluster now, if it says something.
    pub(crate) fn want(&mut self, id: &ClusterId, who: &Seniority, settings: Option<&Arc<ClusterSettings>>) {
        let Some(cluster) = self.map.get_mut(id) else { return };
        let before = match settings {
            Some(settings) => cluster.wants.insert(who.clone(), settings.clone()),
            None => cluster.wants.remove(who),
        };
        if before.as_ref() != settings {
            self.stale.insert(service_of(id));
        }
    }

    /// Takes in who takes some of the requests of a cluster now.
    pub(crate) fn set_canary(&mut self, id: &ClusterId, canary: Option<Arc<Alternative>>) {
        let Some(cluster) = self.map.get_mut(id) else { return };
        if cluster.canary != canary {
            cluster.canary = canary;
            self.stale.insert(service_of(id));
        }
    }

    /// Takes in what the ConfigMap says about every cluster.
    pub(crate) fn set_defaults(&mut self, defaults: ClusterSettings) {
        if self.defaults != defaults {
            self.defaults = defaults;
            self.stale.extend(self.map.keys().map(service_of));
        }
    }

    /// Takes in what is wrong with the Service that serves by default.
    pub(crate) fn set_default_backend_notes(&mut self, service: &Key, notes: Vec<Note>) {
        let now = (!notes.is_empty()).then(|| (service.clone(), notes));
        if self.default_backend_notes != now {
            self.default_backend_notes = now;
            self.stale.insert(service.clone());
        }
    }

    /// Is a cluster known to have no endpoint at all?
    pub(crate) fn is_empty(&self, id: &ClusterId) -> bool {
        match self.map.get(id).and_then(|cluster| cluster.known.as_ref()) {
            Some(Known::Endpoints(endpoints)) => endpoints.list.is_empty(),
            Some(Known::External(_)) | None => false,
        }
    }

    /// Brings the clusters of these Services, and all that came or went, up to date. Returns the Services of which a
    /// cluster became empty or no longer is, and the number of Services that were looked at.
    pub(crate) fn refresh(
        &mut self,
        mut services: BTreeSet<Key>,
        snapshot: &Snapshot,
        notes: &mut NoteBook,
        output: &mut Output,
    ) -> (BTreeSet<Key>, usize) {
        services.append(&mut self.stale);
        for service in &services {
            for slice in self.noted.remove(service).into_iter().flatten() {
                notes.set(&slice.reference(Kind::EndpointSlice), Vec::new());
            }
        }
        let (mut flipped, mut looked_at) = (BTreeSet::new(), 0);
        for service in services {
            self.retire(&service, output);
            let ids = self.of(&service);
            if ids.is_empty() {
                self.sample(&service, None);
                self.note_service(&service, Notes::new(service.reference(Kind::Service)), notes);
            } else {
                looked_at += 1;
                if self.refresh_service(&service, &ids, snapshot, notes, output) {
                    flipped.insert(service);
                }
            }
        }
        (flipped, looked_at)
    }

    /// The Services that are checked by the readinessProbe of any of these pods.
    pub(crate) fn probed_by(&self, pods: &BTreeSet<Key>) -> Vec<Key> {
        if pods.is_empty() {
            return Vec::new();
        }
        let probed = self.samples.iter().filter(|(_, samples)| samples.pods.keys().any(|pod| pods.contains(pod)));
        probed.map(|(service, _)| service.clone()).collect()
    }

    /// Have others been chosen since the last call?
    pub(crate) fn take_resampled(&mut self) -> bool {
        std::mem::take(&mut self.resampled)
    }

    /// All pods whose readinessProbe is wanted.
    pub(crate) fn sampled_pods(&self) -> BTreeSet<Key> {
        self.samples.values().flat_map(|samples| samples.pods.keys().cloned()).collect()
    }

    /// Those of them that are to be read, when others than before.
    pub(crate) fn ask_for_pods(&mut self, snapshot: &Snapshot) -> Option<BTreeSet<ObjectRef>> {
        if !snapshot.asks_for_pods {
            return None;
        }
        let missing = self.samples.values().flat_map(|samples| samples.missing(snapshot));
        let missing: BTreeSet<_> = missing.map(|pod| pod.reference(Kind::Pod)).collect();
        (missing != self.asked).then(|| {
            self.asked.clone_from(&missing);
            missing
        })
    }

    fn sample(&mut self, service: &Key, samples: Option<&Samples>) {
        if self.samples.get(service) != samples {
            self.resampled = true;
            self.samples.remove(service);
            self.samples.extend(samples.map(|samples| (service.clone(), samples.clone())));
        }
    }

    /// Does anybody want a check of this cluster that is the pods' own?
    fn wants_probe(&self, id: &ClusterId, said: &ClusterSettings) -> bool {
        let oldest = self.map.get(id).and_then(|cluster| cluster.wants.values().next());
        let asked = said.check.or(oldest.and_then(|oldest| oldest.check)).or(self.defaults.check);
        asked == Some(HealthCheck::ReadinessProbe)
    }

    /// The clusters of a Service.
    fn of(&self, service: &Key) -> Vec<ClusterId> {
        let first = ClusterId::new(&service.namespace, &service.name, ServicePort::Number(0));
        let belongs = |id: &&ClusterId| *id.namespace() == service.namespace && *id.service() == service.name;
        self.map.range(first..).map(|(id, _)| id).take_while(belongs).cloned().collect()
    }

    fn retire(&mut self, service: &Key, output: &mut Output) {
        for id in self.of(service) {
            if self.map.get(&id).is_none_or(|cluster| cluster.users > 0) {
                continue;
            }
            // What was never published has nothing to retire.
            let Some(known) = self.map.remove(&id).and_then(|cluster| cluster.known) else { continue };
            if matches!(known, Known::External(_)) {
                output.external.push((id.clone(), None));
            }
            output.retired.push(id);
        }
    }

    fn refresh_service(
        &mut self,
        service: &Key,
        ids: &[ClusterId],
        snapshot: &Snapshot,
        notes: &mut NoteBook,
        output: &mut Output,
    ) -> bool {
        let object = snapshot.get_service(service).map(|service| &**service);
        let (said, mut written) = read_service(service, object);
        let samples = ids.iter().any(|id| self.wants_probe(id, &said)).then(|| Samples::of(service, snapshot));
        self.sample(service, samples.as_ref());
        let mut ports = Vec::new();
        let mut flipped = false;
        for id in ids {
            let (number, transport) = match id.port() {
                ServicePort::Number(number) => (number, Transport::Tcp),
                ServicePort::Udp(number) => (number, Transport::Udp),
                ServicePort::Name(_) => continue,
            };
            let probe = || {
                let target = object.map(|object| service::target(object, *number, transport));
                samples.as_ref().ok_or(Unused::Awaited)?.probe(snapshot, target.as_ref())
            };
            let policy = self.decide(id, &said, probe, &mut written, output);
            if let Some(ip) = object.and_then(service::cluster_ip).filter(|_| policy.service_upstream) {
                let endpoints = Endpoints::new(vec![the_service(SocketAddr::new(ip, *number))]);
                flipped |= self.learn(id, Known::Endpoints(Arc::new(endpoints)), output);
                continue;
            }
            match service::source(object, *number, transport, snapshot.refuses_external_names) {
                Source::External(name) => flipped |= self.learn(id, Known::External(name), output),
                Source::Slices(port) => ports.push((id, port, transport, Vec::new())),
            }
        }
        self.note_service(service, written, notes);
        if ports.is_empty() {
            return flipped;
        }
        let (mut zones, mut read) = (Zones::default(), Vec::new());
        for (key, slice) in snapshot.slices_of(service) {
            let mut written = Notes::new(key.reference(Kind::EndpointSlice));
            let addresses = endpoint_slice::read(slice, &mut zones, &mut written);
            for (_, port, transport, list) in &mut ports {
                addresses.endpoints(port, *transport, &mut written, list);
            }
            read.push((key, written));
        }
        let weightless = |list: &[Endpoint]| !list.is_empty() && list.iter().all(|endpoint| endpoint.weight == 0);
        if ports.iter().any(|(_, _, _, list)| weightless(list)) {
            read.iter_mut().for_each(|(_, written)| endpoint_slice::note_weightless(written));
        }
        for (key, written) in read.into_iter().filter(|(_, written)| !written.list.is_empty()) {
            notes.set(&key.reference(Kind::EndpointSlice), written.list);
            self.noted.entry(service.clone()).or_default().insert(key);
        }
        for (id, _, _, list) in ports {
            flipped |= self.learn(id, Known::Endpoints(Arc::new(Endpoints::new(list))), output);
        }
        flipped
    }

    /// Publishes the notes on a Service, if it has or had any.
    fn note_service(&mut self, key: &Key, mut written: Notes, notes: &mut NoteBook) {
        let further = self.default_backend_notes.iter().filter(|(service, _)| service == key);
        written.list.extend(further.flat_map(|(_, notes)| notes.clone()));
        if !written.list.is_empty() {
            self.noted_services.insert(key.clone());
        } else if !self.noted_services.remove(key) {
            return;
        }
        notes.set(&key.reference(Kind::Service), written.list);
    }

    /// The policy of a cluster: what its Service says, else the oldest Ingress that says anything, else the readinessProbe
    /// of its pods if that is wanted, else the ConfigMap.
    /// Settings of different objects can contradict each other, so that is noted here.
    fn decide(
        &mut self,
        id: &ClusterId,
        said: &ClusterSettings,
        probe: impl Fn() -> Result<ClusterSettings, Unused>,
        written: &mut Notes,
        output: &mut Output,
    ) -> Arc<ClusterPolicy> {
        let by_probe = self.wants_probe(id, said);
        let Some(cluster) = self.map.get_mut(id) else { return Arc::default() };
        let mut settings = said.clone();
        if let Some(oldest) = cluster.wants.values().next() {
            settings = settings.or(oldest);
        }
        if by_probe {
            let is_default = settings.check.is_none();
            let settled = match settings.service_upstream.or(self.defaults.service_upstream) {
                Some(true) => Err(Unused::ClusterIp),
                Some(false) | None => probe(),
            };
            settings = settled.map(|probe| settings.clone().probing(probe)).unwrap_or_else(|unused| {
                unused.note(is_default, written);
                settings.check = Some(HealthCheck::None);
                settings
            });
        }
        let (mut policy, adjusted) = settings.or(&self.defaults).policy();
        policy.canary.clone_from(&cluster.canary);
        if let Some(message) = adjusted {
            written.warning("AnnotationAdjusted", "metadata.annotations".to_owned(), message);
        }
        if *cluster.policy != policy {
            cluster.policy = Arc::new(policy);
            output.policies.push((id.clone(), cluster.policy.clone()));
        }
        cluster.policy.clone()
    }

    /// Takes in what a cluster is now; tells whether it became empty or no longer is.
    fn learn(&mut self, id: &ClusterId, now: Known, output: &mut Output) -> bool {
        let was_empty = self.is_empty(id);
        let Some(cluster) = self.map.get_mut(id) else { return false };
        if cluster.known.as_ref() == Some(&now) {
            return false;
        }
        match (&cluster.known, &now) {
            (_, Known::External(name)) => output.external.push((id.clone(), Some(name.clone()))),
            (before, Known::Endpoints(endpoints)) => {
                if matches!(before, Some(Known::External(_))) {
                    output.external.push((id.clone(), None));
                }
                output.endpoints.push((id.clone(), endpoints.clone()));
            }
        }
        cluster.known = Some(now);
        was_empty != self.is_empty(id)
    }
}

/// What the annotations of a Service say, with notes on what is wrong with them.
fn read_service(key: &Key, object: Option<&Service>) -> (ClusterSettings, Notes) {
    let mut written = Notes::new(key.reference(Kind::Service));
    let Some(said) = object.map(service::settings) else { return (ClusterSettings::default(), written) };
    for problem in said.problems {
        let name = Plain(&problem.name);
        let colon = if problem.message.starts_with("the ") { ":" } else { "" };
        let field = format!("metadata.annotations[{name}]");
        written.warning("AnnotationIgnored", field, format!("annotation {name}{colon} {}", Sentence(&problem.message)));
    }
    (said.cluster, written)
}

/// The cluster IP as the one endpoint.
fn the_service(address: SocketAddr) -> Endpoint {
    Endpoint { address, readiness: Readiness::Ready, weight: 1, zone: None, for_zones: Arc::default() }
}

fn service_of(id: &ClusterId) -> Key {
    Key { namespace: id.namespace().clone(), name: id.service().clone() }
}
