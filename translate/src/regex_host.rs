//! A host in ingress-nginx's regex mode: one `use-regex` or one effective `rewrite-target` turns all its paths, also those of
//! other Ingresses, into regular expressions.
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use features::{Backend, Resolved, Route};
use table::{HostPattern, PathMatch, PathRegex, PathRegexError, Rule, Rules};

use crate::hosts::{Merged, lost};
use crate::ingress::{Candidate, Place};
use crate::notes::Notes;
use crate::object::Kind;
use crate::report::Note;
use crate::snapshot::Key;
use crate::text::Quoted;

/// Names that a note lists.
const NAMED: usize = 3;

/// Who redirects the root first, then longer paths, of the same length the greater text, as ingress-nginx writes its locations.
type Order<'a> = (bool, Reverse<usize>, Reverse<&'a str>, bool);

/// Merges what Ingresses want, given in the order of their seniority.
pub(crate) fn merge<'a>(host: &HostPattern, contributions: &[(&'a Key, &'a [Candidate])]) -> Merged {
    let mut winners: BTreeMap<Order<'a>, (&'a Key, &'a Candidate)> = BTreeMap::new();
    let mut shadowed = notes(host, contributions);
    let all = || contributions.iter().flat_map(|(key, list)| list.iter().map(move |candidate| (*key, candidate)));
    let is_fallback = |candidate: &Candidate| candidate.place == Place::DefaultBackend;
    let rules = all().filter(|(_, candidate)| !is_fallback(candidate));
    let fallbacks = all().filter(|(_, candidate)| is_fallback(candidate));
    for (key, candidate) in rules.chain(fallbacks) {
        let exact = matches!(candidate.rule.path, PathMatch::Exact(_));
        let order =
            (candidate.place != Place::AppRoot, Reverse(candidate.text.len()), Reverse(&*candidate.text), exact);
        match winners.get(&order) {
            None => {
                winners.insert(order, (key, candidate));
            }
            Some((winner, _)) if *winner == key && is_fallback(candidate) => {}
            Some((winner, first)) => {
                shadowed.entry(key.clone()).or_default().extend(lost(host, key, candidate, winner, first));
            }
        }
    }
    let mut rules = Vec::new();
    for (key, candidate) in winners.into_values() {
        rules.push(match PathRegex::new(&candidate.text) {
            Ok(regex) => (regex, candidate.rule.clone()),
            Err(error) => {
                shadowed.entry(key.clone()).or_default().extend(broken(key, candidate, error));
                (PathRegex::wider(&candidate.text), Arc::new(closed(&candidate.rule)))
            }
        });
    }
    Merged { rules: Rules::regexes(rules), shadowed }
}

/// What must not serve because its path cannot be understood.
fn closed(rule: &Rule<Route>) -> Rule<Route> {
    let policy = Route {
        labels: rule.policy.labels.clone(),
        backend: Backend::Refused("the path is not a regular expression that can be matched"),
        upstream: rule.policy.upstream.clone(),
        balance: rule.policy.balance,
        fallback: None,
        plan: Box::default(),
        observe: rule.policy.observe.clone(),
        resolved: Resolved::default(),
    };
    Rule { path: rule.path.clone(), policy }
}

fn broken(key: &Key, candidate: &Candidate, error: PathRegexError) -> Vec<Note> {
    let mut notes = Notes::new(key.reference(Kind::Ingress));
    let message = format!(
        "path {} {error}; it answers 503 wherever it could match, until it is corrected",
        Quoted(&candidate.text)
    );
    notes.error("PathRegexInvalid", format!("{}.path", candidate.place), message);
    notes.list
}

/// Tells who turns the paths of whom.
fn notes(host: &HostPattern, contributions: &[(&Key, &[Candidate])]) -> BTreeMap<Key, Vec<Note>> {
    let (mut turning, mut turned) = (BTreeSet::new(), BTreeSet::new());
    for (key, list) in contributions.iter().filter(|(_, list)| !list.is_empty()) {
        let forces = list.iter().any(|candidate| candidate.forces_regex);
        if forces {
            turning.insert((*key).clone())
        } else {
            turned.insert((*key).clone())
        };
    }
    if turned.is_empty() {
        return BTreeMap::new();
    }
    let for_turning = format!(
        "use-regex or rewrite-target turns the paths that {} has on host {host} into regular expressions, too; give one of \
         them another host to keep them apart",
        names(&turned)
    );
    let for_turned = format!(
        "{} turns the paths of host {host} into regular expressions (use-regex or rewrite-target), so those of this Ingress \
         match by their begin and without regard to case; give one of them another host to keep them apart",
        names(&turning)
    );
    let note = |key: &Key, message: &str| {
        let mut notes = Notes::new(key.reference(Kind::Ingress));
        notes.warning("PathsBecomeRegex", "spec.rules".to_owned(), message.to_owned());
        (key.clone(), notes.list)
    };
    turning.iter().map(|key| note(key, &for_turning)).chain(turned.iter().map(|key| note(key, &for_turned))).collect()
}

/// `Ingress "a/b"`, or several.
fn names(keys: &BTreeSet<Key>) -> String {
    let named: Vec<String> = keys.iter().take(NAMED).map(|key| Quoted(&key.to_string()).to_string()).collect();
    let more = match keys.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("Ingress {}{more}", named.join(", "))
}
