//! An endpoint that does not take connections is passed over, and the client never notices.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Backend, Client, Refusing, Rig, Scripted, Site, Spec};

#[tokio::test]
async fn a_refused_connection_is_tried_elsewhere_whatever_the_method() {
    let (dead, backend) = (Refusing::new(), Backend::echo("alive").await);
    let site = Site::default().rule(Spec::to("app")).endpoints("app", [dead.address, backend.address]);
    let rig = Rig::start(site).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        for _ in 0..10 {
            assert_eq!(client.get("a.test", "/").await.text(), "alive");
            assert_eq!(client.post("a.test", "/", "body").await.text(), "body");
        }
    }
}

#[tokio::test]
async fn two_refusals_are_survived() {
    let (dead, backend) = ([Refusing::new(), Refusing::new()], Backend::echo("alive").await);
    let addresses = [dead[0].address, dead[1].address, backend.address];
    let rig = Rig::start(Site::default().rule(Spec::to("app")).endpoints("app", addresses)).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..12 {
        assert_eq!(client.get("a.test", "/").await.text(), "alive");
    }
}

#[tokio::test]
async fn when_all_refuse_the_answer_is_502_until_one_comes_back() {
    let (dead, backend) = ([Refusing::new(), Refusing::new()], Backend::echo("alive").await);
    let site = Site::default().rule(Spec::to("app")).endpoints("app", dead.each_ref().map(|dead| dead.address));
    let mut rig = Rig::start(site).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 502);
    assert_eq!(Client::h1(rig.http).await.post("a.test", "/", "body").await.status, 502);
    assert_eq!(Client::h2c(rig.http).await.get("a.test", "/").await.status, 502);
    rig.site.set_endpoints("app", [backend.address]);
    rig.publish().await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.text(), "alive");
}

#[tokio::test]
async fn a_request_that_was_sent_is_never_sent_again() {
    let seen = Arc::new(AtomicUsize::new(0));
    let taking = || {
        let seen = seen.clone();
        Scripted::start(move |mut wire| {
            let seen = seen.clone();
            async move {
                let head = wire.head().await;
                wire.body(&head).await;
                seen.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let backends = [taking().await, taking().await];
    let addresses = backends.each_ref().map(|backend| backend.address);
    let rig = Rig::start(Site::default().rule(Spec::to("app")).endpoints("app", addresses)).await;
    assert_eq!(Client::h1(rig.http).await.post("a.test", "/pay", "100").await.status, 502);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn retries_are_counted() {
    let (dead, backend) = (Refusing::new(), Backend::echo("alive").await);
    let site = Site::default().rule(Spec::to("app")).endpoints("app", [dead.address, backend.address]);
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..4 {
        client.get("a.test", "/").await;
    }
    let metrics = rig.metrics().await;
    assert!(metrics.sum("ingora_upstream_retries_total", &[("service", "app")]).unwrap() >= 1.0);
    let refused = [("service", "app"), ("result", "refused")];
    assert!(metrics.sum("ingora_upstream_connects_total", &refused).unwrap() >= 1.0);
}
