//! The certificate follows the server name; any modern client can connect.
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, SupportedProtocolVersion};

use crate::support::{Client, Identity, Offer, Rig, Scripted, Site, Spec};

struct Certificates {
    exact: Identity,
    wildcard: Identity,
    default: Identity,
    rig: Rig,
    _backend: Scripted,
}

async fn certificates() -> Certificates {
    let backend = Scripted::recording().await;
    let exact = Identity::ecdsa(&["a.test"]);
    let wildcard = Identity::rsa(&["*.test"]);
    let default = Identity::ecdsa(&["default.test"]);
    let site = Site::default()
        .rule(Spec::to("app"))
        .endpoints("app", [backend.address])
        .certificate("a.test", &exact)
        .certificate("*.test", &wildcard)
        .default_certificate(&default);
    Certificates { rig: Rig::start(site).await, exact, wildcard, default, _backend: backend }
}

impl Certificates {
    async fn leaf(&self, name: Option<&str>) -> CertificateDer<'static> {
        Offer { name, ..Offer::h2("") }.leaf(self.rig.https).await
    }
}

#[tokio::test]
async fn the_exact_name_comes_first() {
    let certificates = certificates().await;
    assert_eq!(certificates.leaf(Some("a.test")).await, certificates.exact.leaf);
    assert_eq!(certificates.leaf(Some("A.Test")).await, certificates.exact.leaf);
}

#[tokio::test]
async fn a_wildcard_covers_one_label() {
    let certificates = certificates().await;
    assert_eq!(certificates.leaf(Some("b.test")).await, certificates.wildcard.leaf);
    assert_eq!(certificates.leaf(Some("c.b.test")).await, certificates.default.leaf);
}

#[tokio::test]
async fn everybody_else_gets_the_default() {
    let certificates = certificates().await;
    assert_eq!(certificates.leaf(Some("other.example")).await, certificates.default.leaf);
    assert_eq!(certificates.leaf(None).await, certificates.default.leaf);
}

#[tokio::test]
async fn without_any_certificate_there_is_a_self_signed_one() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let first = Offer::h2("a.test").leaf(rig.https).await;
    assert!(!first.is_empty());
    assert_eq!(Offer::h1("b.test").leaf(rig.https).await, first, "it is made once");
    assert_eq!(Client::tls(rig.https, Offer::h2("a.test")).await.get("a.test", "/").await.status, 200);
}

async fn connects(identity: &Identity, version: &'static SupportedProtocolVersion, negotiated: ProtocolVersion) {
    let backend = Scripted::recording().await;
    let site =
        Site::default().rule(Spec::to("app")).endpoints("app", [backend.address]).certificate("a.test", identity);
    let rig = Rig::start(site).await;
    let offer = Offer { versions: &[version], ..Offer::h1("a.test") };
    let stream = offer.connect(rig.https).await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(negotiated));
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap(), std::slice::from_ref(&identity.leaf));
    assert_eq!(Client::tls(rig.https, offer).await.get("a.test", "/").await.status, 200);
}

#[tokio::test]
async fn ecdsa_over_tls_1_2() {
    connects(&Identity::ecdsa(&["a.test"]), &TLS12, ProtocolVersion::TLSv1_2).await;
}

#[tokio::test]
async fn ecdsa_over_tls_1_3() {
    connects(&Identity::ecdsa(&["a.test"]), &TLS13, ProtocolVersion::TLSv1_3).await;
}

#[tokio::test]
async fn rsa_over_tls_1_2() {
    connects(&Identity::rsa(&["a.test"]), &TLS12, ProtocolVersion::TLSv1_2).await;
}

#[tokio::test]
async fn rsa_over_tls_1_3() {
    connects(&Identity::rsa(&["a.test"]), &TLS13, ProtocolVersion::TLSv1_3).await;
}

/// A certificate that the TLS library cannot use must not take others down.
#[tokio::test]
async fn an_unusable_certificate_falls_back_to_the_default() {
    let backend = Scripted::recording().await;
    let (good, default) = (Identity::ecdsa(&["a.test"]), Identity::ecdsa(&["default.test"]));
    let mut site = Site::default()
        .rule(Spec::to("app"))
        .endpoints("app", [backend.address])
        .certificate("a.test", &good)
        .default_certificate(&default);
    site.set_raw_certificate("broken.test", Arc::new(good.with_chain(vec![vec![1, 2, 3].into()])));
    let rig = Rig::start(site).await;
    assert_eq!(Offer::h2("broken.test").leaf(rig.https).await, default.leaf);
    assert_eq!(Offer::h2("a.test").leaf(rig.https).await, good.leaf);
}

#[tokio::test]
async fn plain_text_on_the_tls_port_is_not_served() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = crate::support::Wire::connect(rig.https).await;
    wire.get("/").await;
    let answer = wire.rest().await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    assert!(backend.heads().is_empty());
}
