//! Notes while they are written, and the book of all notes that hold.
use std::collections::BTreeMap;

use crate::object::ObjectRef;
use crate::report::{Note, Severity};

/// Most notes that one object gets; one more says how many were left out.
pub(crate) const MAX_NOTES: usize = 100;

/// The notes of one object while it is translated.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    object: ObjectRef,
    pub(crate) list: Vec<Note>,
}

impl Notes {
    pub(crate) fn new(object: ObjectRef) -> Self {
        Self { object, list: Vec::new() }
    }

    pub(crate) fn add(&mut self, severity: Severity, reason: &'static str, field: String, message: String) {
        self.list.push(Note { object: self.object.clone(), field, severity, reason, message });
    }

    pub(crate) fn error(&mut self, reason: &'static str, field: String, message: String) {
        self.add(Severity::Error, reason, field, message);
    }

    pub(crate) fn warning(&mut self, reason: &'static str, field: String, message: String) {
        self.add(Severity::Warning, reason, field, message);
    }

    pub(crate) fn info(&mut self, reason: &'static str, field: String, message: String) {
        self.add(Severity::Info, reason, field, message);
    }
}

/// All notes that hold, and which of them are not published yet.
#[derive(Debug, Default)]
pub(crate) struct NoteBook {
    current: BTreeMap<ObjectRef, Vec<Note>>,
    /// What was published for objects whose notes were set since.
    published: BTreeMap<ObjectRef, Vec<Note>>,
}

impl NoteBook {
    /// Replaces the notes of an object.
    pub(crate) fn set(&mut self, object: &ObjectRef, notes: Vec<Note>) {
        let notes = tidy(notes);
        let before = match notes.is_empty() {
            true => self.current.remove(object),
            false => self.current.insert(object.clone(), notes),
        };
        let unchanged = before.as_ref() == self.current.get(object);
        if !unchanged && !self.published.contains_key(object) {
            self.published.insert(object.clone(), before.unwrap_or_default());
        }
    }

    /// The objects whose notes differ from what was published, with all notes that hold now.
    pub(crate) fn publish(&mut self) -> Vec<(ObjectRef, Vec<Note>)> {
        let touched = std::mem::take(&mut self.published);
        let changed = touched.into_iter().filter_map(|(object, before)| {
            let now = self.current.get(&object).cloned().unwrap_or_default();
            (now != before).then_some((object, now))
        });
        changed.collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Note> {
        self.current.values().flatten()
    }
}

/// Sorts, removes duplicates, and keeps the worst when there are too many.
fn tidy(mut notes: Vec<Note>) -> Vec<Note> {
    notes.sort();
    notes.dedup();
    if notes.len() > MAX_NOTES {
        notes.sort_by_key(|note| std::cmp::Reverse(note.severity));
        let cut = notes.split_off(MAX_NOTES);
        if let Some(worst) = cut.first() {
            notes.push(Note {
                object: worst.object.clone(),
                field: String::new(),
                severity: worst.severity,
                reason: "MoreNotes",
                message: format!("{} more notes are left out; correct the ones above first", cut.len()),
            });
        }
        notes.sort();
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Kind;
    use crate::snapshot::Key;

    fn notes(count: usize) -> (ObjectRef, Vec<Note>) {
        let object = Key::new("ns", "a").reference(Kind::Ingress);
        let mut notes = Notes::new(object.clone());
        for number in 0..count {
            notes.warning("Reason", format!("field[{number}]"), String::new());
        }
        notes.error("Bad", "last".to_owned(), String::new());
        (object, notes.list)
    }

    #[test]
    fn only_a_difference_is_published() {
        let mut book = NoteBook::default();
        let (object, list) = notes(1);
        book.set(&object, list.clone());
        assert_eq!(book.publish().len(), 1);
        book.set(&object, vec![]);
        book.set(&object, list);
        assert_eq!(book.publish(), []);
        book.set(&object, vec![]);
        assert_eq!(book.publish(), [(object, vec![])]);
    }

    #[test]
    fn of_too_many_notes_the_worst_stay() {
        let mut book = NoteBook::default();
        let (object, list) = notes(10_000);
        book.set(&object, list);
        assert_eq!(book.iter().count(), MAX_NOTES + 1);
        assert!(book.iter().any(|note| note.reason == "Bad"));
        assert!(book.iter().any(|note| note.message.starts_with("9901 more")));
    }
}
