//! What is answered when there is nothing to forward to.
use crate::support::{Backend, Client, Offer, Rig, Site, Spec};

async fn clients(rig: &Rig) -> [Client; 3] {
    [Client::h1(rig.http).await, Client::h2c(rig.http).await, Client::tls(rig.https, Offer::h2("a.test")).await]
}

async fn statuses(rig: &Rig, requests: &[(&str, &str, u16)]) {
    for (host, target, status) in requests {
        for mut client in clients(rig).await {
            assert_eq!(client.get(host, target).await.status, *status, "{host}{target}");
        }
        for mut client in clients(rig).await {
            assert_eq!(client.post(host, target, "body").await.status, *status, "{host}{target}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_needs_no_body_reaches_a_client_that_sends_a_large_one() {
    let rig = Rig::start(Site::default()).await;
    for length in [1 << 16, 1 << 20, 1 << 22] {
        let mut wire = rig.wire().await;
        wire.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n")).await;
        // The gateway may close before it has everything.
        wire.try_send(vec![b'x'; length]).await.ok();
        assert_eq!(wire.head().await.status(), 404, "{length} bytes");
    }
}

#[tokio::test]
async fn without_a_default_backend_the_unknown_is_not_found() {
    let backend = Backend::echo("app").await;
    let site = Site::default().rule(Spec::to("app").prefix("/known")).endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    statuses(&rig, &[("a.test", "/known", 200), ("a.test", "/unknown", 404), ("unknown.test", "/", 404)]).await;
}

#[tokio::test]
async fn the_default_backend_serves_unknown_hosts_and_paths() {
    let (app, fallback) = (Backend::echo("app").await, Backend::echo("fallback").await);
    let site = Site::default()
        .rule(Spec::to("app").prefix("/known"))
        .default_backend(Spec::to("fallback").host(""))
        .endpoints("app", [app.address])
        .endpoints("fallback", [fallback.address]);
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    for (host, target, name) in
        [("a.test", "/known", "app"), ("a.test", "/unknown?x", "fallback"), ("unknown.test", "/", "fallback")]
    {
        assert_eq!(client.get(host, target).await.text(), name, "{host}{target}");
    }
    assert_eq!(fallback.seen()[0].target, "/unknown?x");
    assert_eq!(fallback.seen()[0].header("host"), Some("a.test"));
}

#[tokio::test]
async fn a_known_host_without_endpoints_is_unavailable() {
    let site = Site::default()
        .rule(Spec::to("empty").prefix("/empty"))
        .rule(Spec::to("unheard").prefix("/unheard"))
        .endpoints("empty", []);
    let rig = Rig::start(site).await;
    statuses(&rig, &[("a.test", "/empty", 503), ("a.test", "/unheard", 503), ("a.test", "/other", 404)]).await;
}

#[tokio::test]
async fn a_rule_that_must_not_serve_is_unavailable_and_alone() {
    let backend = Backend::echo("app").await;
    let site = Site::default()
        .rule(Spec::to("app"))
        .rule(Spec::refused("authentication").prefix("/closed"))
        .endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    statuses(&rig, &[("a.test", "/closed/x", 503), ("a.test", "/open", 200)]).await;
    assert!(backend.seen().iter().all(|seen| seen.target == "/open"));
}

#[tokio::test]
async fn a_gateway_with_an_empty_table_answers() {
    let rig = Rig::start(Site::default()).await;
    statuses(&rig, &[("a.test", "/", 404)]).await;
}
