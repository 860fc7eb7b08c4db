//! The body of a request is read whole before an endpoint gets it, unless its rule says otherwise.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Method;
use tokio::sync::mpsc;

use crate::support::{Client, Head, Offer, Rig, Scripted, Site, Spec, bounded, channel, full};

/// A server that answers 200 and tells the head and body of each request.
async fn telling() -> (Scripted, mpsc::UnboundedReceiver<(Head, Vec<u8>)>) {
    let (seen, requests) = mpsc::unbounded_channel();
    let server = Scripted::start(move |mut wire| {
        let seen = seen.clone();
        async move {
            while let Some(head) = wire.try_head().await {
                let body = wire.body(&head).await;
                seen.send((head, body)).ok();
                wire.try_send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.ok();
            }
        }
    })
    .await;
    (server, requests)
}

async fn clients(rig: &Rig) -> [Client; 3] {
    [Client::h1(rig.http).await, Client::h2c(rig.http).await, Client::tls(rig.https, Offer::h2("a.test")).await]
}

/// Bytes of which each place is another.
fn bytes(len: usize) -> Bytes {
    (0..len).map(|at| (at % 251).to_le_bytes()[0]).collect()
}

/// Sizes around what is kept where: in Pingora's buffer, in memory, in a file.
const SIZES: [usize; 7] = [1, 16_384, 16_385, 65_536, 65_537, 300_000, 3_000_000];

#[tokio::test]
async fn a_body_without_a_length_arrives_whole_and_with_one() {
    let (backend, mut requests) = telling().await;
    let rig = Rig::to(backend.address).await;
    for mut client in clients(&rig).await {
        for len in SIZES {
            let (mut sender, body) = channel();
            let request = client.request(Method::POST, "a.test", "/").body(body).unwrap();
            let all = bytes(len);
            let pieces = all.clone();
            let sending = tokio::spawn(async move {
                for at in (0..pieces.len()).step_by(50_000) {
                    sender.send_data(pieces.slice(at..pieces.len().min(at + 50_000))).await.unwrap();
                }
            });
            assert_eq!(client.send(request).await.text(), "ok");
            sending.await.unwrap();
            let (head, body) = requests.recv().await.unwrap();
            assert_eq!(head.one("content-length"), Some(len.to_string().as_str()));
            assert_eq!(head.one("transfer-encoding"), None);
            assert!(body == all, "{len}");
        }
    }
    assert_eq!(rig.metrics().await.sum("ingora_bodies_passed_unread_total", &[]), Some(0.0));
}

#[tokio::test]
async fn a_body_with_a_length_arrives_whole() {
    let (backend, mut requests) = telling().await;
    let rig = Rig::to(backend.address).await;
    for mut client in clients(&rig).await {
        for method in [Method::POST, Method::GET, Method::DELETE] {
            for len in SIZES {
                let request = client.request(method.clone(), "a.test", "/").header("content-length", len);
                assert_eq!(client.send(request.body(full(bytes(len))).unwrap()).await.text(), "ok");
                let (head, body) = requests.recv().await.unwrap();
                assert_eq!(head.one("content-length"), Some(len.to_string().as_str()));
                assert!(body == bytes(len), "{len}");
            }
        }
    }
}

#[tokio::test]
async fn an_empty_body_in_chunks_has_a_length_of_nothing_and_a_request_without_a_body_has_none() {
    let (backend, mut requests) = telling().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    for (framing, length) in [("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Some("0")), ("\r\n", None)] {
        wire.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{framing}")).await;
        assert_eq!(wire.response().await.0.status(), 200);
        assert_eq!(requests.recv().await.unwrap().0.one("content-length"), length);
    }
}

#[tokio::test]
async fn an_endpoint_sees_nothing_of_a_request_before_its_body_is_here() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    let backend = Scripted::start(move |mut wire| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            let head = wire.head().await;
            let body = wire.body(&head).await;
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).await;
            wire.send(body).await;
        }
    })
    .await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(wire.head().await.status(), 100, "the gateway asks for the body itself");
    wire.send("half").await;
    // Others are served meanwhile, so the half has had its time.
    let mut other = rig.wire().await;
    for _ in 0..20 {
        other.send("GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n").await;
        assert_eq!(other.response().await.0.status(), 404);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    wire.send("more").await;
    let (head, body) = wire.response().await;
    assert_eq!((head.status(), body.as_slice()), (200, b"halfmore".as_slice()));
    assert!(!head.closes(), "the connection is kept");
}

#[tokio::test]
async fn off_passes_a_body_on_as_it_comes() {
    let (backend, mut requests) = telling().await;
    let rule = Spec::to("app").annotation("proxy-request-buffering", "off");
    let rig = Rig::start(Site::default().rule(rule).endpoints("app", [backend.address])).await;
    for mut client in clients(&rig).await {
        let (mut sender, body) = channel();
        let request = client.request(Method::POST, "a.test", "/").body(body).unwrap();
        let sending = tokio::spawn(async move { sender.send_data("hello".into()).await });
        assert_eq!(client.send(request).await.text(), "ok");
        sending.await.unwrap().unwrap();
        let (head, body) = requests.recv().await.unwrap();
        assert_eq!((head.one("transfer-encoding"), head.one("content-length")), (Some("chunked"), None), "{head:?}");
        assert_eq!(body, b"hello");
    }
}

#[tokio::test]
async fn a_connection_serves_the_request_after_a_body_in_chunks() {
    let (backend, mut requests) = telling().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    for len in [5, 100_000] {
        let body = "x".repeat(len);
        wire.send(format!(
            "POST /one HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{len:x}\r\n{body}\r\n0\r\n\r\n"
        ))
        .await;
        let (head, _) = wire.response().await;
        assert_eq!((head.status(), head.closes()), (200, false));
        assert_eq!(requests.recv().await.unwrap().1, body.as_bytes());
        wire.get("/two").await;
        assert_eq!(wire.response().await.0.status(), 200);
        assert_eq!(requests.recv().await.unwrap().0.first, "GET /two HTTP/1.1");
    }
    // What comes too early is no part of the body, and ends the connection as it always does.
    wire.send("POST /three HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /fo")
        .await;
    assert_eq!(wire.response().await.0.status(), 200);
    assert_eq!(requests.recv().await.unwrap().1, b"hi");
    wire.closed().await;
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_refused_and_no_endpoint_hears_of_it() {
    let (backend, mut requests) = telling().await;
    let rule = Spec::to("app").annotation("proxy-body-size", "200k");
    let rig = Rig::start(Site::default().rule(rule).endpoints("app", [backend.address])).await;
    let chunk = format!("186a0\r\n{}\r\n", "x".repeat(100_000));
    let request = "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut wire = rig.wire().await;
    wire.send(request).await;
    assert_eq!(wire.head().await.status(), 100);
    wire.refused_with(chunk.repeat(3), &[413]).await;
    let mut client = Client::h2c(rig.http).await;
    let (mut sender, body) = channel();
    let sending = tokio::spawn(async move { while sender.send_data(bytes(50_000)).await.is_ok() {} });
    let request = client.request(Method::POST, "a.test", "/").body(body).unwrap();
    assert_eq!(client.try_send(request).await.unwrap().status(), 413);
    drop(client);
    bounded("the sender to end", sending).await.unwrap();
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn another_try_gets_all_of_a_large_body() {
    let (backend, mut requests) = telling().await;
    let failing = Scripted::start(|mut wire| async move {
        let head = wire.head().await;
        wire.body(&head).await;
        wire.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").await;
    })
    .await;
    let rule =
        Spec::to("app").annotation("proxy-body-size", "0").annotation("proxy-next-upstream", "http_503 non_idempotent");
    let rig = Rig::start(Site::default().rule(rule).endpoints("app", [failing.address, backend.address])).await;
    for mut client in clients(&rig).await {
        // Both are the first one in turn.
        for _ in 0..2 {
            let (mut sender, body) = channel();
            let sending = tokio::spawn(async move { sender.send_data(bytes(1 << 20)).await });
            let request = client.request(Method::POST, "a.test", "/").body(body).unwrap();
            assert_eq!(client.send(request).await.status, 200);
            sending.await.unwrap().unwrap();
            assert!(requests.recv().await.unwrap().1 == bytes(1 << 20));
        }
    }
}

#[tokio::test]
async fn without_room_a_body_passes_as_it_comes_and_nothing_is_lost() {
    let (backend, mut requests) = telling().await;
    let mut config = crate::support::config();
    (config.limits.body_memory, config.limits.body_files) = (0, 200_000);
    let rule = Spec::to("app").annotation("proxy-body-size", "0");
    let rig = Rig::with(Site::default().rule(rule).endpoints("app", [backend.address]), config).await;
    for mut client in clients(&rig).await {
        for (len, passes) in [(150_000, false), (1_000_000, true)] {
            let before = passed(&rig).await;
            let (mut sender, body) = channel();
            let request = client.request(Method::POST, "a.test", "/").body(body).unwrap();
            let sending = tokio::spawn(async move {
                for at in (0..len).step_by(10_000) {
                    sender.send_data(bytes(len).slice(at..at + 10_000)).await.unwrap();
                }
            });
            assert_eq!(client.send(request).await.text(), "ok");
            sending.await.unwrap();
            let (head, body) = requests.recv().await.unwrap();
            assert!(body == bytes(len), "{len}: {}", body.len());
            assert_eq!(head.one("transfer-encoding").is_some(), passes);
            // With a length it is known before anything is read.
            let request = client.request(Method::POST, "a.test", "/").header("content-length", len);
            assert_eq!(client.send(request.body(full(bytes(len))).unwrap()).await.text(), "ok");
            assert!(requests.recv().await.unwrap().1 == bytes(len));
            assert!((passed(&rig).await - before - f64::from(u8::from(passes)) * 2.0).abs() < 0.5);
        }
    }
}

async fn passed(rig: &Rig) -> f64 {
    rig.metrics().await.sum("ingora_bodies_passed_unread_total", &[("reason", "room")]).unwrap()
}

#[tokio::test]
async fn a_client_that_leaves_before_its_body_is_here_reaches_nobody() {
    let (backend, mut requests) = telling().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nhalf").await;
    drop(wire);
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/other").await.status, 200);
    assert_eq!(requests.recv().await.unwrap().0.target(), "/other");
    crate::support::eventually("the end of the request", || async {
        let metrics = rig.metrics().await;
        (metrics.sum("ingora_requests_total", &[("status", "499")])? >= 1.0).then_some(())
    })
    .await;
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let (backend, _requests) = telling().await;
    let mut config = crate::support::config();
    config.timeouts.body = std::time::Duration::from_millis(300);
    let site = Site::default().rule(Spec::to("app")).endpoints("app", [backend.address]);
    let rig = Rig::with(site, config).await;
    for framing in ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let wire = rig.wire().await;
        wire.refused_with(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{framing}"), &[408]).await;
    }
    let mut client = Client::h2c(rig.http).await;
    let (mut sender, body) = channel();
    let request = client.request(Method::POST, "a.test", "/").body(body).unwrap();
    let sending = tokio::spawn(async move {
        sender.send_data("half".into()).await.ok();
        std::future::pending::<()>().await;
    });
    assert_eq!(client.send(request).await.status, 408);
    sending.abort();
}

/// More than the socket buffers on the way to an endpoint hold.
const LARGE: usize = 30_000_000;

async fn rig_with_a_second(address: std::net::SocketAddr) -> Rig {
    let rule = Spec::to("app")
        .annotation("proxy-body-size", "0")
        .annotation("proxy-send-timeout", "1")
        .annotation("proxy-next-upstream", "off");
    Rig::start(Site::default().rule(rule).endpoints("app", [address])).await
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_of_a_body_is_given_up_after_the_send_timeout() {
    let backend = Scripted::start(|mut wire| async move {
        wire.head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let rig = rig_with_a_second(backend.address).await;
    assert_eq!(Client::h1(rig.http).await.post("a.test", "/", bytes(LARGE)).await.status, 504);
}

#[tokio::test]
async fn an_endpoint_that_is_slow_but_goes_on_gets_all_of_a_body() {
    let backend = Scripted::start(|mut wire| async move {
        wire.head().await;
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(300));
        let mut read = 0;
        // Longer than the send timeout in all.
        while read < LARGE {
            pace.tick().await;
            read += wire.count((LARGE - read).min(LARGE / 8)).await;
        }
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let rig = rig_with_a_second(backend.address).await;
    assert_eq!(Client::h1(rig.http).await.post("a.test", "/", bytes(LARGE)).await.text(), "ok");
}
