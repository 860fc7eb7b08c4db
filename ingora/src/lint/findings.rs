//! Everything that is wrong, in the order in which it is printed.
use std::cmp::Reverse;
use std::collections::BTreeSet;

use controller::{BrokenDocument, Loaded};
use serde::Serialize;
use translate::{Note, ObjectRef, Severity};

/// A broken document, a note or a trap; sorted as they are printed.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// Broken documents come first.
    #[serde(skip)]
    pub(super) is_note: bool,
    pub(super) file: Option<String>,
    pub(super) line: Option<usize>,
    /// The worst first.
    #[serde(skip)]
    pub(super) rank: Reverse<Severity>,
    pub(super) severity: &'static str,
    /// `Kind namespace/name`; none for a document that cannot be read.
    pub(super) object: Option<String>,
    #[serde(skip)]
    pub(super) reference: Option<ObjectRef>,
    pub(super) field: String,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Finding {
    /// `file:line`, where it comes from a folder.
    pub(super) fn place(&self) -> Option<String> {
        Some(format!("{}:{}", self.file.as_ref()?, self.line?))
    }
}

/// All of them.
pub(super) fn all(loaded: &Loaded) -> Vec<Finding> {
    let broken = loaded.broken.iter().map(|found| of_document(found, Severity::Error, "BrokenDocument"));
    let unknown = loaded.warnings.iter().map(|found| of_document(found, Severity::Warning, "UnknownField"));
    let timed: BTreeSet<_> =
        loaded.review.traps.iter().filter(|trap| trap.reason == "TimeWithUnit").map(place).collect();
    // The trap says the same and more.
    let is_told =
        |note: &&Note| matches!(note.reason, "AnnotationIgnored" | "ConfigIgnored") && timed.contains(&place(note));
    let notes = loaded.notes.iter().filter(|note| !is_told(note)).chain(&loaded.review.traps);
    let notes = notes.map(|note| of_note(loaded, note));
    let mut findings: Vec<Finding> = broken.chain(unknown).chain(notes).collect();
    findings.sort();
    findings
}

fn place(note: &Note) -> (&ObjectRef, &str) {
    (&note.object, &note.field)
}

fn of_note(loaded: &Loaded, note: &Note) -> Finding {
    let origin = loaded.origins.get(&note.object);
    Finding {
        is_note: true,
        rank: Reverse(note.severity),
        file: origin.map(|origin| origin.file.display().to_string()),
        line: origin.map(|origin| origin.line),
        severity: name(note.severity),
        object: Some(note.object.to_string()),
        reference: Some(note.object.clone()),
        field: note.field.clone(),
        reason: note.reason,
        message: note.message.clone(),
    }
}

fn of_document(found: &BrokenDocument, severity: Severity, reason: &'static str) -> Finding {
    Finding {
        is_note: severity < Severity::Error,
        rank: Reverse(severity),
        file: Some(found.origin.file.display().to_string()),
        line: Some(found.origin.line),
        severity: name(severity),
        object: None,
        reference: None,
        field: String::new(),
        reason,
        message: found.message.clone(),
    }
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}
