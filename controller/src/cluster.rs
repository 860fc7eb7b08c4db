//! A cluster's API server as the source of objects.
use std::path::Path;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use translate::Change;

use crate::Error;
use crate::batch::{Batch, WAITING_BATCHES};
use crate::health::{forbidden, forbids};
use crate::watch::{Unsynced, watch};
use crate::watched::Watched;

/// A client for the cluster of a kubeconfig, or else of the environment.
///
/// # Errors
/// When there is no usable configuration. Whether the API server answers is found out later.
pub(crate) async fn client(kubeconfig: Option<&Path>) -> Result<Client, Error> {
    let config = match kubeconfig {
        Some(path) => from_file(path).await?,
        None => Config::infer().await.map_err(|error| {
            Error(format!(
                "no cluster is configured ({error}); name a kubeconfig, run inside a cluster, or serve a folder of manifests"
            ))
        })?,
    };
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

/// Watches everything that is read. The watches end when the set is dropped.
pub(crate) fn follow(client: &Client, namespace: Option<&str>) -> (JoinSet<()>, mpsc::Receiver<Batch>) {
    let (batches, receiver) = mpsc::channel(WAITING_BATCHES);
    let unsynced = Unsynced::new(5);
    let mut watches = JoinSet::new();
    watches.spawn(watch(namespaced::<Ingress>(client, namespace), batches.clone(), unsynced.clone()));
    watches.spawn(watch(Api::<IngressClass>::all(client.clone()), batches.clone(), unsynced.clone()));
    watches.spawn(watch(namespaced::<Service>(client, namespace), batches.clone(), unsynced.clone()));
    watches.spawn(watch(namespaced::<EndpointSlice>(client, namespace), batches.clone(), unsynced.clone()));
    watches.spawn(watch(namespaced::<Secret>(client, namespace), batches, unsynced));
    (watches, receiver)
}

/// Lists everything that is read, once.
///
/// # Errors
/// When a kind without which nothing can be served cannot be listed.
pub(crate) async fn list(client: &Client, namespace: Option<&str>) -> Result<Vec<Change>, Error> {
    let mut changes = list_kind(namespaced::<Ingress>(client, namespace)).await?;
    changes.extend(list_kind(Api::<IngressClass>::all(client.clone())).await?);
    changes.extend(list_kind(namespaced::<Service>(client, namespace)).await?);
    changes.extend(list_kind(namespaced::<EndpointSlice>(client, namespace)).await?);
    changes.extend(list_kind(namespaced::<Secret>(client, namespace)).await?);
    Ok(changes)
}

async fn list_kind<K: Watched>(api: Api<K>) -> Result<Vec<Change>, Error> {
    let parameters = K::FIELDS.map_or_else(ListParams::default, |fields| ListParams::default().fields(fields));
    match api.list(&parameters).await {
        Ok(list) => Ok(list.items.into_iter().map(|object| Change::Set(object.stripped())).collect()),
        Err(kube::Error::Api(status)) if forbids(&status) && !K::REQUIRED => {
            tracing::warn!(kind = %K::kind(&()), "{}", forbidden::<K>());
            Ok(Vec::new())
        }
        Err(kube::Error::Api(status)) if forbids(&status) => Err(Error(forbidden::<K>())),
        Err(error) => Err(Error(format!(
            "the API server cannot list {} ({error}); check the kubeconfig and that the cluster runs",
            K::plural(&())
        ))),
    }
}

fn namespaced<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Watched + Resource<Scope = NamespaceResourceScope>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kubeconfig_that_cannot_be_read_is_named() {
        let error = client(Some(Path::new("/no/such/kubeconfig"))).await.err().unwrap();
        assert!(error.0.starts_with("the kubeconfig /no/such/kubeconfig cannot be used ("), "{error}");
    }

    #[tokio::test]
    async fn a_kubeconfig_without_a_cluster_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "apiVersion: v1\nkind: Config\n").unwrap();
        let error = client(Some(file.path())).await.err().unwrap();
        assert!(error.0.ends_with("; check the file"), "{error}");
    }
}
