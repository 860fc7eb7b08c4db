//! What the control plane sends to the data plane.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{ClusterId, Endpoints};
use crate::table::{Policy, Table};

/// One message of the channel between the planes.
///
/// Applied in the order of the fields, so that connections are made before they are broken: policy and endpoints of a new
/// cluster arrive before the table that names it, and a cluster retires after the table that no longer does.
#[derive(Debug)]
pub struct Update<P: Policy> {
    /// Policies that are new or changed. A cluster that never had one uses the default.
    pub policies: Vec<(ClusterId, Arc<P::Cluster>)>,
    /// Endpoints that are new or changed.
    pub endpoints: Vec<(ClusterId, Arc<Endpoints>)>,
    /// The next table, if anything but endpoints changed.
    pub table: Option<Arc<Table<P>>>,
    /// Clusters that no table names any more.
    pub retired: Vec<ClusterId>,
    /// When the oldest change in it reached the control plane.
    pub arrived: Instant,
    /// The control plane has read everything there is to read; set from the first such update on.
    pub synced: bool,
    /// What the control plane has to say about itself.
    pub facts: Facts,
}

/// Figures of the control plane that the data plane publishes as metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Notes of severity error that hold now.
    pub errors: usize,
    /// Notes of severity warning that hold now.
    pub warnings: usize,
    /// Notes of severity info that hold now.
    pub infos: usize,
    /// Time that building this update took.
    pub build: Duration,
    /// Is this replica the one that writes to the API server? `None` where nobody does.
    pub leader: Option<bool>,
    /// How each kind of object that is watched is doing.
    pub watches: Vec<WatchFacts>,
    /// How many Ingresses carry an annotation that is not honoured as in ingress-nginx: its name, what becomes of it, and
    /// their number.
    pub verdicts: Verdicts,
    /// The same of keys of the controller's ConfigMap.
    pub config_verdicts: Verdicts,
    /// What the validating webhook has judged.
    pub checks: Arc<Checks>,
}

/// Names with what becomes of them, and their number.
pub type Verdicts = Arc<BTreeMap<(&'static str, &'static str), usize>>;

/// What the validating webhook has judged since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Namespace and name of Ingresses, how often one was let in, and how often it was refused.
    pub by_name: BTreeMap<(String, String), (u64, u64)>,
    /// Ingresses that there were at the last check.
    pub ingresses: usize,
    /// How long it took to translate them.
    pub translation: Duration,
    /// How long the answer took.
    pub whole: Duration,
}

/// How the watch of one kind of object is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchFacts {
    /// The kind, as manifests name it.
    pub kind: &'static str,
    /// Since when what is known may be out of date; `None` while the watch works.
    pub stale_since: Option<Instant>,
}
