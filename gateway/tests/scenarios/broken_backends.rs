//! What clients get when an endpoint misbehaves: a clear error, in time, and never another one's answer.
use http::Method;
use tokio::net::TcpStream;

use crate::support::{Client, Rig, Scripted, Site, Spec, Wire, empty};

async fn answers(
    script: impl Fn(Wire<TcpStream>) -> futures::future::BoxFuture<'static, ()> + Send + 'static,
    status: u16,
) {
    let backend = Scripted::start(script).await;
    let spec = Spec::to("app").annotation("proxy-read-timeout", "1");
    let rig = Rig::start(Site::default().rule(spec).endpoints("app", [backend.address])).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        assert_eq!(client.get("a.test", "/").await.status, status);
    }
}

#[tokio::test]
async fn closing_before_answering_is_502() {
    answers(
        |mut wire| {
            Box::pin(async move {
                wire.head().await;
            })
        },
        502,
    )
    .await;
}

#[tokio::test]
async fn half_a_head_is_502() {
    answers(
        |mut wire| {
            Box::pin(async move {
                wire.head().await;
                wire.send("HTTP/1.1 200 OK\r\nContent-Len").await;
            })
        },
        502,
    )
    .await;
}

#[tokio::test]
async fn garbage_is_502() {
    answers(
        |mut wire| {
            Box::pin(async move {
                wire.head().await;
                wire.send("I am not a web server\r\n\r\n").await;
                wire.rest().await;
            })
        },
        502,
    )
    .await;
}

#[tokio::test]
async fn silence_is_504_when_the_read_timeout_ends() {
    answers(
        |mut wire| {
            Box::pin(async move {
                wire.rest().await;
            })
        },
        504,
    )
    .await;
}

#[tokio::test]
async fn a_head_that_trickles_in_time_is_served() {
    let backend = Scripted::start(|mut wire| async move {
        wire.head().await;
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" {
            wire.send([*byte]).await;
            tokio::task::yield_now().await;
        }
    })
    .await;
    let rig = Rig::to(backend.address).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.text(), "ok");
}

#[tokio::test]
async fn a_truncated_body_is_never_taken_for_a_whole_one() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ] {
        let backend = Scripted::start(move |mut wire| async move {
            wire.head().await;
            wire.send(response).await;
        })
        .await;
        let rig = Rig::to(backend.address).await;
        for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
            let result = client.try_get("a.test", "/").await;
            assert!(result.is_err(), "{response:?} became {result:?}");
        }
    }
}

/// The endpoint closes each connection after its answer without saying so.
#[tokio::test]
async fn a_kept_connection_that_closes_is_replaced() {
    let backend = Scripted::start(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let rig = Rig::to(backend.address).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..20 {
        assert_eq!(client.get("a.test", "/").await.text(), "ok");
    }
}

/// Bytes after an answer belong to nobody: the connection that carries them must not serve another request.
#[tokio::test]
async fn surplus_bytes_never_answer_the_next_request() {
    let surplus = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let backend = Scripted::start(move |mut wire| async move {
        while let Some(head) = wire.try_head().await {
            let target = head.target();
            let good = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}{surplus}", target.len());
            if wire.try_send(good).await.is_err() {
                break;
            }
        }
    })
    .await;
    let rig = Rig::to(backend.address).await;
    let mut client = Client::h1(rig.http).await;
    for target in ["/1", "/2", "/3"] {
        let request = client.request(Method::GET, "a.test", target).body(empty()).unwrap();
        assert_eq!(client.send(request).await.text(), target);
    }
}

#[tokio::test]
async fn a_head_larger_than_proxy_buffer_size_is_502_and_the_connection_is_not_kept() {
    let backend = Scripted::start(|mut wire| {
        Box::pin(async move {
            loop {
                let head = wire.head().await;
                let length = if head.first.starts_with("GET /large") { 1100 } else { 900 };
                let value = "x".repeat(length);
                wire.send(&format!("HTTP/1.1 200 OK\r\nX-Long: {value}\r\nContent-Length: 2\r\n\r\nok")).await;
            }
        })
    })
    .await;
    let spec = Spec::to("app").annotation("proxy-buffer-size", "1k");
    let rig = Rig::start(Site::default().rule(spec).endpoints("app", [backend.address])).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        assert_eq!(client.get("a.test", "/").await.status, 200);
    }
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        assert_eq!(client.get("a.test", "/large").await.status, 502);
    }
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 200);
}
