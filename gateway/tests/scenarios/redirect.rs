//! Hosts with a certificate are redirected to HTTPS.
use http::Method;

use crate::support::{Client, Identity, Offer, Rig, Scripted, Site, Spec, empty};

fn site(backend: &Scripted) -> Site {
    Site::default()
        .rule(Spec::to("app"))
        .rule(Spec::to("app").host("plain.test"))
        .rule(Spec::to("app").host("off.test").annotation("ssl-redirect", "false"))
        .rule(Spec::to("app").host("port.test").annotation("use-port-in-redirects", "true"))
        .rule(Spec::to("app").host("force.test").annotation("force-ssl-redirect", "true"))
        .endpoints("app", [backend.address])
        .certificate("a.test", &Identity::ecdsa(&["a.test"]))
        .certificate("off.test", &Identity::ecdsa(&["off.test"]))
        .certificate("port.test", &Identity::ecdsa(&["port.test"]))
}

#[tokio::test]
async fn plain_text_is_redirected_and_keeps_its_target() {
    let backend = Scripted::recording().await;
    let rig = Rig::start(site(&backend)).await;
    let mut client = Client::h1(rig.http).await;
    for (target, location) in
        [("/x?y=z", "https://a.test/x?y=z"), ("/", "https://a.test"), ("/a%20b//c/", "https://a.test/a%20b//c")]
    {
        let reply = client.get("a.test", target).await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (308, Some(location)));
    }
    assert!(backend.heads().is_empty());
}

#[tokio::test]
async fn the_port_of_the_request_is_not_repeated() {
    let backend = Scripted::recording().await;
    let rig = Rig::start(site(&backend)).await;
    let reply = Client::h1(rig.http).await.get("A.test:8080", "/x").await;
    assert_eq!(reply.header("location"), Some("https://a.test/x"));
}

#[tokio::test]
async fn the_port_of_the_listener_is_told_where_it_is_asked_for() {
    let backend = Scripted::recording().await;
    let rig = Rig::start(site(&backend)).await;
    let reply = Client::h1(rig.http).await.get("port.test", "/x").await;
    let location = format!("https://port.test:{}/x", rig.https.port());
    assert_eq!(reply.header("location"), Some(&*location));
}

#[tokio::test]
async fn every_method_is_redirected() {
    let backend = Scripted::recording().await;
    let rig = Rig::start(site(&backend)).await;
    let mut client = Client::h2c(rig.http).await;
    for method in [Method::HEAD, Method::DELETE, Method::OPTIONS] {
        let request = client.request(method, "a.test", "/x").body(empty()).unwrap();
        assert_eq!(client.send(request).await.status, 308);
    }
    assert_eq!(client.post("a.test", "/x", "body").await.status, 308);
    assert!(backend.heads().is_empty());
}

#[tokio::test]
async fn tls_is_served() {
    let backend = Scripted::recording().await;
    let rig = Rig::start(site(&backend)).await;
    for offer in [Offer::h1("a.test"), Offer::h2("a.test")] {
        assert_eq!(Client::tls(rig.https, offer).await.get("a.test", "/x").await.status, 200);
    }
}

#[tokio::test]
async fn annotations_turn_it_off_and_on() {
    let backend = Scripted::recording().await;
    let rig = Rig::start(site(&backend)).await;
    let mut client = Client::h1(rig.http).await;
    for (host, status) in [("plain.test", 200), ("off.test", 200), ("force.test", 308)] {
        assert_eq!(client.get(host, "/").await.status, status, "{host}");
    }
}
