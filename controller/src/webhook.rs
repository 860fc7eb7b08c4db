//! The validating webhook (`--validating-webhook`): tells before an Ingress is stored what is wrong with it.
//!
//! It has a thread, a runtime and a translation of its own. Nothing that serves requests is reached from here: whatever a
//! stranger makes it do, traffic goes on as it was.
mod checks;
mod judge;
mod review;
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use table::Checks;
use tokio::sync::watch;
use translate::{Change, ObjectRef, Options};

use crate::Error;
use checks::Counter;
use judge::Judge;

/// Where the webhook listens, and whom it answers.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// `--validating-webhook`: the address.
    pub address: SocketAddr,
    /// `--validating-webhook-certificate`: a PEM file with the certificate chain. Read anew when it changes.
    pub certificate: PathBuf,
    /// `--validating-webhook-key`: a PEM file with the key.
    pub key: PathBuf,
    /// `--validating-webhook-client-ca`: a PEM file; only clients with a certificate of this authority are answered.
    pub client_ca: Option<PathBuf>,
}

/// Changes on their way to the webhook: the latest of each object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mailbox(Arc<Mutex<BTreeMap<ObjectRef, Change>>>);

impl Mailbox {
    /// Puts changes in.
    pub(crate) fn put(&self, changes: &[Change]) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            let object = match change {
                Change::Set(object) => object.reference(),
                Change::Delete(object) => object.clone(),
            };
            waiting.insert(object, change.clone());
        }
    }

    fn empty(&self) -> BTreeMap<ObjectRef, Change> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Starts the webhook, which ends with the process; tells where it takes changes, and what it has judged.
///
/// # Errors
/// When the address cannot be listened at, or a file cannot be used.
pub(crate) fn start(webhook: Webhook, options: Options) -> Result<(Mailbox, watch::Receiver<Arc<Checks>>), Error> {
    let mailbox = Mailbox::default();
    let (counter, checks) = Counter::new();
    let server = server::Server::open(webhook, Judge::new(options, mailbox.clone(), counter))?;
    std::thread::Builder::new()
        .name("ingora-webhook".to_owned())
        .spawn(move || server.run())
        .map_err(|error| Error(format!("no thread can be started ({error}); raise the limit of processes")))?;
    Ok((mailbox, checks))
}
