//! Kubernetes I/O: where objects come from, and how what they mean reaches the data plane.
//!
//! Runs on a thread and runtime of its own, so that no burst of changes can slow a request down.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use features::Route;
use table::{ClusterId, Endpoints, Table, Update};
use tokio::sync::mpsc;
use translate::{Note, ObjectRef, Options};

mod batch;
mod batches;
mod cluster;
mod desk;
mod document;
mod fault;
mod folder;
mod gate;
mod health;
mod holdoff;
mod index;
mod known;
mod live;
mod load;
mod manifest;
mod node;
mod notebook;
mod publish;
mod resolve;
mod sighting;
mod staleness;
mod start;
mod wake;
mod walk;
mod watch;
mod watched;

/// Where objects come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder of YAML or JSON manifests, watched.
    Folder(PathBuf),
    /// A cluster's API server.
    Cluster(Cluster),
}

/// A cluster whose API server is read.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// A kubeconfig file; without one, the pod's service account or the user's default file.
    pub kubeconfig: Option<PathBuf>,
    /// Where Ingresses and what they name are looked for.
    pub namespaces: Namespaces,
    /// How long to wait for the API server.
    pub patience: Patience,
}

/// Which namespaces count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Namespaces {
    /// Every one.
    #[default]
    All,
    /// This one; rights in no other are needed.
    One(String),
    /// Those that a label selector matches; rights on all are needed.
    Labelled(String),
}

/// How long to wait for an API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection, and for the answer to one request.
    pub request: Duration,
    /// For how long one watch is asked for, in whole seconds. One that says nothing for this time and that of a request
    /// is taken for a connection that leads nowhere.
    pub watch: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { request: Duration::from_secs(10), watch: Duration::from_secs(60) }
    }
}

/// Why the control plane cannot start: one sentence with the remedy.
#[derive(Debug)]
pub struct Error(pub String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// A place in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
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
    /// Fields of a folder's objects that no object of the kind has.
    pub warnings: Vec<BrokenDocument>,
}

/// Reads a source once: for `explain` and `lint`. ExternalName Services are not resolved.
///
/// # Errors
/// When the source cannot be read at all.
pub fn load(source: &Source, options: Options) -> Result<Loaded, Error> {
    match source {
        Source::Folder(root) => load::folder(root, options),
        Source::Cluster(cluster) => load::cluster(cluster, options),
    }
}

/// Starts the control plane on its own thread. It ends when the receiving side of `updates` is gone.
///
/// # Errors
/// When the source cannot be opened: a missing folder, an unreadable kubeconfig.
pub fn spawn(source: Source, options: Options, updates: mpsc::Sender<Update<Route>>) -> Result<(), Error> {
    let (opened, result) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("ingora-controller".to_owned())
        .spawn(move || start::run(&source, options, updates, &opened))
        .map_err(|error| Error(format!("no thread can be started ({error}); raise the limit of processes")))?;
    result.recv().unwrap_or_else(|_| Err(Error("the control plane ended while it started; see the log".to_owned())))
}
