//! The objects as they are now: the whole input of translation.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::object::{Change, Kind, Object, ObjectRef};
use crate::service::own_annotations;

/// Label of an EndpointSlice that names its Service.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The object of this name and a kind.
    pub(crate) fn reference(&self, kind: Kind) -> ObjectRef {
        ObjectRef { kind, namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What changed in a way that translation can notice.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) ingresses: BTreeSet<Key>,
    pub(crate) classes: BTreeSet<Arc<str>>,
    pub(crate) services: BTreeSet<Key>,
    /// Services whose EndpointSlices changed.
    pub(crate) endpoints: BTreeSet<Key>,
    pub(crate) secrets: BTreeSet<Key>,
    pub(crate) config_maps: BTreeSet<Key>,
    pub(crate) pods: BTreeSet<Key>,
}

/// All objects, by kind and name.
#[derive(Default)]
pub(crate) struct Snapshot {
    ingresses: BTreeMap<Key, Arc<Ingress>>,
    classes: BTreeMap<Key, Arc<IngressClass>>,
    services: BTreeMap<Key, Arc<Service>>,
    slices: BTreeMap<Key, Arc<EndpointSlice>>,
    secrets: BTreeMap<Key, Arc<Secret>>,
    config_maps: BTreeMap<Key, Arc<ConfigMap>>,
    pods: BTreeMap<Key, Arc<Pod>>,
    /// Namespaces whose pods may not be read.
    hidden: BTreeSet<Arc<str>>,
    /// Names of the EndpointSlices of each Service.
    slices_of: BTreeMap<Key, BTreeSet<Arc<str>>>,
    /// Services of type ExternalName do not serve.
    pub(crate) refuses_external_names: bool,
    /// Pods come when they are asked for: one that is not there may be on its way.
    pub(crate) asks_for_pods: bool,
}

/// Only figures: Secrets must not show.
impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("ingresses", &self.ingresses.len())
            .field("classes", &self.classes.len())
            .field("services", &self.services.len())
            .field("slices", &self.slices.len())
            .field("secrets", &self.secrets.len())
            .field("config_maps", &self.config_maps.len())
            .field("pods", &self.pods.len())
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Takes a change in and marks what it may concern. A change that means nothing to translation (status,
    /// resource version, managed fields) marks nothing.
    pub(crate) fn apply(&mut self, change: Change, dirty: &mut Dirty) {
        let (reference, object) = match change {
            Change::Set(object) => (object.reference(), Some(object)),
            Change::Delete(reference) => (reference, None),
        };
        let key = Key { namespace: reference.namespace, name: reference.name };
        match (reference.kind, object) {
            (Kind::Ingress, Some(Object::Ingress(object))) => self.ingress(key, Some(object), dirty),
            (Kind::Ingress, _) => self.ingress(key, None, dirty),
            (Kind::IngressClass, Some(Object::IngressClass(object))) => self.class(key, Some(object), dirty),
            (Kind::IngressClass, _) => self.class(Key { namespace: "".into(), ..key }, None, dirty),
            (Kind::Service, Some(Object::Service(object))) => self.service(key, Some(object), dirty),
            (Kind::Service, _) => self.service(key, None, dirty),
            (Kind::EndpointSlice, Some(Object::EndpointSlice(object))) => self.slice(key, Some(object), dirty),
            (Kind::EndpointSlice, _) => self.slice(key, None, dirty),
            (Kind::Secret, Some(Object::Secret(object))) => self.secret(key, Some(object), dirty),
            (Kind::Secret, _) => self.secret(key, None, dirty),
            (Kind::ConfigMap, Some(Object::ConfigMap(object))) => self.config_map(key, Some(object), dirty),
            (Kind::ConfigMap, _) => self.config_map(key, None, dirty),
            (Kind::Pod, Some(Object::Pod(object))) => self.pod(key, Some(object), dirty),
            (Kind::Pod, _) => self.pod(key, None, dirty),
        }
    }

    fn ingress(&mut self, key: Key, object: Option<Arc<Ingress>>, dirty: &mut Dirty) {
        let same = |a: &Ingress, b: &Ingress| {
            a.spec == b.spec
                && a.metadata.annotations == b.metadata.annotations
                && a.metadata.creation_timestamp == b.metadata.creation_timestamp
        };
        if replace(&mut self.ingresses, &key, object, same).is_some() {
            dirty.ingresses.insert(key);
        }
    }

    fn class(&mut self, key: Key, object: Option<Arc<IngressClass>>, dirty: &mut Dirty) {
        let same = |a: &IngressClass, b: &IngressClass| {
            a.spec == b.spec
                && a.metadata.annotations == b.metadata.annotations
                && a.metadata.creation_timestamp == b.metadata.creation_timestamp
        };
        if replace(&mut self.classes, &key, object, same).is_some() {
            dirty.classes.insert(key.name);
        }
    }

    fn service(&mut self, key: Key, object: Option<Arc<Service>>, dirty: &mut Dirty) {
        let same = |a: &Service, b: &Service| {
            a.spec == b.spec && own_annotations(&a.metadata).eq(own_annotations(&b.metadata))
        };
        if replace(&mut self.services, &key, object, same).is_some() {
            dirty.services.insert(key);
        }
    }

    fn secret(&mut self, key: Key, object: Option<Arc<Secret>>, dirty: &mut Dirty) {
        let same = |a: &Secret, b: &Secret| a.data == b.data && a.string_data == b.string_data;
        if replace(&mut self.secrets, &key, object, same).is_some() {
            dirty.secrets.insert(key);
        }
    }

    fn config_map(&mut self, key: Key, object: Option<Arc<ConfigMap>>, dirty: &mut Dirty) {
        let same = |a: &ConfigMap, b: &ConfigMap| a.data == b.data && a.binary_data == b.binary_data;
        if replace(&mut self.config_maps, &key, object, same).is_some() {
            dirty.config_maps.insert(key);
        }
    }

    /// Where pods come when they are asked for, one that does not come may not be read, and neither may its neighbours.
    fn pod(&mut self, key: Key, object: Option<Arc<Pod>>, dirty: &mut Dirty) {
        let same = |a: &Pod, b: &Pod| a.spec == b.spec && a.metadata.uid == b.metadata.uid;
        let is_refused = object.is_none() && self.asks_for_pods && !self.pods.contains_key(&key);
        if is_refused {
            self.hidden.insert(key.namespace.clone());
        } else {
            self.hidden.remove(&key.namespace);
        }
        if replace(&mut self.pods, &key, object, same).is_some() || is_refused {
            dirty.pods.insert(key);
        }
    }

    /// Forgets all pods but those that are asked for, where they come so.
    pub(crate) fn keep_pods(&mut self, wanted: impl Fn(&Key) -> bool) {
        if self.asks_for_pods {
            self.pods.retain(|key, _| wanted(key));
        }
    }

    fn slice(&mut self, key: Key, object: Option<Arc<EndpointSlice>>, dirty: &mut Dirty) {
        let same = |a: &EndpointSlice, b: &EndpointSlice| {
            a.address_type == b.address_type
                && a.ports == b.ports
                && service_of(&a.metadata) == service_of(&b.metadata)
                && a.endpoints == b.endpoints
                && own_annotations(&a.metadata).eq(own_annotations(&b.metadata))
        };
        let after =
            object.as_ref().and_then(|slice| service_of(&slice.metadata)).map(|name| Key::new(&key.namespace, name));
        let Some(before) = replace(&mut self.slices, &key, object, same) else { return };
        let before =
            before.as_ref().and_then(|slice| service_of(&slice.metadata)).map(|name| Key::new(&key.namespace, name));
        if before != after {
            if let Some(service) = &before {
                self.forget_slice(service, &key.name);
            }
            if let Some(service) = &after {
                self.slices_of.entry(service.clone()).or_default().insert(key.name);
            }
        }
        dirty.endpoints.extend(before.into_iter().chain(after));
    }

    fn forget_slice(&mut self, service: &Key, slice: &Arc<str>) {
        if let Some(names) = self.slices_of.get_mut(service) {
            names.remove(slice);
            if names.is_empty() {
                self.slices_of.remove(service);
            }
        }
    }

    pub(crate) fn get_ingress(&self, key: &Key) -> Option<&Arc<Ingress>> {
        self.ingresses.get(key)
    }

    pub(crate) fn get_service(&self, key: &Key) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    pub(crate) fn get_secret(&self, key: &Key) -> Option<&Arc<Secret>> {
        self.secrets.get(key)
    }

    pub(crate) fn get_config_map(&self, key: &Key) -> Option<&Arc<ConfigMap>> {
        self.config_maps.get(key)
    }

    pub(crate) fn get_pod(&self, key: &Key) -> Option<&Arc<Pod>> {
        self.pods.get(key)
    }

    /// May a pod that is not there still come?
    pub(crate) fn awaits_pods_of(&self, namespace: &str) -> bool {
        self.asks_for_pods && !self.hidden.contains(namespace)
    }

    pub(crate) fn get_class(&self, name: &str) -> Option<&Arc<IngressClass>> {
        self.classes.get(&Key::new("", name))
    }

    pub(crate) fn classes(&self) -> impl Iterator<Item = &Arc<IngressClass>> {
        self.classes.values()
    }

    /// The EndpointSlices of a Service, in order of their names.
    pub(crate) fn slices_of(&self, service: &Key) -> impl Iterator<Item = (Key, &Arc<EndpointSlice>)> {
        self.slices_of.get(service).into_iter().flatten().filter_map(|name| {
            let key = Key { namespace: service.namespace.clone(), name: name.clone() };
            self.slices.get(&key).map(|slice| (key, slice))
        })
    }

    /// What the API server tells an object from a later one of the same name by.
    pub(crate) fn uid(&self, object: &ObjectRef) -> Option<&str> {
        let key = Key { namespace: object.namespace.clone(), name: object.name.clone() };
        let meta = match object.kind {
            Kind::Ingress => &self.ingresses.get(&key)?.metadata,
            Kind::IngressClass => &self.classes.get(&key)?.metadata,
            Kind::Service => &self.services.get(&key)?.metadata,
            Kind::EndpointSlice => &self.slices.get(&key)?.metadata,
            Kind::Secret => &self.secrets.get(&key)?.metadata,
            Kind::ConfigMap => &self.config_maps.get(&key)?.metadata,
            Kind::Pod => &self.pods.get(&key)?.metadata,
        };
        meta.uid.as_deref()
    }

    /// An object.
    pub(crate) fn get(&self, object: &ObjectRef) -> Option<Object> {
        let key = Key { namespace: object.namespace.clone(), name: object.name.clone() };
        match object.kind {
            Kind::Ingress => self.ingresses.get(&key).cloned().map(Object::Ingress),
            Kind::IngressClass => self.classes.get(&key).cloned().map(Object::IngressClass),
            Kind::Service => self.services.get(&key).cloned().map(Object::Service),
            Kind::EndpointSlice => self.slices.get(&key).cloned().map(Object::EndpointSlice),
            Kind::Secret => self.secrets.get(&key).cloned().map(Object::Secret),
            Kind::ConfigMap => self.config_maps.get(&key).cloned().map(Object::ConfigMap),
            Kind::Pod => self.pods.get(&key).cloned().map(Object::Pod),
        }
    }

    /// Every object.
    pub(crate) fn everything(&self) -> Vec<Object> {
        let mut all: Vec<_> = self.ingresses.values().cloned().map(Object::Ingress).collect();
        all.extend(self.classes.values().cloned().map(Object::IngressClass));
        all.extend(self.services.values().cloned().map(Object::Service));
        all.extend(self.slices.values().cloned().map(Object::EndpointSlice));
        all.extend(self.secrets.values().cloned().map(Object::Secret));
        all.extend(self.config_maps.values().cloned().map(Object::ConfigMap));
        all.extend(self.pods.values().cloned().map(Object::Pod));
        all
    }

    /// The objects of a kind, in order.
    pub(crate) fn objects(&self, kind: Kind) -> Box<dyn Iterator<Item = ObjectRef> + '_> {
        match kind {
            Kind::Ingress => references(&self.ingresses, kind),
            Kind::IngressClass => references(&self.classes, kind),
            Kind::Service => references(&self.services, kind),
            Kind::EndpointSlice => references(&self.slices, kind),
            Kind::Secret => references(&self.secrets, kind),
            Kind::ConfigMap => references(&self.config_maps, kind),
            Kind::Pod => references(&self.pods, kind),
        }
    }
}

fn references<T>(map: &BTreeMap<Key, T>, kind: Kind) -> Box<dyn Iterator<Item = ObjectRef> + '_> {
    Box::new(map.keys().map(move |key| key.reference(kind)))
}

fn service_of(meta: &ObjectMeta) -> Option<&str> {
    meta.labels.as_ref()?.get(SERVICE_LABEL).map(String::as_str).filter(|name| !name.is_empty())
}

/// Replaces an entry. `Some` holds the entry before, if the change means something.
#[expect(clippy::option_option, reason = "the outer one tells whether anything changed")]
fn replace<T>(
    map: &mut BTreeMap<Key, Arc<T>>,
    key: &Key,
    object: Option<Arc<T>>,
    same: impl Fn(&T, &T) -> bool,
) -> Option<Option<Arc<T>>> {
    let after = object.clone();
    let before = match object {
        Some(object) => map.insert(key.clone(), object),
        None => map.remove(key),
    };
    let changed = match (&before, &after) {
        (Some(before), Some(after)) => !same(before, after),
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    };
    changed.then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(name: &str, service: &str) -> Change {
        let mut slice = EndpointSlice { address_type: "IPv4".to_owned(), ..EndpointSlice::default() };
        slice.metadata.namespace = Some("ns".to_owned());
        slice.metadata.name = Some(name.to_owned());
        slice.metadata.labels = Some([(SERVICE_LABEL.to_owned(), service.to_owned())].into());
        Change::Set(Object::EndpointSlice(Arc::new(slice)))
    }

    #[test]
    fn a_slice_that_moves_concerns_both_services() {
        let mut snapshot = Snapshot::default();
        snapshot.apply(slice("one", "a"), &mut Dirty::default());
        let mut dirty = Dirty::default();
        snapshot.apply(slice("one", "b"), &mut dirty);
        assert_eq!(dirty.endpoints, [Key::new("ns", "a"), Key::new("ns", "b")].into());
        assert_eq!(snapshot.slices_of(&Key::new("ns", "a")).count(), 0);
        assert_eq!(snapshot.slices_of(&Key::new("ns", "b")).count(), 1);
    }

    #[test]
    fn a_change_of_status_means_nothing() {
        let mut ingress = Ingress::default();
        let mut snapshot = Snapshot::default();
        snapshot.apply(Change::Set(Object::Ingress(Arc::new(ingress.clone()))), &mut Dirty::default());
        ingress.status = Some(Default::default());
        ingress.metadata.resource_version = Some("2".to_owned());
        let mut dirty = Dirty::default();
        snapshot.apply(Change::Set(Object::Ingress(Arc::new(ingress))), &mut dirty);
        assert!(dirty.ingresses.is_empty());
    }

    #[test]
    fn secrets_do_not_show() {
        let data = Some([("tls.key".to_owned(), "hunter2".to_owned())].into());
        let secret = Secret { string_data: data, ..Secret::default() };
        let mut snapshot = Snapshot::default();
        snapshot.apply(Change::Set(Object::Secret(Arc::new(secret))), &mut Dirty::default());
        assert!(!format!("{snapshot:?}").contains("hunter2"));
    }
}
