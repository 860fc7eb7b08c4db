//! Reads Secrets one by one, and only those that Ingresses or the operator refer to.
//!
//! A watch of their metadata tells which have changed. What is in a Secret that nobody refers to never reaches this process.
mod referred;
mod versions;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::Instant;
use translate::{Change, Kind, ObjectRef, Options};

use crate::batch::Batch;
use crate::fault::Fault;
use crate::watch::within;
use crate::watched::Watched;
pub(crate) use referred::Referred;
pub(crate) use versions::Versions;

/// How many are read at a time.
const AT_ONCE: usize = 16;
/// How long other changes wait for the Secrets that they refer to, once everything has been told.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// When those that could not be read are read again, the first time and at the latest.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often all are read again where changes cannot be watched.
const BLIND: Duration = Duration::from_secs(60);

/// Which Secrets are read.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// All of them: somebody asks about Ingresses that are not stored yet.
    All,
    /// Those that Ingresses, with annotations of this prefix, and the operator refer to.
    Referred {
        /// What annotations begin with.
        annotations_prefix: String,
        /// To what the operator refers.
        operator: BTreeSet<ObjectRef>,
    },
}

impl Wanted {
    /// Those that are referred to.
    pub(crate) fn referred(options: &Options) -> Self {
        Self::Referred { annotations_prefix: options.annotations_prefix.clone(), operator: operator(options) }
    }
}

/// The Secrets that the operator refers to.
pub(crate) fn operator(options: &Options) -> BTreeSet<ObjectRef> {
    let default = options.default_ssl_certificate.iter();
    let secret = default.map(|(namespace, name)| (namespace.as_str().into(), name.as_str().into()));
    secret.map(|(namespace, name)| ObjectRef { kind: Kind::Secret, namespace, name }).collect()
}

/// One object, or why there is none.
async fn read(client: &Client, limit: Duration, secret: &ObjectRef) -> Result<Change, Fault> {
    let api = Api::<Secret>::namespaced(client.clone(), &secret.namespace);
    match within(limit, "a Secret", api.get_opt(&secret.name)).await? {
        Some(object) if !is_for_others(&object) => Ok(Change::Set(object.stripped())),
        Some(_) | None => Ok(Change::Delete(secret.clone())),
    }
}

/// Is it of a type that no watch asks for either?
fn is_for_others(secret: &Secret) -> bool {
    let mut excluded = Secret::FIELDS.into_iter().flat_map(|fields| fields.split(','));
    excluded.any(|field| field.strip_prefix("type!=").is_some_and(|kind| secret.type_.as_deref() == Some(kind)))
}

/// Reads Secrets, once, for whoever wants them now. Those that may not be read are taken to be absent.
///
/// # Errors
/// When the API server does not answer.
pub(crate) async fn read_all(
    client: &Client,
    limit: Duration,
    secrets: BTreeSet<ObjectRef>,
) -> Result<Vec<Change>, Fault> {
    let mut reading = stream::iter(secrets)
        .map(async |secret| (read(client, limit, &secret).await, secret))
        .buffer_unordered(AT_ONCE);
    let mut changes = Vec::new();
    while let Some((result, secret)) = reading.next().await {
        match result {
            Ok(change) => changes.push(change),
            Err(fault) if fault.is_forbidden() => tracing::warn!("{}", forbidden(&secret)),
            Err(fault) => return Err(fault),
        }
    }
    Ok(changes)
}

fn forbidden(secret: &ObjectRef) -> String {
    format!("reading {secret} is forbidden; grant the verb get on secrets in its namespace")
}

/// Adds to batches of changes the Secrets that they refer to.
pub(crate) struct Stage {
    /// Reads them.
    pub(crate) client: Client,
    /// How long one answer of the API server may take.
    pub(crate) limit: Duration,
    /// What refers to which.
    pub(crate) referred: Referred,
    /// To be read before the first batch goes on.
    pub(crate) first: BTreeSet<ObjectRef>,
    /// To be read when there is time: nobody waits for them, or they could not be read.
    pub(crate) later: BTreeSet<ObjectRef>,
    /// Secrets whose metadata changed.
    pub(crate) changed: mpsc::Receiver<Vec<ObjectRef>>,
    /// Nobody tells of changes, because the metadata may not be read.
    pub(crate) blind: Arc<AtomicBool>,
}

impl Stage {
    /// Forwards batches, until one of the two sides is gone.
    pub(crate) async fn run(mut self, mut incoming: mpsc::Receiver<Batch>, outgoing: mpsc::Sender<Batch>) {
        let (mut pause, mut again, mut synced) = (AGAIN.0, None, false);
        let mut blind = tokio::time::interval(BLIND);
        loop {
            let mut batch = Batch { arrived: std::time::Instant::now(), changes: Vec::new(), synced: false };
            let mut dropped = BTreeSet::new();
            let wanted = tokio::select! {
                next = incoming.recv() => {
                    let Some(next) = next else { return };
                    batch = next;
                    let mut referring = self.referred.take(&batch.changes);
                    dropped = referring.dropped;
                    referring.new.append(&mut self.first);
                    referring.new
                }
                Some(changed) = self.changed.recv() => {
                    changed.into_iter().filter(|secret| self.referred.contains(secret)).collect()
                }
                () = until(again) => {
                    (again, pause) = (None, (pause * 2).min(AGAIN.1));
                    std::mem::take(&mut self.later).into_iter().filter(|secret| self.referred.contains(secret)).collect()
                }
                _ = blind.tick(), if self.blind.load(Ordering::Relaxed) => self.referred.all(),
            };
            synced |= batch.synced;
            // Before the Ingresses that refer to them.
            let secrets = self.read(wanted, if synced { LONGEST_WAIT } else { self.limit }).await;
            batch.changes.splice(0..0, secrets);
            batch.changes.extend(dropped.into_iter().map(Change::Delete));
            if self.later.is_empty() {
                (again, pause) = (None, AGAIN.0);
            } else {
                again.get_or_insert(Instant::now() + pause);
            }
            if (batch.synced || !batch.changes.is_empty()) && outgoing.send(batch).await.is_err() {
                return;
            }
        }
    }

    /// Reads Secrets for as long as may be waited for them; what fails or is not done then is left for later.
    async fn read(&mut self, mut wanted: BTreeSet<ObjectRef>, wait: Duration) -> Vec<Change> {
        let (client, limit, end) = (self.client.clone(), self.limit, Instant::now() + wait);
        let mut reading = stream::iter(wanted.clone())
            .map(async |secret| (read(&client, limit, &secret).await, secret))
            .buffer_unordered(AT_ONCE);
        let (mut changes, mut failure) = (Vec::new(), None);
        while let Ok(Some((result, secret))) = tokio::time::timeout_at(end, reading.next()).await {
            match result {
                Ok(change) => changes.push(change),
                // Nothing changes before somebody grants the right.
                Err(fault) if fault.is_forbidden() => tracing::warn!("{}", forbidden(&secret)),
                Err(fault) => {
                    failure.get_or_insert((secret, fault));
                    continue;
                }
            }
            wanted.remove(&secret);
        }
        if let Some((secret, error)) = failure {
            let count = wanted.len();
            tracing::warn!(count, first = %secret, %error, "Secrets cannot be read and are asked for again");
        }
        self.later.append(&mut wanted);
        changes
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
