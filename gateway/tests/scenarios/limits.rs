//! What a stranger can send and hold is limited.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use gateway::Config;
use tokio::sync::Semaphore;

use crate::support::{Backend, Client, Offer, Rig, Scripted, Site, Spec, Wire, config, eventually, respond};

async fn rig(backend: &Scripted, change: impl FnOnce(&mut Config)) -> Rig {
    let mut config = config();
    change(&mut config);
    Rig::with(Site::default().rule(Spec::to("app")).endpoints("app", [backend.address]), config).await
}

fn head(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")
}

#[tokio::test]
async fn large_heads_are_refused() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, |config| config.limits.head_bytes = 8 * 1024).await;
    let mut wire = rig.wire().await;
    wire.send(head(&format!("X-Large: {}\r\n", "x".repeat(6 * 1024)))).await;
    assert_eq!(wire.response().await.0.status(), 200);
    let large = head(&format!("X-Large: {}\r\n", "x".repeat(12 * 1024)));
    rig.wire().await.refused_with(large, &[400, 431]).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(12 * 1024));
    rig.wire().await.refused_with(long, &[400, 414, 431]).await;
    assert_eq!(backend.heads().len(), 1);
}

#[tokio::test]
async fn a_head_without_an_end_is_refused_at_the_limit() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, |config| config.limits.head_bytes = 8 * 1024).await;
    let endless = format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {}", "x".repeat(64 * 1024));
    rig.wire().await.refused_with(endless, &[400, 431]).await;
}

#[tokio::test]
async fn heads_of_many_fields_are_refused() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, |config| config.limits.head_fields = 20).await;
    let fields = |count: usize| (0..count).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    let mut wire = rig.wire().await;
    wire.send(head(&fields(19))).await;
    assert_eq!(wire.response().await.0.status(), 200);
    rig.wire().await.refused_with(head(&fields(20)), &[400, 431]).await;
    rig.wire().await.refused_with(head(&"X: 1\r\n".repeat(200)), &[400, 431]).await;
    assert_eq!(backend.heads().len(), 1);
}

#[tokio::test]
async fn http2_requests_of_many_fields_are_refused() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, |config| config.limits.head_fields = 20).await;
    let mut client = Client::h2c(rig.http).await;
    let mut request = client.request(http::Method::GET, "a.test", "/");
    for number in 0..40 {
        request = request.header(format!("x-{number}"), "1");
    }
    let refused = client.try_send(request.body(crate::support::empty()).unwrap()).await;
    assert!(
        refused.as_ref().map_or(true, |response| response.status() == 431 || response.status() == 400),
        "{refused:?}"
    );
    assert!(backend.heads().is_empty());
    assert_eq!(Client::h2c(rig.http).await.get("a.test", "/").await.status, 200);
}

/// Each byte comes in time, the head as a whole does not.
#[tokio::test]
async fn a_head_has_a_deadline_in_all() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, |config| config.timeouts.head = Duration::from_millis(500)).await;
    let mut wire = rig.wire().await;
    let begun = Instant::now();
    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nX: ").await;
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let ended = loop {
        pace.tick().await;
        if wire.try_send("x").await.is_err() {
            break begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "the deadline never came");
    };
    assert!(ended >= Duration::from_millis(400), "{ended:?}");
    assert!(backend.heads().is_empty());
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, |config| {
        config.timeouts.head = Duration::from_millis(200);
        config.timeouts.keep_alive = Duration::from_millis(400);
    })
    .await;
    let answer = rig.wire().await.rest().await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    Wire::connect(rig.https).await.rest().await;
}

#[tokio::test]
async fn an_idle_kept_connection_is_closed() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, |config| config.timeouts.keep_alive = Duration::from_millis(400)).await;
    let mut wire = rig.wire().await;
    let mut tls = rig.tls_wire(Offer::h1("a.test")).await;
    for _ in 0..2 {
        wire.get("/").await;
        tls.get("/").await;
        assert_eq!(wire.response().await.0.status(), 200);
        assert_eq!(tls.response().await.0.status(), 200);
    }
    wire.closed().await;
    tls.closed().await;
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, |config| config.timeouts.keep_alive = Duration::from_millis(400)).await;
    let mut client = Client::h2c(rig.http).await;
    assert_eq!(client.get("a.test", "/").await.status, 200);
    let Client::H2(sender, _) = &client else { panic!() };
    eventually("the end", || async { sender.is_closed().then_some(()) }).await;
}

#[tokio::test]
async fn a_body_that_stalls_ends_the_connection() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, |config| config.timeouts.body = Duration::from_millis(300)).await;
    let mut wire = rig.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\npart").await;
    let answer = String::from_utf8(wire.rest().await).unwrap();
    assert!(!answer.contains(" 200 "), "{answer}");
    assert!(backend.heads().is_empty());
}

#[tokio::test]
async fn a_connection_ends_after_its_last_request() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, |config| config.limits.requests_per_connection = 3).await;
    let mut wire = rig.wire().await;
    for number in 1..=3 {
        wire.get("/").await;
        let (head, _) = wire.response().await;
        assert_eq!(head.status(), 200);
        assert_eq!(head.closes(), number == 3, "request {number}: {head:?}");
    }
    wire.closed().await;
}

#[tokio::test]
async fn one_source_has_so_many_connections() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, |config| config.limits.connections_per_source = 4).await;
    capped(&rig).await;
}

#[tokio::test]
async fn all_sources_have_so_many_connections() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, |config| config.limits.connections = 4).await;
    capped(&rig).await;
}

/// The fifth connection is closed without an answer, until one of the four has gone.
async fn capped(rig: &Rig) {
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut wire = rig.wire().await;
        wire.get("/").await;
        assert_eq!(wire.response().await.0.status(), 200);
        open.push(wire);
    }
    for address in [rig.http, rig.https] {
        let mut fifth = Wire::connect(address).await;
        let answer = fifth.rest().await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    }
    for wire in &mut open {
        wire.get("/").await;
        assert_eq!(wire.response().await.0.status(), 200);
    }
    let refused = rig.metrics().await.sum("ingora_connections_refused_total", &[]).unwrap();
    assert!(refused >= 2.0, "{refused}");
    open.pop();
    eventually("room", || async {
        let mut wire = rig.wire().await;
        wire.try_send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.ok()?;
        let head = wire.try_head().await?;
        (head.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_connection_has_so_many_streams() {
    let (open, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Semaphore::new(1));
    let (now, most, turn) = (open.clone(), peak.clone(), gate.clone());
    let backend = Backend::handling(move |_| {
        let (now, most, turn) = (now.clone(), most.clone(), turn.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            turn.acquire().await.unwrap().forget();
            now.fetch_sub(1, Ordering::SeqCst);
            respond("ok")
        }
    })
    .await;
    let mut config = config();
    config.limits.concurrent_streams = 5;
    let site = Site::default().rule(Spec::to("app")).endpoints("app", [backend.address]);
    let rig = Rig::with(site, config).await;
    let mut client = Client::h2c(rig.http).await;
    // The first answer comes after the settings, and uses up the only turn.
    assert_eq!(client.get("a.test", "/").await.status, 200);
    let requests = (0..30).map(|_| {
        let mut client = client.share();
        async move { client.get("a.test", "/").await.status }
    });
    let requests = tokio::spawn(join_all(requests));
    eventually("as many streams as allowed", || async { (open.load(Ordering::SeqCst) >= 5).then_some(()) }).await;
    gate.add_permits(30);
    assert!(requests.await.unwrap().iter().all(|status| *status == 200));
    assert_eq!(peak.load(Ordering::SeqCst), 5);
}
