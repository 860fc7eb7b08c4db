//! Which Secrets are referred to.
use std::collections::{BTreeMap, BTreeSet};

use translate::{Change, Kind, Object, ObjectRef, secrets_of};

/// Secrets with how many refer to them.
#[derive(Debug)]
pub(crate) struct Referred {
    annotations_prefix: String,
    by: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
    count: BTreeMap<ObjectRef, usize>,
}

/// What changes did to references.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Referring {
    /// Secrets that are referred to now and were not before.
    pub(crate) new: BTreeSet<ObjectRef>,
    /// Secrets that nobody refers to any more.
    pub(crate) dropped: BTreeSet<ObjectRef>,
}

impl Referred {
    /// The operator refers to these.
    pub(crate) fn new(annotations_prefix: String, operator: &BTreeSet<ObjectRef>) -> Self {
        let count = operator.iter().map(|secret| (secret.clone(), 1)).collect();
        Self { annotations_prefix, by: BTreeMap::new(), count }
    }

    /// Takes in what Ingresses refer to now.
    pub(crate) fn take(&mut self, changes: &[Change]) -> Referring {
        let mut before = BTreeMap::new();
        for change in changes {
            let (ingress, secrets) = match change {
                Change::Set(Object::Ingress(ingress)) => {
                    (Object::Ingress(ingress.clone()).reference(), secrets_of(ingress, &self.annotations_prefix))
                }
                Change::Delete(reference) if reference.kind == Kind::Ingress => (reference.clone(), BTreeSet::new()),
                Change::Set(_) | Change::Delete(_) => continue,
            };
            for secret in &secrets {
                let count = self.count.entry(secret.clone()).or_default();
                before.entry(secret.clone()).or_insert(*count > 0);
                *count += 1;
            }
            for secret in self.by.remove(&ingress).into_iter().flatten() {
                before.entry(secret.clone()).or_insert(true);
                self.count.entry(secret).and_modify(|count| *count -= 1);
            }
            if !secrets.is_empty() {
                self.by.insert(ingress, secrets);
            }
        }
        self.count.retain(|_, count| *count > 0);
        let mut referring = Referring::default();
        for (secret, was) in before {
            match (was, self.contains(&secret)) {
                (false, true) => referring.new.insert(secret),
                (true, false) => referring.dropped.insert(secret),
                _ => false,
            };
        }
        referring
    }

    /// Does anybody refer to it?
    pub(crate) fn contains(&self, secret: &ObjectRef) -> bool {
        self.count.contains_key(secret)
    }

    /// All that somebody refers to.
    pub(crate) fn all(&self) -> BTreeSet<ObjectRef> {
        self.count.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::networking::v1::{Ingress, IngressSpec, IngressTLS};
    use std::sync::Arc;

    fn ingress(name: &str, secrets: &[&str]) -> Change {
        let mut ingress = Ingress::default();
        ingress.metadata.namespace = Some("ns".to_owned());
        ingress.metadata.name = Some(name.to_owned());
        let entry = |name: &&str| IngressTLS { secret_name: Some((*name).to_owned()), ..IngressTLS::default() };
        ingress.spec = Some(IngressSpec { tls: Some(secrets.iter().map(entry).collect()), ..IngressSpec::default() });
        Change::Set(Object::Ingress(Arc::new(ingress)))
    }

    fn names(secrets: BTreeSet<ObjectRef>) -> Vec<String> {
        secrets.into_iter().map(|secret| secret.name.to_string()).collect()
    }

    #[test]
    fn the_first_reference_is_new_and_the_last_one_drops() {
        let mut referred = Referred::new("p".to_owned(), &BTreeSet::new());
        let referring = referred.take(&[ingress("a", &["x", "y"]), ingress("b", &["x"])]);
        assert_eq!((names(referring.new), names(referring.dropped)), (vec!["x".to_owned(), "y".to_owned()], vec![]));
        assert_eq!(names(referred.take(&[ingress("a", &[])]).dropped), ["y"]);
        let gone = ObjectRef { kind: Kind::Ingress, namespace: "ns".into(), name: "b".into() };
        assert_eq!(names(referred.take(&[Change::Delete(gone)]).dropped), ["x"]);
        assert!(referred.all().is_empty());
    }

    #[test]
    fn a_reference_that_moves_within_a_batch_is_neither() {
        let mut referred = Referred::new("p".to_owned(), &BTreeSet::new());
        referred.take(&[ingress("a", &["x"])]);
        assert_eq!(referred.take(&[ingress("a", &[]), ingress("b", &["x"])]), Referring::default());
    }

    #[test]
    fn the_operators_own_stays() {
        let own = ObjectRef { kind: Kind::Secret, namespace: "ns".into(), name: "x".into() };
        let mut referred = Referred::new("p".to_owned(), &BTreeSet::from([own.clone()]));
        referred.take(&[ingress("a", &["x"])]);
        assert_eq!(referred.take(&[ingress("a", &[])]), Referring::default());
        assert!(referred.contains(&own));
    }
}
