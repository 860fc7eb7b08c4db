//! The loop that owns the translation: changes in, updates for the data plane out.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use features::Route;
use table::{Checks, ClusterId, Endpoints, Facts, Update, WatchFacts};
use tokio::sync::{mpsc, watch};
use translate::{Change, ExternalName, Kind, ObjectRef, Output, Translator};

use crate::batch::Batch;
use crate::desk::{Desk, Noted};
use crate::holdoff::Holdoff;
use crate::last_good::Recorder;
use crate::notebook::Notebook;
use crate::pods::{Pods, Reader};
use crate::resolve::{Lookup, Resolved, Resolver};
use crate::webhook::Mailbox;

/// Changes that may alter the table wait until none has followed for this long, so that a burst makes one table.
const QUIET: Duration = Duration::from_millis(2);
/// Longest time that they wait.
const MAXIMUM: Duration = Duration::from_millis(20);
/// Certificates expire without any change.
const TICK: Duration = Duration::from_secs(60);
/// How long what the webhook has judged waits for more.
const CHECKS: Duration = Duration::from_secs(1);
/// How many resolved names may wait for the loop.
const WAITING_NAMES: usize = 64;

/// Decides what to publish and when. Has no clock and no channel of its own.
#[derive(Debug)]
pub(crate) struct Publisher {
    translator: Translator,
    /// Changes that may alter the table, kept from the translator until they are due: endpoints can be published without
    /// making a table of half a burst.
    pending: BTreeMap<ObjectRef, Change>,
    holdoff: Holdoff,
    /// When the oldest endpoint change that waits arrived.
    endpoints: Option<Instant>,
    /// Endpoints of resolved names that wait.
    resolved: BTreeMap<ClusterId, Arc<Endpoints>>,
    notebook: Notebook,
    /// How the source is doing.
    watches: Vec<WatchFacts>,
    leader: Option<bool>,
    /// What the webhook has judged.
    checks: Arc<Checks>,
    /// When that last changed without having been told.
    standing: Option<Instant>,
    /// What was told last.
    facts: Facts,
    /// The source has handed over everything.
    synced: bool,
    /// The first update is out.
    started: bool,
}

/// What became of the changes.
#[derive(Debug)]
pub(crate) struct Built {
    /// What to send.
    pub(crate) update: Option<Update<Route>>,
    /// Names to resolve from now on, or no longer.
    pub(crate) external: Vec<(ClusterId, Option<ExternalName>)>,
    /// Pods to be read, when others than before.
    pub(crate) pods: Option<Pods>,
    /// Ingresses that were looked at, and whether they are ours.
    pub(crate) ours: Vec<(ObjectRef, bool)>,
    /// Objects whose notes changed.
    pub(crate) noted: Vec<(ObjectRef, Noted)>,
    /// Ingresses that were created or changed.
    pub(crate) changed: Vec<(ObjectRef, Option<Arc<str>>)>,
}

impl Publisher {
    /// Nothing is known yet.
    pub(crate) fn new(translator: Translator) -> Self {
        Self {
            translator,
            pending: BTreeMap::new(),
            holdoff: Holdoff::new(QUIET, MAXIMUM),
            endpoints: None,
            resolved: BTreeMap::new(),
            notebook: Notebook::default(),
            watches: Vec::new(),
            leader: None,
            checks: Arc::default(),
            standing: None,
            facts: Facts::default(),
            synced: false,
            started: false,
        }
    }

    /// Takes changes in. Endpoints do not wait, unless they changed together with what leads to them: a file that is
    /// deleted as a whole would leave its host without endpoints for a moment.
    pub(crate) fn take(&mut self, batch: Batch) {
        let changes: Vec<_> = batch.changes.into_iter().map(|change| (reference(&change), change)).collect();
        let is_endpoints = changes.iter().all(|(reference, _)| reference.kind == Kind::EndpointSlice);
        for (reference, change) in changes {
            if is_endpoints && !self.pending.contains_key(&reference) {
                self.translator.apply(change);
                self.endpoints = Some(self.endpoints.map_or(batch.arrived, |oldest| oldest.min(batch.arrived)));
            } else {
                self.pending.insert(reference, change);
                self.holdoff.changed(batch.arrived);
            }
        }
        if batch.synced && !self.synced {
            self.synced = true;
            self.holdoff.changed(batch.arrived);
        }
    }

    /// Takes the endpoints of a name in.
    pub(crate) fn take_resolved(&mut self, cluster: ClusterId, endpoints: Arc<Endpoints>, now: Instant) {
        self.resolved.insert(cluster, endpoints);
        self.endpoints.get_or_insert(now);
    }

    /// Takes in how the source is doing, and whether this replica leads.
    pub(crate) fn take_standing(&mut self, watches: &[WatchFacts], leader: Option<bool>, now: Instant) {
        if self.watches != watches || self.leader != leader {
            watches.clone_into(&mut self.watches);
            self.leader = leader;
            self.standing.get_or_insert(now);
        }
    }

    /// Takes in what the webhook has judged. It waits a little: whoever asks the webhook must not keep everybody else busy.
    pub(crate) fn take_checks(&mut self, checks: &Arc<Checks>, now: Instant) {
        if !Arc::ptr_eq(&self.checks, checks) {
            self.checks.clone_from(checks);
            self.standing.get_or_insert(now + CHECKS);
        }
    }

    /// When to call [`Publisher::build`]; `None` when nothing waits.
    pub(crate) fn due(&self) -> Option<Instant> {
        match (self.synced, self.started) {
            (false, _) => None,
            (true, false) => self.holdoff.due(),
            (true, true) => self.endpoints.into_iter().chain(self.holdoff.due()).chain(self.standing).min(),
        }
    }

    /// Translates what is due. `clock` is the time of day in seconds since the Unix epoch.
    pub(crate) fn build(&mut self, now: Instant, clock: i64) -> Built {
        let mut arrived = self.endpoints.take();
        let first = self.synced && !std::mem::replace(&mut self.started, self.synced);
        let mut changed = Vec::new();
        self.standing = None;
        if first || self.holdoff.is_due(now) {
            let pending = std::mem::take(&mut self.pending);
            let is_set =
                |change: &Change| matches!(change, Change::Set(object) if object.reference().kind == Kind::Ingress);
            changed = pending.iter().filter(|(_, change)| is_set(change)).map(|(object, _)| object.clone()).collect();
            pending.into_values().for_each(|change| self.translator.apply(change));
            arrived = arrived.into_iter().chain(self.holdoff.take()).min();
        }
        let Output { table, policies, endpoints: fresh, external, retired, pods, ours, notes } =
            self.translator.publish(clock);
        let noted = |(object, notes): &(ObjectRef, Vec<_>)| {
            (object.clone(), Noted { uid: self.uid(object), notes: notes.clone() })
        };
        let noted = notes.iter().map(noted).collect();
        self.notebook.update(notes);
        // What a name resolved to before is stale for a cluster whose name or kind has just changed.
        let external_ids = external.iter().map(|(id, _)| id);
        for id in external_ids.chain(&retired).chain(fresh.iter().map(|(id, _)| id)) {
            self.resolved.remove(id);
        }
        let mut endpoints: Vec<_> = std::mem::take(&mut self.resolved).into_iter().collect();
        endpoints.extend(fresh);
        let (watches, checks) = (self.watches.clone(), self.checks.clone());
        let facts = Facts { leader: self.leader, watches, checks, ..self.notebook.facts() };
        let is_news = table.is_some()
            || !(policies.is_empty() && endpoints.is_empty() && retired.is_empty())
            || facts != self.facts;
        self.facts.clone_from(&facts);
        let arrived = arrived.unwrap_or(now);
        let update =
            is_news.then(|| Update { policies, endpoints, table, retired, arrived, synced: self.synced, facts });
        let changed = changed.into_iter().map(|object: ObjectRef| (object.clone(), self.uid(&object))).collect();
        Built { update, external, pods, ours, noted, changed }
    }

    fn uid(&self, object: &ObjectRef) -> Option<Arc<str>> {
        self.translator.uid(object).map(Arc::from)
    }
}

fn reference(change: &Change) -> ObjectRef {
    match change {
        Change::Set(object) => object.reference(),
        Change::Delete(reference) => reference.clone(),
    }
}

/// What the publishing loop is told besides changes, and whom it tells besides the data plane.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// How the watches are doing.
    pub(crate) watches: watch::Receiver<Vec<WatchFacts>>,
    /// Does this replica lead?
    pub(crate) leader: watch::Receiver<Option<bool>>,
    /// For whoever writes to the API server.
    pub(crate) desk: Option<Arc<Desk>>,
    /// Keeps the last good state.
    pub(crate) recorder: Option<Recorder>,
    /// For the webhook, which has a translation of its own.
    pub(crate) mailbox: Option<Mailbox>,
    /// What the webhook has judged.
    pub(crate) checks: Option<watch::Receiver<Arc<Checks>>>,
    /// Reads pods that are asked for.
    pub(crate) pods: Option<Reader>,
}

impl Surroundings {
    /// Nothing to be told and nobody to tell: a folder.
    pub(crate) fn none() -> Self {
        Self {
            watches: watch::channel(Vec::new()).1,
            leader: watch::channel(None).1,
            desk: None,
            recorder: None,
            mailbox: None,
            checks: None,
            pods: None,
        }
    }

    fn tell(&self, publisher: &mut Publisher) {
        publisher.take_standing(&self.watches.borrow(), *self.leader.borrow(), Instant::now());
        if let Some(checks) = &self.checks {
            publisher.take_checks(&checks.borrow(), Instant::now());
        }
    }

    fn forward(&self, batch: &Batch) {
        if let Some(mailbox) = &self.mailbox {
            mailbox.put(&batch.changes);
        }
    }

    /// Keeps what is known now, if it changed and it is time.
    fn record(&mut self, publisher: &Publisher, changed: bool) {
        let Some(recorder) = &mut self.recorder else { return };
        if changed {
            recorder.changed();
        }
        if publisher.started {
            recorder.offer(Instant::now(), || publisher.translator.everything());
        }
    }

    fn record_due(&self) -> Option<Instant> {
        self.recorder.as_ref().and_then(Recorder::due)
    }

    fn lay_out(&self, built: &mut Built) {
        let Some(desk) = &self.desk else { return };
        desk.standings(std::mem::take(&mut built.ours));
        built.noted.drain(..).for_each(|(object, noted)| desk.noted(object, noted));
        built.changed.drain(..).for_each(|(object, uid)| desk.changed(object, uid));
    }
}

/// Publishes until the source or the receiver of updates is gone.
pub(crate) async fn run(
    translator: Translator,
    mut batches: mpsc::Receiver<Batch>,
    mut surroundings: Surroundings,
    lookup: Lookup,
    updates: mpsc::Sender<Update<Route>>,
) {
    let mut publisher = Publisher::new(translator);
    let (names, mut resolved) = mpsc::channel(WAITING_NAMES);
    let mut resolver = Resolver::new(lookup, names);
    let (want, mut pods) = surroundings.pods.take().map(Reader::start).unzip();
    let mut tick = tokio::time::interval(TICK);
    loop {
        let due = publisher.due().into_iter().chain(surroundings.record_due().filter(|_| publisher.started)).min();
        let (mut ticked, mut changed) = (false, false);
        tokio::select! {
            batch = batches.recv() => match batch {
                Some(batch) => {
                    changed = true;
                    surroundings.forward(&batch);
                    publisher.take(batch);
                }
                None => return,
            },
            Some(name) = resolved.recv() => take_resolved(&mut publisher, &resolver, name),
            Some(changes) = next(&mut pods) => {
                changed = true;
                publisher.take(Batch { arrived: Instant::now(), changes, synced: false });
            }
            () = until(due) => {}
            Ok(()) = surroundings.watches.changed() => {}
            Ok(()) = surroundings.leader.changed() => {}
            Some(()) = judged(&mut surroundings.checks) => {}
            _ = tick.tick() => ticked = true,
            () = updates.closed() => return,
        }
        surroundings.tell(&mut publisher);
        changed |= drain(&mut publisher, &surroundings, &mut batches);
        drain_resolved(&mut publisher, &mut resolved, &resolver);
        surroundings.record(&publisher, changed);
        let now = Instant::now();
        let is_due = publisher.due().is_some_and(|due| due <= now) || (ticked && publisher.started);
        if !is_due {
            continue;
        }
        let mut built = publisher.build(now, unix_time());
        surroundings.lay_out(&mut built);
        let Built { update, external, pods, .. } = built;
        if let (Some(want), Some(pods)) = (&want, pods) {
            want.send_replace(pods);
        }
        external.into_iter().for_each(|(cluster, name)| resolver.set(cluster, name));
        let Some(mut update) = update else { continue };
        update.facts.build = now.elapsed();
        tracing::debug!(
            table = update.table.as_ref().map(|table| table.generation.0),
            endpoints = update.endpoints.len(),
            retired = update.retired.len(),
            build = ?update.facts.build,
            "publishing"
        );
        // While the data plane is busy, changes gather in the channels and become one update.
        if updates.send(update).await.is_err() {
            return;
        }
    }
}

/// Takes in all changes that wait, but not what arrives meanwhile: a source that never pauses must not hold publishing up.
/// Were there any?
fn drain(publisher: &mut Publisher, surroundings: &Surroundings, batches: &mut mpsc::Receiver<Batch>) -> bool {
    let mut any = false;
    for _ in 0..batches.len() {
        if let Ok(batch) = batches.try_recv() {
            any = true;
            surroundings.forward(&batch);
            publisher.take(batch);
        }
    }
    any
}

/// The same for resolved names.
fn drain_resolved(publisher: &mut Publisher, resolved: &mut mpsc::Receiver<Resolved>, resolver: &Resolver) {
    for _ in 0..resolved.len() {
        resolved.try_recv().into_iter().for_each(|name| take_resolved(publisher, resolver, name));
    }
}

fn take_resolved(publisher: &mut Publisher, resolver: &Resolver, name: Resolved) {
    if resolver.is_current(&name) {
        publisher.take_resolved(name.cluster, name.endpoints, Instant::now());
    }
}

async fn next(pods: &mut Option<mpsc::Receiver<Vec<Change>>>) -> Option<Vec<Change>> {
    pods.as_mut()?.recv().await
}

async fn judged(checks: &mut Option<watch::Receiver<Arc<Checks>>>) -> Option<()> {
    checks.as_mut()?.changed().await.ok()
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn unix_time() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
