//! What this replica does for the API server, besides reading it: what the operator decided, and starting it.
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use kube::Client;
use tokio::sync::watch;

use crate::Stop;
use crate::addresses::Surveyor;
use crate::clerk::{Clerk, Tasks, Tools};
use crate::desk::Desk;
use crate::election::{Office, Stand};
use crate::reporter::Reporter;
use crate::status::Writer;

/// What is written to the API server, and by which replica.
#[derive(Debug, Default)]
pub struct Duties {
    /// The pod that this process runs in, if it is known.
    pub pod: Option<Pod>,
    /// How the replica that writes is found; without it each one takes itself for the only one.
    pub election: Option<Election>,
    /// `--update-status`: the addresses for the status of Ingresses.
    pub status: Option<StatusSource>,
    /// Write events on objects that need attention?
    pub events: bool,
    /// Write an event, too, when an Ingress was created or changed? `--disable-sync-events` says no.
    pub sync_events: bool,
    /// What the data plane has to report.
    pub incidents: Incidents,
}

/// What the data plane has to report, as it happens.
#[derive(Default)]
pub struct Incidents(Option<BoxStream<'static, Incident>>);

impl Incidents {
    /// Reports what a stream tells.
    pub fn new(stream: impl Stream<Item = Incident> + Send + 'static) -> Self {
        Self(Some(stream.boxed()))
    }

    /// The next one; never any once the data plane has ended.
    pub(crate) async fn next(&mut self) -> Incident {
        match &mut self.0 {
            Some(stream) => match stream.next().await {
                Some(incident) => incident,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Incidents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incidents").finish_non_exhaustive()
    }
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// How the replica that writes is found: by a Lease.
#[derive(Clone, Debug)]
pub struct Election {
    /// `--election-id`: the name of the Lease.
    pub id: String,
    /// Its namespace; without one, that of the pod or of the kubeconfig's context.
    pub namespace: Option<String>,
    /// `--election-ttl`: after so long without a word another replica takes over.
    pub ttl: Duration,
}

/// Where the addresses for the status of Ingresses come from: the first of these that names any.
#[derive(Clone, Debug)]
pub struct StatusSource {
    /// `--publish-status-address`: IP addresses and names.
    pub addresses: Vec<String>,
    /// `--publish-service`: namespace and name of the Service in front of the replicas.
    pub service: Option<(String, String)>,
    /// `--report-node-internal-ip-address`: of the nodes that replicas run on, name the internal addresses.
    pub node_internal_ip: bool,
    /// `--status-update-interval`: how often the addresses are looked for.
    pub interval: Duration,
    /// `--update-status-on-shutdown`: the last replica takes back what was written.
    pub remove_at_end: bool,
}

/// Something that the data plane saw of a Service and its owner should know.
#[derive(Clone, Debug)]
pub struct Incident {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// False for something that is as it should be.
    pub warning: bool,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// A sentence with the remedy.
    pub message: String,
}

/// Longest name that the API server takes for whoever writes a field, in bytes.
const LONGEST_MANAGER: usize = 128;

/// Under which name the replicas that serve a class write.
pub(crate) fn manager(controller_class: &str) -> String {
    let name = format!("ingora:{controller_class}");
    name.get(..name.floor_char_boundary(LONGEST_MANAGER)).unwrap_or_default().to_owned()
}

impl Duties {
    /// Is anything to be written at all?
    pub(crate) fn any(&self) -> bool {
        self.status.is_some() || self.events
    }

    /// Does them until `stop`. `leader` is told whether this replica is the one that writes.
    pub(crate) async fn run(
        self,
        client: Client,
        desk: Arc<Desk>,
        patience: Duration,
        leader: watch::Sender<Option<bool>>,
        stop: watch::Receiver<Stop>,
    ) {
        let identity = identity(self.pod.as_ref());
        let (resign, resigned) = watch::channel(false);
        let (office, standing) = match &self.election {
            Some(election) => {
                let (stand, office) = Stand::new(client.clone(), election, identity.clone(), leader);
                (office, Some(tokio::spawn(stand.run(resigned))))
            }
            None => {
                leader.send_replace(Some(true));
                (Office::always(), None)
            }
        };
        let surveyor = Surveyor { client: client.clone(), patience, pod: self.pod };
        let writer = Writer { client: client.clone(), manager: desk.manager.clone() };
        let reporter = Reporter { client, instance: identity };
        let tasks = Tasks { status: self.status, events: self.events, sync_events: self.sync_events };
        let tools = Tools { desk, office, surveyor, writer, reporter, tasks, patience };
        Clerk::new(tools).run(self.incidents, stop).await;
        // What was written last was written while leading; only then may another replica begin.
        resign.send_replace(true);
        if let Some(standing) = standing
            && standing.await.is_err()
        {
            tracing::error!("the election has panicked");
        }
    }
}

/// A name that no other process has, not even one of the same pod.
fn identity(pod: Option<&Pod>) -> String {
    let random = RandomState::new().build_hasher().finish();
    let name = pod.map_or("ingora", |pod| pod.name.as_str());
    format!("{name}_{random:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_are_told_apart() {
        let pod = Pod { namespace: "ns".to_owned(), name: "pod-1".to_owned() };
        let (one, other) = (identity(Some(&pod)), identity(Some(&pod)));
        assert!(one.starts_with("pod-1_") && one != other);
    }

    #[test]
    fn a_manager_has_a_name_that_fits() {
        assert_eq!(manager("ingora.io/ingress-controller"), "ingora:ingora.io/ingress-controller");
        assert_eq!(manager(&"x".repeat(300)).len(), LONGEST_MANAGER);
    }
}
