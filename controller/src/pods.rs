//! Reads pods one by one, and only those whose readinessProbe is asked for. A pod keeps its own, so nothing is watched.
use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use translate::{Change, Object, ObjectRef, Options, Translator};

use crate::fault::Fault;
use crate::watch::within;
use crate::watched::Watched;

/// How many are read at a time.
const AT_ONCE: usize = 16;
/// When those that could not be read are read again, the first time and at the latest.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How many answers may wait for the publishing loop.
const WAITING: usize = 16;

/// Pods that are asked for.
pub(crate) type Pods = BTreeSet<ObjectRef>;

/// Reads pods.
#[derive(Clone)]
pub(crate) struct Reader {
    /// Reads them.
    pub(crate) client: Client,
    /// How long one answer of the API server may take.
    pub(crate) limit: Duration,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Reader {
    /// Reads what is asked for from now on, until nobody can ask any more.
    pub(crate) fn start(self) -> (watch::Sender<Pods>, mpsc::Receiver<Vec<Change>>) {
        let (want, wanted) = watch::channel(Pods::new());
        let (answers, receiver) = mpsc::channel(WAITING);
        tokio::spawn(self.run(wanted, answers));
        (want, receiver)
    }

    async fn run(self, mut wanted: watch::Receiver<Pods>, answers: mpsc::Sender<Vec<Change>>) {
        let (mut left, mut pause, mut again) = (Pods::new(), AGAIN.0, Instant::now());
        loop {
            let asked = tokio::select! {
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = wanted.borrow_and_update().clone();
                    let new = now.difference(&left).cloned().collect();
                    left.retain(|pod| now.contains(pod));
                    new
                }
                () = tokio::time::sleep_until(again), if !left.is_empty() => {
                    pause = (pause * 2).min(AGAIN.1);
                    std::mem::take(&mut left)
                }
            };
            if left.is_empty() && !asked.is_empty() {
                again = Instant::now() + pause;
            }
            let (changes, mut failed) = self.read(asked).await;
            left.append(&mut failed);
            if left.is_empty() {
                pause = AGAIN.0;
            }
            if !changes.is_empty() && answers.send(changes).await.is_err() {
                return;
            }
        }
    }

    /// Reads pods, once. A pod that may not be read is told to be gone; that one and others that could not be read are
    /// returned, too.
    async fn read(&self, pods: Pods) -> (Vec<Change>, Pods) {
        let mut reading =
            stream::iter(pods).map(async |pod| (self.read_one(&pod).await, pod)).buffer_unordered(AT_ONCE);
        let (mut changes, mut failed, mut failure) = (Vec::new(), Pods::new(), None);
        while let Some((result, pod)) = reading.next().await {
            match result {
                Ok(Some(object)) => {
                    changes.push(Change::Set(object));
                    continue;
                }
                // EndpointSlices will soon know that, too.
                Ok(None) => {}
                Err(fault) => {
                    if fault.is_forbidden() {
                        changes.push(Change::Delete(pod.clone()));
                    }
                    failure.get_or_insert((pod.clone(), fault));
                }
            }
            failed.insert(pod);
        }
        if let Some((pod, error)) = failure {
            let count = failed.len();
            tracing::warn!(
                count, first = %pod, %error,
                "pods cannot be read for their readinessProbe and are asked for again; grant the verb get on pods in their namespaces"
            );
        }
        (changes, failed)
    }

    async fn read_one(&self, pod: &ObjectRef) -> Result<Option<Object>, Fault> {
        let api = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace);
        Ok(within(self.limit, "a Pod", api.get_opt(&pod.name)).await?.map(Watched::stripped))
    }

    /// The pods that these objects ask for, read once.
    pub(crate) async fn read_all(&self, changes: &[Change], options: &Options) -> Vec<Change> {
        let mut translator = Translator::new(Options { asks_for_pods: true, ..options.clone() });
        changes.iter().cloned().for_each(|change| translator.apply(change));
        let asked = translator.publish(crate::publish::unix_time()).pods.unwrap_or_default();
        self.read(asked).await.0
    }
}
