//! The end is announced, waited for, and costs no request.
use std::time::{Duration, Instant};

use http::Method;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::support::{Backend, Client, Rig, Scripted, Site, Spec, bounded, config, empty, eventually, respond};

async fn rig(address: std::net::SocketAddr, grace: Duration, drain: Duration) -> Rig {
    let mut config = config();
    config.timeouts.shutdown_grace = grace;
    config.timeouts.drain = drain;
    Rig::with(Site::default().rule(Spec::to("app")).endpoints("app", [address]), config).await
}

/// A backend that answers only when it is told to.
async fn waiting() -> (Backend, watch::Sender<bool>) {
    let (release, released) = watch::channel(false);
    let backend = Backend::handling(move |_| {
        let mut released = released.clone();
        async move {
            released.wait_for(|released| *released).await.unwrap();
            respond("late")
        }
    })
    .await;
    (backend, release)
}

#[tokio::test]
async fn connections_are_accepted_during_the_grace_period() {
    let backend = Scripted::recording().await;
    let rig = rig(backend.address, Duration::from_secs(8), Duration::from_secs(1)).await;
    let mut old = rig.wire().await;
    old.get("/").await;
    assert_eq!(old.response().await.0.status(), 200);
    rig.terminate();
    eventually("unreadiness", || async { (rig.admin("/readyz").await.0 == 503).then_some(()) }).await;
    old.get("/").await;
    assert_eq!(old.response().await.0.status(), 200);
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 200);
    assert_eq!(Client::h2c(rig.http).await.get("a.test", "/").await.status, 200);
}

#[tokio::test]
async fn idle_connections_end_and_new_ones_are_refused_after_the_grace_period() {
    let backend = Scripted::recording().await;
    let rig = rig(backend.address, Duration::from_millis(300), Duration::from_secs(5)).await;
    let (http, https) = (rig.http, rig.https);
    let mut idle = rig.wire().await;
    idle.get("/").await;
    assert_eq!(idle.response().await.0.status(), 200);
    let mut h2 = Client::h2c(http).await;
    assert_eq!(h2.get("a.test", "/").await.status, 200);
    rig.terminate();
    idle.closed().await;
    let Client::H2(sender, _) = &h2 else { panic!() };
    eventually("the end of HTTP/2", || async { sender.is_closed().then_some(()) }).await;
    rig.ended().await;
    for address in [http, https] {
        assert!(TcpStream::connect(address).await.is_err());
    }
}

#[tokio::test]
async fn a_request_in_flight_is_answered_and_then_the_connection_closes() {
    let (backend, release) = waiting().await;
    let rig = rig(backend.address, Duration::ZERO, Duration::from_secs(15)).await;
    let mut wire = rig.wire().await;
    wire.get("/").await;
    eventually("the request", || async { backend.seen().pop() }).await;
    rig.terminate();
    let http = rig.http;
    eventually("the listener to close", || async { TcpStream::connect(http).await.is_err().then_some(()) }).await;
    release.send_replace(true);
    let (head, body) = wire.response().await;
    assert_eq!((head.status(), body.as_slice()), (200, b"late".as_slice()));
    assert!(head.closes(), "{head:?}");
    wire.closed().await;
    rig.ended().await;
}

#[tokio::test]
async fn a_stream_in_flight_is_answered_and_then_the_connection_goes_away() {
    let (backend, release) = waiting().await;
    let rig = rig(backend.address, Duration::ZERO, Duration::from_secs(15)).await;
    let mut client = Client::h2c(rig.http).await;
    let watched = client.share();
    let request = client.request(Method::GET, "a.test", "/").body(empty()).unwrap();
    let answer = tokio::spawn(async move { client.send(request).await });
    eventually("the request", || async { backend.seen().pop() }).await;
    rig.terminate();
    let http = rig.http;
    eventually("the listener to close", || async { TcpStream::connect(http).await.is_err().then_some(()) }).await;
    release.send_replace(true);
    assert_eq!(bounded("the answer", answer).await.unwrap().text(), "late");
    let Client::H2(sender, _) = &watched else { panic!() };
    eventually("the end of HTTP/2", || async { sender.is_closed().then_some(()) }).await;
    rig.ended().await;
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_after_the_drain_timeout() {
    let (backend, _release) = waiting().await;
    let rig = rig(backend.address, Duration::ZERO, Duration::from_millis(500)).await;
    let mut wire = rig.wire().await;
    wire.get("/").await;
    eventually("the request", || async { backend.seen().pop() }).await;
    let begun = Instant::now();
    rig.terminate();
    rig.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(!wire.rest().await.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn an_idle_gateway_ends_at_once() {
    let backend = Scripted::recording().await;
    let rig = rig(backend.address, Duration::ZERO, Duration::from_secs(60)).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 200);
    rig.terminate();
    let begun = Instant::now();
    rig.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// Clients that keep asking over the grace period see nothing but 200, and `Connection: close` as the only end.
#[tokio::test]
async fn no_request_fails_while_the_gateway_ends() {
    let backend = Scripted::recording().await;
    let rig = rig(backend.address, Duration::from_millis(300), Duration::from_secs(10)).await;
    let mut wire = rig.wire().await;
    rig.terminate();
    let mut answered = 0;
    loop {
        wire.get("/").await;
        // An idle connection may be closed just as the next request leaves; the client sees no head then and may repeat.
        let Some(head) = wire.try_head().await else { break };
        assert_eq!(head.status(), 200);
        assert_eq!(wire.body(&head).await, b"ok");
        answered += 1;
        if head.closes() {
            wire.closed().await;
            break;
        }
    }
    assert!(answered > 0);
}
