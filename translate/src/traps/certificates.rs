//! TLS entries that name no Secret where there is no default certificate. What Secrets hold is told by translation.
use super::Scene;
use crate::report::Note;

pub(super) fn find(scene: &Scene<'_>) -> Vec<Note> {
    if scene.translator.options.default_ssl_certificate.is_some() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for seen in &scene.ingresses {
        let entries = seen.ingress.spec.iter().flat_map(|spec| spec.tls.iter().flatten()).enumerate();
        for (index, _) in entries.filter(|(_, entry)| entry.secret_name.as_deref().unwrap_or_default().is_empty()) {
            let message = "the entry names no Secret and there is no default certificate, so clients get a self-signed one; \
                           name a Secret, or start with --default-ssl-certificate and give it to lint, too";
            let mut notes = seen.notes();
            notes.warning("CertificateMissing", format!("spec.tls[{index}].secretName"), message.to_owned());
            found.append(&mut notes.list);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, ingress};
    use k8s_openapi::api::networking::v1::IngressTLS;

    fn found(secret: Option<&str>, default: Option<(&str, &str)>) -> usize {
        let mut cluster = Cluster::default();
        cluster.options.default_ssl_certificate =
            default.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
        let mut secure = ingress("a", "a.test", &["/"], &[]);
        let entry = IngressTLS { hosts: Some(vec!["a.test".to_owned()]), secret_name: secret.map(str::to_owned) };
        secure.spec.get_or_insert_default().tls = Some(vec![entry]);
        cluster.add(secure);
        cluster.traps("CertificateMissing").len()
    }

    #[test]
    fn an_entry_without_secret_needs_a_default_certificate() {
        assert_eq!(found(None, None), 1);
        assert_eq!(found(Some(""), None), 1);
        assert_eq!(found(None, Some(("ns", "default"))), 0);
        assert_eq!(found(Some("own"), None), 0);
    }
}
