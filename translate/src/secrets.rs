//! Which Secrets an Ingress refers to, so that whoever reads the cluster need not read the others.
use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::Ingress;

use crate::object::{Kind, ObjectRef};
use crate::snapshot::Key;

/// The Secrets that an Ingress may make translation ask for, there or not. Annotations have this prefix.
#[must_use]
pub fn secrets_of(ingress: &Ingress, annotations_prefix: &str) -> BTreeSet<ObjectRef> {
    let namespace = ingress.metadata.namespace.as_deref().unwrap_or_default();
    let entries = ingress.spec.iter().flat_map(|spec| spec.tls.iter().flatten());
    let certificates = entries.filter_map(|entry| entry.secret_name.as_deref());
    let annotations = features::SECRET_ANNOTATIONS.iter().filter_map(|name| {
        ingress.metadata.annotations.as_ref()?.get(&format!("{annotations_prefix}/{name}")).map(|value| value.trim())
    });
    certificates
        .map(|name| (namespace, name))
        .chain(annotations.map(|name| name.split_once('/').unwrap_or((namespace, name))))
        .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())
        .map(|(namespace, name)| Key::new(namespace, name).reference(Kind::Secret))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::networking::v1::{IngressSpec, IngressTLS};

    #[test]
    fn certificates_and_annotations_name_secrets() {
        let prefix = "nginx.ingress.kubernetes.io";
        let mut ingress = Ingress::default();
        ingress.metadata.namespace = Some("ns".to_owned());
        let annotations = [("auth-secret", "users"), ("auth-tls-secret", " other/ca "), ("proxy-ssl-secret", "")];
        let annotations = annotations.map(|(name, value)| (format!("{prefix}/{name}"), value.to_owned()));
        ingress.metadata.annotations = Some(annotations.into());
        let tls = ["cert", ""].map(|name| IngressTLS { secret_name: Some(name.to_owned()), ..IngressTLS::default() });
        ingress.spec = Some(IngressSpec { tls: Some(tls.into()), ..IngressSpec::default() });
        let names: Vec<_> =
            secrets_of(&ingress, prefix).iter().map(|s| format!("{}/{}", s.namespace, s.name)).collect();
        assert_eq!(names, ["ns/cert", "ns/users", "other/ca"]);
    }
}
