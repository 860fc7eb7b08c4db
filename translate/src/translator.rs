//! The incremental translation: changes in, tables and endpoints out.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use features::annotation::Config;
use features::{ClusterPolicy, Route};
use table::{ClusterId, Endpoints, Generation, HostPattern, Table};

use crate::canaries::Canaries;
use crate::certificates::Certificates;
use crate::class::classless_are_ours;
use crate::clusters::Clusters;
use crate::dependents::{Dependency, Dependents};
use crate::further_hosts::FurtherHosts;
use crate::hosts::HostState;
use crate::ingress::RulesPart;
use crate::notes::NoteBook;
use crate::object::{Change, Kind, Object, ObjectRef};
use crate::options::Options;
use crate::report::Note;
use crate::round::Round;
use crate::seniority::Seniority;
use crate::snapshot::{Dirty, Key, Snapshot};
use crate::streams::Streams;
use crate::tls_entries::TlsPart;
use crate::tls_hosts::TlsHostState;

/// A host name that stands for a cluster's endpoints (a Service of type ExternalName). Whoever has a resolver turns it
/// into endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExternalName {
    /// The DNS name.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

/// What changed since the output before.
#[derive(Debug, Default)]
pub struct Output {
    /// The next table, if anything but endpoints changed.
    pub table: Option<Arc<Table<Route>>>,
    /// Policies of clusters that are new or changed.
    pub policies: Vec<(ClusterId, Arc<ClusterPolicy>)>,
    /// Endpoints of clusters that are new or changed; never of clusters in `external`.
    pub endpoints: Vec<(ClusterId, Arc<Endpoints>)>,
    /// Clusters whose endpoints a resolver must find (`Some`), or no longer (`None`).
    pub external: Vec<(ClusterId, Option<ExternalName>)>,
    /// Clusters that no rule names any more.
    pub retired: Vec<ClusterId>,
    /// Pods to be read for their readinessProbe, when others than before; where [`Options::asks_for_pods`] says so.
    pub pods: Option<BTreeSet<ObjectRef>>,
    /// Ingresses that were looked at, and whether they are ours now.
    pub ours: Vec<(ObjectRef, bool)>,
    /// Objects whose notes changed, with all notes that hold now.
    pub notes: Vec<(ObjectRef, Vec<Note>)>,
}

/// Holds the objects and what became of them, so that a change costs what it touches.
///
/// A publication runs in steps, each over what the one before has touched: which Ingresses are ours and what they want
/// of TLS; their rules, which depend on who has TLS; the hosts whose rules changed; the canaries, which depend on the rules
/// of hosts; clusters and endpoints; the hosts whose certificates changed; the notes.
#[derive(Debug)]
pub struct Translator {
    pub(crate) options: Options,
    /// The controller's ConfigMap.
    pub(crate) config: Config,
    /// What the ConfigMap refers to, there or not.
    pub(crate) config_refers_to: BTreeSet<Dependency>,
    pub(crate) snapshot: Snapshot,
    pub(crate) dependents: Dependents,
    pub(crate) ingresses: BTreeMap<Key, State>,
    pub(crate) rule_hosts: BTreeMap<HostPattern, HostState>,
    pub(crate) tls_hosts: BTreeMap<HostPattern, TlsHostState>,
    pub(crate) certificates: Certificates,
    pub(crate) clusters: Clusters,
    pub(crate) canaries: Canaries,
    pub(crate) further: FurtherHosts,
    pub(crate) default_backend: Option<ClusterId>,
    pub(crate) streams: Streams,
    pub(crate) notes: NoteBook,
    pub(crate) table: Arc<Table<Route>>,
    dirty: Dirty,
    classless: bool,
    work: Work,
}

/// What became of one Ingress.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// `None` when the Ingress is gone.
    pub(crate) seniority: Option<Seniority>,
    pub(crate) ours: bool,
    pub(crate) tls: TlsPart,
    pub(crate) tls_notes: Vec<Note>,
    pub(crate) rules: RulesPart,
    pub(crate) rule_notes: Vec<Note>,
}

/// What the last publication looked at: the measure of its cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) ingresses: usize,
    pub(crate) hosts: usize,
    pub(crate) services: usize,
    pub(crate) notes: usize,
}

impl Translator {
    /// Starts without objects.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let mut snapshot = Snapshot::default();
        snapshot.refuses_external_names = options.disable_svc_external_name;
        snapshot.asks_for_pods = options.asks_for_pods;
        Self {
            classless: classless_are_ours(&snapshot, &options),
            options,
            config: Config::default(),
            config_refers_to: BTreeSet::new(),
            snapshot,
            dependents: Dependents::default(),
            ingresses: BTreeMap::new(),
            rule_hosts: BTreeMap::new(),
            tls_hosts: BTreeMap::new(),
            certificates: Certificates::default(),
            clusters: Clusters::default(),
            canaries: Canaries::default(),
            further: FurtherHosts::default(),
            default_backend: None,
            streams: Streams::default(),
            notes: NoteBook::default(),
            table: Arc::default(),
            dirty: Dirty::default(),
            work: Work::default(),
        }
    }

    /// Takes a change in. Cheap: what it touches is translated by [`Translator::publish`].
    pub fn apply(&mut self, change: Change) {
        self.snapshot.apply(change, &mut self.dirty);
    }

    /// Translates what changed. `now` is in seconds since the Unix epoch and decides which certificates have expired.
    ///
    /// The first output always holds a table, even an empty one.
    pub fn publish(&mut self, now: i64) -> Output {
        let mut dirty = std::mem::take(&mut self.dirty);
        for secret in &dirty.secrets {
            self.certificates.forget(secret);
        }
        dirty.secrets.append(&mut self.certificates.due(now));

        let mut round = Round::new(self, now);
        let mut output = Output::default();
        let mut ingresses = self.candidates(&dirty);
        self.translate_config(&dirty, &mut round);
        if round.config_changed {
            ingresses.extend(self.ingresses.keys().cloned());
        }
        self.admit_all(ingresses, &mut round);
        output.ours = self.standings(&round);
        self.translate_rules(&dirty, &mut round);
        self.translate_defaults(&dirty, &mut round);
        self.translate_streams(&dirty, &mut round);
        self.merge_hosts(&mut round);
        self.merge_further_hosts(&mut round);
        self.decide_canaries(&mut round);
        self.refresh_clusters(dirty, &mut round, &mut output);
        self.merge_tls_hosts(&mut round);
        self.certify_further_hosts(&mut round);
        self.write_notes(&mut round);
        output.notes = self.notes.publish();
        self.work = round.work;
        if let Some(mut table) = round.next {
            table.generation = Generation(self.table.generation.0 + 1);
            self.table = Arc::new(table);
            output.table = Some(self.table.clone());
        }
        output
    }

    /// The Ingresses whose class, TLS entries or very existence may have changed.
    fn candidates(&mut self, dirty: &Dirty) -> BTreeSet<Key> {
        let mut touched = dirty.ingresses.clone();
        let secrets = dirty.secrets.iter().cloned().map(Dependency::Secret);
        let classes = dirty.classes.iter().cloned().map(Dependency::Class);
        for dependency in secrets.chain(classes) {
            touched.extend(self.dependents.of(&dependency).cloned());
        }
        if !dirty.classes.is_empty() {
            let classless = classless_are_ours(&self.snapshot, &self.options);
            if classless != std::mem::replace(&mut self.classless, classless) {
                touched.extend(self.dependents.of(&Dependency::Classless).cloned());
            }
        }
        touched
    }

    /// Are Ingresses that name no class ours?
    pub(crate) fn classless(&self) -> bool {
        self.classless
    }

    /// The UID that the API server gave to an object; `None` for one that is not known, or came from a manifest.
    #[must_use]
    pub fn uid(&self, object: &ObjectRef) -> Option<&str> {
        self.snapshot.uid(object)
    }

    /// An object as it is known now.
    #[must_use]
    pub fn get(&self, object: &ObjectRef) -> Option<Object> {
        self.snapshot.get(object)
    }

    /// Every object that is known now.
    #[must_use]
    pub fn everything(&self) -> Vec<Object> {
        self.snapshot.everything()
    }

    /// The objects of a kind, in order.
    pub fn objects(&self, kind: Kind) -> impl Iterator<Item = ObjectRef> {
        self.snapshot.objects(kind)
    }

    /// All notes that hold now, by object.
    pub fn notes(&self) -> impl Iterator<Item = &Note> {
        self.notes.iter()
    }

    /// What the last publication looked at.
    #[cfg(test)]
    pub(crate) fn work(&self) -> Work {
        self.work
    }
}

/// Translates objects once: the table, all endpoints and all notes of a state.
pub fn translate(objects: impl IntoIterator<Item = Object>, options: Options, now: i64) -> Output {
    let mut translator = Translator::new(options);
    for object in objects {
        translator.apply(Change::Set(object));
    }
    translator.publish(now)
}

#[cfg(test)]
#[path = "translator_tests.rs"]
mod tests;
