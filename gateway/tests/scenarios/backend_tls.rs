//! TLS towards endpoints: whom the gateway trusts, who it is, and that no connection is used on weaker terms than a rule asks for.
use crate::support::{Backend, Client, Identity, Rig, Site, Spec};

fn secured(roots: &Identity, name: &'static str) -> Spec {
    Spec::to("app")
        .annotation("backend-protocol", "HTTPS")
        .annotation("proxy-ssl-secret", "tls")
        .annotation("proxy-ssl-verify", "on")
        .annotation("proxy-ssl-name", name)
        .object("tls", "ca.crt", roots.pem.0.clone())
}

async fn answer(spec: Spec, backend: &Backend) -> (u16, String) {
    let rig = Rig::start(Site::default().rule(spec).endpoints("app", [backend.address])).await;
    let reply = Client::h1(rig.http).await.get("a.test", "/").await;
    (reply.status.as_u16(), reply.text().to_owned())
}

#[tokio::test]
async fn an_endpoint_is_verified_by_root_and_name() {
    let (own, other) = (Identity::ecdsa(&["inside.test"]), Identity::ecdsa(&["inside.test"]));
    let backend = Backend::accepting("app", own.acceptor(&[])).await;
    assert_eq!(answer(secured(&own, "inside.test"), &backend).await, (200, "app".to_owned()));
    assert_eq!(backend.last().server_name.as_deref(), Some("inside.test"));
    assert_eq!(answer(secured(&own, "outside.test"), &backend).await.0, 502);
    assert_eq!(answer(secured(&other, "inside.test"), &backend).await.0, 502);
    assert_eq!(backend.seen().len(), 1, "nothing is sent to an endpoint that is not trusted");
}

#[tokio::test]
async fn the_gateway_shows_its_certificate_to_endpoints_that_ask() {
    let (own, gateway) = (Identity::ecdsa(&["inside.test"]), Identity::ecdsa(&["gateway.test"]));
    let backend = Backend::accepting("app", own.acceptor_for(&gateway)).await;
    let plain = Spec::to("app").annotation("backend-protocol", "HTTPS");
    assert_eq!(answer(plain.clone(), &backend).await.0, 502);
    let shown = plain.annotation("proxy-ssl-secret", "tls").object("tls", "tls.crt", gateway.pem.0.clone()).object(
        "tls",
        "tls.key",
        gateway.pem.1.clone(),
    );
    assert_eq!(answer(shown, &backend).await, (200, "app".to_owned()));
}

/// ingress-nginx keeps connections by address only and serves the second rule on the first one's.
#[tokio::test]
async fn a_connection_that_was_not_verified_serves_no_rule_that_asks_for_it() {
    let (own, other) = (Identity::ecdsa(&["inside.test"]), Identity::ecdsa(&["inside.test"]));
    let backend = Backend::accepting("app", own.acceptor(&[])).await;
    let site = Site::default()
        .rule(Spec::to("app").host("plain.test").annotation("backend-protocol", "HTTPS"))
        .rule(secured(&other, "inside.test"))
        .endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..3 {
        assert_eq!(client.get("plain.test", "/").await.status, 200);
        assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 502);
    }
}

#[tokio::test]
async fn only_the_version_that_is_asked_for_is_used() {
    let own = Identity::ecdsa(&["inside.test"]);
    let backend = Backend::accepting("app", own.acceptor(&[])).await;
    let version = |version| secured(&own, "inside.test").annotation("proxy-ssl-protocols", version);
    assert_eq!(answer(version("TLSv1.3"), &backend).await.0, 200);
    // Both sides speak 1.3 and prefer it.
    assert_eq!(answer(version("TLSv1.2"), &backend).await.0, 502);
}

#[tokio::test]
async fn endpoints_are_spoken_to_as_the_client_speaks() {
    let (identity, backend) = (Identity::ecdsa(&["a.test"]), Backend::tls("app", &[]).await);
    let spec = Spec::to("app").annotation("backend-protocol", "AUTO_HTTP").annotation("ssl-redirect", "false");
    let site = Site::default().rule(spec).endpoints("app", [backend.address]).certificate("a.test", &identity);
    let rig = Rig::start(site).await;
    let mut client = Client::tls(rig.https, crate::support::Offer::h1("a.test")).await;
    assert_eq!(client.get("a.test", "/").await.text(), "app");
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 502);
}

#[tokio::test]
async fn a_connection_with_a_suite_that_is_not_listed_is_not_used() {
    let own = Identity::ecdsa(&["inside.test"]);
    let backend = Backend::accepting("app", own.acceptor_tls12()).await;
    let listing = |list: &'static str| secured(&own, "inside.test").annotation("proxy-ssl-ciphers", list);
    assert_eq!(answer(listing("HIGH:!aNULL"), &backend).await.0, 200);
    // Both sides prefer AES256.
    assert_eq!(answer(listing("AES256"), &backend).await.0, 200);
    assert_eq!(answer(listing("CHACHA20"), &backend).await.0, 502);
    assert_eq!(backend.seen().len(), 2);
}
