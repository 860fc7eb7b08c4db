//! Endpoints are spoken to as the Service port or the annotation says.
use features::Protocol;
use http::{Method, Version};

use crate::support::{Backend, Client, Offer, Rig, Scripted, Site, Spec, channel};

async fn rig(backend: &Backend, protocol: Protocol) -> Rig {
    let site = Site::default().rule(Spec::to("app").protocol(protocol)).endpoints("app", [backend.address]);
    Rig::start(site).await
}

async fn served(backend: &Backend, protocol: Protocol, version: Version) {
    let rig = rig(backend, protocol).await;
    for mut client in
        [Client::h1(rig.http).await, Client::h2c(rig.http).await, Client::tls(rig.https, Offer::h2("a.test")).await]
    {
        assert_eq!(client.get("a.test", "/").await.text(), "one");
        assert_eq!(client.post("a.test", "/", "body").await.text(), "body");
        assert_eq!(backend.last().version, version);
    }
}

#[tokio::test]
async fn http_is_http_1_1() {
    served(&Backend::echo("one").await, Protocol::Http, Version::HTTP_11).await;
}

#[tokio::test]
async fn h2c_is_http2_with_prior_knowledge() {
    served(&Backend::h2c("one").await, Protocol::H2c, Version::HTTP_2).await;
}

#[tokio::test]
async fn https_takes_http_1_1_from_an_endpoint_without_http2() {
    served(&Backend::tls("one", &["http/1.1"]).await, Protocol::Https, Version::HTTP_11).await;
}

#[tokio::test]
async fn https_takes_http_1_1_from_an_endpoint_without_alpn() {
    served(&Backend::tls("one", &[]).await, Protocol::Https, Version::HTTP_11).await;
}

#[tokio::test]
async fn https_is_http_1_1_whatever_else_the_endpoint_offers() {
    served(&Backend::tls("one", &["h2", "http/1.1"]).await, Protocol::Https, Version::HTTP_11).await;
}

#[tokio::test]
async fn h2_is_http2_over_tls() {
    served(&Backend::tls("one", &["h2"]).await, Protocol::H2, Version::HTTP_2).await;
}

#[tokio::test]
async fn the_annotation_chooses_the_protocol() {
    let backend = Backend::tls("one", &["http/1.1"]).await;
    let spec = Spec::to("app").annotation("backend-protocol", "HTTPS");
    let rig = Rig::start(Site::default().rule(spec).endpoints("app", [backend.address])).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.text(), "one");
}

#[tokio::test]
async fn http2_endpoints_see_the_clients_authority() {
    let backend = Backend::h2c("one").await;
    let rig = rig(&backend, Protocol::H2c).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/x?y").await.status, 200);
    let seen = backend.last();
    let host = seen.header("host").map(str::to_owned);
    let authority = seen.target.strip_suffix("/x?y").and_then(|origin| origin.strip_prefix("http://"));
    assert_eq!(authority.map(str::to_owned).or(host).as_deref(), Some("a.test"), "{seen:?}");
}

/// Rules may use one cluster with different protocols; an open connection of one must not serve the other.
#[tokio::test]
async fn protocols_never_share_a_connection() {
    let backend = Backend::echo("one").await;
    let site = Site::default()
        .rule(Spec::to("app").prefix("/plain"))
        .rule(Spec::to("app").prefix("/tls").protocol(Protocol::Https))
        .rule(Spec::to("app").prefix("/h2c").protocol(Protocol::H2c))
        .endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    let mut client = Client::h2c(rig.http).await;
    for _ in 0..3 {
        assert_eq!(client.get("a.test", "/plain").await.text(), "one");
        assert_eq!(client.get("a.test", "/tls").await.status, 502);
        assert_eq!(client.get("a.test", "/h2c").await.status, 502);
    }
    assert!(backend.seen().iter().all(|seen| seen.target == "/plain"));
}

/// The default of ingress-nginx (`proxy-ssl-server-name: off`).
#[tokio::test]
async fn endpoints_get_no_server_name() {
    let backend = Backend::tls("one", &["http/1.1"]).await;
    let rig = rig(&backend, Protocol::Https).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 200);
    assert_eq!(backend.last().server_name, None);
}

#[tokio::test]
async fn http_1_0_has_no_chunks_and_a_connection_for_each_request() {
    let backend = Scripted::numbered(|number, mut wire| async move {
        let head = wire.head().await;
        let (close, length) =
            (head.one("connection").unwrap_or_default(), head.one("content-length").unwrap_or("none"));
        assert_eq!((head.one("transfer-encoding"), head.one("expect")), (None, None));
        wire.body(&head).await;
        let answer = format!("{number} {} {close} {length}", head.first);
        wire.send(format!("HTTP/1.0 200 OK\r\n\r\n{answer}")).await;
    })
    .await;
    let rule = Spec::to("app").annotation("proxy-http-version", "1.0").annotation("proxy-request-buffering", "off");
    let rig = Rig::start(Site::default().rule(rule).endpoints("app", [backend.address])).await;
    let mut number = 0;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        assert_eq!(client.get("a.test", "/").await.text(), format!("{number} GET / HTTP/1.0 close none"));
        let (mut sender, body) = channel();
        let sending = tokio::spawn(async move { sender.send_data("hello".into()).await });
        let request = client.request(Method::POST, "a.test", "/").body(body).unwrap();
        assert_eq!(client.send(request).await.text(), format!("{} POST / HTTP/1.0 close 5", number + 1));
        sending.await.unwrap().unwrap();
        number += 2;
    }
}

#[tokio::test]
async fn a_connection_for_one_request_is_not_kept_though_the_endpoint_would() {
    let backend = Scripted::recording().await;
    let rule = Spec::to("app").annotation("proxy-http-version", "1.0");
    let rig = Rig::start(Site::default().rule(rule).endpoints("app", [backend.address])).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..3 {
        assert_eq!(client.get("a.test", "/").await.text(), "ok");
    }
    assert_eq!(backend.connections(), [0, 1, 2]);
}
