//! The Kubernetes objects that are read, and how they are named.
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// A kind of object that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `networking.k8s.io/v1` Ingress.
    Ingress,
    /// `networking.k8s.io/v1` IngressClass; not namespaced.
    IngressClass,
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// `v1` Secret.
    Secret,
    /// `v1` ConfigMap.
    ConfigMap,
    /// `v1` Pod.
    Pod,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Names one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for a kind that has none.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// An object that is read.
#[derive(Clone)]
pub enum Object {
    /// See [`Kind::Ingress`].
    Ingress(Arc<Ingress>),
    /// See [`Kind::IngressClass`].
    IngressClass(Arc<IngressClass>),
    /// See [`Kind::Service`].
    Service(Arc<Service>),
    /// See [`Kind::EndpointSlice`].
    EndpointSlice(Arc<EndpointSlice>),
    /// See [`Kind::Secret`].
    Secret(Arc<Secret>),
    /// See [`Kind::ConfigMap`].
    ConfigMap(Arc<ConfigMap>),
    /// See [`Kind::Pod`].
    Pod(Arc<Pod>),
}

impl Object {
    /// Names the object.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        let (kind, meta) = match self {
            Self::Ingress(object) => (Kind::Ingress, &object.metadata),
            Self::IngressClass(object) => (Kind::IngressClass, &object.metadata),
            Self::Service(object) => (Kind::Service, &object.metadata),
            Self::EndpointSlice(object) => (Kind::EndpointSlice, &object.metadata),
            Self::Secret(object) => (Kind::Secret, &object.metadata),
            Self::ConfigMap(object) => (Kind::ConfigMap, &object.metadata),
            Self::Pod(object) => (Kind::Pod, &object.metadata),
        };
        reference(kind, meta)
    }
}

/// Only the name: a Secret's data must not show.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.reference(), f)
    }
}

fn reference(kind: Kind, meta: &ObjectMeta) -> ObjectRef {
    let namespace = if kind == Kind::IngressClass { "" } else { meta.namespace.as_deref().unwrap_or_default() };
    ObjectRef { kind, namespace: namespace.into(), name: meta.name.as_deref().unwrap_or_default().into() }
}

/// One change of the cluster's state.
#[derive(Clone, Debug)]
pub enum Change {
    /// The object was created or has changed.
    Set(Object),
    /// The object is gone.
    Delete(ObjectRef),
}
