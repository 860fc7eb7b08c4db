//! Keeps the notes that hold, counts them, and logs each once when it comes and when it goes.
use std::collections::BTreeMap;

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
                if !now.contains(note) {
                    tracing::info!(object = %note.object, field = note.field, reason = note.reason, "no longer: {}", note.message);
                }
            }
            for note in &now {
                *self.count(note.severity) += 1;
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
