//! Keeps the notes that hold, counts them, and logs each once when it comes and when it goes.
use std::collections::BTreeMap;
use std::sync::Arc;

use table::Facts;
use translate::{Note, ObjectRef, Severity};

/// The notes that hold now.
#[derive(Debug, Default)]
pub(crate) struct Notebook {
    notes: BTreeMap<ObjectRef, Vec<Note>>,
    facts: Facts,
}

impl Notebook {
    /// Takes the notes of objects whose notes changed.
    pub(crate) fn update(&mut self, changed: Vec<(ObjectRef, Vec<Note>)>) {
        for (object, now) in changed {
            let before = self.notes.remove(&object).unwrap_or_default();
            for note in &before {
                *self.count(note.severity) -= 1;
                self.judge(note, false);
                if !now.contains(note) {
                    tracing::info!(object = %note.object, field = note.field, reason = note.reason, "no longer: {}", note.message);
                }
            }
            for note in &now {
                *self.count(note.severity) += 1;
                self.judge(note, true);
                if !before.contains(note) {
                    log(note);
                }
            }
            if !now.is_empty() {
                self.notes.insert(object, now);
            }
        }
    }

    /// How many notes of each severity hold; the build time is left to others.
    pub(crate) fn facts(&self) -> Facts {
        self.facts.clone()
    }

    /// Counts an Ingress with an annotation that is not honoured as in ingress-nginx, or one less; so with keys of the ConfigMap.
    fn judge(&mut self, note: &Note, comes: bool) {
        let (verdict, verdicts) = match (note.verdict(), note.config_verdict()) {
            (Some(verdict), _) => (verdict, &mut self.facts.verdicts),
            (None, Some(verdict)) => (verdict, &mut self.facts.config_verdicts),
            (None, None) => return,
        };
        let verdicts = Arc::make_mut(verdicts);
        let number = verdicts.entry(verdict).or_default();
        *number = if comes { *number + 1 } else { number.saturating_sub(1) };
        if *number == 0 {
            verdicts.remove(&verdict);
        }
    }

    fn count(&mut self, severity: Severity) -> &mut usize {
        match severity {
            Severity::Error => &mut self.facts.errors,
            Severity::Warning => &mut self.facts.warnings,
            Severity::Info => &mut self.facts.infos,
        }
    }
}

fn log(note: &Note) {
    let Note { object, field, severity, reason, message } = note;
    match severity {
        Severity::Error => tracing::error!(%object, field, reason, "{message}"),
        Severity::Warning => tracing::warn!(%object, field, reason, "{message}"),
        Severity::Info => tracing::info!(%object, field, reason, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use translate::Kind;

    fn object(name: &str) -> ObjectRef {
        ObjectRef { kind: Kind::Ingress, namespace: "d".into(), name: name.into() }
    }

    fn note(name: &str, severity: Severity, message: &str) -> Note {
        Note { object: object(name), field: String::new(), severity, reason: "Test", message: message.to_owned() }
    }

    #[test]
    fn ingresses_with_an_annotation_that_is_not_honoured_are_counted() {
        let told = |name: &str, reason, annotation: &str| Note {
            reason,
            field: format!("metadata.annotations[{annotation}]"),
            ..note(name, Severity::Info, "x")
        };
        let mut book = Notebook::default();
        let (approximated, refused) = ("AnnotationApproximated", "AnnotationRefused");
        book.update(vec![
            (object("a"), vec![told("a", approximated, "p/proxy-buffering"), told("a", refused, "p/fastcgi-index")]),
            (object("b"), vec![told("b", approximated, "p/proxy-buffering"), told("b", refused, "p/no-such-name")]),
        ]);
        let count =
            |book: &Notebook| book.facts().verdicts.iter().map(|(key, number)| (*key, *number)).collect::<Vec<_>>();
        let two = [(("fastcgi-index", "refused"), 1), (("proxy-buffering", "approximated"), 2)];
        assert_eq!(count(&book), two);
        book.update(vec![(object("a"), vec![])]);
        assert_eq!(count(&book), [(("proxy-buffering", "approximated"), 1)]);
    }

    #[test]
    fn keys_of_the_config_map_that_are_not_honoured_are_told() {
        let object = ObjectRef { kind: Kind::ConfigMap, ..object("ingora") };
        let told = |reason, key: &str| Note { reason, field: format!("data[{key}]"), ..note("x", Severity::Info, "x") };
        let mut book = Notebook::default();
        book.update(vec![(
            object.clone(),
            vec![
                told("ConfigRefused", "plugins"),
                told("ConfigRefused", "no-such-key"),
                told("ConfigIgnored", "plugins"),
            ],
        )]);
        let count = |book: &Notebook| book.facts().config_verdicts.keys().copied().collect::<Vec<_>>();
        assert_eq!(count(&book), [("plugins", "refused")]);
        book.update(vec![(object, vec![])]);
        assert_eq!(count(&book), []);
    }

    #[test]
    fn counts_follow_the_notes_that_hold() {
        let mut book = Notebook::default();
        let errors = vec![note("a", Severity::Error, "x"), note("a", Severity::Warning, "y")];
        book.update(vec![(object("a"), errors), (object("b"), vec![note("b", Severity::Info, "z")])]);
        let count = |facts: Facts| (facts.errors, facts.warnings, facts.infos);
        assert_eq!(count(book.facts()), (1, 1, 1));
        book.update(vec![(object("a"), vec![note("a", Severity::Warning, "y")])]);
        assert_eq!(count(book.facts()), (0, 1, 1));
        book.update(vec![(object("a"), vec![]), (object("b"), vec![])]);
        assert_eq!(count(book.facts()), (0, 0, 0));
    }
}
