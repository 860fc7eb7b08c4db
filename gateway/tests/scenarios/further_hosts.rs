//! Aliases serve the rules of their host, and siblings redirect to it.
use table::{HostPattern, HostRegex};

use crate::support::{Backend, Client, Identity, Rig, Site, Spec};

#[tokio::test]
async fn aliases_serve_the_rules_of_their_host() {
    let backend = Backend::echo("app").await;
    let site = Site::default()
        .rule(Spec::to("app").prefix("/known"))
        .endpoints("app", [backend.address])
        .alias(HostPattern::parse("b.test").unwrap(), "a.test")
        .alias(HostPattern::Below("c.test".into()), "a.test")
        .alias(HostPattern::Regex(HostRegex::new("^d[0-9]+[.]test$").unwrap()), "a.test");
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    for (host, status) in
        [("b.test", 200), ("B.test:80", 200), ("x.y.c.test", 200), ("c.test", 404), ("d12.test", 200), ("dx.test", 404)]
    {
        assert_eq!(client.get(host, "/known").await.status, status, "{host}");
        assert_eq!(client.get(host, "/other").await.status, 404, "{host}");
    }
    assert_eq!(backend.seen()[0].header("host"), Some("b.test"));
}

#[tokio::test]
async fn an_alias_without_a_certificate_is_not_sent_to_https() {
    let backend = Backend::echo("app").await;
    let identity = Identity::ecdsa(&["a.test", "covered.test"]);
    let site = Site::default()
        .rule(Spec::to("app"))
        .endpoints("app", [backend.address])
        .certificate("a.test", &identity)
        .certificate("covered.test", &identity)
        .alias(HostPattern::parse("covered.test").unwrap(), "a.test")
        .alias(HostPattern::parse("bare.test").unwrap(), "a.test");
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    for (host, status) in [("a.test", 308), ("covered.test", 308), ("bare.test", 200)] {
        assert_eq!(client.get(host, "/x").await.status, status, "{host}");
    }
}

#[tokio::test]
async fn the_sibling_redirects_with_the_port() {
    let backend = Backend::echo("app").await;
    let site = Site::default().rule(Spec::to("app")).endpoints("app", [backend.address]).www_redirect("a.test");
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    let reply = client.get("www.a.test", "/x/?y=/").await;
    let want = format!("http://a.test:{}/x/?y=", rig.http.port());
    assert_eq!((reply.status.as_u16(), reply.header("location")), (308, Some(&*want)));
    assert_eq!(client.get("a.test", "/x").await.status, 200);
}
