//! All rules of one host, whichever Ingress they come from.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use features::Route;
use table::{HostPattern, PathMatch, Rules};

use crate::ingress::{Candidate, Place};
use crate::notes::Notes;
use crate::object::Kind;
use crate::regex_host;
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
    if contributions.iter().any(|(_, list)| list.iter().any(|candidate| candidate.forces_regex)) {
        return regex_host::merge(host, contributions);
    }
    let mut winners: BTreeMap<&PathMatch, (&Key, &Candidate)> = BTreeMap::new();
    let mut shadowed: BTreeMap<Key, Vec<Note>> = BTreeMap::new();
    let all = || contributions.iter().flat_map(|(key, list)| list.iter().map(move |candidate| (*key, candidate)));
    // Who redirects the root has it before everybody; a default backend serves it only where no rule does.
    let roots = all().filter(|(_, candidate)| candidate.place == Place::AppRoot);
    let rules = all().filter(|(_, candidate)| !matches!(candidate.place, Place::DefaultBackend | Place::AppRoot));
    let fallbacks = all().filter(|(_, candidate)| candidate.place == Place::DefaultBackend);
    for (key, candidate) in roots.chain(rules).chain(fallbacks) {
        match winners.get(&candidate.rule.path) {
            None => {
                winners.insert(&candidate.rule.path, (key, candidate));
            }
            // An Ingress may well have both a rule for the root and a default backend.
            Some((winner, _)) if *winner == key && candidate.place == Place::DefaultBackend => {}
            Some((winner, first)) if *winner == key && first.place == Place::AppRoot => {}
            Some((winner, first)) => {
                shadowed.entry(key.clone()).or_default().extend(lost(host, key, candidate, winner, first))
            }
        }
    }
    let rules = Rules::new(winners.into_values().map(|(_, candidate)| candidate.rule.clone()));
    Merged { rules, shadowed }
}

/// Tells the owner of a candidate who has its place.
pub(crate) fn lost(host: &HostPattern, key: &Key, candidate: &Candidate, winner: &Key, first: &Candidate) -> Vec<Note> {
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
    let texts = |rules: &Rules<Route>| rules.expressions().map(|(regex, _)| regex.cloned()).collect::<Vec<_>>();
    pointers(a) == pointers(b) && (a.is_regex() == b.is_regex()) && (!a.is_regex() || texts(a) == texts(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::PathType;
    use features::{Backend, Balance, Resolved};
    use table::Rule;

    fn candidate(path: &str, place: Place) -> Candidate {
        let policy = Route {
            labels: Arc::default(),
            backend: Backend::Refused(""),
            upstream: Arc::default(),
            balance: Balance::default(),
            fallback: None,
            plan: [].into(),
            observe: features::Observe::default(),
            resolved: Resolved::default(),
        };
        let (text, path_type, forces_regex) = (path.into(), PathType::Prefix, false);
        let rule = Arc::new(Rule { path: PathMatch::prefix(path).unwrap(), policy });
        Candidate { place, text, path_type, forces_regex, rule }
    }

    fn at(path: u32) -> Place {
        Place::Path { rule: 0, path }
    }

    #[test]
    fn the_first_ingress_wins_and_the_loser_is_told_who_did() {
        let (old, young) = (Key::new("ns", "old"), Key::new("ns", "young"));
        let (first, second) = ([candidate("/a", at(0))], [candidate("/b", at(0)), candidate("/a", at(1))]);
        let merged = merge(&HostPattern::Any, &[(&old, &first), (&young, &second)]);
        assert_eq!(merged.rules.iter().count(), 2);
        assert!(Arc::ptr_eq(merged.rules.find("/a").unwrap(), &first[0].rule));
        let notes = &merged.shadowed[&young];
        assert_eq!(notes[0].field, "spec.rules[0].http.paths[1]");
        assert!(notes[0].message.contains("\"ns/old\""));
    }

    #[test]
    fn a_default_backend_yields_to_any_rule_for_the_root() {
        let (old, young) = (Key::new("ns", "old"), Key::new("ns", "young"));
        let (first, second) = ([candidate("/", Place::DefaultBackend)], [candidate("/", at(0))]);
        let merged = merge(&HostPattern::Any, &[(&old, &first), (&young, &second)]);
        assert!(Arc::ptr_eq(merged.rules.find("/x").unwrap(), &second[0].rule));
        assert_eq!(merged.shadowed.keys().collect::<Vec<_>>(), [&old]);
    }

    #[test]
    fn an_ingress_may_have_both_a_root_rule_and_a_default_backend() {
        let key = Key::new("ns", "a");
        let both = [candidate("/", at(0)), candidate("/", Place::DefaultBackend)];
        assert!(merge(&HostPattern::Any, &[(&key, &both)]).shadowed.is_empty());
    }
}
