//! Tests of a cluster's membership.
use super::*;
use crate::metrics::Metrics;
use std::collections::HashMap;
use table::ServicePort;

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 80))
}

fn cluster_of(health: &Arc<Health>, name: &str, endpoints: &[(u8, Readiness)]) -> Arc<Cluster> {
    let id = ClusterId::new("ns", name, ServicePort::Number(80));
    let metrics = Metrics::new().unwrap().cluster(&id);
    let cluster = Arc::new(Cluster::new(id, health.clone(), metrics));
    set(&cluster, endpoints);
    cluster
}

fn cluster(endpoints: &[(u8, Readiness)]) -> Arc<Cluster> {
    cluster_of(&Health::new(None, None), "svc", endpoints)
}

fn set(cluster: &Arc<Cluster>, endpoints: &[(u8, Readiness)]) {
    let endpoint = |(last, readiness): &(u8, Readiness)| table::Endpoint {
        address: address(*last),
        readiness: *readiness,
        weight: 1,
        zone: None,
        for_zones: [].into(),
    };
    cluster.set_endpoints(&Endpoints::new(endpoints.iter().map(endpoint).collect()));
}

fn pick(cluster: &Cluster, tried: &[SocketAddr]) -> Option<SocketAddr> {
    let endpoint = cluster.pick(Balance::RoundRobin, tried, None, Instant::now());
    endpoint.map(|endpoint| endpoint.address())
}

#[test]
fn endpoints_take_turns() {
    let cluster = cluster(&[(1, Readiness::Ready), (2, Readiness::Ready), (3, Readiness::Ready)]);
    let mut counts = HashMap::new();
    for _ in 0..300 {
        *counts.entry(pick(&cluster, &[]).unwrap()).or_insert(0) += 1;
    }
    assert_eq!(counts.values().collect::<Vec<_>>(), [&100; 3]);
}

#[test]
fn a_tried_endpoint_is_not_chosen_again() {
    let cluster = cluster(&[(1, Readiness::Ready), (2, Readiness::Ready)]);
    for _ in 0..4 {
        assert_eq!(pick(&cluster, &[address(1)]), Some(address(2)));
    }
    assert_eq!(pick(&cluster, &[address(1), address(2)]), None);
}

#[test]
fn draining_endpoints_serve_only_alone() {
    let cluster = cluster(&[(1, Readiness::Draining), (2, Readiness::Ready)]);
    assert_eq!(pick(&cluster, &[]), Some(address(2)));
    assert_eq!(pick(&cluster, &[]), Some(address(2)));
    set(&cluster, &[(1, Readiness::Draining)]);
    assert_eq!(pick(&cluster, &[]), Some(address(1)));
}

#[test]
fn without_endpoints_there_is_nothing_to_choose() {
    assert_eq!(pick(&cluster(&[]), &[]), None);
}

#[test]
fn state_survives_new_endpoints_and_is_shared_by_clusters() {
    let health = Health::new(None, None);
    let one = cluster_of(&health, "one", &[(1, Readiness::Ready)]);
    let other = cluster_of(&health, "other", &[(1, Readiness::Ready), (2, Readiness::Ready)]);
    let endpoint = |cluster: &Cluster| cluster.members().list()[0].endpoint.clone();
    assert!(Arc::ptr_eq(&endpoint(&one), &endpoint(&other)));
    let before = endpoint(&one);
    set(&one, &[(1, Readiness::Ready), (3, Readiness::Ready)]);
    assert!(Arc::ptr_eq(&endpoint(&one), &before));
}

#[test]
fn an_address_that_left_and_comes_again_starts_anew() {
    let cluster = cluster(&[(1, Readiness::Ready), (2, Readiness::Ready)]);
    let held = cluster.members().list()[0].endpoint.clone();
    held.eject();
    set(&cluster, &[(2, Readiness::Ready)]);
    set(&cluster, &[(1, Readiness::Ready), (2, Readiness::Ready)]);
    assert!(!cluster.members().list()[0].endpoint.is_out());
}

#[test]
fn a_new_endpoint_starts_at_the_others_latency() {
    let cluster = cluster(&[(1, Readiness::Ready)]);
    cluster.members().list()[0].endpoint.answered(500.0, 0);
    set(&cluster, &[(1, Readiness::Ready), (2, Readiness::Ready)]);
    assert_eq!(cluster.members().list()[1].endpoint.latency(), Some(500.0));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_held_until_the_first_endpoint_comes_or_the_limit() {
    let cluster = cluster(&[]);
    assert!(!cluster.hold().await, "not unless asked for");
    cluster.set_policy(&Arc::new(ClusterPolicy { hold: Duration::from_secs(5), ..ClusterPolicy::default() }));
    assert!(!cluster.hold().await);
    let (held, ()) = tokio::join!(cluster.hold(), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        set(&cluster, &[(1, Readiness::Ready)]);
    });
    assert!(held);
}
