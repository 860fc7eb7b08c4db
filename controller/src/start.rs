//! Opens a source and runs the control plane on its own thread and runtime.
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use features::Route;
use table::Update;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use translate::{Options, Translator};

use crate::cluster::{self, Watches};
use crate::desk::Desk;
use crate::last_good::Recorder;
use crate::pods::Reader;
use crate::publish::{self, Surroundings};
use crate::secrets::Wanted;
use crate::staleness::Staleness;
use crate::{Cluster, Duties, Error, Setup, Source, StateDir, Stop, Webhook, duties, live, load, resolve, webhook};

/// A runtime for one thread.
///
/// # Errors
/// When the system has no more files to open.
pub(crate) fn runtime() -> Result<Runtime, Error> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error(format!("no runtime can be built ({error}); raise the limit of open files")))
}

/// Runs the control plane until the receiver of updates is gone; tells through `opened` whether it could start. Whoever
/// waits for `writing` to be dropped knows that nothing more is written to the API server.
pub(crate) fn run(
    setup: Setup,
    updates: mpsc::Sender<Update<Route>>,
    stop: watch::Receiver<Stop>,
    writing: SyncSender<()>,
    opened: &SyncSender<Result<(), Error>>,
) {
    // Whoever asked may have gone; the receiver of updates is gone then too.
    let tell = |result| opened.send(result).unwrap_or_default();
    let run = async |runtime: &Runtime| {
        let Setup { source, options, duties, state, webhook } = setup;
        match source {
            Source::Folder(root) => folder(&root, options, updates, &tell).await,
            Source::Cluster(cluster) => {
                let plane = Plane { cluster, options, duties, state, webhook, stop };
                Box::pin(plane.run(runtime, updates, writing, &tell)).await
            }
        }
    };
    let ended = runtime().and_then(|runtime| runtime.block_on(run(&runtime)));
    if let Err(error) = ended {
        tell(Err(error));
    }
}

async fn folder(
    root: &Path,
    options: Options,
    updates: mpsc::Sender<Update<Route>>,
    tell: &impl Fn(Result<(), Error>),
) -> Result<(), Error> {
    let (_following, batches) = live::follow(root)?;
    tell(Ok(()));
    let translator = Translator::new(load::for_folder(options));
    publish::run(translator, batches, Surroundings::none(), resolve::system_lookup(), updates).await;
    Ok(())
}

/// A control plane of a cluster.
struct Plane {
    cluster: Cluster,
    options: Options,
    duties: Duties,
    state: Option<StateDir>,
    webhook: Option<Webhook>,
    stop: watch::Receiver<Stop>,
}

impl Plane {
    async fn run(
        self,
        runtime: &Runtime,
        updates: mpsc::Sender<Update<Route>>,
        writing: SyncSender<()>,
        tell: &impl Fn(Result<(), Error>),
    ) -> Result<(), Error> {
        let Self { cluster, options, duties, state, webhook, stop } = self;
        let options = Options { asks_for_pods: true, ..options };
        let client = cluster::client(&cluster).await?;
        let known = state.as_ref().map_or_else(|| Ok(Vec::new()), StateDir::read)?;
        if known.is_empty() {
            cluster::check_rights(&client, &cluster).await?;
        } else {
            tracing::info!(
                objects = known.len(),
                "the last good state serves until the API server has told everything"
            );
        }
        let recorder = state.map(|state| Recorder::start(state, Instant::now())).transpose()?;
        let secrets = if webhook.is_some() { Wanted::All } else { Wanted::referred(&options) };
        let webhook = webhook.map(|webhook| webhook::start(webhook, options.clone())).transpose()?;
        let (mailbox, checks) = webhook.unzip();
        let staleness = Staleness::new();
        let desk = duties.any().then(|| Arc::new(Desk::new(duties::manager(&options.controller_class))));
        let watches = Watches {
            client: client.clone(),
            namespaces: cluster.namespaces.clone(),
            patience: cluster.patience,
            staleness: staleness.clone(),
            desk: desk.clone(),
            known,
            secrets,
        };
        let (_watches, batches) = watches.follow();
        tell(Ok(()));
        let pods = Some(Reader { client: client.clone(), limit: cluster.patience.request });
        let (lead, leader) = watch::channel(None);
        let writer = desk.clone().map(|desk| {
            let duties = duties.run(client, desk, cluster.patience.request, lead, stop);
            runtime.spawn(async move {
                duties.await;
                drop(writing);
            })
        });
        let surroundings =
            Surroundings { watches: staleness.subscribe(), leader, desk, recorder, mailbox, checks, pods };
        publish::run(Translator::new(options), batches, surroundings, resolve::system_lookup(), updates).await;
        // Whoever holds the other end of `stop` says how long this may take.
        if let Some(writer) = writer
            && writer.await.is_err()
        {
            tracing::error!("what writes to the API server has panicked");
        }
        Ok(())
    }
}
