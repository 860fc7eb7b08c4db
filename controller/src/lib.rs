//! Kubernetes I/O: where objects come from, and how what they mean reaches the data plane.
//!
//! Runs on a thread and runtime of its own, so that no burst of changes can slow a request down.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use features::{ClusterPolicy, Route};
use table::{ClusterId, Endpoints, Table, Update};
use tokio::sync::mpsc;
use translate::{Note, ObjectRef, Options, Review};

mod addresses;
mod batch;
mod batches;
mod clerk;
mod cluster;
mod desk;
mod document;
mod duties;
mod election;
mod events;
mod fault;
mod folder;
mod gate;
mod hash;
mod health;
mod holdoff;
mod index;
mod known;
mod last_good;
mod lease;
mod live;
mod load;
mod manifest;
mod node;
mod notebook;
mod pods;
mod publish;
mod reporter;
mod resolve;
mod secrets;
mod sighting;
mod staleness;
mod start;
mod status;
mod wake;
mod walk;
mod watch;
mod watched;
mod webhook;

pub use duties::{Duties, Election, Incident, Incidents, Pod, StatusSource};
pub use last_good::StateDir;
pub use webhook::Webhook;

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
    /// Policies of clusters; one that is not here has the default.
    pub policies: BTreeMap<ClusterId, Arc<ClusterPolicy>>,
    /// All notes, by object.
    pub notes: Vec<Note>,
    /// Where each object of a folder stands.
    pub origins: BTreeMap<ObjectRef, Origin>,
    /// Documents of a folder that could not be read.
    pub broken: Vec<BrokenDocument>,
    /// Fields of a folder's objects that no object of the kind has.
    pub warnings: Vec<BrokenDocument>,
    /// Every Ingress with the verdicts on its annotations, and traps.
    pub review: Review,
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

/// What the control plane is to do.
#[derive(Debug)]
pub struct Setup {
    /// Where objects come from.
    pub source: Source,
    /// What the operator decided for translation.
    pub options: Options,
    /// What is written to the API server; nothing for a folder.
    pub duties: Duties,
    /// `--state-dir`: where the last good state is kept; not for a folder.
    pub state: Option<StateDir>,
    /// `--validating-webhook`: off without; not for a folder.
    pub webhook: Option<Webhook>,
}

/// How the writing ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Not yet.
    No,
    /// Nobody serves here any more.
    Final,
    /// Another process serves at the same addresses.
    HandedOver,
}

/// A control plane that runs.
#[derive(Debug)]
pub struct Control {
    stop: tokio::sync::watch::Sender<Stop>,
    written: std::sync::mpsc::Receiver<()>,
}

impl Control {
    /// This process is about to end: what is written to the API server is finished, and the lease given back. What was
    /// read is still published. Returns at once.
    pub fn terminate(&self) {
        self.stop(Stop::Final);
    }

    /// Like [`Control::terminate`], but another process serves at the same addresses: what was written stays.
    pub fn hand_over(&self) {
        self.stop(Stop::HandedOver);
    }

    fn stop(&self, how: Stop) {
        // Whichever came first counts.
        self.stop.send_if_modified(|stop| *stop == Stop::No && std::mem::replace(stop, how) != how);
    }

    /// Terminates, and waits until everything is written, but no longer than `limit`.
    pub fn finish(self, limit: Duration) {
        self.terminate();
        // Its end shows in that nobody is left who could send.
        if matches!(self.written.recv_timeout(limit), Err(RecvTimeoutError::Timeout)) {
            tracing::warn!("not everything could be written to the API server before the end");
        }
    }
}

/// Starts a control plane that only reads. It ends when the receiving side of `updates` is gone.
///
/// # Errors
/// When the source cannot be opened: a missing folder, an unreadable kubeconfig.
pub fn spawn(source: Source, options: Options, updates: mpsc::Sender<Update<Route>>) -> Result<(), Error> {
    start(Setup { source, options, duties: Duties::default(), state: None, webhook: None }, updates).map(drop)
}

/// Starts the control plane on its own thread. It ends when the receiving side of `updates` is gone.
///
/// # Errors
/// When the source cannot be opened: a missing folder, an unreadable kubeconfig, missing rights.
pub fn start(setup: Setup, updates: mpsc::Sender<Update<Route>>) -> Result<Control, Error> {
    let (opened, result) = std::sync::mpsc::sync_channel(1);
    let (writing, written) = std::sync::mpsc::sync_channel(1);
    let (stop, stopped) = tokio::sync::watch::channel(Stop::No);
    std::thread::Builder::new()
        .name("ingora-controller".to_owned())
        .spawn(move || start::run(setup, updates, stopped, writing, &opened))
        .map_err(|error| Error(format!("no thread can be started ({error}); raise the limit of processes")))?;
    let ended = || Error("the control plane ended while it started; see the log".to_owned());
    result.recv().unwrap_or_else(|_| Err(ended())).map(|()| Control { stop, written })
}
