//! Writes to the API server what it has to know of us: status and events. Only while this replica leads, but for what each
//! replica sees by itself.
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use translate::{Kind, ObjectRef};

use crate::addresses::Surveyor;
use crate::desk::Desk;
use crate::election::Office;
use crate::events::{Due, EventBook, What};
use crate::fault::Fault;
use crate::reporter::Reporter;
use crate::sighting::{Address, Sighting};
use crate::status::{Deed, Refusal, Respected, Writer, decide};
use crate::{Incident, Incidents, StatusSource, Stop};

/// Requests at a time.
const TOGETHER: usize = 8;
/// How often to look for addresses while there are none.
const EAGER: Duration = Duration::from_secs(5);
/// Longest time that the end of the last replica takes.
const FAREWELL: Duration = Duration::from_secs(20);

/// What the clerk writes.
pub(crate) struct Tasks {
    /// Where the addresses come from; without it no status is written.
    pub(crate) status: Option<StatusSource>,
    /// Write events?
    pub(crate) events: bool,
    /// Write an event when an Ingress of ours changed?
    pub(crate) sync_events: bool,
}

/// Writes what there is to write.
pub(crate) struct Clerk {
    tools: Tools,
    book: EventBook,
    /// What this replica sees by itself, and tells whether it leads or not.
    own: EventBook,
    respected: Respected,
    addresses: Option<Vec<Address>>,
    leads: bool,
    failing: bool,
    blind: bool,
}

/// What the clerk works with.
pub(crate) struct Tools {
    pub(crate) desk: Arc<Desk>,
    pub(crate) office: Office,
    pub(crate) surveyor: Surveyor,
    pub(crate) writer: Writer,
    pub(crate) reporter: Reporter,
    pub(crate) tasks: Tasks,
    pub(crate) patience: Duration,
}

impl Clerk {
    /// Has written nothing yet.
    pub(crate) fn new(tools: Tools) -> Self {
        Self {
            tools,
            book: EventBook::new(Instant::now()),
            own: EventBook::new(Instant::now()),
            respected: Respected::default(),
            addresses: None,
            leads: false,
            failing: false,
            blind: false,
        }
    }

    /// Writes until `stop`; then takes the statuses back if this is the last replica.
    pub(crate) async fn run(mut self, mut incidents: Incidents, mut stop: watch::Receiver<Stop>) {
        let interval = self.tools.tasks.status.as_ref().map_or(EAGER, |status| status.interval);
        let mut look = tokio::time::interval(EAGER.min(interval));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked: Option<Instant> = None;
        let how = loop {
            let now = Instant::now();
            let next = self.book.next(now).filter(|_| self.leads);
            let next = next.into_iter().chain(self.own.next(now)).min();
            tokio::select! {
                () = self.tools.desk.news() => {}
                () = self.tools.office.changed() => {}
                incident = incidents.next() => self.take_incident(incident).await,
                () = until(next) => {}
                _ = look.tick() => {
                    let now = Instant::now();
                    let found = self.addresses.as_ref().is_some_and(|addresses| !addresses.is_empty());
                    if self.tools.office.left().is_some()
                        && (!found || looked.is_none_or(|looked| now.duration_since(looked) + EAGER / 2 >= interval))
                    {
                        looked = Some(now);
                        self.survey().await;
                    }
                }
                how = told(&mut stop) => break how,
            }
            self.work().await;
        };
        if how == Stop::HandedOver {
            return;
        }
        // The time of it is bounded: somebody waits for this process to end.
        drop(tokio::time::timeout(FAREWELL, self.leave()).await);
    }

    async fn work(&mut self) {
        self.read_tray();
        let leads = self.tools.office.left().is_some();
        if leads && !std::mem::replace(&mut self.leads, leads) {
            self.book.start_over(Instant::now());
            self.survey().await;
            self.tools.desk.check_all();
        }
        self.leads = leads;
        if leads {
            self.write_statuses().await;
            self.post_events().await;
        }
        self.post_own_events().await;
    }

    /// What the tray holds of events. Whoever does not lead keeps what holds, for when it does.
    fn read_tray(&mut self) {
        let (noted, changed) = {
            let mut tray = self.tools.desk.tray();
            (std::mem::take(&mut tray.noted), std::mem::take(&mut tray.changed))
        };
        if !self.tools.tasks.events {
            return;
        }
        let now = Instant::now();
        for (object, noted) in noted {
            self.book.hold(&object, noted.uid.as_ref(), &noted.notes, now);
        }
        if self.tools.tasks.sync_events && self.leads {
            for (object, uid) in changed {
                let what = normal(object, "Sync", "Scheduled for sync");
                self.book.happened(what, uid.as_ref(), now);
            }
        }
    }

    async fn take_incident(&mut self, incident: Incident) {
        if !self.tools.tasks.events {
            return;
        }
        let Incident { namespace, service, warning, reason, message } = incident;
        // Without it the event would not show in `kubectl describe`.
        let uid = self.tools.surveyor.uid(&namespace, &service).await;
        let object = ObjectRef { kind: Kind::Service, namespace: namespace.into(), name: service.into() };
        let what = What { object, warning, reason: reason.to_owned(), message };
        self.own.happens(what, uid.as_ref(), Instant::now());
    }

    /// Looks where clients reach us. What cannot be found out stays as it was.
    async fn survey(&mut self) {
        let Some(source) = &self.tools.tasks.status else { return };
        match self.tools.surveyor.addresses(source).await {
            Ok(addresses) => {
                self.blind = false;
                if self.addresses.as_ref() != Some(&addresses) {
                    tracing::info!(?addresses, "the status of Ingresses names these addresses");
                    self.addresses = Some(addresses);
                    self.tools.desk.check_all();
                }
            }
            Err(fault) => {
                if !std::mem::replace(&mut self.blind, true) {
                    tracing::warn!(
                        error = %fault,
                        "the addresses for the status of Ingresses cannot be found; name them with --publish-status-address or \
                         --publish-service, and grant get on services, pods and nodes as far as they are asked"
                    );
                }
            }
        }
    }

    /// Writes each status that was not looked at since it changed.
    async fn write_statuses(&mut self) {
        let Some(addresses) = self.addresses.clone() else { return };
        let work = self.unchecked(&addresses);
        let outcomes: Vec<_> = {
            let (clerk, addresses) = (&*self, &addresses);
            let one = |(ingress, seen, deed): (ObjectRef, Sighting, Deed)| async move {
                let want: &[Address] = if deed == Deed::Write { addresses } else { &[] };
                let outcome = match clerk.limit() {
                    Some(limit) => clerk.tools.writer.write(&ingress, &seen.version, want, limit).await,
                    None => Err(Refusal::Outdated),
                };
                (ingress, seen, outcome)
            };
            stream::iter(work).map(one).buffer_unordered(TOGETHER).collect().await
        };
        let mut failed = Vec::new();
        for (ingress, seen, outcome) in outcomes {
            match outcome {
                Ok(()) => {
                    self.failing = false;
                    self.respected.forget(&ingress);
                }
                Err(Refusal::Outdated) => {}
                Err(Refusal::Theirs(message)) => self.respect(ingress, &seen, &addresses, &message),
                Err(Refusal::Failed(fault)) => {
                    self.tell_status(&fault);
                    failed.push(ingress);
                }
            }
        }
        // The next look at the addresses comes soon enough for what failed.
        self.tools.desk.tray().unchecked.extend(failed);
    }

    fn unchecked(&self, addresses: &[Address]) -> Vec<(ObjectRef, Sighting, Deed)> {
        let mut tray = self.tools.desk.tray();
        let unchecked = std::mem::take(&mut tray.unchecked);
        let work = unchecked.into_iter().filter_map(|ingress| {
            let seen = tray.sightings.get(&ingress)?;
            let deed = decide(seen, tray.ours.contains(&ingress), addresses);
            let idle = deed == Deed::Nothing || self.respected.holds(&ingress, seen, addresses);
            (!idle).then(|| (ingress, seen.clone(), deed))
        });
        work.collect()
    }

    /// How long a request may take: never longer than we may write.
    fn limit(&self) -> Option<Duration> {
        self.tools.office.left().map(|left| left.min(self.tools.patience))
    }

    fn respect(&mut self, ingress: ObjectRef, seen: &Sighting, addresses: &[Address], message: &str) {
        if !self.respected.add(ingress.clone(), seen, addresses) {
            return;
        }
        tracing::warn!(object = %ingress, "its status belongs to somebody else and stays: {message}");
        if self.tools.tasks.events {
            let message = format!(
                "status.loadBalancer was written by somebody else and stays as it is ({message}); if nobody serves it there, \
                 clear it with kubectl patch ingress {} --subresource=status --type=merge -p '{{\"status\":null}}'",
                ingress.name
            );
            let what = What { object: ingress, warning: true, reason: "StatusConflict".to_owned(), message };
            self.book.happened(what, seen.uid.as_ref(), Instant::now());
        }
    }

    fn tell_status(&mut self, fault: &Fault) {
        if std::mem::replace(&mut self.failing, true) {
            return;
        }
        if fault.is_forbidden() {
            tracing::error!(
                "the status of Ingresses may not be written; grant patch on ingresses/status of apiGroup \"networking.k8s.io\" in \
                 the ClusterRole, or set --update-status=false"
            );
        } else {
            tracing::warn!(error = %fault, "the status of Ingresses cannot be written and is tried again");
        }
    }

    async fn post_events(&mut self) {
        let due = self.book.due(Instant::now());
        for (due, outcome) in self.post(due, || self.limit()).await {
            note(&mut self.book, &due, outcome);
        }
    }

    /// Replicas that see the same count on one event.
    async fn post_own_events(&mut self) {
        let due = self.own.due(Instant::now());
        for (due, outcome) in self.post(due, || Some(self.tools.patience)).await {
            note(&mut self.own, &due, outcome);
        }
    }

    /// Posts; `limit` says how long one may take, or that none may be posted any more.
    async fn post(&self, due: Vec<Due>, limit: impl Fn() -> Option<Duration>) -> Vec<(Due, Result<i32, Fault>)> {
        let one = |due: Due| async {
            let outcome = match limit() {
                Some(limit) => self.tools.reporter.post(&due, limit).await,
                None => Err(Fault::TimedOut("an event")),
            };
            (due, outcome)
        };
        stream::iter(due).map(one).buffer_unordered(TOGETHER).collect().await
    }

    /// The last replica takes back what it wrote: nobody serves at these addresses any more.
    async fn leave(&mut self) {
        let removes = self.tools.tasks.status.as_ref().is_some_and(|status| status.remove_at_end);
        if !removes || self.tools.office.left().is_none() || self.tools.surveyor.has_others().await {
            return;
        }
        tracing::info!("the last replica ends: its addresses are removed from the status of Ingresses");
        self.addresses = Some(Vec::new());
        // One that changes meanwhile is seen anew, and tried again.
        for _ in 0..3 {
            self.tools.desk.check_all();
            self.write_statuses().await;
            drop(tokio::time::timeout(Duration::from_millis(200), self.tools.desk.news()).await);
        }
    }
}

/// Writes down what became of an event.
fn note(book: &mut EventBook, due: &Due, outcome: Result<i32, Fault>) {
    match outcome {
        Ok(count) => book.posted(&due.what, count),
        Err(fault) => {
            tracing::debug!(object = %due.what.object, error = %fault, "an event cannot be posted");
            // A namespace that is being deleted takes no events; what is left of it goes soon.
            book.failed(&due.what, Instant::now());
        }
    }
}

fn normal(object: ObjectRef, reason: &str, message: &str) -> What {
    What { object, warning: false, reason: reason.to_owned(), message: message.to_owned() }
}

async fn told(stop: &mut watch::Receiver<Stop>) -> Stop {
    // An error means that nobody is left who could say it later.
    stop.wait_for(|stop| *stop != Stop::No).await.map_or(Stop::Final, |stop| *stop)
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
