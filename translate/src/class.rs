//! Which Ingresses are ours.
use std::cmp::Reverse;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};

use crate::dependents::Dependency;
use crate::notes::Notes;
use crate::options::Options;
use crate::snapshot::Snapshot;
use crate::text::Quoted;

/// The annotation that named a class before `spec.ingressClassName`.
pub(crate) const OLD_ANNOTATION: &str = "kubernetes.io/ingress.class";
const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

/// Is an Ingress ours, and what did that depend on?
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) ours: bool,
    pub(crate) dependency: Option<Dependency>,
}

/// Decides whether an Ingress is ours; `classless` is [`classless_are_ours`].
pub(crate) fn standing(
    ingress: &Ingress,
    classless: bool,
    snapshot: &Snapshot,
    options: &Options,
    notes: &mut Notes,
) -> Standing {
    let standing = by_class(ingress, classless, snapshot, options, notes);
    if !(standing.ours && options.disable_catch_all && is_catch_all(ingress)) {
        return standing;
    }
    let message = "an Ingress with a default backend and no rules takes the requests of all hosts, which \
                   --disable-catch-all refuses; give it rules with hosts";
    notes.warning("CatchAllRefused", "spec.defaultBackend".to_owned(), message.to_owned());
    Standing { ours: false, ..standing }
}

/// As ingress-nginx means it: rules without a host are none.
fn is_catch_all(ingress: &Ingress) -> bool {
    let spec = ingress.spec.as_ref();
    spec.is_some_and(|spec| spec.default_backend.is_some() && spec.rules.iter().flatten().next().is_none())
}

fn by_class(ingress: &Ingress, classless: bool, snapshot: &Snapshot, options: &Options, notes: &mut Notes) -> Standing {
    let field = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
    if let Some(name) = field.filter(|name| !name.is_empty()) {
        let controller = snapshot.get_class(name).map(|class| controller(class));
        if options.ingress_class_by_name && name == options.ingress_class && controller.is_some() {
            return Standing { ours: true, dependency: Some(Dependency::Class(name.into())) };
        }
        let complaint = match controller {
            None => Some("does not exist; create it"),
            Some(None) => Some("names no controller; set its spec.controller"),
            Some(Some(_)) => None,
        };
        if let Some(complaint) = complaint {
            let ours = Quoted(&options.controller_class);
            let message = format!(
                "IngressClass {} {complaint}, with spec.controller {ours} if Ingora is to serve this Ingress",
                Quoted(name)
            );
            notes.warning("ClassUnusable", "spec.ingressClassName".to_owned(), message);
        }
        let ours = controller.flatten() == Some(&options.controller_class);
        return Standing { ours, dependency: Some(Dependency::Class(name.into())) };
    }
    let old = ingress.metadata.annotations.as_ref().and_then(|annotations| annotations.get(OLD_ANNOTATION));
    match old.filter(|name| !name.is_empty()) {
        Some(name) => Standing { ours: *name == options.ingress_class, dependency: None },
        None => Standing { ours: classless, dependency: Some(Dependency::Classless) },
    }
}

/// Are Ingresses that name no class ours?
pub(crate) fn classless_are_ours(snapshot: &Snapshot, options: &Options) -> bool {
    options.watch_ingress_without_class
        || (options.classless_without_classes && snapshot.classes().next().is_none())
        || default_class(snapshot).is_some_and(|class| controller(class) == Some(&options.controller_class))
}

/// The default class. Of several the newest, then the first by name: Kubernetes' own admission chooses so.
fn default_class(snapshot: &Snapshot) -> Option<&Arc<IngressClass>> {
    let is_default = |class: &&Arc<IngressClass>| {
        let annotations = class.metadata.annotations.as_ref();
        annotations.and_then(|map| map.get(DEFAULT_ANNOTATION)).is_some_and(|value| value == "true")
    };
    snapshot
        .classes()
        .filter(is_default)
        .min_by_key(|class| (Reverse(&class.metadata.creation_timestamp), &class.metadata.name))
}

fn controller(class: &IngressClass) -> Option<&String> {
    class.spec.as_ref().and_then(|spec| spec.controller.as_ref()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Change, Kind, Object};
    use crate::snapshot::{Dirty, Key};
    use serde_json::json;

    fn snapshot(classes: &[(&str, &str, bool, &str)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, controller, default, created) in classes {
            let class = serde_json::from_value(json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
                "metadata": {
                    "name": name, "creationTimestamp": created,
                    "annotations": {DEFAULT_ANNOTATION: default.to_string()}
                },
                "spec": {"controller": controller},
            }));
            snapshot.apply(Change::Set(Object::IngressClass(Arc::new(class.unwrap()))), &mut Dirty::default());
        }
        snapshot
    }

    #[test]
    fn an_ingress_that_takes_all_hosts_is_left_out_when_asked_for() {
        let ours = |spec: serde_json::Value, disable_catch_all| {
            let ingress = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
            let mut notes = Notes::new(Key::new("ns", "a").reference(Kind::Ingress));
            let options = Options { disable_catch_all, ..Options::default() };
            let ours = standing(&ingress, true, &Snapshot::default(), &options, &mut notes).ours;
            (ours, notes.list.len())
        };
        let backend = json!({"service": {"name": "svc", "port": {"number": 80}}});
        let all = json!({"defaultBackend": backend});
        assert_eq!((ours(all.clone(), true), ours(all, false)), ((false, 1), (true, 0)));
        assert_eq!(ours(json!({"defaultBackend": backend, "rules": [{}]}), true), (true, 0));
    }

    #[test]
    fn a_class_may_be_ours_by_its_name() {
        let snapshot = snapshot(&[("nginx", "k8s.io/other", false, "2026-01-01T00:00:00Z")]);
        let ours = |by_name, name| {
            let options =
                Options { ingress_class: "nginx".to_owned(), ingress_class_by_name: by_name, ..Options::default() };
            decide(&snapshot, Some(name), None, &options).0
        };
        assert!(ours(true, "nginx") && !ours(false, "nginx") && !ours(true, "missing"));
    }

    /// Whether it is ours, and how many notes it got.
    fn decide(snapshot: &Snapshot, field: Option<&str>, annotation: Option<&str>, options: &Options) -> (bool, usize) {
        let mut ingress = Ingress::default();
        ingress.spec.get_or_insert_default().ingress_class_name = field.map(str::to_owned);
        ingress.metadata.annotations = annotation.map(|value| [(OLD_ANNOTATION.to_owned(), value.to_owned())].into());
        let mut notes = Notes::new(Key::new("ns", "a").reference(Kind::Ingress));
        let classless = classless_are_ours(snapshot, options);
        let standing = standing(&ingress, classless, snapshot, options, &mut notes);
        (standing.ours, notes.list.len())
    }

    const OURS: &str = "ingora.io/ingress-controller";
    const THEN: &str = "2020-01-01T00:00:00Z";
    const LATER: &str = "2021-01-01T00:00:00Z";

    #[test]
    fn the_class_decides_by_its_controller() {
        let snapshot =
            snapshot(&[("mine", OURS, false, THEN), ("other", "x/y", false, THEN), ("empty", "", false, THEN)]);
        let options = Options::default();
        assert_eq!(decide(&snapshot, Some("mine"), None, &options), (true, 0));
        assert_eq!(decide(&snapshot, Some("other"), None, &options), (false, 0));
        assert_eq!(decide(&snapshot, Some("absent"), None, &options), (false, 1));
        assert_eq!(decide(&snapshot, Some("empty"), None, &options), (false, 1));
    }

    #[test]
    fn the_field_beats_the_old_annotation() {
        let snapshot = snapshot(&[("mine", OURS, false, THEN), ("other", "x/y", false, THEN)]);
        let options = Options::default();
        assert_eq!(decide(&snapshot, None, Some("ingora"), &options), (true, 0));
        assert_eq!(decide(&snapshot, None, Some("nginx"), &options), (false, 0));
        assert_eq!(decide(&snapshot, Some("other"), Some("ingora"), &options), (false, 0));
        assert_eq!(decide(&snapshot, Some("mine"), Some("nginx"), &options), (true, 0));
    }

    #[test]
    fn without_a_class_the_default_class_decides() {
        let options = Options::default();
        assert!(decide(&snapshot(&[("mine", OURS, true, THEN)]), None, None, &options).0);
        assert!(!decide(&snapshot(&[("mine", OURS, false, THEN)]), None, None, &options).0);
        assert!(!decide(&snapshot(&[("other", "x/y", true, THEN)]), None, None, &options).0);
        let both = snapshot(&[("mine", OURS, true, THEN), ("other", "x/y", true, LATER)]);
        assert!(!decide(&both, None, None, &options).0, "the newest default class counts");
    }

    #[test]
    fn without_a_class_the_options_decide() {
        let watch = Options { watch_ingress_without_class: true, ..Options::default() };
        let folder = Options { classless_without_classes: true, ..Options::default() };
        let other = snapshot(&[("other", "x/y", true, THEN)]);
        assert!(decide(&other, None, None, &watch).0);
        assert!(decide(&snapshot(&[]), None, None, &folder).0);
        assert!(!decide(&other, None, None, &folder).0);
    }
}
