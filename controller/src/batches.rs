//! Keeps the objects of one kind for translation: what a watch tells becomes batches of changes.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::mpsc;
use translate::{Change, ObjectRef};

use crate::batch::Batch;
use crate::desk::Desk;
use crate::known::{Known, Told};
use crate::sighting::Sighting;
use crate::watch::Keeper;
use crate::watched::Watched;

/// Counts the kinds that have not handed over their first list.
#[derive(Clone, Debug)]
pub(crate) struct Unsynced(Arc<AtomicUsize>);

impl Unsynced {
    /// None of `kinds` has.
    pub(crate) fn new(kinds: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(kinds)))
    }

    /// One more has; true for the last.
    pub(crate) fn done(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

/// Has everything there is to read of a kind been handed over?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    No,
    /// With the next batch.
    Now,
    Told,
}

/// Makes batches of what is told of one kind.
#[derive(Debug)]
pub(crate) struct Batches {
    known: Known,
    changes: Vec<Change>,
    batches: mpsc::Sender<Batch>,
    unsynced: Unsynced,
    settled: Settled,
    desk: Option<Arc<Desk>>,
    seen: Vec<(ObjectRef, Sighting)>,
}

impl Batches {
    /// Begins with what is known already.
    pub(crate) fn new(known: Known, batches: mpsc::Sender<Batch>, unsynced: Unsynced, desk: Option<Arc<Desk>>) -> Self {
        Self { known, changes: Vec::new(), batches, unsynced, settled: Settled::No, desk, seen: Vec::new() }
    }

    fn see<K: Watched>(&mut self, told: &Told<K>) {
        let Some(desk) = &self.desk else { return };
        let (Told::Listed(object) | Told::Set(object)) = told else { return };
        self.seen.extend(object.sighting(&desk.manager));
    }
}

impl<K: Watched> Keeper<K> for Batches {
    fn take(&mut self, told: Told<K>) {
        self.see(&told);
        self.known.take(told, &mut self.changes);
    }

    fn len(&self) -> usize {
        self.known.len()
    }

    fn settled(&mut self, readable: bool) {
        if self.settled == Settled::No && (readable || !K::REQUIRED) {
            self.settled = Settled::Now;
        }
    }

    async fn flush(&mut self, arrived: Instant) -> bool {
        if let Some(desk) = &self.desk {
            self.seen.drain(..).for_each(|(ingress, sighting)| desk.seen(ingress, Some(sighting)));
            for change in &self.changes {
                if let Change::Delete(reference) = change {
                    desk.seen(reference.clone(), None);
                }
            }
        }
        let changes = std::mem::take(&mut self.changes);
        if !changes.is_empty() && self.batches.send(Batch { arrived, changes, synced: false }).await.is_err() {
            return false;
        }
        if self.settled == Settled::Now {
            self.settled = Settled::Told;
            if self.unsynced.done() {
                let all = Batch { arrived, changes: Vec::new(), synced: true };
                return self.batches.send(all).await.is_ok();
            }
        }
        !self.batches.is_closed()
    }
}
