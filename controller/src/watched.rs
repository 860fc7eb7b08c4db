//! The kinds that are watched in a cluster, and what of their objects is kept.
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, ObjectReference, Pod, PodSpec, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use translate::{Kind, Object, ObjectRef, SERVICE_LABEL};

use crate::sighting::Sighting;
use crate::watch::Followed;

/// `kubectl apply` keeps a second copy of each object here; a Secret's would hold its key.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What is kept of the data of a Secret that holds a certificate. Others may name users or keys by any word.
const CERTIFICATE: [&str; 4] = ["tls.crt", "tls.key", "ca.crt", "ca.crl"];

/// Longest value of a ConfigMap that is kept, in bytes. What an annotation or a setting names is far shorter; dashboards
/// and scripts, of which a cluster holds many, are not.
const LONGEST_VALUE: usize = 64 * 1024;

/// A kind that is watched.
pub(crate) trait Watched: Followed {
    /// Nothing can be served without these; a cluster that hides the others is served as if it had none.
    const REQUIRED: bool = true;
    /// Field selector.
    const FIELDS: Option<&'static str> = None;

    /// Drops what translation does not read: what controllers write often, and what is secret.
    fn drop_unread(&mut self) {}

    /// What whoever writes its status, by the name of `manager`, has to know of it.
    fn sighting(&self, _manager: &str) -> Option<(ObjectRef, Sighting)> {
        None
    }

    /// For translation.
    fn wrap(object: Arc<Self>) -> Object;

    /// Is it an object of this kind?
    fn is(object: &Object) -> bool {
        object.reference().kind.to_string() == Self::kind(&())
    }

    /// What is kept of it. Two versions of an object that differ in bookkeeping only become equal.
    fn stripped(mut self) -> Object {
        let meta: &mut ObjectMeta = self.meta_mut();
        meta.managed_fields = None;
        meta.resource_version = None;
        meta.owner_references = None;
        meta.finalizers = None;
        if let Some(annotations) = &mut meta.annotations {
            annotations.remove(LAST_APPLIED);
        }
        self.drop_unread();
        Self::wrap(Arc::new(self))
    }
}

impl Watched for Ingress {
    fn drop_unread(&mut self) {
        self.status = None;
        self.metadata.labels = None;
        // A list that is read element by element ends with room to grow.
        let rules = self.spec.iter_mut().flat_map(|spec| &mut spec.rules);
        for http in rules.flatten().filter_map(|rule| rule.http.as_mut()) {
            http.paths.shrink_to_fit();
        }
    }

    fn sighting(&self, manager: &str) -> Option<(ObjectRef, Sighting)> {
        let (namespace, name) = (self.metadata.namespace.as_deref()?.into(), self.metadata.name.as_deref()?.into());
        Some((ObjectRef { kind: Kind::Ingress, namespace, name }, Sighting::of(self, manager)))
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
    fn drop_unread(&mut self) {
        self.status = None;
        self.metadata.labels = None;
    }

    fn wrap(object: Arc<Self>) -> Object {
        Object::Service(object)
    }
}

impl Watched for EndpointSlice {
    fn drop_unread(&mut self) {
        if let Some(labels) = &mut self.metadata.labels {
            labels.retain(|name, _| name == SERVICE_LABEL);
        }
        let Some(endpoints) = &mut self.endpoints else { return };
        endpoints.shrink_to_fit();
        for endpoint in endpoints {
            endpoint.addresses.shrink_to_fit();
            endpoint.deprecated_topology = None;
            endpoint.hostname = None;
            endpoint.node_name = None;
            if let Some(target) = endpoint.target_ref.take() {
                let ObjectReference { kind, name, uid, .. } = target;
                endpoint.target_ref = Some(ObjectReference { kind, name, uid, ..ObjectReference::default() });
            }
        }
    }

    fn wrap(object: Arc<Self>) -> Object {
        Object::EndpointSlice(object)
    }
}

impl Watched for Secret {
    const REQUIRED: bool = false;
    // Certificates are stored as Opaque too. Helm's releases are many and large; the others let their reader act as
    // somebody else. No annotation and no Ingress can mean one of these.
    const FIELDS: Option<&'static str> = Some(
        "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,type!=bootstrap.kubernetes.io/token,\
         type!=kubernetes.io/dockercfg,type!=kubernetes.io/dockerconfigjson,type!=kubernetes.io/ssh-auth",
    );

    fn drop_unread(&mut self) {
        self.metadata.annotations = None;
        self.metadata.labels = None;
        self.string_data = None;
        if self.type_.as_deref() == Some("kubernetes.io/tls")
            && let Some(data) = &mut self.data
        {
            data.retain(|key, _| CERTIFICATE.contains(&key.as_str()));
        }
    }

    fn wrap(object: Arc<Self>) -> Object {
        Object::Secret(object)
    }
}

impl Watched for ConfigMap {
    const REQUIRED: bool = false;
    // Every namespace has one.
    const FIELDS: Option<&'static str> = Some("metadata.name!=kube-root-ca.crt");

    fn drop_unread(&mut self) {
        self.metadata.annotations = None;
        self.metadata.labels = None;
        self.binary_data = None;
        if let Some(data) = &mut self.data {
            data.retain(|_, value| value.len() <= LONGEST_VALUE);
        }
    }

    fn wrap(object: Arc<Self>) -> Object {
        Object::ConfigMap(object)
    }
}

impl Watched for Pod {
    const REQUIRED: bool = false;

    fn drop_unread(&mut self) {
        let meta = std::mem::take(&mut self.metadata);
        self.metadata =
            ObjectMeta { name: meta.name, namespace: meta.namespace, uid: meta.uid, ..ObjectMeta::default() };
        self.status = None;
        let containers = self.spec.take().map(|spec| spec.containers).unwrap_or_default();
        let asked = |Container { name, ports, readiness_probe, .. }| Container {
            name,
            ports,
            readiness_probe,
            ..Container::default()
        };
        let containers = containers.into_iter().map(asked).collect();
        self.spec = Some(PodSpec { containers, ..PodSpec::default() });
    }

    fn wrap(object: Arc<Self>) -> Object {
        Object::Pod(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::same;

    #[test]
    fn of_a_pod_only_ports_and_the_probe_are_kept() {
        let mut pod = Pod::default();
        pod.metadata.labels = Some([("app".to_owned(), "web".to_owned())].into());
        let container = Container {
            name: "web".to_owned(),
            image: Some("web:1".to_owned()),
            readiness_probe: Some(Default::default()),
            ..Container::default()
        };
        pod.spec = Some(PodSpec { containers: vec![container], node_name: Some("a".to_owned()), ..PodSpec::default() });
        let Object::Pod(kept) = pod.stripped() else { panic!("not a Pod") };
        let kept_container = &kept.spec.as_ref().unwrap().containers[0];
        assert!(kept_container.readiness_probe.is_some() && kept_container.image.is_none());
        assert!(kept.metadata.labels.is_none() && kept.spec.as_ref().unwrap().node_name.is_none());
    }

    #[test]
    fn of_an_endpoint_slice_only_what_is_read_is_kept() {
        let mut slice: EndpointSlice = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web-x", "labels": {SERVICE_LABEL: "web", "app": "web"}, "ownerReferences": []},
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": ["10.0.0.1"], "conditions": {"ready": true}, "nodeName": "n", "hostname": "h", "zone": "z",
                "targetRef": {"kind": "Pod", "name": "web-1", "namespace": "shop", "uid": "u"},
            }],
        }))
        .unwrap();
        slice.drop_unread();
        let kept = serde_json::json!({
            "addresses": ["10.0.0.1"], "conditions": {"ready": true}, "zone": "z",
            "targetRef": {"kind": "Pod", "name": "web-1", "uid": "u"},
        });
        assert_eq!(serde_json::to_value(&slice.endpoints).unwrap(), serde_json::json!([kept]));
        assert_eq!(slice.metadata.labels.unwrap().into_keys().collect::<Vec<_>>(), [SERVICE_LABEL]);
    }

    #[test]
    fn only_the_certificate_of_a_tls_secret_is_kept() {
        let text = |text: &str| (text.to_owned(), k8s_openapi::ByteString(b"x".to_vec()));
        let mut secret = Secret { type_: Some("kubernetes.io/tls".to_owned()), ..Secret::default() };
        secret.data = Some(["password", "tls.crt", "tls.key"].map(text).into());
        secret.metadata.annotations = Some([("copy".to_owned(), "hunter2".to_owned())].into());
        let Object::Secret(kept) = secret.stripped() else { panic!("not a Secret") };
        let keys: Vec<_> = kept.data.iter().flatten().map(|(key, _)| key.as_str()).collect();
        assert_eq!((keys, &kept.metadata.annotations), (vec!["tls.crt", "tls.key"], &None));
    }

    #[test]
    fn long_and_binary_values_of_a_config_map_are_not_kept() {
        let mut map = ConfigMap::default();
        let long = ("dashboard.json".to_owned(), "x".repeat(LONGEST_VALUE + 1));
        map.data = Some([("use-gzip".to_owned(), "true".to_owned()), long].into());
        map.binary_data = Some([("b".to_owned(), k8s_openapi::ByteString(vec![0]))].into());
        let Object::ConfigMap(kept) = map.stripped() else { panic!("not a ConfigMap") };
        assert_eq!(kept.data.iter().flatten().count(), 1);
        assert_eq!(kept.binary_data, None);
    }

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
