//! HTTP/1 connections carry many requests, and end when they should.
use crate::support::{Rig, Scripted};

#[tokio::test]
async fn one_client_connection_and_one_upstream_connection_carry_many_requests() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    for target in ["/1", "/2", "/3"] {
        wire.get(target).await;
        let (head, body) = wire.response().await;
        assert_eq!((head.status(), body.as_slice()), (200, b"ok".as_slice()));
        assert_eq!(backend.last().target(), target);
    }
    assert_eq!(backend.connections(), [0, 0, 0]);
}

#[tokio::test]
async fn upstream_connections_are_shared_by_clients() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    for _ in 0..4 {
        let mut wire = rig.wire().await;
        wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
        assert_eq!(wire.response().await.0.status(), 200);
        wire.closed().await;
    }
    assert_eq!(backend.connections(), [0; 4]);
}

#[tokio::test]
async fn connection_close_is_honoured() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    let (head, _) = wire.response().await;
    assert_eq!(head.one("connection").map(str::to_ascii_lowercase).as_deref(), Some("close"));
    wire.closed().await;
}

#[tokio::test]
async fn an_http_1_0_client_is_served_and_closed() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send("GET /old HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    let (head, body) = wire.response().await;
    assert_eq!((head.status(), body.as_slice()), (200, b"ok".as_slice()));
    wire.closed().await;
    assert_eq!(backend.last().target(), "/old");
}

#[tokio::test]
async fn an_http_1_0_client_never_gets_chunks() {
    let backend =
        Scripted::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    let head = wire.head().await;
    assert_eq!(head.one("transfer-encoding"), None);
    assert_eq!(wire.rest().await, b"hello");
}

/// Pipelining may be refused by closing, but answers never change places.
#[tokio::test]
async fn pipelined_requests_are_not_mixed_up() {
    let backend = Scripted::numbered(|_, mut wire| async move {
        while let Some(head) = wire.try_head().await {
            let target = head.target();
            let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len());
            if wire.try_send(response).await.is_err() {
                break;
            }
        }
    })
    .await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    let both = ["/first", "/second"].map(|target| format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n")).concat();
    wire.send(both).await;
    assert_eq!(wire.response().await.1, b"/first");
    if let Some(head) = wire.try_head().await {
        assert_eq!(wire.body(&head).await, b"/second");
    }
}
