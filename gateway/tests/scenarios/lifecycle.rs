//! Endpoints that go: they get nothing new, what they have finishes, and a Service without any is back with the first one.
use std::time::{Duration, Instant};

use features::ClusterPolicy;

use crate::support::{Backend, Client, Reply, Rig, Site, Spec, bounded, eventually, respond};

/// Answers `/late` when released, anything else at once.
async fn releasable(name: &'static str) -> (Backend, tokio::sync::watch::Sender<bool>) {
    let (release, released) = tokio::sync::watch::channel(false);
    let backend = Backend::handling(move |request| {
        let mut released = released.clone();
        async move {
            if request.uri().path() == "/late" {
                released.wait_for(|released| *released).await.unwrap();
            }
            respond(name)
        }
    })
    .await;
    (backend, release)
}

async fn late(backend: &Backend, rig: &Rig) -> tokio::task::JoinHandle<Reply> {
    let mut client = Client::h1(rig.http).await;
    let request = tokio::spawn(async move { client.get("a.test", "/late").await });
    eventually("the request", || async { backend.seen().iter().any(|seen| seen.target == "/late").then_some(()) })
        .await;
    request
}

async fn names(rig: &Rig, requests: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut client = Client::h1(rig.http).await;
    for _ in 0..requests {
        names.push(client.get("a.test", "/").await.text().to_owned());
    }
    names
}

/// Waits until the gateway has taken in so many endpoints of a state.
async fn await_endpoints(rig: &Rig, state: &str, number: f64) {
    eventually("the endpoints", || async {
        let now = rig.metrics().await.sum("ingora_upstream_endpoints", &[("service", "app"), ("state", state)])?;
        ((now - number).abs() < 0.5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_terminates_gets_nothing_new_and_finishes_what_it_has() {
    let ((one, release), two) = (releasable("one").await, Backend::echo("two").await);
    let mut rig = Rig::to(one.address).await;
    let request = late(&one, &rig).await;
    rig.site.set_endpoints("app", [two.address]);
    rig.site.add_draining("app", one.address);
    rig.send_endpoints("app").await;
    await_endpoints(&rig, "draining", 1.0).await;
    assert_eq!(names(&rig, 20).await, ["two"; 20]);
    assert_eq!(one.seen().len(), 1);
    release.send_replace(true);
    assert_eq!(bounded("the answer", request).await.unwrap().text(), "one");
}

#[tokio::test]
async fn endpoints_that_terminate_serve_when_there_are_no_others() {
    let (one, two) = (Backend::echo("one").await, Backend::echo("two").await);
    let mut rig = Rig::to(two.address).await;
    rig.site.set_endpoints("app", []);
    rig.site.add_draining("app", one.address);
    rig.send_endpoints("app").await;
    await_endpoints(&rig, "draining", 1.0).await;
    assert_eq!(names(&rig, 5).await, ["one"; 5]);
    rig.site.set_endpoints("app", [two.address]);
    rig.site.add_draining("app", one.address);
    rig.send_endpoints("app").await;
    await_endpoints(&rig, "ready", 1.0).await;
    assert_eq!(names(&rig, 5).await, ["two"; 5], "the first ready one takes over at once");
}

fn holding(hold: Duration) -> Site {
    let policy = ClusterPolicy { hold, ..ClusterPolicy::default() };
    Site::default().rule(Spec::to("app")).endpoints("app", []).policy("app", policy)
}

#[tokio::test]
async fn after_scaling_to_zero_the_first_ready_endpoint_serves_the_next_request() {
    let backend = Backend::echo("one").await;
    let mut rig = Rig::to(backend.address).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..3 {
        assert_eq!(client.get("a.test", "/").await.text(), "one");
        rig.site.set_endpoints("app", []);
        rig.send_endpoints("app").await;
        await_endpoints(&rig, "ready", 0.0).await;
        assert_eq!(client.get("a.test", "/").await.status, 503);
        rig.site.set_endpoints("app", [backend.address]);
        rig.send_endpoints("app").await;
        await_endpoints(&rig, "ready", 1.0).await;
    }
}

#[tokio::test]
async fn a_held_request_gets_the_first_endpoint() {
    let backend = Backend::echo("one").await;
    let mut rig = Rig::start(holding(Duration::from_secs(60))).await;
    let (http, h2) = (rig.http, Client::h2c(rig.http).await);
    let mut held = tokio::task::JoinSet::new();
    for number in 0..6 {
        let client = if number % 2 == 0 { Client::h1(http).await } else { h2.share() };
        let mut client = client;
        held.spawn(async move { client.post("a.test", "/", "body").await });
    }
    let waiting = tokio::time::timeout(Duration::from_millis(300), held.join_next()).await;
    assert!(waiting.is_err(), "nothing is answered while there is no endpoint: {waiting:?}");
    rig.site.set_endpoints("app", [backend.address]);
    rig.send_endpoints("app").await;
    let answers = bounded("the answers", held.join_all()).await;
    assert!(answers.len() == 6 && answers.iter().all(|reply| reply.text() == "body"), "{answers:?}");
}

#[tokio::test]
async fn a_request_is_held_no_longer_than_the_limit() {
    let hold = Duration::from_millis(300);
    let rig = Rig::start(holding(hold)).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        let began = Instant::now();
        assert_eq!(client.get("a.test", "/").await.status, 503);
        assert!(began.elapsed() >= hold, "{:?}", began.elapsed());
    }
}
