//! What translation has to say to the owners of objects.
use std::fmt;

use crate::object::ObjectRef;

/// How bad a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know; everything serves as written.
    Info,
    /// Something is not as its owner may expect.
    Warning,
    /// Something does not serve.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing that the owner of an object should know. Feeds status, events, `lint`, logs and metrics alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// The object.
    pub object: ObjectRef,
    /// The field as a path, `spec.rules[0].http.paths[1].backend.service.port`.
    pub field: String,
    /// How bad it is.
    pub severity: Severity,
    /// One word in CamelCase for machines, as Kubernetes events and conditions have.
    pub reason: &'static str,
    /// A sentence with the remedy.
    pub message: String,
}

/// The reasons of notes that tell an annotation's verdict, and a key's.
const VERDICTS: [(&str, &str); 2] = [("AnnotationApproximated", "approximated"), ("AnnotationRefused", "refused")];
const CONFIG_VERDICTS: [(&str, &str); 2] = [("ConfigApproximated", "approximated"), ("ConfigRefused", "refused")];

impl Note {
    /// The annotation that the note is about and what becomes of it, `approximated` or `refused`; `None` of another note.
    #[must_use]
    pub fn verdict(&self) -> Option<(&'static str, &'static str)> {
        let (_, verdict) = VERDICTS.iter().find(|(reason, _)| *reason == self.reason)?;
        let name = self.field.strip_prefix("metadata.annotations[")?.strip_suffix(']')?;
        let rest = name.split_once('/').map(|(_, rest)| rest);
        // Ours keep their prefix. Only names of the catalogue: nobody can invent one.
        let row = features::annotation_row(name).or_else(|| features::annotation_row(rest?))?;
        Some((row.name, verdict))
    }

    /// The same of a key of the controller's ConfigMap.
    #[must_use]
    pub fn config_verdict(&self) -> Option<(&'static str, &'static str)> {
        let (_, verdict) = CONFIG_VERDICTS.iter().find(|(reason, _)| *reason == self.reason)?;
        let row = features::config_row(self.field.strip_prefix("data[")?.strip_suffix(']')?)?;
        Some((row.name, verdict))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}: {} ({})", self.severity, self.object, self.field, self.message, self.reason)
    }
}
