//! Traps: objects that serve as they are written, but hardly as they are meant. ingress-nginx has most of them, too.
//!
//! Only `lint` asks; nothing of this runs while requests are served. Shadowed paths, hosts in regex mode, canaries without a
//! main Ingress and certificates that do not cover their hosts are notes of translation itself.
mod certificates;
mod config;
mod paths;
mod redirects;
mod rewrites;
mod tracing;
mod units;

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::Ingress;
use table::HostPattern;

use crate::ingress::{Candidate, Place};
use crate::notes::Notes;
use crate::object::Kind;
use crate::report::Note;
use crate::snapshot::Key;
use crate::text::Plain;
use crate::tls::parent;
use crate::translator::{State, Translator};

/// An Ingress of ours.
struct Seen<'a> {
    key: &'a Key,
    ingress: &'a Ingress,
    state: &'a State,
    /// Names without prefix, values trimmed.
    annotations: BTreeMap<&'a str, &'a str>,
    /// Of the annotations.
    prefix: &'a str,
}

impl<'a> Seen<'a> {
    /// The field of an annotation.
    fn field(&self, annotation: &str) -> String {
        format!("metadata.annotations[{}/{}]", self.prefix, Plain(annotation))
    }

    fn notes(&self) -> Notes {
        Notes::new(self.key.reference(Kind::Ingress))
    }

    /// What its rules want, those of its paths.
    fn candidates(&self) -> impl Iterator<Item = (&'a HostPattern, &'a Candidate)> {
        let hosts = self.state.rules.hosts.iter();
        let all = hosts.flat_map(|(host, list)| list.iter().map(move |candidate| (host, candidate)));
        all.filter(|(_, candidate)| matches!(candidate.place, Place::Path { .. }))
    }
}

/// What every trap looks at.
struct Scene<'a> {
    translator: &'a Translator,
    ingresses: Vec<Seen<'a>>,
    /// The controller's ConfigMap.
    config: BTreeMap<&'a str, &'a str>,
}

impl Scene<'_> {
    fn config_is_true(&self, key: &str) -> bool {
        self.config.get(key).is_some_and(|value| boolean(value) == Some(true))
    }

    /// Notes on the controller's ConfigMap; `None` when none is named.
    fn config_notes(&self) -> Option<Notes> {
        let (namespace, name) = self.translator.options.configmap.as_ref()?;
        Some(Notes::new(Key::new(namespace, name).reference(Kind::ConfigMap)))
    }

    /// Does a host have a TLS entry, by its own name or the wildcard over it?
    fn has_tls(&self, host: &HostPattern) -> bool {
        let above = parent(host);
        std::iter::once(host).chain(&above).any(|pattern| self.translator.has_tls(pattern))
    }
}

/// Looks for every trap.
pub(crate) fn find(translator: &Translator) -> Vec<Note> {
    let ours = translator.ingresses.iter().filter(|(_, state)| state.ours);
    let ingresses = ours.filter_map(|(key, state)| {
        let ingress = &**translator.snapshot.get_ingress(key)?;
        let annotations = translator.own_annotations(ingress).collect();
        Some(Seen { key, ingress, state, annotations, prefix: &translator.options.annotations_prefix })
    });
    let scene = Scene { ingresses: ingresses.collect(), config: translator.config.iter().collect(), translator };
    let traps =
        [paths::find, rewrites::find, redirects::find, certificates::find, units::find, config::find, tracing::find];
    let mut notes: Vec<Note> = traps.iter().flat_map(|trap| trap(&scene)).collect();
    notes.sort();
    notes.dedup();
    notes
}

/// A boolean as Go reads it.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::ConfigMap;
    use k8s_openapi::api::networking::v1::Ingress;
    use serde_json::json;

    use crate::object::{Change, Object};
    use crate::options::Options;
    use crate::review::Review;
    use crate::translator::Translator;

    /// An Ingress of namespace `ns` with prefixes of one host.
    pub(crate) fn ingress(name: &str, host: &str, paths: &[&str], annotations: &[(&str, &str)]) -> Ingress {
        let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
        let paths: Vec<_> =
            paths.iter().map(|path| json!({"path": path, "pathType": "Prefix", "backend": backend})).collect();
        let annotations: serde_json::Map<_, _> =
            annotations.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        serde_json::from_value(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": name, "namespace": "ns", "annotations": annotations},
            "spec": {"rules": [{"host": host, "http": {"paths": paths}}]},
        }))
        .unwrap()
    }

    /// Objects and options to be looked at.
    pub(crate) struct Cluster {
        pub(crate) options: Options,
        objects: Vec<Object>,
    }

    impl Default for Cluster {
        fn default() -> Self {
            let configmap = Some(("ns".to_owned(), "config".to_owned()));
            let options = Options { watch_ingress_without_class: true, configmap, ..Options::default() };
            Self { options, objects: Vec::new() }
        }
    }

    impl Cluster {
        pub(crate) fn add(&mut self, ingress: Ingress) {
            self.objects.push(Object::Ingress(Arc::new(ingress)));
        }

        /// With these keys of the controller's ConfigMap.
        pub(crate) fn configure(&mut self, data: &[(&str, &str)]) {
            let data: serde_json::Map<_, _> =
                data.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            let map: ConfigMap = serde_json::from_value(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config", "namespace": "ns"}, "data": data
            }))
            .unwrap();
            self.objects.push(Object::ConfigMap(Arc::new(map)));
        }

        pub(crate) fn review(self) -> Review {
            let mut translator = Translator::new(self.options);
            self.objects.into_iter().for_each(|object| translator.apply(Change::Set(object)));
            translator.publish(0);
            translator.review()
        }

        /// Object and message of every trap of a kind.
        pub(crate) fn traps(self, reason: &str) -> Vec<(String, String)> {
            let traps = self.review().traps.into_iter().filter(|note| note.reason == reason);
            traps.map(|note| (note.object.name.to_string(), note.message)).collect()
        }
    }

    /// The objects that one Ingress, alone in its cluster, is in a trap of a kind with.
    pub(crate) fn traps_of(reason: &str, paths: &[&str], annotations: &[(&str, &str)]) -> usize {
        let prefixed: Vec<_> =
            annotations.iter().map(|(name, value)| (format!("nginx.ingress.kubernetes.io/{name}"), *value)).collect();
        let annotations: Vec<_> = prefixed.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let mut cluster = Cluster::default();
        cluster.add(ingress("a", "a.test", paths, &annotations));
        cluster.traps(reason).len()
    }
}
