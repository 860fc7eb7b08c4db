//! While the gateway itself has too much to do, requests are answered at once, and the operator still sees everything.
use std::time::Duration;

use gateway::{Config, Overload};

use crate::support::{Backend, Client, Rig, Site, Spec, config, eventually};

const OFF: Overload = Overload { lag: Duration::ZERO, memory_percent: 0, memory_limit: None };

async fn rig(backend: &Backend, overload: Overload) -> Rig {
    let site = Site::default().rule(Spec::to("app")).endpoints("app", [backend.address]);
    Rig::with(site, Config { overload, ..config() }).await
}

async fn shed(rig: &Rig, reason: &str) -> f64 {
    rig.metrics().await.sum("ingora_requests_shed_total", &[("reason", reason)]).unwrap()
}

#[tokio::test]
async fn without_memory_requests_are_shed_but_not_those_of_the_operator() {
    let backend = Backend::echo("a").await;
    // A process of one byte: everything is above the limit.
    let rig = rig(&backend, Overload { memory_percent: 90, memory_limit: Some(1), ..OFF }).await;
    let mut client = Client::h1(rig.http).await;
    let refused = eventually("the shedding", || async {
        let mut client = Client::h1(rig.http).await;
        let reply = client.get("a.test", "/").await;
        (reply.status == 503).then_some(reply)
    })
    .await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    for _ in 0..10 {
        assert_eq!(client.get("a.test", "/").await.status, 503, "on a connection that stays open");
    }
    assert_eq!((rig.admin("/healthz").await.0, rig.admin("/readyz").await.0), (200, 200));
    assert!(shed(&rig, "memory").await > 10.5);
    assert!(rig.metrics().await.sum("ingora_memory_used_ratio", &[]).unwrap() > 1.0);
}

#[tokio::test]
async fn a_worker_that_is_always_late_sheds() {
    let backend = Backend::echo("a").await;
    // No timer is as exact as this.
    let rig = rig(&backend, Overload { lag: Duration::from_nanos(1), ..OFF }).await;
    eventually("the shedding", || async {
        (Client::h1(rig.http).await.get("a.test", "/").await.status == 503).then_some(())
    })
    .await;
    assert!(shed(&rig, "lag").await > 0.5);
}

#[tokio::test]
async fn a_gateway_that_is_not_busy_sheds_nothing() {
    let backend = Backend::echo("a").await;
    let generous = Overload { lag: Duration::from_secs(60), memory_percent: 90, memory_limit: Some(1 << 50) };
    let rig = rig(&backend, generous).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..100 {
        assert_eq!(client.get("a.test", "/").await.status, 200);
    }
    assert!(shed(&rig, "lag").await + shed(&rig, "memory").await < 0.5);
}
