//! The table that serves now, and how the next one takes its place.
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use features::Route;
use table::{Stream, Table, Update};
use tokio::sync::{mpsc, watch};

use crate::admin::Readiness;
use crate::metrics::Metrics;
use crate::spans::Spans;
use crate::upstream::{Health, Registry};

/// Everything that changes while the gateway runs.
pub(crate) struct Live {
    table: ArcSwap<Table<Route>>,
    /// The clusters, which outlive tables.
    pub(crate) clusters: Arc<Registry>,
    /// Ports whose connections go on as bytes.
    streams: watch::Sender<Arc<[Stream]>>,
    /// Where spans go.
    pub(crate) spans: Spans,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    /// The port of the HTTPS listener.
    pub(crate) https_port: u16,
}

impl Live {
    /// Starts with an empty table, which serves nothing.
    pub(crate) fn new(metrics: Arc<Metrics>, readiness: Arc<Readiness>, health: Arc<Health>, https_port: u16) -> Self {
        let clusters = Arc::new(Registry::new(metrics.clone(), health));
        let (streams, spans) = (watch::Sender::default(), Spans::new(metrics.clone()));
        Self { table: ArcSwap::default(), clusters, streams, spans, metrics, readiness, https_port }
    }

    /// The table that serves now. Not to be held across an await: keep the rule instead.
    pub(crate) fn table(&self) -> Guard<Arc<Table<Route>>> {
        self.table.load()
    }

    fn open_ports(&self, streams: Arc<[Stream]>) {
        let before = self.streams.borrow().clone();
        if before == streams {
            return;
        }
        let stays = |gone: &Stream| streams.iter().any(|now| (now.transport, now.port) == (gone.transport, gone.port));
        before
            .iter()
            .filter(|gone| !stays(gone))
            .for_each(|gone| self.metrics.retire_stream(gone.transport.into(), gone.port));
        self.streams.send_replace(streams);
    }

    /// Follows the ports whose connections go on as bytes.
    pub(crate) fn streams(&self) -> watch::Receiver<Arc<[Stream]>> {
        self.streams.subscribe()
    }

    /// Applies updates until the control plane is gone. What was applied last keeps serving then.
    pub(crate) async fn follow(&self, mut updates: mpsc::Receiver<Update<Route>>) {
        while let Some(update) = updates.recv().await {
            self.apply(update).await;
        }
        tracing::warn!("the control plane has ended; the last state keeps serving");
    }

    /// Make before break: endpoints first, then the table that names their clusters, then what no table names any more.
    async fn apply(&self, update: Update<Route>) {
        for (id, policy) in &update.policies {
            self.clusters.set_policy(id, policy);
        }
        for (id, endpoints) in &update.endpoints {
            self.clusters.get(id).set_endpoints(endpoints);
        }
        if let Some(table) = update.table {
            let generation = table.generation;
            self.metrics.control.generation(generation);
            let streams = table.streams.clone();
            // Before the table, so that its first request finds its collector.
            self.spans.follow(table.global.tracing.export.as_ref());
            self.table.store(table);
            self.open_ports(streams);
            if let Some(nginx) = &self.metrics.nginx {
                nginx.live(generation, jiff::Timestamp::now().as_second());
            }
        }
        for id in &update.retired {
            self.clusters.retire(id);
        }
        self.metrics.control.facts(&update.facts);
        self.metrics.nginx.iter().for_each(|nginx| nginx.facts(&update.facts));
        self.metrics.control.live(update.arrived.elapsed());
        if update.synced {
            self.metrics.control.synced();
            self.readiness.set_synced();
        }
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("generation", &self.table().generation).finish_non_exhaustive()
    }
}
