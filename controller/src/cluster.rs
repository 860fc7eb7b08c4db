//! A cluster's API server as the source of objects.
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Config};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use translate::{Change, Object, ObjectRef, Options};

use crate::batch::{Batch, WAITING_BATCHES};
use crate::batches::{Batches, Unsynced};
use crate::desk::Desk;
use crate::fault::Fault;
use crate::gate::{self, Names, Selected};
use crate::health::forbidden;
use crate::known::Known;
use crate::pods::Reader;
use crate::secrets::{self, Referred, Stage, Versions, Wanted};
use crate::staleness::Staleness;
use crate::watch::{self, Followed, Selection};
use crate::watched::Watched;
use crate::{Cluster, Error, Namespaces, Patience};

/// How long the API server has to tell everything before the last good state serves.
const HEAD_START: Duration = Duration::from_millis(400);

/// Kinds that are watched for translation.
const KINDS: usize = 6;

/// A client for the cluster of a kubeconfig, or else of the environment.
///
/// # Errors
/// When there is no usable configuration. Whether the API server answers is found out later.
pub(crate) async fn client(cluster: &Cluster) -> Result<Client, Error> {
    let mut config = match cluster.kubeconfig.as_deref() {
        Some(path) => from_file(path).await?,
        None => Config::infer().await.map_err(|error| {
            Error(format!(
                "no cluster is configured ({error}); name a kubeconfig, run inside a cluster, or serve a folder of manifests"
            ))
        })?,
    };
    config.connect_timeout = Some(cluster.patience.request);
    Client::try_from(config).map_err(|error| {
        Error(format!("the cluster's configuration cannot be used ({error}); check its certificates and credentials"))
    })
}

async fn from_file(path: &Path) -> Result<Config, Error> {
    let name = path.display();
    let broken = |error| Error(format!("the kubeconfig {name} cannot be used ({error}); check the file"));
    let kubeconfig = Kubeconfig::read_from(path).map_err(broken)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(broken)
}

/// What the watches of a cluster share.
pub(crate) struct Watches {
    /// The client.
    pub(crate) client: Client,
    /// Which namespaces.
    pub(crate) namespaces: Namespaces,
    /// How long to wait for answers.
    pub(crate) patience: Patience,
    /// Where they tell how they are doing.
    pub(crate) staleness: Staleness,
    /// For whoever writes, if anybody does.
    pub(crate) desk: Option<Arc<Desk>>,
    /// What an earlier process knew.
    pub(crate) known: Vec<Object>,
    /// Which Secrets are read.
    pub(crate) secrets: Wanted,
}

/// Starts watches one by one.
struct Start {
    watches: Watches,
    batches: mpsc::Sender<Batch>,
    unsynced: Unsynced,
    tasks: JoinSet<()>,
}

impl Watches {
    /// Watches everything that is read. The watches end when the set is dropped.
    pub(crate) fn follow(self) -> (JoinSet<()>, mpsc::Receiver<Batch>) {
        let (batches, receiver) = mpsc::channel(WAITING_BATCHES);
        let selector = match &self.namespaces {
            Namespaces::Labelled(selector) => Some(selector.clone()),
            Namespaces::All | Namespaces::One(_) => None,
        };
        let unsynced = Unsynced::new(KINDS + usize::from(selector.is_some()));
        let selected = self.known.iter().map(|object| object.reference().namespace).collect();
        let mut start = Start { watches: self, batches, unsynced, tasks: JoinSet::new() };
        start.restore();
        // While what was known is there to see.
        let stage = start.secrets();
        start.everywhere::<Ingress>();
        start.kind(Api::<IngressClass>::all(start.watches.client.clone()));
        start.everywhere::<Service>();
        start.everywhere::<EndpointSlice>();
        start.everywhere::<ConfigMap>();
        let receiver = match selector {
            Some(selector) => start.gate(receiver, selector, selected),
            None => receiver,
        };
        let receiver = match stage {
            Some(stage) => start.stage(stage, receiver),
            None => receiver,
        };
        (start.tasks, receiver)
    }
}

impl Start {
    /// Hands over what an earlier process knew. It serves when the API server has not told everything soon.
    fn restore(&mut self) {
        if self.watches.known.is_empty() {
            return;
        }
        let changes = self.watches.known.iter().cloned().map(Change::Set).collect();
        let batches = self.batches.clone();
        // Before any watch begins: what one of them tells is newer. There is room, and whoever receives it is there.
        drop(batches.try_send(Batch { arrived: Instant::now(), changes, synced: false }));
        self.tasks.spawn(async move {
            tokio::time::sleep(HEAD_START).await;
            // Nobody is left who could serve it when this fails.
            drop(batches.send(Batch { arrived: Instant::now(), changes: Vec::new(), synced: true }).await);
        });
    }

    /// A kind whose objects have namespaces.
    fn everywhere<K: Watched + kube::Resource<Scope = NamespaceResourceScope>>(&mut self) {
        self.kind(namespaced::<K>(&self.watches.client, &self.watches.namespaces));
    }

    fn kind<K: Watched>(&mut self, api: Api<K>) {
        let known = self.watches.known.extract_if(.., |object| K::is(object));
        let keeper =
            Batches::new(Known::with(known), self.batches.clone(), self.unsynced.clone(), self.watches.desk.clone());
        let (patience, staleness) = (self.watches.patience, self.watches.staleness.clone());
        self.tasks.spawn(watch::follow(api, selection::<K>(), patience, keeper, staleness));
    }

    /// Watches Secrets, all of them or their metadata; then the stage that reads those that are referred to.
    fn secrets(&mut self) -> Option<Stage> {
        let Wanted::Referred { annotations_prefix, operator } = self.watches.secrets.clone() else {
            self.everywhere::<Secret>();
            return None;
        };
        let (tell, changed) = mpsc::channel(WAITING_BATCHES);
        let blind = Arc::new(AtomicBool::new(false));
        let known: Vec<_> = self.watches.known.extract_if(.., |object| Secret::is(object)).collect();
        let has = |secret: &ObjectRef| known.iter().any(|object| object.reference() == *secret);
        let mut referred = Referred::new(annotations_prefix, &operator);
        let restored: Vec<_> = self.watches.known.iter().cloned().map(Change::Set).collect();
        let first = if restored.is_empty() { operator } else { BTreeSet::new() };
        referred.take(&restored);
        let later = if restored.is_empty() { BTreeSet::new() } else { referred.all() };
        let later = later.into_iter().filter(|secret| !has(secret)).collect();
        let known = known.iter().map(Object::reference);
        let keeper = Versions::new(known, tell, blind.clone(), self.batches.clone(), self.unsynced.clone());
        let api = namespaced::<PartialObjectMeta<Secret>>(&self.watches.client, &self.watches.namespaces);
        let (patience, staleness) = (self.watches.patience, self.watches.staleness.clone());
        self.tasks.spawn(watch::follow(api, selection::<Secret>(), patience, keeper, staleness));
        Some(Stage {
            client: self.watches.client.clone(),
            limit: patience.request,
            referred,
            first,
            later,
            changed,
            blind,
        })
    }

    fn stage(&mut self, stage: Stage, incoming: mpsc::Receiver<Batch>) -> mpsc::Receiver<Batch> {
        let (outgoing, receiver) = mpsc::channel(WAITING_BATCHES);
        self.tasks.spawn(stage.run(incoming, outgoing));
        receiver
    }

    /// Lets through what lies in namespaces with these labels.
    /// Until it is known which namespaces have them, those count that did before.
    fn gate(&mut self, incoming: mpsc::Receiver<Batch>, labels: String, selected: Names) -> mpsc::Receiver<Batch> {
        let (tell, names) = tokio::sync::watch::channel(selected.clone());
        let keeper = Selected::new(selected, tell, self.batches.clone(), self.unsynced.clone());
        let selection = Selection { labels: Some(labels), fields: None };
        let api = Api::<Namespace>::all(self.watches.client.clone());
        let (patience, staleness) = (self.watches.patience, self.watches.staleness.clone());
        self.tasks.spawn(watch::follow(api, selection, patience, keeper, staleness));
        let (outgoing, receiver) = mpsc::channel(WAITING_BATCHES);
        self.tasks.spawn(gate::run(incoming, names, outgoing));
        receiver
    }
}

fn selection<K: Watched>() -> Selection {
    Selection { fields: K::FIELDS.map(str::to_owned), labels: None }
}

/// Asks whether everything may be read without which nothing can be served. An API server that does not answer is none
/// of its concern: it is waited for.
///
/// # Errors
/// When something may not be read, with the remedy.
pub(crate) async fn check_rights(client: &Client, cluster: &Cluster) -> Result<(), Error> {
    let (namespaces, limit) = (&cluster.namespaces, cluster.patience.request);
    let selected = async {
        match namespaces {
            Namespaces::Labelled(_) => may_list(Api::<Namespace>::all(client.clone()), limit).await,
            Namespaces::All | Namespaces::One(_) => Ok(()),
        }
    };
    tokio::try_join!(
        may_list(namespaced::<Ingress>(client, namespaces), limit),
        may_list(namespaced::<Service>(client, namespaces), limit),
        may_list(namespaced::<EndpointSlice>(client, namespaces), limit),
        selected,
    )?;
    Ok(())
}

async fn may_list<K: Followed>(api: Api<K>, limit: Duration) -> Result<(), Error> {
    match watch::within(limit, "a list", api.list(&ListParams::default().limit(1))).await {
        Err(fault) if fault.is_forbidden() => Err(Error(forbidden::<K>())),
        Err(fault) if fault.is_unauthorized() => Err(Error(format!(
            "the API server does not accept the credentials ({fault}); renew the kubeconfig or mount the service account's token"
        ))),
        Err(_) | Ok(_) => Ok(()),
    }
}

/// Lists everything that is read, once.
///
/// # Errors
/// When a kind without which nothing can be served cannot be listed.
pub(crate) async fn list(client: &Client, cluster: &Cluster, options: &Options) -> Result<Vec<Change>, Error> {
    let namespaces = &cluster.namespaces;
    let mut changes = list_kind(namespaced::<Ingress>(client, namespaces)).await?;
    changes.extend(list_kind(Api::<IngressClass>::all(client.clone())).await?);
    changes.extend(list_kind(namespaced::<Service>(client, namespaces)).await?);
    changes.extend(list_kind(namespaced::<EndpointSlice>(client, namespaces)).await?);
    changes.extend(list_kind(namespaced::<ConfigMap>(client, namespaces)).await?);
    if let Namespaces::Labelled(selector) = namespaces {
        let labels = ListParams::default().labels(selector);
        let list = Api::<Namespace>::all(client.clone())
            .list(&labels)
            .await
            .map_err(|error| cannot_list::<Namespace>(&error.into()))?;
        let names: BTreeSet<_> = list.items.into_iter().filter_map(|namespace| namespace.metadata.name).collect();
        changes.retain(|change| is_in(change, &names));
    }
    let mut referred = Referred::new(options.annotations_prefix.clone(), &secrets::operator(options));
    referred.take(&changes);
    let secrets = secrets::read_all(client, cluster.patience.request, referred.all()).await;
    changes.extend(secrets.map_err(|fault| cannot_list::<Secret>(&fault))?);
    let reader = Reader { client: client.clone(), limit: cluster.patience.request };
    changes.extend(reader.read_all(&changes, options).await);
    Ok(changes)
}

fn is_in(change: &Change, names: &BTreeSet<String>) -> bool {
    match change {
        Change::Set(object) => {
            let namespace = object.reference().namespace;
            namespace.is_empty() || names.contains(&*namespace)
        }
        Change::Delete(_) => false,
    }
}

async fn list_kind<K: Watched>(api: Api<K>) -> Result<Vec<Change>, Error> {
    let mut parameters = selection::<K>().list();
    let mut changes = Vec::new();
    loop {
        match api.list(&parameters).await.map_err(Fault::from) {
            Ok(page) => {
                changes.extend(page.items.into_iter().map(|object| Change::Set(object.stripped())));
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => parameters = parameters.continue_token(&token),
                    None => return Ok(changes),
                }
            }
            Err(fault) if fault.is_forbidden() && !K::REQUIRED => {
                tracing::warn!(kind = %K::kind(&()), "{}", forbidden::<K>());
                return Ok(Vec::new());
            }
            Err(fault) => return Err(cannot_list::<K>(&fault)),
        }
    }
}

fn cannot_list<K: Followed>(fault: &Fault) -> Error {
    if fault.is_forbidden() {
        return Error(forbidden::<K>());
    }
    let plural = K::plural(&());
    Error(format!("the API server cannot list {plural} ({fault}); check the kubeconfig and that the cluster runs"))
}

fn namespaced<K>(client: &Client, namespaces: &Namespaces) -> Api<K>
where
    K: Followed + kube::Resource<Scope = NamespaceResourceScope>,
{
    match namespaces {
        Namespaces::One(namespace) => Api::namespaced(client.clone(), namespace),
        Namespaces::All | Namespaces::Labelled(_) => Api::all(client.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(kubeconfig: &Path) -> Cluster {
        Cluster { kubeconfig: Some(kubeconfig.to_owned()), ..Cluster::default() }
    }

    #[tokio::test]
    async fn a_kubeconfig_that_cannot_be_read_is_named() {
        let error = client(&with("/no/such/kubeconfig".as_ref())).await.err().unwrap();
        assert!(error.0.starts_with("the kubeconfig /no/such/kubeconfig cannot be used ("), "{error}");
    }

    #[tokio::test]
    async fn a_kubeconfig_without_a_cluster_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "apiVersion: v1\nkind: Config\n").unwrap();
        let error = client(&with(file.path())).await.err().unwrap();
        assert!(error.0.ends_with("; check the file"), "{error}");
    }
}
