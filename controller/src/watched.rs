//! The kinds that are watched in a cluster, and what of their objects is kept.
use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use translate::Object;

/// `kubectl apply` keeps a second copy of each object here; a Secret's would hold its key.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A kind that is watched.
pub(crate) trait Watched:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
    /// Nothing can be served without these; a cluster that hides the others is served as if it had none.
    const REQUIRED: bool = true;
    /// Field selector.
    const FIELDS: Option<&'static str> = None;

    /// Drops what translation does not read and controllers write often.
    fn drop_status(&mut self) {}

    /// For translation.
    fn wrap(object: Arc<Self>) -> Object;

    /// What is kept of it. Two versions of an object that differ in bookkeeping only become equal.
    fn stripped(mut self) -> Object {
        let meta: &mut ObjectMeta = self.meta_mut();
        meta.managed_fields = None;
        meta.resource_version = None;
        if let Some(annotations) = &mut meta.annotations {
            annotations.remove(LAST_APPLIED);
        }
        self.drop_status();
        Self::wrap(Arc::new(self))
    }
}

impl Watched for Ingress {
    fn drop_status(&mut self) {
        self.status = None;
    }

    fn wrap(object: Arc<Self>) -> Object {
        Object::Ingress(object)
    }
}

impl Watched for IngressClass {
    const REQUIRED: bool = false;

    fn wrap(object: Arc<Self>) -> Object {
        Object::IngressClass(object)
    }
}

impl Watched for Service {
    fn drop_status(&mut self) {
        self.status = None;
    }

    fn wrap(object: Arc<Self>) -> Object {
        Object::Service(object)
    }
}

impl Watched for EndpointSlice {
    fn wrap(object: Arc<Self>) -> Object {
        Object::EndpointSlice(object)
    }
}

impl Watched for Secret {
    const REQUIRED: bool = false;
    const FIELDS: Option<&'static str> = Some("type=kubernetes.io/tls");

    fn wrap(object: Arc<Self>) -> Object {
        Object::Secret(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::same;

    #[test]
    fn bookkeeping_makes_no_difference() {
        let mut one = Ingress::default();
        one.metadata.name = Some("a".to_owned());
        one.metadata.annotations = Some([("x".to_owned(), "y".to_owned())].into());
        let mut other = one.clone();
        other.metadata.resource_version = Some("7".to_owned());
        other.metadata.managed_fields = Some(vec![]);
        other.metadata.annotations.as_mut().unwrap().insert(LAST_APPLIED.to_owned(), "{}".to_owned());
        other.status = Some(Default::default());
        assert!(same(&one.clone().stripped(), &other.stripped()));
        let mut changed = one.clone();
        changed.metadata.annotations = None;
        assert!(!same(&one.stripped(), &changed.stripped()));
    }
}
