//! What endpoints learn about the client: exactly what ingress-nginx tells them by default.
use http::Method;

use crate::support::{Backend, Client, Head, Offer, Rig, Scripted, empty};

async fn sent(request: &str) -> (Head, u16) {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send(request).await;
    assert_eq!(wire.response().await.0.status(), 200);
    (backend.last(), rig.http.port())
}

fn is_request_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[tokio::test]
async fn the_client_is_described() {
    let (head, port) = sent("GET / HTTP/1.1\r\nHost: A.test:8080\r\n\r\n").await;
    for (name, value) in [
        ("host", "A.test:8080"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "A.test:8080"),
        ("x-forwarded-port", &port.to_string()),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-scheme", "http"),
        ("x-scheme", "http"),
    ] {
        assert_eq!(head.one(name), Some(value), "{name}");
    }
    assert!(is_request_id(head.one("x-request-id").unwrap()), "{head:?}");
    for name in ["x-original-forwarded-for", "x-original-forwarded-host"] {
        assert_eq!(head.one(name), None, "{name}");
    }
}

#[tokio::test]
async fn tls_is_described_as_https_on_443() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    for offer in [Offer::h1("a.test"), Offer::h2("a.test")] {
        assert_eq!(Client::tls(rig.https, offer).await.get("a.test", "/").await.status, 200);
        let head = backend.last();
        for (name, value) in [
            ("host", "a.test"),
            ("x-real-ip", "127.0.0.1"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "a.test"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-scheme", "https"),
            ("x-scheme", "https"),
        ] {
            assert_eq!(head.one(name), Some(value), "{name}");
        }
    }
}

#[tokio::test]
async fn what_the_client_claims_is_replaced() {
    let (head, port) = sent(
        "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\n\
         X-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Scheme: https\r\nX-Scheme: https\r\n\r\n",
    )
    .await;
    for (name, value) in [
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "a.test"),
        ("x-forwarded-port", &port.to_string()),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-scheme", "http"),
        ("x-scheme", "http"),
        ("x-original-forwarded-for", "1.1.1.1"),
        ("x-original-forwarded-host", "evil.test"),
    ] {
        assert_eq!(head.one(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn originals_come_only_from_what_the_client_forwarded() {
    let (head, _) = sent(
        "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2, 3.3.3.3\r\n\
         X-Original-Forwarded-For: 9.9.9.9\r\n\r\n",
    )
    .await;
    assert_eq!(head.one("x-original-forwarded-for"), Some("1.1.1.1, 2.2.2.2, 3.3.3.3"));
}

#[tokio::test]
async fn a_clients_request_id_is_kept() {
    let (head, _) = sent("GET / HTTP/1.1\r\nHost: a.test\r\nX-Request-ID: mine-1\r\n\r\n").await;
    assert_eq!(head.one("x-request-id"), Some("mine-1"));
}

#[tokio::test]
async fn every_request_has_an_id_of_its_own() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..20 {
        client.get("a.test", "/").await;
    }
    let heads = backend.heads();
    let ids: std::collections::BTreeSet<_> = heads.iter().map(|head| head.one("x-request-id").unwrap()).collect();
    assert_eq!(ids.len(), 20);
}

#[tokio::test]
async fn the_proxy_field_is_removed() {
    let (head, _) = sent("GET / HTTP/1.1\r\nHost: a.test\r\nProxy: http://evil.test\r\n\r\n").await;
    assert_eq!(head.one("proxy"), None);
}

#[tokio::test]
async fn hop_by_hop_fields_stay_on_their_hop() {
    let (head, _) = sent(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nX-End: 1\r\n\r\n",
    )
    .await;
    for name in ["x-hop", "keep-alive", "proxy-connection"] {
        assert_eq!(head.one(name), None, "{name}");
    }
    assert_eq!(head.one("x-end"), Some("1"));
}

/// Either the request is refused or the fields arrive.
#[tokio::test]
async fn a_client_cannot_nominate_the_gateways_fields_away() {
    for nominated in ["X-Forwarded-For", "X-Real-IP", "X-Request-ID", "X-Forwarded-Proto", "Host"] {
        let backend = Scripted::recording().await;
        let rig = Rig::to(backend.address).await;
        let mut wire = rig.wire().await;
        wire.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, {nominated}\r\n\r\n")).await;
        match wire.response().await.0.status() {
            400 => assert!(backend.heads().is_empty()),
            status => {
                assert_eq!(status, 200, "{nominated}");
                assert!(backend.last().one(nominated).is_some(), "{nominated}");
            }
        }
    }
}

#[tokio::test]
async fn other_fields_pass_with_their_case_and_all_values() {
    let (head, _) = sent(
        "GET / HTTP/1.1\r\nHost: a.test\r\nX-CaMeL: 1\r\nAccept: a\r\nAccept: b\r\nAuthorization: Basic eDp5\r\n\
         Cookie: k=v\r\nForwarded: for=1.1.1.1\r\nUser-Agent: test\r\n\r\n",
    )
    .await;
    assert!(head.fields.contains(&("X-CaMeL".to_owned(), "1".to_owned())), "{head:?}");
    assert_eq!(head.all("accept"), ["a", "b"]);
    for (name, value) in
        [("authorization", "Basic eDp5"), ("cookie", "k=v"), ("forwarded", "for=1.1.1.1"), ("user-agent", "test")]
    {
        assert_eq!(head.one(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_request_without_a_body_gets_no_body_fields() {
    let (head, _) = sent("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(head.one("transfer-encoding"), None);
    assert!(matches!(head.one("content-length"), None | Some("0")), "{head:?}");
}

#[tokio::test]
async fn an_endpoints_connection_fields_stay_on_their_hop() {
    let backend = Scripted::start(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nX-End: 1\r\n\r\nok").await;
    })
    .await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    for _ in 0..2 {
        wire.get("/").await;
        let (head, _) = wire.response().await;
        assert_eq!((head.status(), head.one("x-end")), (200, Some("1")));
        assert!(!head.closes(), "{head:?}");
    }
}

#[tokio::test]
async fn http2_clients_are_described_as_well() {
    let backend = Backend::echo("one").await;
    let rig = Rig::to(backend.address).await;
    let mut client = Client::h2c(rig.http).await;
    let request = client.request(Method::GET, "a.test", "/").header("x-forwarded-for", "1.1.1.1");
    assert_eq!(client.send(request.body(empty()).unwrap()).await.status, 200);
    let seen = backend.last();
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-original-forwarded-for"), Some("1.1.1.1"));
    assert_eq!(seen.header("x-forwarded-host"), Some("a.test"));
    assert!(is_request_id(seen.header("x-request-id").unwrap()));
}
