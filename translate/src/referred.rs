//! Looks up what the annotations of an Ingress refer to, and remembers what was asked for.
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use features::annotation::Config;
use features::{CROSS_NAMESPACE, Data, Objects};
use table::{ClusterId, ServicePort};

use crate::dependents::Dependency;
use crate::service;
use crate::snapshot::{Key, Snapshot};
use crate::text::Quoted;

/// What an Ingress of one namespace may refer to.
pub(crate) struct Referred<'a> {
    snapshot: &'a Snapshot,
    namespace: &'a Arc<str>,
    cross_namespace: bool,
    asked: RefCell<BTreeSet<Dependency>>,
    clusters: RefCell<BTreeSet<ClusterId>>,
}

impl<'a> Referred<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, namespace: &'a Arc<str>, config: &Config) -> Self {
        let cross_namespace = config.get(&CROSS_NAMESPACE).unwrap_or(false);
        Self { snapshot, namespace, cross_namespace, asked: RefCell::default(), clusters: RefCell::default() }
    }

    /// What the operator's own objects may refer to: everything.
    pub(crate) fn by_the_operator(snapshot: &'a Snapshot, namespace: &'a Arc<str>) -> Self {
        Self { snapshot, namespace, cross_namespace: true, asked: RefCell::default(), clusters: RefCell::default() }
    }

    /// Everything that was asked for, there or not, and the clusters that were found.
    pub(crate) fn into_parts(self) -> (BTreeSet<Dependency>, BTreeSet<ClusterId>) {
        (self.asked.into_inner(), self.clusters.into_inner())
    }

    fn key(&self, reference: &str) -> Result<Key, String> {
        let (namespace, name) = reference.split_once('/').unwrap_or((self.namespace, reference));
        if namespace.is_empty() || name.is_empty() || name.contains('/') {
            return Err(format!("{} is neither a name nor namespace/name; write one of them", Quoted(reference)));
        }
        if *namespace != **self.namespace && !self.cross_namespace {
            return Err(format!(
                "{} is in another namespace; move it to namespace {}, or let the operator set \
                 allow-cross-namespace-resources in the controller's ConfigMap",
                Quoted(reference),
                self.namespace
            ));
        }
        Ok(Key::new(namespace, name))
    }
}

impl Objects for Referred<'_> {
    fn secret(&self, reference: &str) -> Result<Data, String> {
        let key = self.key(reference)?;
        self.asked.borrow_mut().insert(Dependency::Secret(key.clone()));
        let missing = || format!("Secret {} does not exist; create it", Quoted(&key.to_string()));
        let secret = self.snapshot.get_secret(&key).ok_or_else(missing)?;
        let data = secret.data.iter().flatten().map(|(name, value)| (name.clone(), value.0.clone()));
        // `stringData` wins, as it does when the API server stores a Secret.
        let texts = secret.string_data.iter().flatten().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        Ok(data.chain(texts).collect())
    }

    fn config_map(&self, reference: &str) -> Result<Data, String> {
        let key = self.key(reference)?;
        self.asked.borrow_mut().insert(Dependency::ConfigMap(key.clone()));
        let missing = || format!("ConfigMap {} does not exist; create it", Quoted(&key.to_string()));
        let map = self.snapshot.get_config_map(&key).ok_or_else(missing)?;
        let binary = map.binary_data.iter().flatten().map(|(name, value)| (name.clone(), value.0.clone()));
        let texts = map.data.iter().flatten().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        Ok(binary.chain(texts).collect())
    }

    fn service(&self, name: &str) -> Result<ClusterId, String> {
        let key = Key { namespace: self.namespace.clone(), name: name.into() };
        self.asked.borrow_mut().insert(Dependency::Service(key.clone()));
        let missing = || format!("Service {} does not exist; create it", Quoted(&key.to_string()));
        let object = self.snapshot.get_service(&key).ok_or_else(missing)?;
        let port = service::first_port(object)
            .ok_or_else(|| format!("Service {} has no TCP port; add one", Quoted(&key.to_string())))?;
        let cluster = ClusterId::new(&key.namespace, &key.name, ServicePort::Number(port.number));
        self.clusters.borrow_mut().insert(cluster.clone());
        Ok(cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Change, Object};
    use crate::snapshot::Dirty;
    use k8s_openapi::api::core::v1::Secret;

    fn snapshot() -> Snapshot {
        let mut secret =
            Secret { string_data: Some([("auth".to_owned(), "x".to_owned())].into()), ..Secret::default() };
        secret.metadata.namespace = Some("other".to_owned());
        secret.metadata.name = Some("users".to_owned());
        let mut snapshot = Snapshot::default();
        snapshot.apply(Change::Set(Object::Secret(Arc::new(secret))), &mut Dirty::default());
        snapshot
    }

    #[test]
    fn another_namespace_is_refused_unless_the_operator_allows_it() {
        let (snapshot, namespace) = (snapshot(), Arc::from("ns"));
        let strict = Referred::new(&snapshot, &namespace, &Config::default());
        assert!(strict.secret("other/users").unwrap_err().contains("another namespace"));
        let config = Config::new([("allow-cross-namespace-resources".to_owned(), "true".to_owned())]);
        assert_eq!(Referred::new(&snapshot, &namespace, &config).secret("other/users").unwrap()["auth"], b"x");
    }

    #[test]
    fn what_is_missing_is_remembered() {
        let (snapshot, namespace) = (snapshot(), Arc::from("ns"));
        let referred = Referred::new(&snapshot, &namespace, &Config::default());
        assert!(referred.secret("users").is_err());
        assert!(referred.config_map("headers").is_err());
        let want = [Dependency::Secret(Key::new("ns", "users")), Dependency::ConfigMap(Key::new("ns", "headers"))];
        assert_eq!(referred.into_parts().0, want.into());
    }
}
