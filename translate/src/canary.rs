//! What an Ingress offers that is a canary.
use std::collections::BTreeSet;
use std::sync::Arc;

use features::annotation::OnError;
use features::{Alternative, RuleFacts};
use k8s_openapi::api::networking::v1::{Ingress, IngressBackend};
use table::HostPattern;

use crate::annotations::Annotations;
use crate::backends::Backends;
use crate::ingress::{Context, Place, RulesPart};
use crate::notes::Notes;
use crate::options::Options;
use crate::paths::{self, PathType};
use crate::referred::Referred;
use crate::snapshot::Key;
use crate::text::Quoted;

/// An alternative for the Service of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CanaryRule {
    pub(crate) host: HostPattern,
    pub(crate) place: Place,
    /// The path of the rule as it is written; `None` for all rules of the host.
    pub(crate) path: Option<(Arc<str>, PathType)>,
    pub(crate) alternative: Arc<Alternative>,
}

/// Where a rule stands, its path as written, and its backend.
type Draft<'a> = (HostPattern, Place, Option<(Arc<str>, PathType)>, &'a IngressBackend);

/// Is it a canary? It has no rules and no certificates then.
pub(crate) fn is_canary(ingress: &Ingress, options: &Options) -> bool {
    let prefix = &*options.annotations_prefix;
    let mut annotations = ingress.metadata.annotations.iter().flatten();
    annotations.any(|(name, value)| {
        let name = name.strip_prefix(prefix).and_then(|name| name.strip_prefix('/'));
        name.is_some_and(|name| features::makes_canary(name, value))
    })
}

/// Reads a canary.
pub(crate) fn translate(ingress: &Ingress, key: &Key, context: &Context<'_>, notes: &mut Notes) -> RulesPart {
    let mut part = RulesPart::default();
    let Some(spec) = &ingress.spec else { return part };
    let mut backends = Backends::new(context.snapshot, &key.namespace);
    let referred = Referred::new(context.snapshot, &key.namespace, context.config);
    let mut annotations = Annotations::new(ingress, context.options, context.config, &referred);
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    if let Some(backend) = &spec.default_backend {
        drafts.push((HostPattern::Any, Place::DefaultBackend, None, backend));
    }
    for (rule, rules) in (0_u32..).zip(spec.rules.iter().flatten()) {
        let text = rules.host.as_deref().unwrap_or_default();
        let host = match HostPattern::parse(text) {
            Ok(host) => host,
            Err(error) => {
                let message = format!("host {} {error}; the rule is ignored until it is corrected", Quoted(text));
                notes.error("HostInvalid", format!("spec.rules[{rule}].host"), message);
                continue;
            }
        };
        for (path, written) in (0_u32..).zip(rules.http.iter().flat_map(|http| &http.paths)) {
            let place = Place::Path { rule, path };
            // It is compared with another one as it is written, so it may be a regular expression.
            if let Some(path) = paths::read(written, true, || place.to_string(), notes) {
                let path = Some((paths::text(written, &path), PathType::of(written)));
                drafts.push((host.clone(), place, path, &written.backend));
            }
        }
    }
    for (host, place, path, backend) in drafts {
        let target = backends.resolve(backend, place, notes);
        let settings = annotations.settings(RuleFacts::default(), target.protocol, target.balance);
        let (Some(offer), Ok(cluster)) = (&settings.canary, &target.cluster) else { continue };
        part.clusters.entry(cluster.clone()).or_insert(place);
        let alternative = Arc::new(offer.with(cluster.clone(), key.to_string().into()));
        part.canary.push(CanaryRule { host, place, path, alternative });
    }
    part.cluster = annotations.cluster();
    if annotations.report(notes) == Some(OnError::Reject) {
        part.canary.clear();
        part.clusters.clear();
        part.cluster = None;
    }
    drop(annotations);
    part.dependencies.append(&mut backends.dependencies);
    // What its other annotations refer to has no effect, but may change what is said about them.
    let (mut dependencies, _) = referred.into_parts();
    part.dependencies.append(&mut dependencies);
    part
}

/// The hosts that a canary has something for.
pub(crate) fn hosts(rules: &[CanaryRule]) -> BTreeSet<&HostPattern> {
    rules.iter().map(|rule| &rule.host).collect()
}
