//! All rules of one host, whichever Ingress they come from.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use features::Route;
use table::{HostPattern, PathMatch, Rules};

use crate::ingress::{Candidate, Place};
use crate::notes::Notes;
use crate::object::Kind;
use crate::report::Note;
use crate::seniority::Seniority;
use crate::snapshot::Key;
use crate::text::Quoted;

/// Who has rules for a host, and what was said about those that lost.
#[derive(Debug, Default)]
pub(crate) struct HostState {
    pub(crate) members: BTreeSet<Seniority>,
    /// Notes by Ingress.
    pub(crate) shadowed: BTreeMap<Key, Vec<Note>>,
}

/// A host's rules and the notes of the losers.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) rules: Rules<Route>,
    pub(crate) shadowed: BTreeMap<Key, Vec<Note>>,
}

/// Merges what Ingresses want for a host, given in the order of their seniority.
pub(crate) fn merge<'a>(host: &HostPattern, contributions: &[(&'a Key, &'a [Candidate])]) -> Merged {
    let mut winners: BTreeMap<&PathMatch, (&Key, &Candidate)> = BTreeMap::new();
    let mut shadowed: BTreeMap<Key, Vec<Note>> = BTreeMap::new();
    let all = || contributions.iter().flat_map(|(key, list)| list.iter().map(move |candidate| (*key, candidate)));
    // A default backend serves the root only where no rule does.
    let rules = all().filter(|(_, candidate)| candidate.place != Place::DefaultBackend);
    let fallbacks = all().filter(|(_, candidate)| candidate.place == Place::DefaultBackend);
    for (key, candidate) in rules.chain(fallbacks) {
        match winners.get(&candidate.rule.path) {
            None => {
                winners.insert(&candidate.rule.path, (key, candidate));
            }
            // An Ingress may well have both a rule for the root and a default backend.
            Some((winner, _)) if *winner == key && candidate.place == Place::DefaultBackend => {}
            Some((winner, first)) => {
                shadowed.entry(key.clone()).or_default().extend(lost(host, key, candidate, winner, first))
            }
        }
    }
    let rules = Rules::new(winners.into_values().map(|(_, candidate)| candidate.rule.clone()));
    Merged { rules, shadowed }
}

fn lost(host: &HostPattern, key: &Key, candidate: &Candidate, winner: &Key, first: &Candidate) -> Vec<Note> {
    let path = Quoted(candidate.rule.path.as_str());
    let message = if winner == key {
        format!("{} has path {path} of host {host} already, so this one has no effect; remove one of them", first.place)
    } else {
        format!(
            "Ingress {} has path {path} of host {host} already ({}), so this one has no effect; remove one of them",
            Quoted(&winner.to_string()),
            first.place
        )
    };
    let mut notes = Notes::new(key.reference(Kind::Ingress));
    notes.warning("Shadowed", candidate.place.to_string(), message);
    notes.list
}

/// Do two sets of rules hold the very same rules?
pub(crate) fn same(a: &Rules<Route>, b: &Rules<Route>) -> bool {
    let pointers = |rules: &Rules<Route>| rules.iter().map(Arc::as_ptr).collect::<Vec<_>>();
    pointers(a) == pointers(b)
}
