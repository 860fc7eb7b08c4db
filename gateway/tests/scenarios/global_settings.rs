//! Settings of the controller's ConfigMap that hold for every rule.
use crate::support::{Client, Offer, Rig, Scripted, Site, Spec};

async fn rig(backend: &Scripted, config: &[(&str, &str)]) -> Rig {
    let site = Site::default().config(config).rule(Spec::to("app")).endpoints("app", [backend.address]);
    Rig::start(site).await
}

#[tokio::test]
async fn answers_over_tls_ask_for_https_and_others_do_not() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, &[]).await;
    let mut tls = rig.tls_wire(Offer::h1("a.test")).await;
    tls.get("/").await;
    let head = tls.response().await.0;
    assert_eq!(head.one("strict-transport-security"), Some("max-age=31536000; includeSubDomains"));
    // The gateway's own answers as well.
    tls.send("GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n").await;
    let head = tls.response().await.0;
    assert_eq!((head.status(), head.one("strict-transport-security").is_some()), (404, true));
    let mut plain = rig.wire().await;
    plain.get("/").await;
    assert_eq!(plain.response().await.0.one("strict-transport-security"), None);
}

#[tokio::test]
async fn hsts_can_be_off() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, &[("hsts", "false")]).await;
    let client = Client::tls(rig.https, Offer::h2("a.test")).await.get("a.test", "/").await;
    assert!(client.headers.get("strict-transport-security").is_none());
}

#[tokio::test]
async fn what_endpoints_say_about_themselves_is_hidden() {
    let answer =
        "HTTP/1.1 200 OK\r\nServer: php\r\nX-Powered-By: php\r\nX-Accel-Redirect: /secret\r\nContent-Length: 0\r\n\r\n";
    let backend = Scripted::answering(answer).await;
    let mut rig = rig(&backend, &[("hide-headers", "X-Powered-By")]).await;
    let mut wire = rig.wire().await;
    wire.get("/").await;
    let head = wire.response().await.0;
    for name in ["server", "x-powered-by", "x-accel-redirect"] {
        assert_eq!(head.one(name), None, "{name}");
    }
    rig.site.set_config(&[("allow-backend-server-header", "true")]);
    rig.publish().await;
    wire.get("/").await;
    let head = wire.response().await.0;
    assert_eq!((head.one("server"), head.one("x-powered-by")), (Some("php"), Some("php")));
}

#[tokio::test]
async fn the_original_target_goes_on_when_asked_for() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, &[("proxy-add-original-uri-header", "true"), ("generate-request-id", "false")]).await;
    let mut wire = rig.wire().await;
    wire.get("/a%20b?x=1").await;
    assert_eq!(wire.response().await.0.status(), 200);
    assert_eq!(backend.last().one("x-original-uri"), Some("/a%20b?x=1"));
    assert_eq!(backend.last().one("x-request-id"), None);
}

#[tokio::test]
async fn fields_with_underscores_pass_when_asked_for() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, &[("enable-underscores-in-headers", "true")]).await;
    let mut wire = rig.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nX_A: 1\r\n\r\n").await;
    assert_eq!(wire.response().await.0.status(), 200);
    assert_eq!(backend.last().one("x_a"), Some("1"));
}

#[tokio::test]
async fn a_longer_head_is_taken_when_asked_for() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, &[("large-client-header-buffers", "4 16k")]).await;
    for (bytes, status) in [(40_000, 200), (70_000, 431)] {
        let mut wire = rig.wire().await;
        wire.try_send(format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-A: {}\r\n\r\n", "x".repeat(bytes))).await.ok();
        assert_eq!(wire.response().await.0.status(), status, "{bytes}");
    }
}

#[tokio::test]
async fn a_connection_ends_after_its_requests() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, &[("keep-alive-requests", "2")]).await;
    let mut wire = rig.wire().await;
    for _ in 0..2 {
        wire.get("/").await;
        assert_eq!(wire.response().await.0.status(), 200);
    }
    wire.closed().await;
}

#[tokio::test]
async fn trace_is_refused() {
    let backend = Scripted::recording().await;
    let rig = rig(&backend, &[]).await;
    let mut wire = rig.wire().await;
    wire.send("TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let (head, body) = wire.response().await;
    assert_eq!((head.status(), head.one("content-type")), (405, Some("text/html")));
    assert!(String::from_utf8(body).unwrap().contains("<title>405 Method Not Allowed</title>"));
}
