//! All clusters by id: the state that survives tables.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use features::ClusterPolicy;
use table::ClusterId;

use super::cluster::{Canary, Cluster};
use super::health::Health;
use crate::metrics::Metrics;

/// Clusters by id. Locked when a rule or an endpoint changes, never on the request path.
pub(crate) struct Registry {
    clusters: Mutex<HashMap<ClusterId, Arc<Cluster>>>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl Registry {
    /// Starts without clusters.
    pub(crate) fn new(metrics: Arc<Metrics>, health: Arc<Health>) -> Self {
        Self { clusters: Mutex::default(), health, metrics }
    }

    /// The cluster of an id, made when it is new.
    pub(crate) fn get(&self, id: &ClusterId) -> Arc<Cluster> {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(Cluster::new(id.clone(), self.health.clone(), self.metrics.cluster(id)));
        clusters.entry(id.clone()).or_insert_with(make).clone()
    }

    /// Gives a cluster its policy.
    pub(crate) fn set_policy(&self, id: &ClusterId, policy: &Arc<ClusterPolicy>) {
        let canary = policy.canary.as_ref();
        let canary = canary.map(|terms| Canary { cluster: self.get(&terms.cluster), terms: terms.clone() });
        let cluster = self.get(id);
        cluster.set_canary(canary);
        cluster.set_policy(policy);
    }

    /// Forgets a cluster. Requests that hold it finish.
    pub(crate) fn retire(&self, id: &ClusterId) {
        if let Some(cluster) = self.clusters.lock().unwrap_or_else(PoisonError::into_inner).remove(id) {
            cluster.retire();
        }
        self.metrics.retire_cluster(id);
    }

    /// All clusters, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<Arc<Cluster>> {
        let mut all: Vec<_> = {
            let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
            clusters.values().cloned().collect()
        };
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// Publishes what is only looked up when somebody asks for metrics.
    pub(crate) fn publish(&self) {
        let all = self.all();
        all.iter().for_each(|cluster| cluster.publish());
        self.metrics.endpoints.publish(all.iter().map(|cluster| (cluster.id.clone(), cluster.all())));
    }

    /// The clusters that had requests since the last call.
    pub(super) fn active(&self) -> Vec<Arc<Cluster>> {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.values().filter(|cluster| cluster.take_active()).cloned().collect()
    }

    /// What watches the endpoints.
    pub(crate) fn health(&self) -> &Arc<Health> {
        &self.health
    }
}
