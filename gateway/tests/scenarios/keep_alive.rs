//! HTTP/1 connections carry many requests, and end when they should.
use crate::support::{Rig, Scripted, Site, Spec, config};

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

/// By the clients of one worker; and an answer may arrive a moment before its connection is free again.
#[tokio::test]
async fn upstream_connections_are_shared_by_clients() {
    let backend = Scripted::recording().await;
    let mut config = config();
    config.threads = 1;
    let rig = Rig::with(Site::default().rule(Spec::to("app")).endpoints("app", [backend.address]), config).await;
    for _ in 0..10 {
        let mut wire = rig.wire().await;
        wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
        assert_eq!(wire.response().await.0.status(), 200);
        wire.closed().await;
    }
    let connections = backend.connections();
    assert!(connections.iter().all(|number| *number < 2), "{connections:?}");
}

#[tokio::test]
async fn connection_close_is_honoured() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    let (head, _) = wire.response().await;
    assert!(head.closes(), "{head:?}");
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

#[tokio::test]
async fn a_connection_that_closes_says_so() {
    let backend = Scripted::recording().await;
    let site = Site::default()
        .rule(Spec::to("app"))
        .rule(Spec::to("empty").prefix("/empty"))
        .rule(Spec::refused("broken").prefix("/refused"))
        .endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    for target in ["/", "/empty", "/refused", "/%zz", "/x"] {
        let mut wire = rig.wire().await;
        for round in 0..3 {
            wire.get(target).await;
            let (head, _) = wire.response().await;
            if head.closes() {
                assert_ne!(head.status(), 200, "{target}, round {round}");
                wire.closed().await;
                break;
            }
        }
    }
}
