//! The incremental translation: changes in, tables and endpoints out.
use std::sync::Arc;

use features::Route;
use table::{ClusterId, Endpoints, Table};

use crate::object::{Change, Kind, ObjectRef};
use crate::options::Options;
use crate::report::Note;

/// A host name that stands for a cluster's endpoints (a Service of type ExternalName). Whoever has a resolver turns it
/// into endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExternalName {
    /// The DNS name.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

/// What changed since the output before.
#[derive(Debug, Default)]
pub struct Output {
    /// The next table, if anything but endpoints changed.
    pub table: Option<Arc<Table<Route>>>,
    /// Endpoints of clusters that are new or changed; never of clusters in `external`.
    pub endpoints: Vec<(ClusterId, Arc<Endpoints>)>,
    /// Clusters whose endpoints a resolver must find (`Some`), or no longer (`None`).
    pub external: Vec<(ClusterId, Option<ExternalName>)>,
    /// Clusters that no rule names any more.
    pub retired: Vec<ClusterId>,
    /// Objects whose notes changed, with all notes that hold now.
    pub notes: Vec<(ObjectRef, Vec<Note>)>,
}

/// Holds the objects and what became of them, so that a change costs what it touches.
#[derive(Debug)]
pub struct Translator {}

impl Translator {
    /// Starts without objects.
    #[must_use]
    pub fn new(_options: Options) -> Self {
        Self {}
    }

    /// Takes a change in. Cheap: what it touches is translated by [`Translator::publish`].
    pub fn apply(&mut self, _change: Change) {}

    /// Translates what changed. `now` is in seconds since the Unix epoch and decides which certificates have expired.
    pub fn publish(&mut self, _now: i64) -> Output {
        Output::default()
    }

    /// The objects of a kind, in order.
    pub fn objects(&self, _kind: Kind) -> impl Iterator<Item = ObjectRef> {
        std::iter::empty()
    }

    /// All notes that hold now, by object.
    pub fn notes(&self) -> impl Iterator<Item = &Note> {
        std::iter::empty()
    }
}
