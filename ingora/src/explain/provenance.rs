//! Which annotation or key of the ConfigMap switched a feature on: those of its keys that are there.
use std::collections::BTreeSet;

use controller::Loaded;
use features::Labels;
use features::annotation::Support;
use translate::{Judged, Kind, ObjectRef};

use super::view::{SettingView, SourceView};

/// What is written on the Ingress of a rule and in the controller's ConfigMap.
pub(super) struct Provenance<'a> {
    ingress: String,
    annotations: &'a [Judged],
    config_map: Option<&'a ObjectRef>,
    keys: &'a [Judged],
}

impl<'a> Provenance<'a> {
    /// Of the rule with these labels.
    pub(super) fn of(loaded: &'a Loaded, labels: &Labels) -> Self {
        let (namespace, name) = (labels.namespace.clone(), labels.ingress.clone());
        let object = ObjectRef { kind: Kind::Ingress, namespace, name };
        let review = &loaded.review;
        let reviewed = review.ingresses.iter().find(|ingress| ingress.object == object);
        Self {
            ingress: object.to_string(),
            annotations: reviewed.map_or(&[], |ingress| &ingress.annotations),
            config_map: review.config_map.as_ref(),
            keys: &review.config,
        }
    }

    /// What is there of the keys of a feature.
    pub(super) fn sources(&self, module: &str) -> Vec<SourceView> {
        let of = |keys: Vec<(&'static str, &'static str)>, there: &[Judged], object: &str| -> Vec<SourceView> {
            let names: BTreeSet<_> = keys.into_iter().filter(|(of, _)| *of == module).map(|(_, name)| name).collect();
            let present = there.iter().filter(|judged| names.contains(judged.name.as_str()));
            present.map(|judged| SourceView { object: object.to_owned(), key: judged.name.clone() }).collect()
        };
        let annotations = features::catalogue().map(|(of, key)| (of, key.row().name)).collect();
        let config = features::config_catalogue().map(|(of, key)| (of, key.row().name)).collect();
        let mut sources = of(annotations, self.annotations, &self.ingress);
        if let Some(map) = self.config_map {
            sources.extend(of(config, self.keys, &map.to_string()));
        }
        sources
    }

    /// Annotations that have an effect, but not by one of these features.
    pub(super) fn settings(&self, features: &BTreeSet<&str>) -> Vec<SettingView> {
        let mut settings: Vec<SettingView> = Vec::new();
        let works = |judged: &&Judged| matches!(judged.verdict, Some(Support::Honoured | Support::Approximated(_)));
        for judged in self.annotations.iter().filter(works) {
            let mut modules = features::catalogue().filter(|(_, key)| key.row().name == judged.name).map(|(of, _)| of);
            let Some(module) = modules.next().filter(|module| !features.contains(module)) else { continue };
            let source = SourceView { object: self.ingress.clone(), key: judged.name.clone() };
            match settings.iter_mut().find(|setting| setting.name == module) {
                Some(setting) => setting.from.push(source),
                None => settings.push(SettingView { name: module, from: vec![source] }),
            }
        }
        settings
    }
}
