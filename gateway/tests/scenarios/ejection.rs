//! A pod that fails gets no more requests, and some again as soon as it is well.
use std::time::{Duration, Instant};

use features::{ClusterPolicy, Ejection};
use http::StatusCode;

use crate::support::{Client, Mood, Moody, Rig, Site, Spec, eventually};

async fn pods() -> [Moody; 4] {
    [Moody::start("a").await, Moody::start("b").await, Moody::start("c").await, Moody::start("d").await]
}

/// Without retries, so that clients see what fails.
fn site(pods: &[Moody]) -> Site {
    let spec = Spec::to("app").annotation("proxy-next-upstream", "off");
    Site::default().rule(spec).endpoints("app", pods.iter().map(|pod| pod.address))
}

/// Sends requests one after the other, each on a connection of its own; returns how many were not answered with 200.
async fn failures(rig: &Rig, requests: usize) -> usize {
    let mut failures = 0;
    for _ in 0..requests {
        let mut client = Client::h1(rig.http).await;
        failures += usize::from(client.get("a.test", "/").await.status != StatusCode::OK);
    }
    failures
}

async fn ejected(rig: &Rig) -> f64 {
    rig.metrics().await.sum("ingora_upstream_endpoints", &[("state", "ejected")]).unwrap()
}

async fn await_ejected(rig: &Rig, number: f64) {
    eventually("the ejection", || async { (ejected(rig).await - number).abs().lt(&0.5).then_some(()) }).await;
}

/// One pod turns bad and good again. Returns the failures that a client saw.
async fn flip(mood: Mood) -> usize {
    let pods = pods().await;
    let rig = Rig::start(site(&pods)).await;
    assert_eq!(failures(&rig, 8).await, 0);
    pods[1].turn(mood).await;
    let failed = failures(&rig, 60).await;
    await_ejected(&rig, 1.0).await;
    let before = pods[1].seen();
    assert_eq!(failures(&rig, 40).await, 0, "nothing goes to it while it is bad");
    assert_eq!(pods[1].seen(), before);
    pods[1].turn(Mood::Good).await;
    let good = Instant::now();
    await_ejected(&rig, 0.0).await;
    assert!(good.elapsed() < Duration::from_millis(500), "back after {:?}", good.elapsed());
    eventually("requests to it", || async {
        assert_eq!(failures(&rig, 20).await, 0);
        (pods[1].seen() > before).then_some(())
    })
    .await;
    failed
}

#[tokio::test]
async fn a_pod_that_refuses_costs_one_request_without_retries_and_is_back_within_half_a_second() {
    assert_eq!(flip(Mood::Refuses).await, 1);
}

#[tokio::test]
async fn a_pod_that_answers_503_costs_three_requests() {
    assert_eq!(flip(Mood::Errors).await, 3);
}

#[tokio::test]
async fn a_pod_that_breaks_off_costs_at_most_three_requests() {
    assert!(flip(Mood::Breaks).await <= 3);
}

#[tokio::test]
async fn a_pod_that_hangs_leaves_while_its_requests_still_wait() {
    let pods = pods().await;
    let rig = Rig::start(site(&pods)).await;
    failures(&rig, 8).await;
    pods[2].turn(Mood::Hangs).await;
    let (address, hanging) = (rig.http, tokio::task::JoinSet::new());
    let hanging = tokio::sync::Mutex::new(hanging);
    eventually("the ejection", || async {
        // Another path than that of the requests below: some of these may reach the pod late.
        hanging.lock().await.spawn(async move { Client::h1(address).await.get("a.test", "/hangs").await.status });
        (ejected(&rig).await > 0.5).then_some(())
    })
    .await;
    let before = pods[2].seen();
    assert_eq!(failures(&rig, 40).await, 0);
    assert_eq!(pods[2].seen(), before);
    eventually("a probe that hangs", || async { (pods[2].probed() > 0).then_some(()) }).await;
    pods[2].turn(Mood::Good).await;
    let good = Instant::now();
    await_ejected(&rig, 0.0).await;
    assert!(
        good.elapsed() < Duration::from_millis(500),
        "the next probe waited for the one that hangs: {:?}",
        good.elapsed()
    );
}

#[tokio::test]
async fn when_more_than_the_allowed_share_is_bad_all_are_used() {
    let pods = pods().await;
    let endpoints = pods.each_ref().map(|pod| pod.address);
    let rig = Rig::start(Site::default().rule(Spec::to("app")).endpoints("app", endpoints)).await;
    for pod in &pods[..3] {
        pod.turn(Mood::Refuses).await;
    }
    assert!(failures(&rig, 40).await <= 1, "only a request that meets all three before anyone else");
    await_ejected(&rig, 3.0).await;
    let panics = rig.metrics().await.sum("ingora_upstream_panic", &[("service", "app")]);
    assert!(panics.is_some_and(|panics| panics > 0.5));
    let refused = [("result", "refused"), ("service", "app")];
    let before = rig.metrics().await.sum("ingora_upstream_connects_total", &refused).unwrap();
    assert_eq!(failures(&rig, 20).await, 0, "the one that is well answers in the end");
    let after = rig.metrics().await.sum("ingora_upstream_connects_total", &refused).unwrap();
    assert!(after > before, "bad ones are tried again");
}

#[tokio::test]
async fn a_cluster_of_one_is_never_left_without_endpoints() {
    let pod = Moody::start("a").await;
    let rig = Rig::to(pod.address).await;
    pod.turn(Mood::Errors).await;
    for _ in 0..10 {
        assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 503);
    }
    pod.turn(Mood::Good).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 200);
}

#[tokio::test]
async fn routes_and_clusters_share_what_is_known_of_a_pod() {
    let pods = pods().await;
    let mut site = site(&pods);
    site.add(Spec::to("other").host("b.test"));
    let site = site.endpoints("other", pods.iter().map(|pod| pod.address));
    let rig = Rig::start(site).await;
    pods[0].turn(Mood::Errors).await;
    assert_eq!(failures(&rig, 40).await, 3);
    await_ejected(&rig, 2.0).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..20 {
        assert_eq!(client.get("b.test", "/").await.status, 200);
    }
}

#[tokio::test]
async fn ejection_survives_a_new_table_and_new_endpoints() {
    let pods = pods().await;
    let mut rig = Rig::start(site(&pods)).await;
    pods[0].turn(Mood::Errors).await;
    assert_eq!(failures(&rig, 40).await, 3);
    rig.site.set_endpoints("app", pods[..3].iter().map(|pod| pod.address));
    rig.publish().await;
    assert_eq!(failures(&rig, 40).await, 0);
}

#[tokio::test]
async fn a_pod_that_is_much_slower_than_the_others_is_left_out() {
    let pods = pods().await;
    let rig = Rig::start(site(&pods)).await;
    pods[3].turn(Mood::Slow(Duration::from_millis(150))).await;
    let address = rig.http;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        clients.spawn(async move {
            let mut client = Client::h1(address).await;
            loop {
                client.get("a.test", "/").await;
            }
        });
    }
    await_ejected(&rig, 1.0).await;
    let slow = [("reason", "slow"), ("service", "app")];
    assert!(rig.metrics().await.sum("ingora_upstream_ejections_total", &slow).is_some_and(|number| number > 0.5));
}

#[tokio::test]
async fn without_ejection_everybody_keeps_getting_requests() {
    let pods = pods().await;
    let off = Ejection { on_connect: false, failures: 0, latency_factor: 0, max_percent: 50 };
    let site = site(&pods).policy("app", ClusterPolicy { ejection: off, ..ClusterPolicy::default() });
    let rig = Rig::start(site).await;
    pods[0].turn(Mood::Errors).await;
    assert_eq!(failures(&rig, 40).await, 10);
}

#[tokio::test]
async fn ejections_and_returns_are_told() {
    let pods = pods().await;
    let (sender, mut events) = tokio::sync::mpsc::channel(16);
    let rig = Rig::with(site(&pods), gateway::Config { events: Some(sender), ..crate::support::config() }).await;
    pods[0].turn(Mood::Refuses).await;
    failures(&rig, 8).await;
    let event = crate::support::bounded("the event", events.recv()).await.unwrap();
    assert_eq!((event.change, event.why), (gateway::EndpointChange::Ejected, "refused"));
    assert_eq!((event.cluster, event.address), (Site::cluster("app"), pods[0].address));
    let peers = rig.admin("/peers?default/app").await.1;
    assert!(peers.contains("\"state\": \"ejected\"") && peers.contains(&pods[0].address.to_string()), "{peers}");
    pods[0].turn(Mood::Good).await;
    let event = crate::support::bounded("the event", events.recv()).await.unwrap();
    assert_eq!(event.change, gateway::EndpointChange::Returned);
}
