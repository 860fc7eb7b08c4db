//! TLS that endpoints end: the gateway passes bytes on and looks at the server name only.
use std::time::Duration;

use crate::support::{Backend, Client, Identity, Offer, Refusing, Rig, Site, Spec, Wire, config, dial, eventually};

const NAME: &str = "ssl-passthrough";

fn passing() -> Spec {
    Spec::to("app").annotation(NAME, "true").annotation("permanent-redirect", "https://elsewhere.test/")
}

async fn backend(identity: &Identity) -> Backend {
    Backend::accepting("app", identity.acceptor(&["h2", "http/1.1"])).await
}

#[tokio::test]
async fn the_endpoint_shakes_hands_and_no_annotation_has_an_effect() {
    let (inside, outside) = (Identity::ecdsa(&["a.test"]), Identity::ecdsa(&["*.test"]));
    let backend = backend(&inside).await;
    let site = Site::default().rule(passing()).rule(passing().host("b.test").prefix("/only"));
    let rig = Rig::start(site.endpoints("app", [backend.address]).default_certificate(&outside)).await;
    for offer in [Offer::h1("a.test"), Offer::h2("A.test")] {
        assert_eq!(offer.leaf(rig.https).await, inside.leaf);
        let mut client = Client::tls(rig.https, offer).await;
        assert_eq!(client.is_h2(), offer.alpn.contains(&"h2"));
        assert_eq!(client.get("a.test", "/").await.text(), "app");
        assert_eq!(backend.last().server_name.as_deref(), Some("a.test"));
    }
    // In plain text, of other names and without one nothing changes.
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 301);
    let nameless = Offer { name: None, ..Offer::h1("") };
    for offer in [Offer::h1("c.test"), nameless] {
        assert_eq!(offer.leaf(rig.https).await, outside.leaf);
    }
    // Without a path / nobody could end TLS.
    assert!(Offer::h1("b.test").connect(rig.https).await.is_err());
    let metrics = rig.metrics().await;
    let port = rig.https.port().to_string();
    let count = |result| {
        let labels = [("protocol", "tls"), ("port", &*port), ("result", result)];
        metrics.sum("ingora_stream_connections_total", &labels)
    };
    assert_eq!((count("ok"), count("unreachable")), (Some(4.0), Some(1.0)));
    assert_eq!(metrics.sum("ingora_tls_handshakes_total", &[("result", "passed")]), Some(5.0));
}

#[tokio::test]
async fn another_endpoint_is_tried_when_one_cannot_be_reached() {
    let (identity, refusing) = (Identity::ecdsa(&["a.test"]), Refusing::new());
    let backend = backend(&identity).await;
    let rig = Rig::start(Site::default().rule(passing()).endpoints("app", [refusing.address, backend.address])).await;
    for _ in 0..4 {
        assert_eq!(Client::tls(rig.https, Offer::h1("a.test")).await.get("a.test", "/").await.status, 200);
    }
    let ejected = [("service", "app"), ("state", "ejected")];
    eventually("ejection", || async {
        (rig.metrics().await.sum("ingora_upstream_endpoints", &ejected)? > 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_proxy_header_stays_with_the_gateway() {
    let identity = Identity::ecdsa(&["a.test"]);
    let backend = backend(&identity).await;
    let site = Site::default().config(&[("use-proxy-protocol", "true")]).rule(passing());
    let rig = Rig::start(site.endpoints("app", [backend.address])).await;
    let mut wire = Wire::new(dial(rig.https).await.unwrap());
    wire.send("PROXY TCP4 192.0.2.9 192.0.2.1 4711 443\r\n").await;
    let stream = Offer::h1("a.test").over(wire.into_stream()).await.unwrap();
    let mut wire = Wire::new(stream);
    wire.get("/").await;
    assert_eq!(wire.response().await.0.status(), 200);
}

#[tokio::test]
async fn a_connection_that_is_silent_for_too_long_ends() {
    let identity = Identity::ecdsa(&["a.test"]);
    let backend = backend(&identity).await;
    let site = Site::default().config(&[("proxy-stream-timeout", "200ms")]).rule(passing());
    let rig = Rig::start(site.endpoints("app", [backend.address])).await;
    let mut wire = rig.tls_wire(Offer::h1("a.test")).await;
    wire.get("/").await;
    assert_eq!(wire.response().await.0.status(), 200);
    wire.closed().await;
}

#[tokio::test]
async fn the_end_waits_for_connections_that_pass() {
    let identity = Identity::ecdsa(&["a.test"]);
    let backend = backend(&identity).await;
    let mut config = config();
    config.timeouts.drain = Duration::from_secs(15);
    let rig = Rig::with(Site::default().rule(passing()).endpoints("app", [backend.address]), config).await;
    let mut wire = rig.tls_wire(Offer::h1("a.test")).await;
    wire.get("/").await;
    assert_eq!(wire.response().await.0.status(), 200);
    let https = rig.https;
    rig.terminate();
    eventually("the end of the listener", || async { dial(https).await.is_err().then_some(()) }).await;
    wire.get("/").await;
    assert_eq!(wire.response().await.0.status(), 200);
    drop(wire);
    rig.ended().await;
}
