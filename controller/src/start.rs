//! Opens a source and runs the control plane on its own thread and runtime.
use std::sync::mpsc::SyncSender;

use features::Route;
use table::Update;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use translate::{Options, Translator};

use crate::cluster::{self, Watches};
use crate::publish::{self, Surroundings};
use crate::staleness::Staleness;
use crate::{Error, Source, live, load, resolve};

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

/// Runs the control plane until the receiver of updates is gone; tells through `opened` whether it could start.
pub(crate) fn run(
    source: &Source,
    options: Options,
    updates: mpsc::Sender<Update<Route>>,
    opened: &SyncSender<Result<(), Error>>,
) {
    // Whoever asked may have gone; the receiver of updates is gone then too.
    let tell = |result| opened.send(result).unwrap_or_default();
    let ended = runtime().and_then(|runtime| runtime.block_on(open_and_publish(source, options, updates, &tell)));
    if let Err(error) = ended {
        tell(Err(error));
    }
}

async fn open_and_publish(
    source: &Source,
    options: Options,
    updates: mpsc::Sender<Update<Route>>,
    tell: &impl Fn(Result<(), Error>),
) -> Result<(), Error> {
    let lookup = resolve::system_lookup();
    match source {
        Source::Folder(root) => {
            let (_following, batches) = live::follow(root)?;
            tell(Ok(()));
            let translator = Translator::new(load::for_folder(options));
            publish::run(translator, batches, Surroundings::none(), lookup, updates).await;
        }
        Source::Cluster(cluster) => {
            let client = cluster::client(cluster).await?;
            cluster::check_rights(&client, cluster).await?;
            let staleness = Staleness::new();
            let watches = Watches {
                client,
                namespaces: cluster.namespaces.clone(),
                patience: cluster.patience,
                staleness: staleness.clone(),
                desk: None,
                known: Vec::new(),
            };
            let (_watches, batches) = watches.follow();
            tell(Ok(()));
            let surroundings = Surroundings { watches: staleness.subscribe(), ..Surroundings::none() };
            publish::run(Translator::new(options), batches, surroundings, lookup, updates).await;
        }
    }
    Ok(())
}
