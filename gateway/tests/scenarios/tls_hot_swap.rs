//! A new certificate serves new connections and leaves open ones alone.
use crate::support::{Client, Identity, Offer, Rig, Scripted, Site, Spec};

#[tokio::test]
async fn new_connections_get_the_new_certificate_and_open_ones_go_on() {
    let backend = Scripted::recording().await;
    let (old, new) = (Identity::ecdsa(&["a.test"]), Identity::rsa(&["a.test"]));
    let site = Site::default().rule(Spec::to("app")).endpoints("app", [backend.address]).certificate("a.test", &old);
    let mut rig = Rig::start(site).await;
    let mut h1 = rig.tls_wire(Offer::h1("a.test")).await;
    let mut h2 = Client::tls(rig.https, Offer::h2("a.test")).await;
    h1.get("/before").await;
    assert_eq!(h1.response().await.0.status(), 200);
    assert_eq!(h2.get("a.test", "/before").await.status, 200);
    assert_eq!(Offer::h2("a.test").leaf(rig.https).await, old.leaf);

    rig.site.set_certificate("a.test", &new);
    rig.publish().await;

    assert_eq!(Offer::h2("a.test").leaf(rig.https).await, new.leaf);
    h1.get("/after").await;
    assert_eq!(h1.response().await.0.status(), 200);
    assert_eq!(h2.get("a.test", "/after").await.status, 200);
}

#[tokio::test]
async fn a_certificate_that_goes_leaves_the_default() {
    let (own, default) = (Identity::ecdsa(&["a.test"]), Identity::ecdsa(&["default.test"]));
    let site = Site::default().certificate("a.test", &own).default_certificate(&default);
    let mut rig = Rig::start(site).await;
    assert_eq!(Offer::h2("a.test").leaf(rig.https).await, own.leaf);
    rig.site.clear_certificates();
    rig.publish().await;
    assert_eq!(Offer::h2("a.test").leaf(rig.https).await, default.leaf);
}

#[tokio::test]
async fn a_new_default_certificate_serves_at_once() {
    let (old, new) = (Identity::ecdsa(&["old.test"]), Identity::ecdsa(&["new.test"]));
    let mut rig = Rig::start(Site::default().default_certificate(&old)).await;
    assert_eq!(Offer::h1("a.test").leaf(rig.https).await, old.leaf);
    rig.site = Site::default().default_certificate(&new);
    rig.publish().await;
    assert_eq!(Offer::h1("a.test").leaf(rig.https).await, new.leaf);
}
