//! HTTP/2 downstream: over TLS by ALPN and without TLS by prior knowledge.
use futures::future::join_all;
use http::{Method, Version};

use crate::support::{Backend, Client, Offer, Rig, Site, Spec, empty};

#[tokio::test]
async fn alpn_chooses_http2() {
    let backend = Backend::echo("one").await;
    let rig = Rig::to(backend.address).await;
    let mut client = Client::tls(rig.https, Offer::h2("a.test")).await;
    assert!(client.is_h2());
    assert_eq!(client.get("a.test", "/x?y=z").await.text(), "one");
    assert_eq!(client.post("a.test", "/", "body").await.text(), "body");
    let seen = &backend.seen()[0];
    assert_eq!((&seen.method, seen.version, seen.target.as_str()), (&Method::GET, Version::HTTP_11, "/x?y=z"));
    assert_eq!(backend.last().method, Method::POST);
    assert_eq!(seen.header("host"), Some("a.test"));
}

#[tokio::test]
async fn a_client_without_http2_gets_http_1_1() {
    let backend = Backend::echo("one").await;
    let rig = Rig::to(backend.address).await;
    for alpn in [&["http/1.1"][..], &[]] {
        let mut client = Client::tls(rig.https, Offer { alpn, ..Offer::h1("a.test") }).await;
        assert!(!client.is_h2());
        assert_eq!(client.get("a.test", "/").await.text(), "one");
    }
}

#[tokio::test]
async fn http2_is_offered_unless_the_config_map_says_otherwise() {
    let backend = Backend::echo("one").await;
    let site = Site::default().rule(Spec::to("app")).endpoints("app", [backend.address]);
    let mut rig = Rig::start(site.config(&[("use-http2", "false")])).await;
    let mut client = Client::tls(rig.https, Offer::h2("a.test")).await;
    assert!(!client.is_h2());
    assert_eq!(client.get("a.test", "/").await.text(), "one");
    rig.site.set_config(&[]);
    rig.publish().await;
    assert!(Client::tls(rig.https, Offer::h2("a.test")).await.is_h2());
}

#[tokio::test]
async fn prior_knowledge_works_on_the_http_port() {
    let backend = Backend::echo("one").await;
    let rig = Rig::to(backend.address).await;
    let mut client = Client::h2c(rig.http).await;
    assert_eq!(client.get("a.test", "/").await.text(), "one");
    assert_eq!(client.post("a.test", "/", "body").await.text(), "body");
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.text(), "one");
}

#[tokio::test]
async fn many_streams_share_a_connection_and_keep_apart() {
    let backend = Backend::echo("one").await;
    let rig = Rig::to(backend.address).await;
    for client in [Client::h2c(rig.http).await, Client::tls(rig.https, Offer::h2("a.test")).await] {
        let posts = (0..100).map(|number| {
            let mut client = client.share();
            async move { (number, client.post("a.test", "/", format!("body {number}")).await) }
        });
        for (number, reply) in join_all(posts).await {
            assert_eq!(reply.text(), format!("body {number}"));
        }
    }
}

/// RFC 9113 section 8.2.3.
#[tokio::test]
async fn cookie_crumbs_become_one_field() {
    let backend = Backend::echo("one").await;
    let rig = Rig::to(backend.address).await;
    let mut client = Client::h2c(rig.http).await;
    let request = client.request(Method::GET, "a.test", "/").header("cookie", "a=1").header("cookie", "b=2");
    assert_eq!(client.send(request.body(empty()).unwrap()).await.status, 200);
    let cookies: Vec<_> = backend.last().headers.get_all("cookie").iter().cloned().collect();
    assert_eq!(cookies, ["a=1; b=2"]);
}
