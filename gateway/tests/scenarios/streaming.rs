//! Bodies stream both ways where `proxy-request-buffering` is off, and answers always: nothing is held back, nothing is piled
//! up.
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use crate::support::{Backend, Client, Offer, Rig, Scripted, Site, Spec, bounded, channel, collect, empty, respond};

const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 512;

async fn clients(rig: &Rig) -> [Client; 3] {
    [Client::h1(rig.http).await, Client::h2c(rig.http).await, Client::tls(rig.https, Offer::h2("a.test")).await]
}

#[tokio::test]
async fn the_endpoint_sees_the_first_piece_before_the_last_is_sent() {
    let (seen, mut pieces) = mpsc::channel::<Bytes>(16);
    let backend = Backend::handling(move |request| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                seen.send(frame.unwrap().into_data().unwrap()).await.unwrap();
            }
            respond("done")
        }
    })
    .await;
    let rig = Rig::streaming_to(backend.address).await;
    for mut client in clients(&rig).await {
        let (mut sender, body) = channel();
        let request = client.request(Method::POST, "a.test", "/").body(body).unwrap();
        let answer = tokio::spawn(async move { client.send(request).await });
        for piece in ["first", "second", "third"] {
            sender.send_data(piece.into()).await.unwrap();
            assert_eq!(bounded("the piece", pieces.recv()).await.unwrap(), piece);
        }
        drop(sender);
        assert_eq!(bounded("the answer", answer).await.unwrap().text(), "done");
    }
}

#[tokio::test]
async fn the_client_sees_the_first_piece_before_the_last_is_sent() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let queue = bodies.clone();
    let backend = Backend::handling(move |_| {
        let body = queue.lock().unwrap().pop().unwrap();
        async move { Response::new(body) }
    })
    .await;
    let rig = Rig::to(backend.address).await;
    for mut client in clients(&rig).await {
        let (mut sender, body) = channel();
        bodies.lock().unwrap().push(body);
        let request = client.request(Method::GET, "a.test", "/").body(empty()).unwrap();
        let mut response = client.try_send(request).await.unwrap();
        for piece in ["first", "second", "third"] {
            sender.send_data(piece.into()).await.unwrap();
            let frame = bounded("the piece", response.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), piece);
        }
        drop(sender);
        assert_eq!(collect(response).await.unwrap().text(), "");
    }
}

#[tokio::test]
async fn an_answer_with_a_length_is_not_held_back() {
    let (go, wait) = tokio::sync::watch::channel(0);
    let backend = Scripted::start(move |mut wire| {
        let mut wait = wait.clone();
        async move {
            wire.head().await;
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n").await;
            for (number, piece) in ["first", "second"].into_iter().enumerate() {
                wait.wait_for(|go| *go > number).await.unwrap();
                wire.send(piece).await;
            }
            wire.closed().await;
        }
    })
    .await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.get("/").await;
    assert_eq!(wire.head().await.status(), 200);
    for (number, piece) in ["first", "second"].into_iter().enumerate() {
        go.send_replace(number + 1);
        assert_eq!(wire.exact(piece.len()).await, piece.as_bytes());
    }
}

#[tokio::test]
async fn an_answer_may_begin_while_the_request_still_runs() {
    let backend = Backend::handling(|request| async move {
        Response::new(request.into_body().map_err(|error| panic!("{error}")).boxed())
    })
    .await;
    let rig = Rig::streaming_to(backend.address).await;
    for mut client in clients(&rig).await {
        let (mut sender, body) = channel();
        let request = client.request(Method::POST, "a.test", "/").body(body).unwrap();
        let mut response = client.try_send(request).await.unwrap();
        for piece in ["ping", "pong"] {
            sender.send_data(piece.into()).await.unwrap();
            let frame = bounded("the echo", response.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), piece);
        }
        drop(sender);
        assert_eq!(collect(response).await.unwrap().text(), "");
    }
}

/// 32 MiB each way that differ from chunk to chunk, so that a lost or doubled chunk shows. One way after the other: an
/// HTTP/1.1 endpoint that sends much before it has read much is more than Pingora takes (see `docs/differences.md`).
#[tokio::test]
async fn large_bodies_pass_both_ways_unchanged() {
    let backend = Backend::handling(|request| async move {
        check(request.into_body()).await;
        let (mut sender, body) = channel();
        tokio::spawn(async move {
            for number in 0..CHUNKS {
                sender.send_data(chunk(number)).await.unwrap();
            }
        });
        Response::new(body)
    })
    .await;
    let spec = Spec::to("app").annotation("proxy-body-size", "0");
    let rig = Rig::start(Site::default().rule(spec).endpoints("app", [backend.address])).await;
    for mut client in clients(&rig).await {
        let (mut sender, body) = channel();
        let request = client.request(Method::POST, "a.test", "/").body(body).unwrap();
        let writer = tokio::spawn(async move {
            for number in 0..CHUNKS {
                sender.send_data(chunk(number)).await.unwrap();
            }
        });
        check(client.try_send(request).await.unwrap().into_body()).await;
        writer.await.unwrap();
    }
}

/// Reads a body to its end; it must be the chunks.
async fn check<B: hyper::body::Body<Data = Bytes, Error: std::fmt::Debug> + Unpin>(mut body: B) {
    let mut read = 0;
    while let Some(frame) = bounded("a frame", body.frame()).await {
        for byte in frame.unwrap().into_data().unwrap() {
            assert!(byte == (read / CHUNK % 251).to_le_bytes()[0], "byte {read}");
            read += 1;
        }
    }
    assert_eq!(read, CHUNKS * CHUNK);
}

fn chunk(number: usize) -> Bytes {
    vec![(number % 251).to_le_bytes()[0]; CHUNK].into()
}

/// Waits until a counter stands still, and returns where.
async fn settled(counter: &AtomicUsize) -> usize {
    bounded("the counter to stand still", async {
        let mut pace = tokio::time::interval(Duration::from_millis(300));
        let mut last = 0;
        loop {
            pace.tick().await;
            let now = counter.load(Ordering::SeqCst);
            if now > 0 && now == last {
                return now;
            }
            last = now;
        }
    })
    .await
}

/// More than all socket buffers on the way may hold.
const TOO_MUCH: usize = 128 << 20;

#[tokio::test]
async fn a_client_that_does_not_read_stalls_the_endpoint() {
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let backend = Scripted::start(move |mut wire| {
        let counter = counter.clone();
        async move {
            wire.head().await;
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {TOO_MUCH}\r\n\r\n")).await;
            let piece = vec![b'x'; CHUNK];
            while counter.fetch_add(CHUNK, Ordering::SeqCst) < TOO_MUCH && wire.try_send_unbounded(&piece).await.is_ok()
            {
            }
        }
    })
    .await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.get("/").await;
    assert_eq!(wire.head().await.status(), 200);
    let held = settled(&written).await;
    assert!(held < TOO_MUCH / 2, "{held} bytes were taken from the endpoint");
    assert_eq!(wire.count(TOO_MUCH).await, TOO_MUCH);
}

#[tokio::test]
async fn an_http2_client_that_does_not_read_stalls_the_endpoint() {
    let (mut sender, body) = channel();
    let body = Mutex::new(Some(body));
    let backend = Backend::handling(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Response::new(body) }
    })
    .await;
    let rig = Rig::to(backend.address).await;
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let writer = tokio::spawn(async move {
        while counter.load(Ordering::SeqCst) < TOO_MUCH && sender.send_data(chunk(0)).await.is_ok() {
            counter.fetch_add(CHUNK, Ordering::SeqCst);
        }
    });
    let mut client = Client::h2c(rig.http).await;
    let request = client.request(Method::GET, "a.test", "/").body(empty()).unwrap();
    let response = client.try_send(request).await.unwrap();
    let held = settled(&written).await;
    assert!(held < TOO_MUCH / 2, "{held} bytes were taken from the endpoint");
    drop(response);
    bounded("the writer to end", writer).await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_does_not_read_stalls_the_client() {
    let (release, released) = tokio::sync::watch::channel(false);
    let backend = Scripted::start(move |mut wire| {
        let mut released = released.clone();
        async move {
            wire.head().await;
            released.wait_for(|released| *released).await.unwrap();
            wire.count(TOO_MUCH).await;
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let rig = Rig::streaming_to(backend.address).await;
    let mut client = Client::h1(rig.http).await;
    let (mut sender, body) = channel();
    let request = client.request(Method::POST, "a.test", "/").header("content-length", TOO_MUCH).body(body).unwrap();
    let answer = tokio::spawn(async move { collect(client.try_send(request).await.unwrap()).await.unwrap() });
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let writer = tokio::spawn(async move {
        while counter.load(Ordering::SeqCst) < TOO_MUCH {
            sender.send_data(chunk(0)).await.unwrap();
            counter.fetch_add(CHUNK, Ordering::SeqCst);
        }
    });
    let held = settled(&written).await;
    assert!(held < TOO_MUCH / 2, "{held} bytes were taken from the client");
    release.send_replace(true);
    bounded("the writer to end", writer).await.unwrap();
    assert_eq!(bounded("the answer", answer).await.unwrap().text(), "ok");
}

#[tokio::test]
async fn a_client_that_leaves_releases_the_endpoint() {
    let (ended, mut end) = mpsc::channel(1);
    let backend = Scripted::start(move |mut wire| {
        let ended = ended.clone();
        async move {
            wire.head().await;
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
            wire.rest().await;
            ended.send(()).await.unwrap();
        }
    })
    .await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.get("/").await;
    wire.head().await;
    drop(wire);
    bounded("the end", end.recv()).await.unwrap();
    let mut client = Client::h2c(rig.http).await;
    let request = client.request(Method::GET, "a.test", "/").body(empty()).unwrap();
    drop(client.try_send(request).await.unwrap());
    bounded("the end", end.recv()).await.unwrap();
}

#[tokio::test]
async fn a_body_with_trailers_is_delivered() {
    let backend = Scripted::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\n\r\n",
    )
    .await;
    let rig = Rig::to(backend.address).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.text(), "ok");
    assert_eq!(Client::h2c(rig.http).await.get("a.test", "/").await.text(), "ok");
}
