//! Kubernetes I/O: where objects come from, and how what they mean reaches the data plane.
//!
//! Runs on a thread and runtime of its own, so that no burst of changes can slow a request down.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use features::Route;
use table::{ClusterId, Endpoints, Table, Update};
use tokio::sync::mpsc;
use translate::{Note, ObjectRef, Options};

mod batch;
mod document;
mod holdoff;
mod manifest;
mod node;

/// Where objects come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder of YAML or JSON manifests, watched.
    Folder(PathBuf),
    /// A cluster's API server.
    Cluster {
        /// A kubeconfig file; without one, the pod's service account or the user's default file.
        kubeconfig: Option<PathBuf>,
        /// Only this namespace; all without.
        namespace: Option<String>,
    },
}

/// Why the control plane cannot start: one sentence with the remedy.
#[derive(Debug)]
pub struct Error(pub String);

/// A place in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// A document that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BrokenDocument {
    /// Where.
    pub origin: Origin,
    /// What is wrong and what to do.
    pub message: String,
}

/// Everything that a source means at one moment.
#[derive(Debug)]
pub struct Loaded {
    /// The table.
    pub table: Arc<Table<Route>>,
    /// Endpoints of every cluster the table names.
    pub endpoints: BTreeMap<ClusterId, Arc<Endpoints>>,
    /// All notes, by object.
    pub notes: Vec<Note>,
    /// Where each object of a folder stands.
    pub origins: BTreeMap<ObjectRef, Origin>,
    /// Documents of a folder that could not be read.
    pub broken: Vec<BrokenDocument>,
}

/// Reads a source once: for `explain` and `lint`.
///
/// # Errors
/// When the source cannot be read at all.
pub fn load(_source: &Source, _options: Options) -> Result<Loaded, Error> {
    Err(Error("not there yet".to_owned()))
}

/// Starts the control plane on its own thread. It ends when the receiving side of `updates` is gone.
///
/// # Errors
/// When the source cannot be opened: a missing folder, an unreadable kubeconfig.
pub fn spawn(_source: Source, _options: Options, _updates: mpsc::Sender<Update<Route>>) -> Result<(), Error> {
    Err(Error("not there yet".to_owned()))
}
