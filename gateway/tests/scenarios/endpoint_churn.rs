//! Endpoints come and go without a new table, and no request fails.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::support::{Backend, Client, Rig, Site, Spec, bounded, eventually};

#[tokio::test]
async fn an_endpoint_change_needs_no_table() {
    let (one, two) = (Backend::echo("one").await, Backend::echo("two").await);
    let mut rig = Rig::to(one.address).await;
    let client = tokio::sync::Mutex::new(Client::h1(rig.http).await);
    let answers = async |name: &str| {
        eventually("the new endpoint", || async {
            let reply = client.lock().await.get("a.test", "/").await;
            assert_eq!(reply.status, 200);
            (reply.text() == name).then_some(())
        })
        .await;
    };
    answers("one").await;
    rig.site.set_endpoints("app", [two.address]);
    rig.send_endpoints("app").await;
    answers("two").await;
    let endpoints = rig.metrics().await.sum("ingora_upstream_endpoints", &[("service", "app"), ("state", "ready")]);
    assert_eq!(endpoints, Some(1.0));
}

#[tokio::test]
async fn a_cluster_may_lose_all_endpoints_and_get_new_ones() {
    let backend = Backend::echo("one").await;
    let mut rig = Rig::to(backend.address).await;
    for (addresses, status) in [(vec![], 503), (vec![backend.address], 200), (vec![], 503)] {
        rig.site.set_endpoints("app", addresses);
        rig.send_endpoints("app").await;
        eventually("the status", || async {
            let now = Client::h1(rig.http).await.get("a.test", "/").await.status;
            (now == status).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_request_in_flight_outlives_its_endpoints_removal() {
    let (release, released) = tokio::sync::watch::channel(false);
    let backend = Backend::handling(move |_| {
        let mut released = released.clone();
        async move {
            released.wait_for(|released| *released).await.unwrap();
            crate::support::respond("late")
        }
    })
    .await;
    let mut rig = Rig::to(backend.address).await;
    let mut client = Client::h1(rig.http).await;
    let request = tokio::spawn(async move { client.get("a.test", "/").await });
    eventually("the request", || async { backend.seen().pop() }).await;
    rig.site.set_endpoints("app", []);
    rig.publish().await;
    rig.site.clear_rules();
    rig.publish().await;
    rig.send_retired(Site::cluster("app")).await;
    rig.publish().await;
    release.send_replace(true);
    assert_eq!(bounded("the answer", request).await.unwrap().text(), "late");
}

#[tokio::test]
async fn a_retired_cluster_may_come_back() {
    let backend = Backend::echo("one").await;
    let mut rig = Rig::to(backend.address).await;
    let mut client = Client::h1(rig.http).await;
    assert_eq!(client.get("a.test", "/").await.text(), "one");
    rig.site.clear_rules();
    rig.publish().await;
    rig.send_retired(Site::cluster("app")).await;
    assert_eq!(client.get("a.test", "/").await.status, 404);
    rig.site.add(Spec::to("app"));
    rig.publish().await;
    assert_eq!(client.get("a.test", "/").await.text(), "one");
}

#[tokio::test]
async fn no_request_fails_while_endpoints_change() {
    let backends = [Backend::echo("one").await, Backend::echo("two").await, Backend::echo("three").await];
    let mut rig = Rig::to(backends[0].address).await;
    let http = rig.http;
    let done = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for number in 0..4 {
        let done = done.clone();
        load.spawn(async move {
            let mut client = if number % 2 == 0 { Client::h1(http).await } else { Client::h2c(http).await };
            while !done.load(Ordering::SeqCst) {
                assert_eq!(client.get("a.test", "/").await.status, 200);
            }
        });
    }
    let mut pace = tokio::time::interval(Duration::from_millis(3));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Many changes under load, and until each endpoint has served.
    let mut changes = 0;
    while changes < 300 || backends.iter().any(|backend| backend.seen().is_empty()) {
        pace.tick().await;
        let chosen = backends.iter().enumerate().filter(|(index, _)| (changes + index) % 3 != 0);
        rig.site.set_endpoints("app", chosen.map(|(_, backend)| backend.address));
        rig.send_endpoints("app").await;
        changes += 1;
        if let Some(ended) = load.try_join_next() {
            ended.unwrap();
        }
    }
    done.store(true, Ordering::SeqCst);
    load.join_all().await;
}
