//! What a change would mean, found out by making it in a translation that serves nobody, and taking it back.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use features::Route;
use k8s_openapi::api::networking::v1::Ingress;
use table::{HostPattern, Table};
use translate::{Change, Kind, Note, Object, ObjectRef, Options, Severity, Translator};

use super::Mailbox;
use super::checks::{Counter, Effort};

/// Errors that another object can cure, which may only come later: `kubectl apply` of a folder makes Ingresses first.
const CURABLE: [&str; 9] = [
    "AddressRefused",
    "CertificateBroken",
    "CertificateExpired",
    "ClassUnusable",
    "DefaultBackendUnusable",
    "PortMissing",
    "PortUnnamed",
    "SecretMissing",
    "ServiceMissing",
];

/// Most warnings about other objects.
const MOST: usize = 10;

/// What is said about a change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Why it is refused; nothing when it is not.
    pub(crate) errors: Vec<String>,
    /// What its author should know.
    pub(crate) warnings: Vec<String>,
}

/// Has a translation of its own.
#[derive(Debug)]
pub(crate) struct Judge {
    translator: Translator,
    table: Arc<Table<Route>>,
    mailbox: Mailbox,
    counter: Counter,
}

impl Judge {
    /// Knows nothing yet; `mailbox` tells it.
    pub(crate) fn new(options: Options, mailbox: Mailbox, counter: Counter) -> Self {
        Self { translator: Translator::new(options), table: Arc::default(), mailbox, counter }
    }

    /// Judges a review that came at `begun`, and counts it.
    pub(crate) fn review(&mut self, object: &ObjectRef, ingress: Option<Ingress>, now: i64, begun: Instant) -> Verdict {
        let (would_be_stored, judged) = (ingress.is_some(), Instant::now());
        let verdict = self.judge(object, ingress, now);
        if would_be_stored {
            let ingresses = self.translator.objects(Kind::Ingress).count();
            let effort = Effort { ingresses, translation: judged.elapsed(), whole: begun.elapsed() };
            self.counter.count(object, !verdict.errors.is_empty(), effort);
        }
        verdict
    }

    /// Judges an Ingress that would be stored, or deleted (`None`). `now` is in seconds since the Unix epoch.
    fn judge(&mut self, object: &ObjectRef, ingress: Option<Ingress>, now: i64) -> Verdict {
        for change in self.mailbox.empty().into_values() {
            if let Change::Delete(object) = &change {
                self.counter.forget(object);
            }
            self.translator.apply(change);
        }
        self.publish(now);
        let old = match self.translator.get(object) {
            Some(Object::Ingress(old)) => Some(old),
            _ => None,
        };
        let new = ingress.map(Arc::new);
        // Whoever takes a finalizer away, or a label, must not be held up by what was there before.
        let unchanged = |old: &Arc<Ingress>| {
            new.as_ref().is_some_and(|new| new.spec == old.spec && new.metadata.annotations == old.metadata.annotations)
        };
        if old.as_ref().is_some_and(unchanged) {
            return Verdict::default();
        }
        let (before, known) = (self.table.clone(), self.notes_of_others(object));
        self.apply(object, new.clone());
        self.publish(now);
        let verdict = self.verdict(object, &before, &known, &hosts([old.as_deref(), new.as_deref()]));
        self.apply(object, old);
        self.publish(now);
        verdict
    }

    fn apply(&mut self, object: &ObjectRef, ingress: Option<Arc<Ingress>>) {
        let gone = || Change::Delete(object.clone());
        self.translator.apply(ingress.map_or_else(gone, |ingress| Change::Set(Object::Ingress(ingress))));
    }

    fn publish(&mut self, now: i64) {
        if let Some(table) = self.translator.publish(now).table {
            self.table = table;
        }
    }

    fn notes_of_others(&self, object: &ObjectRef) -> BTreeSet<Note> {
        self.translator.notes().filter(|note| note.object != *object).cloned().collect()
    }

    fn verdict(
        &self,
        object: &ObjectRef,
        before: &Table<Route>,
        known: &BTreeSet<Note>,
        hosts: &BTreeSet<HostPattern>,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        for note in self.translator.notes().filter(|note| note.object == *object) {
            let sentence = format!("{}: {}", note.field, note.message);
            match note.severity {
                Severity::Error if !CURABLE.contains(&note.reason) => verdict.errors.push(sentence),
                Severity::Error | Severity::Warning => verdict.warnings.push(sentence),
                Severity::Info => {}
            }
        }
        let news = self.notes_of_others(object);
        let others = news.difference(known).filter(|note| note.severity > Severity::Info);
        let mut radius: Vec<_> =
            others.map(|note| format!("{} {}: {}", note.object, note.field, note.message)).collect();
        radius.extend(hosts.iter().flat_map(|host| flips(object, host, before, &self.table)));
        let more = radius.len().saturating_sub(MOST);
        radius.truncate(MOST);
        verdict.warnings.append(&mut radius);
        if more > 0 {
            verdict.warnings.push(format!("{more} more effects on other objects; ingora lint tells all"));
        }
        verdict
    }
}

/// The hosts that a change may concern.
fn hosts(ingresses: [Option<&Ingress>; 2]) -> BTreeSet<HostPattern> {
    let mut hosts = BTreeSet::new();
    for spec in ingresses.into_iter().flatten().filter_map(|ingress| ingress.spec.as_ref()) {
        hosts.extend(spec.default_backend.iter().map(|_| HostPattern::Any));
        let texts = spec.rules.iter().flatten().map(|rule| rule.host.as_deref().unwrap_or_default());
        hosts.extend(texts.filter_map(|text| HostPattern::parse(text).ok()));
    }
    hosts
}

/// A name that a pattern matches, and no more special one.
fn example(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Wildcard(parent) | HostPattern::Below(parent) => format!("any-other-name.{parent}"),
        HostPattern::Regex(_) | HostPattern::Any => "any-other-name.invalid".to_owned(),
    }
}

/// Requests that another object's rule served before and does not now.
fn flips(object: &ObjectRef, host: &HostPattern, before: &Table<Route>, after: &Table<Route>) -> Vec<String> {
    let name = example(host);
    let paths = [before, after].into_iter().flat_map(|table| {
        let rules = table.hosts.candidates(&name).into_iter().take(1);
        rules.flat_map(|(_, rules)| rules.iter().map(|rule| rule.path.as_str().to_owned()).collect::<Vec<_>>())
    });
    let paths: BTreeSet<_> = paths.collect();
    let flip = |path: String| {
        let was = owner(before, &name, &path).filter(|owner| !is(owner, object))?;
        let now = owner(after, &name, &path);
        if now.as_ref() == Some(&was) {
            return None;
        }
        let goes = match now {
            Some((namespace, ingress)) => format!("would go to Ingress {namespace}/{ingress}"),
            None => "would match no rule".to_owned(),
        };
        let (namespace, ingress) = was;
        Some(format!("requests for {name}{path}, which Ingress {namespace}/{ingress} serves now, {goes}"))
    };
    paths.into_iter().filter_map(flip).collect()
}

fn owner(table: &Table<Route>, host: &str, path: &str) -> Option<(Arc<str>, Arc<str>)> {
    let labels = &table.find(host, path).rule()?.policy.labels;
    Some((labels.namespace.clone(), labels.ingress.clone()))
}

fn is((namespace, name): &(Arc<str>, Arc<str>), object: &ObjectRef) -> bool {
    *namespace == object.namespace && *name == object.name
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use translate::Kind;

    fn reference(name: &str) -> ObjectRef {
        ObjectRef { kind: Kind::Ingress, namespace: "d".into(), name: name.into() }
    }

    fn ingress(name: &str, host: &str, path: &str, annotations: &Value) -> Ingress {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "d", "annotations": annotations},
            "spec": {"rules": [{"host": host, "http": {"paths": [
                {"path": path, "pathType": "Prefix", "backend": {"service": {"name": "app", "port": {"number": 80}}}},
            ]}}]},
        }))
        .unwrap()
    }

    /// A judge of a cluster with one Ingress.
    fn judge(host: &str, path: &str) -> Judge {
        let mailbox = Mailbox::default();
        let first = ingress("first", host, path, &json!({}));
        mailbox.put(&[Change::Set(Object::Ingress(Arc::new(first)))]);
        Judge::new(Options { watch_ingress_without_class: true, ..Options::default() }, mailbox, Counter::new().0)
    }

    #[test]
    fn what_only_its_author_can_correct_is_refused() {
        let mut judge = judge("a.test", "/");
        let bad = ingress("bad", "no host", "/", &json!({}));
        let verdict = judge.judge(&reference("bad"), Some(bad), 0);
        assert_eq!(verdict.errors.len(), 1, "{verdict:?}");
        assert!(verdict.errors[0].starts_with("spec.rules[0].host: "), "{verdict:?}");
    }

    #[test]
    fn what_another_object_can_cure_is_a_warning() {
        let verdict = judge("a.test", "/").judge(&reference("b"), Some(ingress("b", "b.test", "/", &json!({}))), 0);
        assert!(verdict.errors.is_empty(), "{verdict:?}");
        assert!(verdict.warnings.iter().any(|warning| warning.contains("does not exist; create it")), "{verdict:?}");
    }

    #[test]
    fn paths_that_another_object_serves_now_are_named() {
        let mut judge = judge("a.test", "/");
        let verdict = judge.judge(&reference("b"), Some(ingress("b", "a.test", "/shop", &json!({}))), 0);
        let want = "requests for a.test/shop, which Ingress d/first serves now, would go to Ingress d/b";
        assert!(verdict.warnings.contains(&want.to_owned()), "{verdict:?}");
    }

    #[test]
    fn a_host_that_a_wildcard_serves_now_loses_all_of_its_paths() {
        let mut judge = judge("*.test", "/app");
        let verdict = judge.judge(&reference("b"), Some(ingress("b", "a.test", "/shop", &json!({}))), 0);
        let want = "requests for a.test/app, which Ingress d/first serves now, would match no rule";
        assert!(verdict.warnings.contains(&want.to_owned()), "{verdict:?}");
    }

    #[test]
    fn a_judgement_leaves_nothing_behind() {
        let mut judge = judge("a.test", "/");
        let add =
            |judge: &mut Judge| judge.judge(&reference("b"), Some(ingress("b", "a.test", "/shop", &json!({}))), 0);
        assert_eq!(add(&mut judge), add(&mut judge));
        assert!(owner(&judge.table, "a.test", "/shop").is_some_and(|owner| &*owner.1 == "first"));
    }

    #[test]
    fn a_change_that_means_nothing_is_never_refused() {
        let mut judge = judge("no host", "/");
        let same = ingress("first", "no host", "/", &json!({}));
        assert_eq!(judge.judge(&reference("first"), Some(same), 0), Verdict::default());
    }

    #[test]
    fn a_deletion_tells_what_goes_elsewhere() {
        let mut judge = judge("a.test", "/");
        assert_eq!(judge.judge(&reference("first"), None, 0), Verdict::default());
    }
}
