//! The addresses that an Ingress' status names: where clients reach this gateway.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod as PodObject, Service};
use kube::api::ListParams;
use kube::{Api, Client};

use crate::fault::Fault;
use crate::sighting::Address;
use crate::watch::within;
use crate::{Pod, StatusSource};

/// Labels that tell replicas of one workload apart.
const OF_ONE_REPLICA: [&str; 5] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
];

/// Asks the API server for addresses and replicas.
#[derive(Clone)]
pub(crate) struct Surveyor {
    pub(crate) client: Client,
    pub(crate) patience: Duration,
    pub(crate) pod: Option<Pod>,
}

impl Surveyor {
    /// The addresses now, sorted. `--publish-status-address` goes before `--publish-service`, and that before nodes, as
    /// ingress-nginx has it.
    ///
    /// # Errors
    /// When the API server does not tell.
    pub(crate) async fn addresses(&self, source: &StatusSource) -> Result<Vec<Address>, Fault> {
        let addresses: BTreeSet<_> = if !source.addresses.is_empty() {
            source.addresses.iter().map(|word| Address::read(word)).collect()
        } else if let Some((namespace, name)) = &source.service {
            let services: Api<Service> = Api::namespaced(self.client.clone(), namespace);
            of_service(&within(self.patience, "a Service", services.get(name)).await?)
        } else {
            self.of_nodes(source.node_internal_ip).await?
        };
        Ok(addresses.into_iter().collect())
    }

    /// What tells a Service from a later one of the same name, if the API server tells it.
    pub(crate) async fn uid(&self, namespace: &str, service: &str) -> Option<Arc<str>> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let found = within(self.patience, "a Service", services.get_metadata(service)).await.ok()?;
        found.metadata.uid.map(Arc::from)
    }

    async fn of_nodes(&self, internal: bool) -> Result<BTreeSet<Address>, Fault> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let replicas = self.replicas().await?;
        let names: BTreeSet<_> = replicas.iter().filter(|pod| is_ready(pod)).filter_map(node_of).collect();
        let mut addresses = BTreeSet::new();
        for name in names {
            let node = within(self.patience, "a Node", nodes.get(name)).await?;
            addresses.extend(of_node(&node, internal));
        }
        Ok(addresses)
    }

    /// Does another replica run that is not about to end? Unknown is yes: what it needs is not taken from it then.
    pub(crate) async fn has_others(&self) -> bool {
        let Some(this) = &self.pod else { return false };
        match self.replicas().await {
            Ok(pods) => pods.iter().any(|pod| pod.metadata.name.as_deref() != Some(&this.name) && is_running(pod)),
            Err(fault) => {
                tracing::warn!(error = %fault, "the replicas cannot be listed; the status of Ingresses stays as it is");
                true
            }
        }
    }

    /// The pods of the workload that this one belongs to; none without a pod.
    async fn replicas(&self) -> Result<Vec<PodObject>, Fault> {
        let Some(this) = &self.pod else { return Ok(Vec::new()) };
        let pods: Api<PodObject> = Api::namespaced(self.client.clone(), &this.namespace);
        let own = within(self.patience, "a Pod", pods.get(&this.name)).await?;
        let selector = selector(own.metadata.labels.as_ref());
        let list = within(self.patience, "a list", pods.list(&ListParams::default().labels(&selector))).await?;
        Ok(list.items)
    }
}

fn selector(labels: Option<&BTreeMap<String, String>>) -> String {
    let labels = labels.into_iter().flatten().filter(|(key, _)| !OF_ONE_REPLICA.contains(&key.as_str()));
    labels.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

fn node_of(pod: &PodObject) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

fn is_running(pod: &PodObject) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_ready(pod: &PodObject) -> bool {
    let mut conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    is_running(pod) && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// As ingress-nginx reads it: a load balancer's addresses with `externalIPs`; `externalIPs` of a NodePort, or else its
/// ClusterIP; the name of an ExternalName.
fn of_service(service: &Service) -> BTreeSet<Address> {
    let Some(spec) = &service.spec else { return BTreeSet::new() };
    let external = || spec.external_ips.iter().flatten().map(|ip| Address::read(ip));
    let cluster = || spec.cluster_ip.iter().filter(|ip| !ip.is_empty() && *ip != "None").map(|ip| Address::read(ip));
    match spec.type_.as_deref() {
        Some("LoadBalancer") => {
            let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
            let entries = status.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
            let entries =
                entries.filter_map(|entry| Address::from_parts(entry.ip.as_deref(), entry.hostname.as_deref()));
            entries.chain(external()).collect()
        }
        Some("NodePort") if external().next().is_some() => external().collect(),
        Some("ExternalName") => spec.external_name.iter().map(|name| Address::read(name)).collect(),
        Some(_) | None => cluster().collect(),
    }
}

/// The external address of a node, or else its internal one; with `internal` only that.
fn of_node(node: &Node, internal: bool) -> Option<Address> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let of_type =
        |wanted: &str| addresses.iter().find(|address| address.type_ == wanted && !address.address.is_empty());
    let external = of_type("ExternalIP").filter(|_| !internal);
    external.or_else(|| of_type("InternalIP")).map(|address| Address::read(&address.address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(spec: &serde_json::Value) -> Vec<String> {
        let status = json!({"loadBalancer": {"ingress": [{"hostname": "lb.test"}, {"ip": "192.0.2.9"}]}});
        let service = serde_json::from_value(json!({"spec": spec, "status": status})).unwrap();
        let text = |address| match address {
            Address::Ip(text) | Address::Hostname(text) => text,
        };
        of_service(&service).into_iter().map(text).collect()
    }

    #[test]
    fn the_type_of_the_service_says_where_its_address_stands() {
        let spec = |kind: &str| json!({"type": kind, "clusterIP": "10.0.0.1"});
        let mut external = spec("LoadBalancer");
        external["externalIPs"] = json!(["192.0.2.1"]);
        assert_eq!(service(&external), ["lb.test", "192.0.2.1", "192.0.2.9"]);
        external["type"] = json!("NodePort");
        assert_eq!(service(&external), ["192.0.2.1"]);
        assert_eq!(service(&spec("NodePort")), ["10.0.0.1"]);
        assert_eq!(service(&spec("ClusterIP")), ["10.0.0.1"]);
        assert_eq!(service(&json!({"clusterIP": "None"})), [""; 0]);
        assert_eq!(service(&json!({"type": "ExternalName", "externalName": "gw.example.com"})), ["gw.example.com"]);
    }

    #[test]
    fn a_node_is_reached_from_outside_if_it_can_be() {
        let node: Node = serde_json::from_value(json!({"status": {"addresses": [
            {"type": "Hostname", "address": "n1"},
            {"type": "InternalIP", "address": "10.1.0.1"},
            {"type": "ExternalIP", "address": "192.0.2.7"},
        ]}}))
        .unwrap();
        assert_eq!(of_node(&node, false), Some(Address::Ip("192.0.2.7".to_owned())));
        assert_eq!(of_node(&node, true), Some(Address::Ip("10.1.0.1".to_owned())));
    }

    #[test]
    fn replicas_are_told_by_what_they_share() {
        let labels = [("app", "ingora"), ("pod-template-hash", "6d5f")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(selector(Some(&labels)), "app=ingora");
    }

    #[test]
    fn pods_that_end_do_not_count() {
        let pod = |value| serde_json::from_value::<PodObject>(value).unwrap();
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        assert!(is_ready(&pod(json!({"status": ready}))));
        let deleted = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": ready});
        assert!(!is_ready(&pod(deleted)));
        assert!(!is_running(&pod(json!({"status": {"phase": "Failed"}}))));
    }
}
