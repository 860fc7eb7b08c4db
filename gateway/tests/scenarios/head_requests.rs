//! Responses that have no body: to HEAD, and with 204 and 304.
use http::Method;

use crate::support::{Client, Rig, Scripted, empty};

async fn head_keeps(response: &str, status: u16, length: Option<&str>) {
    let backend = Scripted::answering(response).await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    // The second answer shows that nothing was left on the connection after the first.
    for _ in 0..2 {
        wire.send("HEAD /x HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        let head = wire.head().await;
        assert_eq!((head.status(), head.one("content-length")), (status, length));
    }
    wire.send("HEAD /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    wire.head().await;
    wire.closed().await;
    assert!(backend.heads().iter().all(|head| head.first == "HEAD /x HTTP/1.1"));
}

#[tokio::test]
async fn head_keeps_the_length_and_has_no_body() {
    head_keeps("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n", 200, Some("12345")).await;
}

#[tokio::test]
async fn head_without_a_length_has_no_body() {
    head_keeps("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, None).await;
}

async fn no_body(response: &str, status: u16) {
    let backend = Scripted::answering(response).await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    for _ in 0..2 {
        wire.get("/").await;
        assert_eq!(wire.head().await.status(), status);
    }
    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    wire.head().await;
    wire.closed().await;
}

#[tokio::test]
async fn no_content_has_no_body() {
    no_body("HTTP/1.1 204 No Content\r\n\r\n", 204).await;
}

#[tokio::test]
async fn not_modified_has_no_body_whatever_its_length_says() {
    no_body("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 10\r\n\r\n", 304).await;
}

#[tokio::test]
async fn head_works_over_http2() {
    let backend = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n").await;
    let rig = Rig::to(backend.address).await;
    let mut client = Client::h2c(rig.http).await;
    for _ in 0..2 {
        let reply = client.send(client.request(Method::HEAD, "a.test", "/").body(empty()).unwrap()).await;
        assert_eq!((reply.header("content-length"), reply.text()), (Some("12345"), ""));
    }
}

#[tokio::test]
async fn head_of_the_gateways_own_answers_has_no_body() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send("HEAD / HTTP/1.1\r\nHost: unknown.test\r\nConnection: close\r\n\r\n").await;
    assert_eq!(wire.head().await.status(), 404);
    wire.closed().await;
}
