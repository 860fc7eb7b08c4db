//! Slow clients cost others nothing, and are let go in time.
use std::time::Duration;

use tokio::sync::mpsc;

use crate::support::{Backend, Client, Offer, Rig, Scripted, Site, Spec, Wire, bounded, config};

/// Answers `/large` with more than buffers hold, and tells when that connection ends.
async fn large(ended: mpsc::Sender<()>) -> Scripted {
    Scripted::start(move |mut wire| {
        let ended = ended.clone();
        async move {
            wire.head().await;
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
            let piece = vec![b'x'; 256 * 1024];
            while wire.try_send_unbounded(&piece).await.is_ok() {}
            ended.send(()).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn a_client_that_stops_reading_is_let_go_after_the_send_timeout() {
    let (ended, mut end) = mpsc::channel(1);
    let backend = large(ended).await;
    let mut config = config();
    config.timeouts.send = Duration::from_millis(500);
    let site = Site::default().rule(Spec::to("app")).endpoints("app", [backend.address]);
    let rig = Rig::with(site, config).await;
    let mut wire = rig.wire().await;
    wire.get("/large").await;
    assert_eq!(wire.head().await.status(), 200);
    bounded("the end", end.recv()).await.unwrap();
}

#[tokio::test]
async fn stalled_clients_do_not_slow_others() {
    let (ended, _end) = mpsc::channel(100);
    let (large, quick) = (large(ended).await, Backend::echo("quick").await);
    let site = Site::default()
        .rule(Spec::to("large").prefix("/large"))
        .rule(Spec::to("quick"))
        .endpoints("large", [large.address])
        .endpoints("quick", [quick.address]);
    let rig = Rig::start(site).await;
    let mut stalled: Vec<Wire> = Vec::new();
    for number in 0..20 {
        let mut wire = rig.wire().await;
        if number % 2 == 0 {
            wire.get("/large").await;
            assert_eq!(wire.head().await.status(), 200);
        } else {
            wire.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf").await;
        }
        stalled.push(wire);
    }
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        for _ in 0..50 {
            assert_eq!(client.get("a.test", "/").await.text(), "quick");
        }
    }
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_served() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    for byte in b"POST /slow HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody" {
        wire.send([*byte]).await;
    }
    assert_eq!(wire.response().await.0.status(), 200);
    assert_eq!(backend.last().target(), "/slow");
}

#[tokio::test]
async fn a_client_that_negotiates_http2_and_says_nothing_is_let_go() {
    let backend = Backend::echo("one").await;
    let mut config = config();
    config.timeouts.head = Duration::from_millis(300);
    let site = Site::default().rule(Spec::to("app")).endpoints("app", [backend.address]);
    let rig = Rig::with(site, config).await;
    let mut wire = Wire::new(Offer::h2("a.test").connect(rig.https).await.unwrap());
    wire.closed().await;
}
