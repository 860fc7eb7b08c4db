//! What the tests of whole control planes share: manifests, and waiting for an update that shows something.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use features::{Backend, Route};
use table::{ClusterId, Endpoints, Facts, Table, Update};
use tokio::sync::mpsc;

/// Longer than any update takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The data plane's side: applies updates as a gateway does.
pub(crate) struct Plane {
    pub(crate) updates: mpsc::Receiver<Update<Route>>,
    pub(crate) table: Arc<Table<Route>>,
    pub(crate) endpoints: BTreeMap<ClusterId, Arc<Endpoints>>,
    pub(crate) tables: usize,
    pub(crate) facts: Facts,
}

impl Plane {
    pub(crate) fn new(updates: mpsc::Receiver<Update<Route>>) -> Self {
        Self { updates, table: Arc::default(), endpoints: BTreeMap::new(), tables: 0, facts: Facts::default() }
    }

    /// The next update, applied.
    pub(crate) async fn next(&mut self) -> Update<Route> {
        let update = tokio::time::timeout(PATIENCE, self.updates.recv()).await.expect("no update").expect("it ended");
        self.apply(&update);
        update
    }

    fn apply(&mut self, update: &Update<Route>) {
        self.facts.clone_from(&update.facts);
        self.endpoints.extend(update.endpoints.iter().cloned());
        if let Some(table) = &update.table {
            self.table = table.clone();
            self.tables += 1;
        }
        update.retired.iter().for_each(|cluster| drop(self.endpoints.remove(cluster)));
    }

    /// Takes updates in until `done`; returns the last one.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Update<Route> {
        let waiting = async {
            loop {
                let update = self.updates.recv().await.expect("it ended");
                self.apply(&update);
                if done(self) {
                    return update;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"))
    }

    /// The Service that a host's root leads to; empty for none.
    pub(crate) fn service(&self, host: &str) -> String {
        match self.table.find(host, "/").rule().map(|rule| &rule.policy.backend) {
            Some(Backend::Cluster(cluster)) => cluster.service().to_string(),
            Some(Backend::Refused(_)) => "refused".to_owned(),
            None => String::new(),
        }
    }

    /// The addresses of a Service's endpoints.
    pub(crate) fn addresses(&self, service: &str) -> Vec<String> {
        let of_service = self.endpoints.iter().filter(|(cluster, _)| &**cluster.service() == service);
        of_service.flat_map(|(_, endpoints)| &endpoints.list).map(|endpoint| endpoint.address.to_string()).collect()
    }
}

pub(crate) fn ingress(name: &str, host: &str, service: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec:\n  rules:\n  - host: {host}\n    \
         http:\n      paths:\n      - path: /\n        pathType: Prefix\n        backend: {{service: {{name: {service}, \
         port: {{number: 80}}}}}}\n---\n"
    )
}

pub(crate) fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  ports: [{{name: http, port: 80}}]\n---\n"
    )
}

pub(crate) fn slice(service: &str, address: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {service}-1\n  labels: \
         {{kubernetes.io/service-name: {service}}}\naddressType: IPv4\nports: [{{name: http, port: 8080}}]\nendpoints: \
         [{{addresses: [{address}]}}]\n---\n"
    )
}
