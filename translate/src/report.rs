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

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}: {} ({})", self.severity, self.object, self.field, self.message, self.reason)
    }
}
