//! The metadata of Secrets, as a watch tells it: which of them have changed.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use tokio::sync::mpsc;
use translate::{Kind, ObjectRef};

use crate::batch::Batch;
use crate::batches::Unsynced;
use crate::known::Told;
use crate::watch::Keeper;

/// A Secret without what is in it.
type Metadata = PartialObjectMeta<Secret>;

/// Keeps the resource version of each Secret.
#[derive(Debug)]
pub(crate) struct Versions {
    known: BTreeMap<ObjectRef, String>,
    /// What a list that is under way has named so far.
    listed: BTreeSet<ObjectRef>,
    changed: Vec<ObjectRef>,
    tell: mpsc::Sender<Vec<ObjectRef>>,
    blind: Arc<AtomicBool>,
    batches: mpsc::Sender<Batch>,
    unsynced: Unsynced,
    settled: bool,
    is_told: bool,
}

impl Versions {
    /// Begins with Secrets that an earlier process knew. `tell` gets those that changed, `blind` whether it cannot know,
    /// and `batches` when all kinds are complete.
    pub(crate) fn new(
        known: impl IntoIterator<Item = ObjectRef>,
        tell: mpsc::Sender<Vec<ObjectRef>>,
        blind: Arc<AtomicBool>,
        batches: mpsc::Sender<Batch>,
        unsynced: Unsynced,
    ) -> Self {
        Self {
            known: known.into_iter().map(|secret| (secret, String::new())).collect(),
            listed: BTreeSet::new(),
            changed: Vec::new(),
            tell,
            blind,
            batches,
            unsynced,
            settled: false,
            is_told: false,
        }
    }

    fn note(&mut self, object: Metadata) -> ObjectRef {
        let secret = reference(&object);
        let version = object.metadata.resource_version.unwrap_or_default();
        if self.known.get(&secret) != Some(&version) {
            self.known.insert(secret.clone(), version);
            self.changed.push(secret.clone());
        }
        secret
    }
}

fn reference(object: &Metadata) -> ObjectRef {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
    ObjectRef { kind: Kind::Secret, namespace: text(&object.metadata.namespace), name: text(&object.metadata.name) }
}

impl Keeper<Metadata> for Versions {
    fn take(&mut self, told: Told<Metadata>) {
        match told {
            Told::Begin => self.listed.clear(),
            Told::Listed(object) => {
                let secret = self.note(object);
                self.listed.insert(secret);
            }
            Told::End => {
                let listed = std::mem::take(&mut self.listed);
                let gone = self.known.extract_if(.., |secret, _| !listed.contains(secret));
                self.changed.extend(gone.map(|(secret, _)| secret));
            }
            Told::Set(object) => drop(self.note(object)),
            Told::Gone(object) => {
                let secret = reference(&object);
                self.known.remove(&secret);
                self.changed.push(secret);
            }
        }
    }

    fn len(&self) -> usize {
        self.known.len()
    }

    fn settled(&mut self, readable: bool) {
        self.settled = true;
        self.blind.store(!readable, Ordering::Relaxed);
    }

    async fn flush(&mut self, arrived: Instant) -> bool {
        let changed = std::mem::take(&mut self.changed);
        if !changed.is_empty() && self.tell.send(changed).await.is_err() {
            return false;
        }
        if self.settled && !std::mem::replace(&mut self.is_told, true) && self.unsynced.done() {
            let all = Batch { arrived, changes: Vec::new(), synced: true };
            return self.batches.send(all).await.is_ok();
        }
        !self.batches.is_closed()
    }
}
