//! Watches one kind of object in a cluster, for ever.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::mpsc;

use crate::batch::Batch;
use crate::health::{Health, is_forbidden, is_gone};
use crate::known::Known;
use crate::watched::Watched;

/// Most events that become one batch.
const CHUNK: usize = 512;

/// Counts the kinds that have not handed over their first list.
#[derive(Clone, Debug)]
pub(crate) struct Unsynced(Arc<AtomicUsize>);

impl Unsynced {
    /// None of `kinds` has.
    pub(crate) fn new(kinds: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(kinds)))
    }

    /// One more has; true for the last.
    fn done(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

/// Watches a kind until the receiver of batches is gone.
pub(crate) async fn watch<K: Watched>(api: Api<K>, batches: mpsc::Sender<Batch>, unsynced: Unsynced) {
    let mut known = Known::default();
    let mut synced = false;
    let mut chunks = events(api).ready_chunks(CHUNK);
    while let Some(chunk) = chunks.next().await {
        let arrived = Instant::now();
        let mut changes = Vec::new();
        let mut complete = false;
        for event in chunk {
            complete |= match event {
                Ok(event) => known.take(event, &mut changes),
                // Readiness must not wait for what may never be granted.
                Err(error) => !K::REQUIRED && is_forbidden(&error),
            };
        }
        if !changes.is_empty() && batches.send(Batch { arrived, changes, synced: false }).await.is_err() {
            return;
        }
        if complete && !std::mem::replace(&mut synced, true) && unsynced.done() {
            let all = Batch { arrived, changes: Vec::new(), synced: true };
            if batches.send(all).await.is_err() {
                return;
            }
        }
    }
}

/// The selection of a kind's objects.
pub(crate) fn selection<K: Watched>() -> watcher::Config {
    K::FIELDS.map_or_else(watcher::Config::default, |fields| watcher::Config::default().fields(fields))
}

struct Events<K: Watched> {
    api: Api<K>,
    stream: BoxStream<'static, watcher::Result<Event<K>>>,
    health: Health,
    wait: Duration,
}

/// The watch's events; after a failure the next one takes its time.
fn events<K: Watched>(api: Api<K>) -> BoxStream<'static, watcher::Result<Event<K>>> {
    let stream = watcher(api.clone(), selection::<K>()).boxed();
    let events = Events { api, stream, health: Health::new(), wait: Duration::ZERO };
    stream::unfold(events, |mut events| async move {
        if !events.wait.is_zero() {
            tokio::time::sleep(std::mem::take(&mut events.wait)).await;
        }
        let event = events.stream.next().await?;
        match &event {
            // Tells only that a list is about to begin.
            Ok(Event::Init) => {}
            Ok(_) => events.health.succeeded::<K>(),
            Err(error) => {
                events.wait = events.health.failed::<K>(error, Instant::now());
                if is_gone(error) {
                    // The stream would watch on from the same place if the refusal came as an HTTP status.
                    events.stream = watcher(events.api.clone(), selection::<K>()).boxed();
                }
            }
        }
        Some((event, events))
    })
    .boxed()
}
