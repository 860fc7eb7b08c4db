//! All clusters by id: the state that survives tables.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pingora_load_balancing::HealthRegistry;
use table::ClusterId;

use super::cluster::Cluster;
use crate::metrics::Metrics;

/// Clusters by id. Locked when a rule or an endpoint changes, never on the request path.
pub(crate) struct Registry {
    clusters: Mutex<HashMap<ClusterId, Arc<Cluster>>>,
    health: Arc<HealthRegistry>,
    metrics: Arc<Metrics>,
}

impl Registry {
    /// Starts without clusters.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { clusters: Mutex::default(), health: Arc::new(HealthRegistry::new()), metrics }
    }

    /// The cluster of an id, made when it is new.
    pub(crate) fn get(&self, id: &ClusterId) -> Arc<Cluster> {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters
            .entry(id.clone())
            .or_insert_with(|| Arc::new(Cluster::new(self.health.clone(), self.metrics.cluster(id))))
            .clone()
    }

    /// Forgets a cluster. Requests that hold it finish.
    pub(crate) fn retire(&self, id: &ClusterId) {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.metrics.retire_cluster(id);
    }
}
