//! TLS towards endpoints (`proxy-ssl-*`) that paths have from another Ingress of their host.
//!
//! ingress-nginx writes the settings of an Ingress into the whole server: those of the oldest with a `ca.crt`, or else of the
//! youngest. Here they stay within a namespace: whoever may write Ingresses in another one could otherwise have the certificate
//! shown to endpoints of its own.
use std::collections::BTreeMap;
use std::sync::Arc;

use features::{Protocol, Resolved, Route, Upstream, UpstreamTls};
use table::{Rule, Rules};

use crate::ingress::{Candidate, same};
use crate::snapshot::Key;

/// The candidates of a host, by Ingress in the order of seniority, with what they have from others; `None` when they have
/// nothing. Rules that are as in `current` stay the same objects.
pub(crate) fn lend<'a>(
    contributions: &[(&'a Key, &[Candidate])],
    current: Option<&Rules<Route>>,
) -> Option<Vec<(&'a Key, Vec<Candidate>)>> {
    let lenders = lenders(contributions);
    let takes = |key: &Key, candidate: &Candidate| {
        let upstream = &candidate.rule.policy.upstream;
        let tls = upstream.protocol.is_tls() || upstream.protocol == Protocol::Auto;
        lenders.get(&*key.namespace).copied().filter(|_| tls && upstream.tls.is_none())
    };
    if lenders.is_empty() || !contributions.iter().any(|(key, list)| list.iter().any(|one| takes(key, one).is_some())) {
        return None;
    }
    let mut kept: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for rule in current.into_iter().flat_map(Rules::iter) {
        kept.entry(&rule.path).or_default().push(rule);
    }
    let with = |key: &Key, candidate: &Candidate| {
        let Some(tls) = takes(key, candidate) else { return candidate.clone() };
        let rule = with(&candidate.rule, tls);
        let old = kept.get(&rule.path).and_then(|old| old.iter().find(|old| same(&old.policy, &rule.policy)));
        Candidate { rule: old.map_or_else(|| Arc::new(rule), |old| (*old).clone()), ..candidate.clone() }
    };
    let all = contributions.iter();
    Some(all.map(|(key, list)| (*key, list.iter().map(|candidate| with(key, candidate)).collect())).collect())
}

/// Whose settings others have, by namespace.
fn lenders<'a>(contributions: &[(&'a Key, &'a [Candidate])]) -> BTreeMap<&'a str, &'a Arc<UpstreamTls>> {
    let mut lenders: BTreeMap<&str, &Arc<UpstreamTls>> = BTreeMap::new();
    for (key, list) in contributions {
        let Some(first) = list.first() else { continue };
        if lenders.get(&*key.namespace).is_some_and(|tls| !tls.roots.is_empty()) {
            continue;
        }
        match first.rule.policy.upstream.tls.as_ref().filter(|tls| tls.shared) {
            Some(tls) => lenders.insert(&key.namespace, tls),
            None => lenders.remove(&*key.namespace),
        };
    }
    lenders
}

fn with(rule: &Rule<Route>, tls: &Arc<UpstreamTls>) -> Rule<Route> {
    let Route { labels, backend, upstream, balance, fallback, plan, observe, resolved: _ } = &rule.policy;
    let policy = Route {
        labels: labels.clone(),
        backend: backend.clone(),
        upstream: Arc::new(Upstream { tls: Some(tls.clone()), ..(**upstream).clone() }),
        balance: *balance,
        fallback: fallback.clone(),
        plan: plan.clone(),
        observe: observe.clone(),
        resolved: Resolved::default(),
    };
    Rule { path: rule.path.clone(), policy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::Place;
    use crate::paths::PathType;
    use features::{Backend, Balance, Labels};
    use table::PathMatch;

    fn tls(name: &str, with_roots: bool) -> Arc<UpstreamTls> {
        Arc::new(UpstreamTls {
            chain: Vec::new(),
            key: Vec::new(),
            roots: if with_roots { vec![Vec::new()] } else { Vec::new() },
            verify: false,
            depth: 1,
            name: name.into(),
            send_name: true,
            only: None,
            suites: Box::default(),
            shared: true,
            resolved: Resolved::default(),
        })
    }

    fn candidate(path: &str, tls: Option<Arc<UpstreamTls>>) -> [Candidate; 1] {
        let policy = Route {
            labels: Arc::new(Labels::default()),
            backend: Backend::Refused(""),
            upstream: Arc::new(Upstream { protocol: Protocol::Https, tls, ..Upstream::default() }),
            balance: Balance::default(),
            fallback: None,
            plan: [].into(),
            observe: features::Observe::default(),
            resolved: Resolved::default(),
        };
        let rule = Arc::new(Rule { path: PathMatch::prefix(path).unwrap(), policy });
        let (place, path_type) = (Place::Path { rule: 0, path: 0 }, PathType::Prefix);
        [Candidate { place, text: path.into(), path_type, forces_regex: false, rule }]
    }

    fn names(lent: Option<Vec<(&Key, Vec<Candidate>)>>) -> Vec<String> {
        let name = |candidate: &Candidate| {
            candidate.rule.policy.upstream.tls.as_ref().map(|tls| tls.name.to_string()).unwrap_or_default()
        };
        lent.into_iter().flatten().flat_map(|(_, list)| list.iter().map(name).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn the_oldest_with_authorities_lends_else_the_youngest() {
        let key = Key::new("ns", "a");
        let (none, bare) = (candidate("/none", None), candidate("/bare", Some(tls("bare", false))));
        let whole = candidate("/whole", Some(tls("whole", true)));
        let lent = |lists: &[&[Candidate]]| {
            let all: Vec<_> = lists.iter().map(|list| (&key, *list)).collect();
            names(lend(&all, None))
        };
        assert_eq!(lent(&[&none, &bare]), ["bare", "bare"]);
        assert!(lent(&[&bare, &none]).is_empty(), "the youngest has nothing");
        assert_eq!(lent(&[&bare, &whole, &none]), ["bare", "whole", "whole"]);
        assert!(lent(&[&none]).is_empty());
    }

    #[test]
    fn a_rule_that_is_lent_the_same_stays_the_same_object() {
        let key = Key::new("ns", "a");
        let (none, whole) = (candidate("/none", None), candidate("/whole", Some(tls("whole", true))));
        let all = [(&key, &none[..]), (&key, &whole[..])];
        let first = lend(&all, None).unwrap();
        let current = Rules::new(first.iter().flat_map(|(_, list)| list.iter().map(|one| one.rule.clone())));
        let second = lend(&all, Some(&current)).unwrap();
        assert!(Arc::ptr_eq(&first[0].1[0].rule, &second[0].1[0].rule));
        assert!(!Arc::ptr_eq(&first[0].1[0].rule, &none[0].rule));
    }
}
