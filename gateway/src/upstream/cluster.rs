//! One cluster at run time: its endpoints and the turn of each.
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddress;
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::{Backend, BackendView, Extensions, HealthRegistry};
use table::{Endpoints, Readiness};

use crate::metrics::ClusterMetrics;

/// The endpoints of one service port. Shared by every rule that names it, and kept across tables.
///
/// Membership and health are Pingora's; what requests choose from is an immutable list that is made anew when one of them
/// changes, so that choosing neither clones nor locks.
pub(crate) struct Cluster {
    view: BackendView,
    members: Arc<Members>,
    choice: ArcSwap<Box<[SocketAddr]>>,
    next: AtomicUsize,
    /// Resolved handles.
    pub(crate) metrics: Arc<ClusterMetrics>,
}

impl Cluster {
    /// A cluster without endpoints. `health` is shared, so that an endpoint is checked once however many clusters have it.
    pub(crate) fn new(health: Arc<HealthRegistry>, metrics: Arc<ClusterMetrics>) -> Self {
        let members = Arc::new(Members::default());
        Self {
            view: BackendView::new_with_health_registry(Box::new(Discovery(members.clone())), health),
            members,
            choice: ArcSwap::from_pointee(Box::default()),
            next: AtomicUsize::new(0),
            metrics,
        }
    }

    /// Takes new endpoints. Calls must not overlap.
    pub(crate) async fn set_endpoints(&self, endpoints: &Endpoints) {
        let draining = endpoints.list.iter().filter(|endpoint| endpoint.readiness == Readiness::Draining).count();
        self.metrics.endpoints(endpoints.list.len() - draining, draining);
        self.members.0.store(Arc::new(endpoints.eligible().map(|endpoint| endpoint.address).collect()));
        // Discovery is a copy of the list above and cannot fail.
        if let Err(error) = self.view.update(|_| ()).await {
            tracing::error!(%error, "endpoints could not be updated");
        }
        self.refresh();
    }

    /// Makes the list of endpoints that may be chosen.
    fn refresh(&self) {
        let members = self.view.get_backend();
        let ready = members.iter().filter(|backend| self.view.ready(backend));
        let list: Box<[SocketAddr]> = ready.filter_map(|backend| backend.addr.as_inet().copied()).collect();
        self.choice.store(Arc::new(list));
    }

    /// The next endpoint in turn that is not among `tried`.
    pub(crate) fn pick(&self, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let choice = self.choice.load();
        let first = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(choice.len())?;
        let (before, from) = choice.split_at_checked(first)?;
        from.iter().chain(before).find(|address| !tried.contains(address)).copied()
    }

    /// Is there an endpoint that is not among `tried`?
    pub(crate) fn has_untried(&self, tried: &[SocketAddr]) -> bool {
        self.choice.load().iter().any(|address| !tried.contains(address))
    }
}

#[derive(Default)]
struct Members(ArcSwap<Vec<SocketAddr>>);

struct Discovery(Arc<Members>);

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let backend =
            |address: &SocketAddr| Backend { addr: PingoraAddress::Inet(*address), weight: 1, ext: Extensions::new() };
        Ok((self.0.0.load().iter().map(backend).collect(), HashMap::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use table::{ClusterId, Endpoint, ServicePort};

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    async fn cluster(endpoints: &[(u8, Readiness)]) -> Cluster {
        let metrics = Metrics::new().unwrap().cluster(&ClusterId::new("ns", "svc", ServicePort::Number(80)));
        let cluster = Cluster::new(Arc::new(HealthRegistry::new()), metrics);
        set(&cluster, endpoints).await;
        cluster
    }

    async fn set(cluster: &Cluster, endpoints: &[(u8, Readiness)]) {
        let endpoint = |(last, readiness): &(u8, Readiness)| Endpoint {
            address: address(*last),
            readiness: *readiness,
            zone: None,
            for_zones: [].into(),
        };
        cluster.set_endpoints(&Endpoints::new(endpoints.iter().map(endpoint).collect())).await;
    }

    #[tokio::test]
    async fn endpoints_take_turns() {
        let cluster = cluster(&[(1, Readiness::Ready), (2, Readiness::Ready), (3, Readiness::Ready)]).await;
        let mut counts = HashMap::new();
        for _ in 0..300 {
            *counts.entry(cluster.pick(&[]).unwrap()).or_insert(0) += 1;
        }
        assert_eq!(counts.values().collect::<Vec<_>>(), [&100; 3]);
    }

    #[tokio::test]
    async fn a_tried_endpoint_is_not_chosen_again() {
        let cluster = cluster(&[(1, Readiness::Ready), (2, Readiness::Ready)]).await;
        for _ in 0..4 {
            assert_eq!(cluster.pick(&[address(1)]), Some(address(2)));
        }
        assert_eq!(cluster.pick(&[address(1), address(2)]), None);
    }

    #[tokio::test]
    async fn draining_endpoints_serve_only_alone() {
        let cluster = cluster(&[(1, Readiness::Draining), (2, Readiness::Ready)]).await;
        assert_eq!(cluster.pick(&[]), Some(address(2)));
        assert_eq!(cluster.pick(&[]), Some(address(2)));
        set(&cluster, &[(1, Readiness::Draining)]).await;
        assert_eq!(cluster.pick(&[]), Some(address(1)));
    }

    #[tokio::test]
    async fn without_endpoints_there_is_nothing_to_choose() {
        assert_eq!(cluster(&[]).await.pick(&[]), None);
    }
}
