//! The steps of one publication.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use features::{ClusterSettings, Route};
use table::{HostPattern, Table};

use crate::canary;
use crate::class;
use crate::dependents::Dependency;
use crate::further_hosts;
use crate::host_settings;
use crate::hosts;
use crate::ingress::{self, Context, RulesPart};
use crate::lent_tls;
use crate::notes::Notes;
use crate::object::{Kind, ObjectRef};
use crate::report::Note;
use crate::secrets::secrets_of;
use crate::seniority::Seniority;
use crate::snapshot::{Dirty, Key};
use crate::tls_entries::{self, Shelf, TlsPart};
use crate::tls_hosts;
use crate::translator::{Output, State, Translator, Work};

/// What one publication has touched so far.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) now: i64,
    pub(crate) first: bool,
    /// The controller's ConfigMap says something else than before.
    pub(crate) config_changed: bool,
    /// Ingresses that went through admission, with the seniority they had before.
    admitted: BTreeMap<Key, Option<Seniority>>,
    /// Patterns that got their first or lost their last TLS entry.
    tls_flips: BTreeSet<HostPattern>,
    rule_hosts: BTreeSet<HostPattern>,
    /// Hosts whose rules were merged anew.
    pub(crate) merged: BTreeSet<HostPattern>,
    /// Hosts for which an Ingress has other canaries.
    pub(crate) canary_hosts: BTreeSet<HostPattern>,
    /// Hosts that no rule names and that were looked at.
    pub(crate) further: BTreeSet<HostPattern>,
    /// Hosts whose certificates were chosen anew.
    pub(crate) tls_merged: BTreeSet<HostPattern>,
    tls_hosts: BTreeSet<HostPattern>,
    /// Ingresses whose notes may have changed.
    pub(crate) noted: BTreeSet<Key>,
    pub(crate) current: Arc<Table<Route>>,
    /// The next table, once anything in it differs.
    pub(crate) next: Option<Table<Route>>,
    pub(crate) work: Work,
}

impl Round {
    pub(crate) fn new(translator: &Translator, now: i64) -> Self {
        let current = translator.table.clone();
        let first = current.generation.0 == 0;
        Self {
            now,
            first,
            config_changed: false,
            admitted: BTreeMap::new(),
            tls_flips: BTreeSet::new(),
            rule_hosts: BTreeSet::new(),
            merged: BTreeSet::new(),
            canary_hosts: BTreeSet::new(),
            further: BTreeSet::new(),
            tls_merged: BTreeSet::new(),
            tls_hosts: BTreeSet::new(),
            noted: BTreeSet::new(),
            next: first.then(|| (*current).clone()),
            current,
            work: Work::default(),
        }
    }

    /// The next table, to be changed.
    pub(crate) fn edit(&mut self) -> &mut Table<Route> {
        let current = &self.current;
        self.next.get_or_insert_with(|| (**current).clone())
    }
}

impl Translator {
    /// Decides which of these Ingresses are ours, and reads what they want of TLS.
    pub(crate) fn admit_all(&mut self, ingresses: BTreeSet<Key>, round: &mut Round) {
        for key in ingresses {
            self.admit(key, round);
        }
    }

    /// The Ingresses that went through admission, and whether they are ours.
    pub(crate) fn standings(&self, round: &Round) -> Vec<(ObjectRef, bool)> {
        let ours = |key| self.ingresses.get(key).is_some_and(|state| state.ours);
        round.admitted.keys().map(|key| (key.reference(Kind::Ingress), ours(key))).collect()
    }

    fn admit(&mut self, key: Key, round: &mut Round) {
        let mut notes = Notes::new(key.reference(Kind::Ingress));
        let mut state = self.ingresses.remove(&key).unwrap_or_default();
        let seniority_before = state.seniority.take();
        let mut tls = TlsPart::default();
        state.ours = false;
        if let Some(ingress) = self.snapshot.get_ingress(&key) {
            let standing = class::standing(ingress, self.classless(), &self.snapshot, &self.options, &mut notes);
            if standing.ours && !canary::is_canary(ingress, &self.options) {
                let mut shelf =
                    Shelf { certificates: &mut self.certificates, snapshot: &self.snapshot, now: round.now };
                tls = tls_entries::read(ingress, &key, &mut shelf, &mut notes);
            }
            tls.dependencies.extend(standing.dependency);
            state.ours = standing.ours;
            state.seniority = Some(Seniority::of(&key, ingress));
        }
        let tls_before = std::mem::replace(&mut state.tls, tls);
        state.tls_notes = notes.list;
        for orphan in self.dependents.replace(&key, &tls_before.dependencies, &state.tls.dependencies) {
            if let Dependency::Secret(secret) = orphan
                && !self.is_default_secret(&secret)
            {
                self.certificates.forget(&secret);
            }
        }
        self.join_tls_hosts(seniority_before.as_ref(), &tls_before, &state, round);
        self.ingresses.insert(key.clone(), state);
        round.admitted.insert(key, seniority_before);
    }

    fn join_tls_hosts(
        &mut self,
        seniority_before: Option<&Seniority>,
        before: &TlsPart,
        state: &State,
        round: &mut Round,
    ) {
        let after = &state.tls;
        let moved = seniority_before != state.seniority.as_ref();
        for (host, want) in &before.wants {
            let same = after.wants.get(host).is_some_and(|new| want.same(new));
            if same && !moved {
                continue;
            }
            round.tls_hosts.insert(host.clone());
            if let Some((members, seniority)) = self.tls_hosts.get_mut(host).zip(seniority_before) {
                members.members.remove(seniority);
                if members.members.is_empty() {
                    round.tls_flips.insert(host.clone());
                }
            }
        }
        let Some(seniority) = &state.seniority else { return };
        for host in after.wants.keys() {
            let members = &mut self.tls_hosts.entry(host.clone()).or_default().members;
            // Whoever left above and comes back has flipped twice, which only costs a look.
            if members.is_empty() {
                round.tls_flips.insert(host.clone());
            }
            if members.insert(seniority.clone()) {
                round.tls_hosts.insert(host.clone());
            }
        }
    }

    pub(crate) fn has_tls(&self, pattern: &HostPattern) -> bool {
        self.tls_hosts.get(pattern).is_some_and(|host| !host.members.is_empty())
    }

    /// Translates the rules of the admitted Ingresses and of those that depend on what changed.
    pub(crate) fn translate_rules(&mut self, dirty: &Dirty, round: &mut Round) {
        let services = dirty.services.iter().cloned().map(Dependency::Service);
        let flips = std::mem::take(&mut round.tls_flips).into_iter().map(Dependency::TlsHost);
        let mut touched: BTreeSet<Key> = round.admitted.keys().cloned().collect();
        let secrets = dirty.secrets.iter().cloned().map(Dependency::Secret);
        let config_maps = dirty.config_maps.iter().cloned().map(Dependency::ConfigMap);
        for dependency in services.chain(flips).chain(secrets).chain(config_maps) {
            touched.extend(self.dependents.of(&dependency).cloned());
        }
        for key in touched {
            self.translate_ingress(key, round);
        }
    }

    fn translate_ingress(&mut self, key: Key, round: &mut Round) {
        round.work.ingresses += 1;
        let Some(mut state) = self.ingresses.remove(&key) else { return };
        let mut notes = Notes::new(key.reference(Kind::Ingress));
        let part = match self.snapshot.get_ingress(&key).filter(|_| state.ours) {
            Some(ingress) => {
                let context = Context {
                    snapshot: &self.snapshot,
                    options: &self.options,
                    config: &self.config,
                    has_tls: &|pattern| self.has_tls(pattern),
                };
                if canary::is_canary(ingress, &self.options) {
                    canary::translate(ingress, &key, &context, &mut notes)
                } else {
                    ingress::translate(ingress, &key, &state.rules, &context, &mut notes)
                }
            }
            None => RulesPart::default(),
        };
        debug_assert!(self.asks_only_for_its_secrets(&key, &state.tls, &part), "{key}");
        let before = std::mem::replace(&mut state.rules, part);
        state.rule_notes = notes.list;
        self.dependents.replace(&key, &before.dependencies, &state.rules.dependencies);
        for id in state.rules.clusters.keys().filter(|id| !before.clusters.contains_key(id)) {
            self.clusters.acquire(id);
        }
        for id in before.clusters.keys().filter(|id| !state.rules.clusters.contains_key(id)) {
            self.clusters.release(id);
        }
        let seniority_before = match round.admitted.get(&key) {
            Some(before) => before.clone(),
            None => state.seniority.clone(),
        };
        self.tell_clusters(seniority_before.as_ref(), &before, &state);
        self.join_rule_hosts(seniority_before.as_ref(), &before, &state, round);
        self.canaries.join(seniority_before.as_ref(), &before, &state, round);
        if state.seniority.is_some() {
            self.ingresses.insert(key.clone(), state);
        }
        round.noted.insert(key);
    }

    /// Whoever reads the cluster gets only Secrets that [`secrets_of`] names.
    fn asks_only_for_its_secrets(&self, key: &Key, tls: &TlsPart, rules: &RulesPart) -> bool {
        let named = self.snapshot.get_ingress(key).map(|ingress| secrets_of(ingress, &self.options.annotations_prefix));
        let mut asked = tls.dependencies.iter().chain(&rules.dependencies);
        asked.all(|dependency| match dependency {
            Dependency::Secret(secret) => {
                named.as_ref().is_some_and(|named| named.contains(&secret.reference(Kind::Secret)))
            }
            _ => true,
        })
    }

    /// Tells clusters what an Ingress says about them now.
    fn tell_clusters(&mut self, seniority_before: Option<&Seniority>, before: &RulesPart, state: &State) {
        let moved = seniority_before != state.seniority.as_ref();
        if let (Some(who), true) = (seniority_before, before.cluster.is_some()) {
            let gone = before.clusters.keys().filter(|id| moved || !state.rules.clusters.contains_key(id));
            gone.for_each(|id| self.clusters.want(id, who, None));
        }
        if let Some(who) = &state.seniority {
            let settings = state.rules.cluster.as_ref();
            state.rules.clusters.keys().for_each(|id| self.clusters.want(id, who, settings));
        }
    }

    fn join_rule_hosts(
        &mut self,
        seniority_before: Option<&Seniority>,
        before: &RulesPart,
        state: &State,
        round: &mut Round,
    ) {
        let after = &state.rules;
        let moved = seniority_before != state.seniority.as_ref();
        for (host, candidates) in &before.hosts {
            let same = after
                .hosts
                .get(host)
                .is_some_and(|new| new.len() == candidates.len() && new.iter().zip(candidates).all(|(a, b)| a.is(b)));
            let same_host = before.host == after.host
                && before.aliases == after.aliases
                && further_hosts::same(&before.siblings, &after.siblings);
            if same && !moved && same_host {
                continue;
            }
            round.rule_hosts.insert(host.clone());
            if let Some((members, seniority)) = self.rule_hosts.get_mut(host).zip(seniority_before) {
                members.members.remove(seniority);
            }
        }
        let Some(seniority) = &state.seniority else { return };
        for host in after.hosts.keys() {
            let members = &mut self.rule_hosts.entry(host.clone()).or_default().members;
            if members.insert(seniority.clone()) {
                round.rule_hosts.insert(host.clone());
            }
        }
    }

    /// Brings clusters and endpoints up to date.
    pub(crate) fn refresh_clusters(&mut self, dirty: Dirty, round: &mut Round, output: &mut Output) {
        let mut services = dirty.services;
        services.extend(dirty.endpoints);
        services.extend(self.clusters.probed_by(&dirty.pods));
        let pods_changed = !dirty.pods.is_empty();
        self.clusters.set_defaults(ClusterSettings::of_config(&self.config));
        let (flipped, looked_at) = self.clusters.refresh(services, &self.snapshot, &mut self.notes, output);
        round.work.services = looked_at;
        if self.clusters.take_resampled() || pods_changed {
            let wanted = self.clusters.sampled_pods();
            self.snapshot.keep_pods(|pod| wanted.contains(pod));
            output.pods = self.clusters.ask_for_pods(&self.snapshot);
        }
        for service in flipped {
            round.noted.extend(self.dependents.of(&Dependency::Service(service)).cloned());
        }
    }

    /// Merges the rules of every host that an Ingress touched.
    pub(crate) fn merge_hosts(&mut self, round: &mut Round) {
        for host in std::mem::take(&mut round.rule_hosts) {
            round.work.hosts += 1;
            round.merged.insert(host.clone());
            let Some(state) = self.rule_hosts.get_mut(&host) else { continue };
            if state.members.is_empty() {
                self.rule_hosts.remove(&host);
                round.edit().hosts.set(&host, None);
                if round.current.host_settings.get(&host).is_some() {
                    round.edit().host_settings.set(&host, None);
                }
                continue;
            }
            let ingresses = &self.ingresses;
            let wants: Vec<_> = state
                .members
                .iter()
                .filter_map(|member| {
                    let part = &ingresses.get(&member.key)?.rules;
                    part.hosts.get(&host).map(|candidates| (&member.key, &part.host, &**candidates))
                })
                .collect();
            let (asked, unheard) = host_settings::merge(&host, &wants);
            if round.current.host_settings.get(&host).map(|now| &**now) != asked.as_ref() {
                round.edit().host_settings.set(&host, asked.map(Arc::new));
            }
            let contributions: Vec<_> = state
                .members
                .iter()
                .filter_map(|member| {
                    ingresses.get(&member.key)?.rules.hosts.get(&host).map(|list| (&member.key, &**list))
                })
                .collect();
            let lent = lent_tls::lend(&contributions, round.current.hosts.get(&host).map(|rules| &**rules));
            let lent: Option<Vec<_>> =
                lent.as_ref().map(|lent| lent.iter().map(|(key, list)| (*key, &**list)).collect());
            let mut merged = hosts::merge(&host, lent.as_ref().unwrap_or(&contributions));
            for (key, notes) in unheard {
                merged.shadowed.entry(key).or_default().extend(notes);
            }
            round.noted.extend(changed(&state.shadowed, &merged.shadowed));
            state.shadowed = merged.shadowed;
            if round.current.hosts.get(&host).is_none_or(|current| !hosts::same(current, &merged.rules)) {
                round.edit().hosts.set(&host, Some(Arc::new(merged.rules)));
            }
        }
    }

    /// Chooses the certificate of every host whose TLS entries an Ingress touched.
    pub(crate) fn merge_tls_hosts(&mut self, round: &mut Round) {
        for host in std::mem::take(&mut round.tls_hosts) {
            round.tls_merged.insert(host.clone());
            let Some(state) = self.tls_hosts.get_mut(&host) else { continue };
            let ingresses = &self.ingresses;
            let wants: Vec<_> = state
                .members
                .iter()
                .filter_map(|member| ingresses.get(&member.key)?.tls.wants.get(&host).map(|want| (&member.key, want)))
                .collect();
            let (certificate, shadowed) = tls_hosts::choose(&host, &wants);
            round.noted.extend(changed(&state.shadowed, &shadowed));
            state.shadowed = shadowed;
            let gone = state.members.is_empty();
            if gone {
                self.tls_hosts.remove(&host);
            }
            if certificate.as_ref().map(Arc::as_ptr) != round.current.certificates.get(&host).map(Arc::as_ptr) {
                round.edit().certificates.set(&host, certificate);
            }
        }
    }
}

/// The keys whose values differ.
fn changed(before: &BTreeMap<Key, Vec<Note>>, after: &BTreeMap<Key, Vec<Note>>) -> BTreeSet<Key> {
    let keys = before.keys().chain(after.keys());
    keys.filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
}
