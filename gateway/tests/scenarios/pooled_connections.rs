//! Kept connections belong to an endpoint: they end when it goes, and are never used for another that got its address.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Backend, Client, Rig, Scripted, Site, Spec, bounded, eventually};

/// Keeps connections for as long as the gateway does, and counts those that the gateway has ended.
async fn keeping(ended: &Arc<AtomicUsize>) -> Scripted {
    let ended = ended.clone();
    Scripted::start(move |mut wire| {
        let ended = ended.clone();
        async move {
            // The connection may stay longer than a read of the support may wait.
            loop {
                let Some(head) = wire.head_without_limit().await else { break };
                wire.body(&head).await;
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
            ended.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await
}

async fn await_end(ended: &AtomicUsize) {
    eventually("the end of the idle connection", || async { (ended.load(Ordering::SeqCst) > 0).then_some(()) }).await;
}

#[tokio::test]
async fn idle_connections_end_when_their_endpoint_leaves() {
    let ended = Arc::default();
    let (old, new) = (keeping(&ended).await, Backend::echo("new").await);
    let mut rig = Rig::to(old.address).await;
    let mut client = Client::h1(rig.http).await;
    assert_eq!(client.get("a.test", "/").await.text(), "ok");
    rig.site.set_endpoints("app", [new.address]);
    rig.send_endpoints("app").await;
    await_end(&ended).await;
    assert_eq!(client.get("a.test", "/").await.text(), "new");
}

#[tokio::test]
async fn idle_connections_end_when_their_endpoint_terminates_or_its_service_is_used_no_more() {
    let ended = Arc::default();
    let (old, new) = (keeping(&ended).await, Backend::echo("new").await);
    let mut rig = Rig::to(old.address).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.text(), "ok");
    rig.site.set_endpoints("app", [new.address]);
    rig.site.add_draining("app", old.address);
    rig.send_endpoints("app").await;
    await_end(&ended).await;

    let ended = Arc::default();
    let pod = keeping(&ended).await;
    let mut rig = Rig::to(pod.address).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.text(), "ok");
    rig.site.clear_rules();
    rig.publish().await;
    rig.send_retired(Site::cluster("app")).await;
    await_end(&ended).await;
}

#[tokio::test]
async fn http2_connections_end_too() {
    let (old, new) = (Backend::h2c("old").await, Backend::h2c("new").await);
    let spec = Spec::to("app").annotation("backend-protocol", "GRPC");
    let mut rig = Rig::start(Site::default().rule(spec).endpoints("app", [old.address])).await;
    let mut client = Client::h2c(rig.http).await;
    assert_eq!(client.get("a.test", "/").await.text(), "old");
    assert_eq!(old.open(), 1);
    rig.site.set_endpoints("app", [new.address]);
    rig.send_endpoints("app").await;
    eventually("the end of the idle connection", || async { (old.open() == 0).then_some(()) }).await;
    assert_eq!(client.get("a.test", "/").await.text(), "new");
}

#[tokio::test]
async fn a_connection_in_use_ends_after_its_answer() {
    let (release, released) = tokio::sync::watch::channel(false);
    let old = Backend::handling(move |_| {
        let mut released = released.clone();
        async move {
            released.wait_for(|released| *released).await.unwrap();
            crate::support::respond("late")
        }
    })
    .await;
    let new = Backend::echo("new").await;
    let mut rig = Rig::to(old.address).await;
    let mut client = Client::h1(rig.http).await;
    let request = tokio::spawn(async move { client.get("a.test", "/").await });
    eventually("the request", || async { old.seen().pop() }).await;
    rig.site.set_endpoints("app", [new.address]);
    rig.send_endpoints("app").await;
    // Several looks at the endpoint find the request.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(old.open(), 1);
    release.send_replace(true);
    assert_eq!(bounded("the answer", request).await.unwrap().text(), "late");
    eventually("the end of the connection", || async { (old.open() == 0).then_some(()) }).await;
}

#[tokio::test]
async fn another_endpoint_with_the_same_address_gets_no_old_connection() {
    let pod = Scripted::recording().await;
    let mut config = crate::support::config();
    config.threads = 1;
    let mut rig = Rig::with(Site::default().rule(Spec::to("app")).endpoints("app", [pod.address]), config).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..2 {
        assert_eq!(client.get("a.test", "/").await.text(), "ok");
    }
    for addresses in [vec![], vec![pod.address]] {
        rig.site.set_endpoints("app", addresses);
        rig.publish().await;
    }
    assert_eq!(client.get("a.test", "/").await.text(), "ok");
    assert_eq!(pod.connections(), [0, 0, 1]);
}
