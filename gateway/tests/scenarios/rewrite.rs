//! The endpoint gets the rewritten path, and the client the redirects that stand in annotations.
use crate::support::{Client, Rig, Scripted, Site, Spec};

#[tokio::test]
async fn the_endpoint_gets_the_rewritten_target() {
    let backend = Scripted::recording().await;
    let rewritten = Spec::to("app").host("a.test").prefix("/api").annotation("rewrite-target", "/v2");
    let rig = Rig::start(Site::default().rule(rewritten).endpoints("app", [backend.address])).await;
    let mut client = Client::h1(rig.http).await;
    assert_eq!(client.get("a.test", "/api/x?y=%20z").await.status.as_u16(), 200);
    let head = backend.last();
    assert_eq!(head.target(), "/v2?y=%20z");
    assert_eq!(head.one("host"), Some("a.test"));
}

#[tokio::test]
async fn redirects_never_reach_the_endpoint() {
    let backend = Scripted::recording().await;
    let site = Site::default()
        .rule(Spec::to("app").host("p.test").annotation("permanent-redirect", "/new"))
        .rule(Spec::to("app").host("t.test").annotation("temporal-redirect", "https://t.example"))
        .rule(Spec::to("app").host("r.test").annotation("app-root", "/app"))
        .endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    for (host, status, location) in [
        ("p.test", 301, "http://p.test/new"),
        ("t.test", 302, "https://t.example"),
        ("r.test", 302, "http://r.test/app"),
    ] {
        let reply = client.get(host, "/").await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (status, Some(location)));
    }
    assert!(backend.heads().is_empty());
}

#[tokio::test]
async fn locations_of_the_endpoint_are_rewritten() {
    let backend =
        Scripted::answering("HTTP/1.1 302 Found\r\nLocation: http://internal/login\r\nContent-Length: 0\r\n\r\n").await;
    let rule = Spec::to("app")
        .annotation("proxy-redirect-from", "http://internal/")
        .annotation("proxy-redirect-to", "https://$host/");
    let rig = Rig::start(Site::default().rule(rule).endpoints("app", [backend.address])).await;
    let reply = Client::h1(rig.http).await.get("a.test", "/").await;
    assert_eq!(reply.header("location"), Some("https://a.test/login"));
}
