//! Which canary takes requests of which Service: decided once the rules of hosts are known.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use features::{Alternative, Backend, Route};
use table::{ClusterId, HostPattern, Rules};

use crate::canary::{self, CanaryRule};
use crate::ingress::{Candidate, Place, RulesPart};
use crate::notes::Notes;
use crate::object::Kind;
use crate::report::Note;
use crate::round::Round;
use crate::seniority::Seniority;
use crate::snapshot::Key;
use crate::text::Quoted;
use crate::translator::{State, Translator};

/// Which of two canaries comes first: the older Ingress; within one, its default backend, and then its rules in their order.
type Rank = (Seniority, bool, Place, HostPattern);

/// All canaries.
#[derive(Debug, Default)]
pub(crate) struct Canaries {
    hosts: BTreeMap<HostPattern, HostCanaries>,
    /// What was offered to each main cluster; the first takes its requests.
    offers: BTreeMap<ClusterId, BTreeMap<Rank, Arc<Alternative>>>,
}

/// Who has canaries for a host, and what became of them.
#[derive(Debug, Default)]
struct HostCanaries {
    members: BTreeSet<Seniority>,
    offers: BTreeSet<(ClusterId, Rank)>,
    /// Why some have no effect, by Ingress.
    notes: BTreeMap<Key, Vec<Note>>,
}

/// What the canaries of a host come to.
#[derive(Default)]
struct Resolved {
    offers: BTreeMap<(ClusterId, Rank), Arc<Alternative>>,
    notes: BTreeMap<Key, Vec<Note>>,
}

impl Canaries {
    /// An Ingress has other canaries now.
    pub(crate) fn join(
        &mut self,
        seniority_before: Option<&Seniority>,
        before: &RulesPart,
        state: &State,
        round: &mut Round,
    ) {
        let after = &state.rules;
        if seniority_before == state.seniority.as_ref() && before.canary == after.canary {
            return;
        }
        for host in canary::hosts(&before.canary) {
            round.canary_hosts.insert(host.clone());
            if let Some((members, seniority)) = self.hosts.get_mut(host).zip(seniority_before) {
                members.members.remove(seniority);
            }
        }
        let Some(seniority) = &state.seniority else { return };
        for host in canary::hosts(&after.canary) {
            round.canary_hosts.insert(host.clone());
            self.hosts.entry(host.clone()).or_default().members.insert(seniority.clone());
        }
    }

    /// The notes of an Ingress about its canaries.
    pub(crate) fn notes(&self, key: &Key, rules: &[CanaryRule]) -> Vec<Note> {
        let by_host = canary::hosts(rules).into_iter().filter_map(|host| self.hosts.get(host)?.notes.get(key));
        let mut list: Vec<Note> = by_host.flatten().cloned().collect();
        let hosts = canary::hosts(rules).into_iter().filter_map(|host| self.hosts.get(host));
        let mine = hosts.flat_map(|host| &host.offers).filter(|(_, rank)| rank.0.key == *key);
        for (main, rank) in mine {
            let offers = self.offers.get(main);
            let Some((first, taken)) = offers.and_then(BTreeMap::first_key_value) else { continue };
            let own = offers.and_then(|offers| offers.get(rank));
            if first == rank || own.is_some_and(|own| **own == **taken) {
                continue;
            }
            let message = format!(
                "port {} of Service {} has a canary already ({} of Ingress {}), and only one has an effect, so this one has \
                 none; remove one of them",
                main.port(),
                Quoted(main.service()),
                first.2,
                Quoted(&first.0.key.to_string())
            );
            let mut notes = Notes::new(key.reference(Kind::Ingress));
            notes.warning("CanaryShadowed", rank.2.to_string(), message);
            list.append(&mut notes.list);
        }
        list
    }
}

impl Translator {
    /// Decides about the canaries of every host whose rules or canaries changed.
    pub(crate) fn decide_canaries(&mut self, round: &mut Round) {
        let mut hosts = std::mem::take(&mut round.canary_hosts);
        let merged = std::mem::take(&mut round.merged);
        hosts.extend(merged.into_iter().filter(|host| self.canaries.hosts.contains_key(host)));
        let mut touched = BTreeSet::new();
        for host in hosts {
            let Some(mut state) = self.canaries.hosts.remove(&host) else { continue };
            let resolved = self.resolve_canaries(&host, &state.members, round);
            for (main, rank) in std::mem::take(&mut state.offers) {
                if let Some(offers) = self.canaries.offers.get_mut(&main) {
                    // Those that lost to it are told something else now.
                    round.noted.extend(offers.keys().map(|rank| rank.0.key.clone()));
                    offers.remove(&rank);
                }
                touched.insert(main);
            }
            for ((main, rank), alternative) in resolved.offers {
                self.canaries.offers.entry(main.clone()).or_default().insert(rank.clone(), alternative);
                touched.insert(main.clone());
                state.offers.insert((main, rank));
            }
            round.noted.extend(state.notes.keys().chain(resolved.notes.keys()).cloned());
            state.notes = resolved.notes;
            if !state.members.is_empty() {
                self.canaries.hosts.insert(host, state);
            }
        }
        for main in touched {
            let offers = self.canaries.offers.get(&main);
            round.noted.extend(offers.into_iter().flat_map(BTreeMap::keys).map(|rank| rank.0.key.clone()));
            let first = offers.and_then(|offers| offers.values().next().cloned());
            if first.is_none() {
                self.canaries.offers.remove(&main);
            }
            self.clusters.set_canary(&main, first);
        }
    }

    fn resolve_canaries(&self, host: &HostPattern, members: &BTreeSet<Seniority>, round: &Round) -> Resolved {
        let table = round.next.as_ref().unwrap_or(&round.current);
        let rules = table.hosts.get(host);
        let primary: BTreeSet<&ClusterId> = rules.iter().flat_map(|rules| rules.iter()).filter_map(main_of).collect();
        let mut resolved = Resolved::default();
        for member in members {
            let Some(state) = self.ingresses.get(&member.key) else { continue };
            for canary in state.rules.canary.iter().filter(|canary| canary.host == *host) {
                let mains = rules.map(|rules| self.mains(host, rules, canary)).unwrap_or_default();
                let alternative = &canary.alternative;
                let message = if primary.contains(&alternative.cluster) {
                    format!(
                        "Service {} serves host {host} by itself already, so it cannot be a canary there; use another Service",
                        Quoted(alternative.cluster.service())
                    )
                } else if mains.is_empty() {
                    nothing_to_join(canary)
                } else {
                    for main in mains {
                        let rank = (member.clone(), canary.path.is_some(), canary.place, host.clone());
                        resolved.offers.insert((main, rank), alternative.clone());
                    }
                    continue;
                };
                let mut notes = Notes::new(member.key.reference(Kind::Ingress));
                notes.warning("CanaryUnused", canary.place.to_string(), message);
                resolved.notes.entry(member.key.clone()).or_default().append(&mut notes.list);
            }
        }
        resolved
    }

    /// The main clusters that a canary is meant for: those of the rules of the same path and type, as they are written.
    fn mains(&self, host: &HostPattern, rules: &Rules<Route>, canary: &CanaryRule) -> BTreeSet<ClusterId> {
        let Some((text, path_type)) = &canary.path else { return rules.iter().filter_map(main_of).cloned().collect() };
        let members = self.rule_hosts.get(host).into_iter().flat_map(|state| &state.members);
        let candidates = members.filter_map(|member| self.ingresses.get(&member.key)?.rules.hosts.get(host)).flatten();
        let same = |candidate: &&Candidate| candidate.text == *text && candidate.path_type == *path_type;
        let serves = |candidate: &&Candidate| rules.iter().any(|rule| Arc::ptr_eq(rule, &candidate.rule));
        candidates.filter(same).filter(serves).filter_map(|candidate| main_of(&candidate.rule)).cloned().collect()
    }
}

fn main_of(rule: &Arc<table::Rule<Route>>) -> Option<&ClusterId> {
    match &rule.policy.backend {
        Backend::Cluster(id) => Some(id),
        Backend::Refused(_) => None,
    }
}

fn nothing_to_join(canary: &CanaryRule) -> String {
    let host = &canary.host;
    match &canary.path {
        Some((text, path_type)) => format!(
            "no Ingress that is no canary has path {} of type {path_type} on host {host}, so this one has no effect; host, path \
             and path type must be the same",
            Quoted(text)
        ),
        None => {
            "no Ingress that is no canary serves requests of any host, so this one has no effect; add rules instead"
                .to_owned()
        }
    }
}
