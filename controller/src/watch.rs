//! Lists and watches one kind of object in a cluster, for ever, and gets over whatever goes wrong with it.
use std::fmt::Debug;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::Patience;
use crate::fault::Fault;
use crate::health::Health;
use crate::known::Told;
use crate::staleness::Staleness;

/// Most events that become one batch.
const CHUNK: usize = 512;
/// Objects in a page of a list.
const PAGE: u32 = 500;
/// A watch that ends sooner was not served.
const SHORTEST: Duration = Duration::from_secs(1);
/// After so many failures in a row to watch on from one place, everything is listed again.
const STUBBORN: u32 = 5;

/// A kind that can be followed.
pub(crate) trait Followed:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
}

impl<K> Followed for K where K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static {}

/// What the selected objects of a kind are kept in.
pub(crate) trait Keeper<K>: Send {
    /// Takes in what the API server told.
    fn take(&mut self, told: Told<K>);

    /// How many objects it holds.
    fn len(&self) -> usize;

    /// The kind cannot be read, or all of it has been.
    fn settled(&mut self, readable: bool);

    /// Hands over what it took since `arrived`; false when nobody wants it any more.
    fn flush(&mut self, arrived: Instant) -> impl Future<Output = bool> + Send;
}

/// Which objects of a kind are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Field selector.
    pub(crate) fields: Option<String>,
    /// Label selector.
    pub(crate) labels: Option<String>,
}

impl Selection {
    /// For a list.
    pub(crate) fn list(&self) -> ListParams {
        let mut parameters = ListParams::default().limit(PAGE);
        parameters.field_selector.clone_from(&self.fields);
        parameters.label_selector.clone_from(&self.labels);
        parameters
    }

    fn watch(&self, patience: &Patience) -> WatchParams {
        // Whole seconds: the API has no others.
        let seconds = u32::try_from(patience.watch.as_secs()).unwrap_or(u32::MAX).max(1);
        let mut parameters = WatchParams::default().timeout(seconds);
        parameters.field_selector.clone_from(&self.fields);
        parameters.label_selector.clone_from(&self.labels);
        parameters
    }
}

/// Why a list or a watch ended.
enum Stop {
    /// Nobody wants the objects any more.
    Unwanted,
    Failed(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

/// Follows one kind.
struct Follower<K, S> {
    api: Api<K>,
    selection: Selection,
    patience: Patience,
    keeper: S,
    health: Health,
    /// From where to watch on; without it everything is listed.
    version: Option<String>,
    /// Failures in a row to watch on from there.
    failures: u32,
    /// A list was empty though there had been objects: the next one decides.
    doubting: bool,
}

/// Follows a kind until nobody wants its objects any more.
pub(crate) async fn follow<K, S>(api: Api<K>, selection: Selection, patience: Patience, keeper: S, staleness: Staleness)
where
    K: Followed,
    S: Keeper<K>,
{
    let health = Health::new::<K>(staleness);
    let mut follower =
        Follower { api, selection, patience, keeper, health, version: None, failures: 0, doubting: false };
    loop {
        let ended = match follower.version.clone() {
            None => follower.list().await,
            Some(version) => follower.watch(&version).await,
        };
        match ended {
            Ok(()) => {}
            Err(Stop::Unwanted) => return,
            Err(Stop::Failed(fault)) => follower.recover(&fault).await,
        }
    }
}

impl<K, S> Follower<K, S>
where
    K: Followed,
    S: Keeper<K>,
{
    async fn list(&mut self) -> Result<(), Stop> {
        let before = self.keeper.len();
        let mut parameters = self.selection.list();
        let mut count = 0;
        self.keeper.take(Told::Begin);
        let version = loop {
            let page = within(self.patience.request, "a list", self.api.list(&parameters)).await?;
            let arrived = Instant::now();
            count += page.items.len();
            page.items.into_iter().for_each(|object| self.keeper.take(Told::Listed(object)));
            self.flush(arrived).await?;
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => break page.metadata.resource_version,
            }
        };
        if count == 0 && before > 0 && !std::mem::replace(&mut self.doubting, true) {
            return Err(Fault::Emptied(before).into());
        }
        self.doubting = false;
        self.version = Some(version.filter(|version| !version.is_empty()).ok_or(Fault::NoVersion)?);
        self.keeper.take(Told::End);
        self.keeper.settled(true);
        let now = Instant::now();
        self.health.succeeded(now);
        self.flush(now).await
    }

    async fn watch(&mut self, version: &str) -> Result<(), Stop> {
        let parameters = self.selection.watch(&self.patience);
        let stream = within(self.patience.request, "a watch", self.api.watch(&parameters, version)).await?;
        let began = Instant::now();
        self.health.succeeded(began);
        // The API server ends a watch in time; one that says nothing for longer is a connection that leads nowhere.
        let silence = self.patience.watch + self.patience.request;
        let mut chunks = pin!(stream.ready_chunks(CHUNK));
        while let Some(chunk) = next(&mut chunks, silence).await? {
            let arrived = Instant::now();
            let fault = chunk.into_iter().find_map(|event| self.take(event).err());
            self.flush(arrived).await?;
            fault.map_or(Ok(()), Err)?;
            self.failures = 0;
        }
        if began.elapsed() < SHORTEST { Err(Fault::Short.into()) } else { Ok(()) }
    }

    /// Takes one event. What follows one that cannot be read is asked for again.
    fn take(&mut self, event: kube::Result<WatchEvent<K>>) -> Result<(), Fault> {
        match event.map_err(Fault::from)? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.advance(object.meta().resource_version.clone());
                self.keeper.take(Told::Set(object));
            }
            WatchEvent::Deleted(object) => {
                self.advance(object.meta().resource_version.clone());
                self.keeper.take(Told::Gone(object));
            }
            WatchEvent::Bookmark(bookmark) => self.advance(Some(bookmark.metadata.resource_version)),
            WatchEvent::Error(status) => return Err(Fault::Status(status)),
        }
        Ok(())
    }

    fn advance(&mut self, version: Option<String>) {
        if let Some(version) = version.filter(|version| !version.is_empty()) {
            self.version = Some(version);
        }
    }

    async fn flush(&mut self, arrived: Instant) -> Result<(), Stop> {
        if self.keeper.flush(arrived).await { Ok(()) } else { Err(Stop::Unwanted) }
    }

    /// Waits after a failure, and decides from where to go on.
    async fn recover(&mut self, fault: &Fault) {
        let now = Instant::now();
        self.failures += 1;
        if fault.is_gone() || self.failures >= STUBBORN {
            self.version = None;
            self.failures = 0;
        }
        if fault.is_forbidden() {
            // Readiness must not wait for what may never be granted.
            self.keeper.settled(false);
            // Whoever is not listening any more is noticed the next time.
            let _still_wanted = self.keeper.flush(now).await;
        }
        tokio::time::sleep(self.health.failed(fault, now)).await;
    }
}

/// An answer of the API server, if it comes in time.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &'static str,
    answer: impl Future<Output = kube::Result<T>>,
) -> Result<T, Fault> {
    tokio::time::timeout(limit, answer).await.map_err(|_| Fault::TimedOut(what))?.map_err(Fault::from)
}

async fn next<T>(stream: &mut (impl Stream<Item = T> + Unpin), silence: Duration) -> Result<Option<T>, Fault> {
    tokio::time::timeout(silence, stream.next()).await.map_err(|_| Fault::TimedOut("a watch"))
}
