//! Who depended on what, including on objects that are absent: the reverse index of translation.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use table::HostPattern;

use crate::snapshot::Key;

/// Something that the translation of an Ingress looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dependency {
    /// An IngressClass by name.
    Class(Arc<str>),
    /// Whether Ingresses without a class are ours.
    Classless,
    /// A Service.
    Service(Key),
    /// A Secret.
    Secret(Key),
    /// A ConfigMap.
    ConfigMap(Key),
    /// Whether any Ingress has a TLS entry for this very pattern.
    TlsHost(HostPattern),
}

/// Ingresses by what they depended on.
#[derive(Debug, Default)]
pub(crate) struct Dependents(BTreeMap<Dependency, BTreeSet<Key>>);

impl Dependents {
    /// Replaces what an Ingress depends on. Returns the dependencies that nobody has any more.
    pub(crate) fn replace(
        &mut self,
        ingress: &Key,
        before: &BTreeSet<Dependency>,
        after: &BTreeSet<Dependency>,
    ) -> Vec<Dependency> {
        for new in after.difference(before) {
            self.0.entry(new.clone()).or_default().insert(ingress.clone());
        }
        let mut orphans = Vec::new();
        for old in before.difference(after) {
            let Some(set) = self.0.get_mut(old) else { continue };
            set.remove(ingress);
            if set.is_empty() {
                self.0.remove(old);
                orphans.push(old.clone());
            }
        }
        orphans
    }

    /// The Ingresses that depend on something.
    pub(crate) fn of(&self, dependency: &Dependency) -> impl Iterator<Item = &Key> {
        self.0.get(dependency).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_dependent_leaves_an_orphan() {
        let (a, b) = (Key::new("ns", "a"), Key::new("ns", "b"));
        let set = BTreeSet::from([Dependency::Classless]);
        let mut dependents = Dependents::default();
        dependents.replace(&a, &BTreeSet::new(), &set);
        dependents.replace(&b, &BTreeSet::new(), &set);
        assert_eq!(dependents.of(&Dependency::Classless).collect::<Vec<_>>(), [&a, &b]);
        assert_eq!(dependents.replace(&a, &set, &BTreeSet::new()), []);
        assert_eq!(dependents.replace(&b, &set, &BTreeSet::new()), [Dependency::Classless]);
    }
}
