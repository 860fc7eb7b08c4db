//! TLS towards endpoints: whom the gateway trusts, who it is, and that no connection is used on weaker terms than a rule asks for.
use rustls::CipherSuite;

use crate::support::{Authority, Backend, Client, Identity, Rig, Site, Spec, eventually};

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

/// A version of TLS, by a suite of it.
fn version(backend: &Backend) -> &'static str {
    let suite = format!("{:?}", backend.last().suite.unwrap());
    if suite.starts_with("TLS13_") { "TLSv1.3" } else { "TLSv1.2" }
}

#[tokio::test]
async fn only_versions_that_are_asked_for_are_offered() {
    let own = Identity::ecdsa(&["inside.test"]);
    let backend = Backend::accepting("app", own.acceptor(&[])).await;
    let asking = |version| secured(&own, "inside.test").annotation("proxy-ssl-protocols", version);
    for (asked, used) in [("TLSv1.3", "TLSv1.3"), ("TLSv1.2", "TLSv1.2"), ("TLSv1.2 TLSv1.3", "TLSv1.3")] {
        assert_eq!(answer(asking(asked), &backend).await.0, 200, "{asked}");
        assert_eq!(version(&backend), used, "{asked}");
    }
    assert_eq!(backend.last().server_name.as_deref(), Some("inside.test"));
    let old = Backend::accepting("app", own.acceptor_tls12()).await;
    assert_eq!(answer(asking("TLSv1.3"), &old).await.0, 502);
    let other = Identity::ecdsa(&["inside.test"]);
    let distrusting = secured(&other, "inside.test").annotation("proxy-ssl-protocols", "TLSv1.2");
    assert_eq!(answer(distrusting, &backend).await.0, 502);
    let misnamed = secured(&own, "outside.test").annotation("proxy-ssl-protocols", "TLSv1.2");
    assert_eq!(answer(misnamed, &backend).await.0, 502);
    assert_eq!(backend.seen().len(), 3);
}

#[tokio::test]
async fn rules_with_other_versions_never_share_a_connection() {
    let own = Identity::ecdsa(&["inside.test"]);
    let backend = Backend::accepting("app", own.acceptor(&[])).await;
    let old = secured(&own, "inside.test").host("old.test").annotation("proxy-ssl-protocols", "TLSv1.2");
    let site = Site::default().rule(old).rule(secured(&own, "inside.test")).endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..3 {
        for (host, used) in [("old.test", "TLSv1.2"), ("a.test", "TLSv1.3")] {
            assert_eq!(client.get(host, "/").await.status, 200);
            assert_eq!(version(&backend), used);
        }
    }
}

#[tokio::test]
async fn large_bodies_and_a_certificate_of_the_gateway_pass_in_one_version() {
    let (own, gateway) = (Identity::ecdsa(&["inside.test"]), Identity::ecdsa(&["gateway.test"]));
    let backend = Backend::accepting("app", own.acceptor_for(&gateway)).await;
    let spec = secured(&own, "inside.test")
        .annotation("proxy-ssl-protocols", "TLSv1.2")
        .annotation("proxy-body-size", "8m")
        .object("tls", "tls.crt", gateway.pem.0.clone())
        .object("tls", "tls.key", gateway.pem.1.clone());
    let rig = Rig::start(Site::default().rule(spec).endpoints("app", [backend.address])).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..2 {
        let body = "x".repeat(3 << 20);
        let reply = client.post("a.test", "/", body.clone()).await;
        assert_eq!(reply.status, 200);
        assert!(reply.text() == body, "the body comes back whole");
    }
    eventually("the end of the connections", || async { (backend.open() == 0).then_some(()) }).await;
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
async fn only_suites_that_are_listed_are_offered() {
    let own = Identity::ecdsa(&["inside.test"]);
    let listing = |list: &'static str| secured(&own, "inside.test").annotation("proxy-ssl-ciphers", list);
    let backend = Backend::accepting("app", own.acceptor_tls12()).await;
    let chacha20 = CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
    for (list, used) in [
        ("HIGH:!aNULL", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        ("AES128:DHE-RSA-AES256-SHA", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ("CHACHA20", chacha20),
    ] {
        assert_eq!(answer(listing(list), &backend).await.0, 200, "{list}");
        assert_eq!(backend.last().suite, Some(used), "{list}");
    }
    let only = Backend::accepting("app", own.acceptor_only(chacha20)).await;
    assert_eq!(answer(listing("AES256"), &only).await.0, 502);
    assert_eq!(answer(listing("AES256:CHACHA20"), &only).await.0, 200);
    assert_eq!(only.seen().len(), 1);
}

#[tokio::test]
async fn no_more_certificates_lie_between_than_are_allowed() {
    let root = Authority::new("root");
    let first = root.authority("first");
    let second = first.authority("second");
    let showing = |signer: &Authority, links: &[&Authority]| {
        let mut identity = signer.server("inside.test");
        identity.links = links.iter().map(|link| link.der.clone()).collect();
        identity
    };
    let near = Backend::accepting("app", showing(&first, &[&first]).acceptor(&[])).await;
    let far = Backend::accepting("app", showing(&second, &[&second, &first]).acceptor(&[])).await;
    let trusting = |authorities: &[&Authority]| {
        let pem: String = authorities.iter().map(|authority| authority.pem.as_str()).collect();
        let spec = Spec::to("app").annotation("backend-protocol", "HTTPS").annotation("proxy-ssl-secret", "tls");
        spec.annotation("proxy-ssl-verify", "on")
            .annotation("proxy-ssl-name", "inside.test")
            .object("tls", "ca.crt", pem)
    };
    let (alone, all) = (trusting(&[&root]), trusting(&[&root, &first, &second]));
    let within = |spec: &Spec, depth| spec.clone().annotation("proxy-ssl-verify-depth", depth);
    assert_eq!(answer(alone.clone(), &near).await.0, 200, "the default is 1");
    assert_eq!(answer(within(&alone, "0"), &near).await.0, 200, "0 counts as 1");
    assert_eq!(answer(alone.clone(), &far).await.0, 502);
    assert_eq!(answer(within(&alone, "1"), &far).await.0, 502);
    assert_eq!(answer(within(&all, "1"), &far).await.0, 502, "what is trusted lies between, too");
    let refused = far.seen().len();
    assert_eq!(refused, 0, "nothing is sent to an endpoint that is too far away");
    assert_eq!(answer(within(&alone, "2"), &far).await.0, 200);
    assert_eq!(answer(within(&all, "2"), &far).await.0, 200);
    let old = |depth| within(&alone, depth).annotation("proxy-ssl-protocols", "TLSv1.2");
    assert_eq!(answer(old("1"), &far).await.0, 502);
    assert_eq!(answer(old("2"), &far).await.0, 200);
}

/// The connection is there, and others could be served on it, before the chain was counted.
#[tokio::test]
async fn no_request_shares_a_connection_whose_chain_is_too_long() {
    let root = Authority::new("root");
    let first = root.authority("first");
    let second = first.authority("second");
    let mut identity = second.server("inside.test");
    identity.links = vec![second.der.clone(), first.der.clone()];
    let backend = Backend::accepting("app", identity.acceptor(&["h2"])).await;
    let spec = |host: &'static str, depth| {
        let spec =
            Spec::to("app").host(host).annotation("backend-protocol", "GRPCS").annotation("proxy-ssl-secret", "tls");
        let spec = spec.annotation("proxy-ssl-verify", "on").annotation("proxy-ssl-name", "inside.test");
        spec.annotation("proxy-ssl-verify-depth", depth).object("tls", "ca.crt", root.pem.clone())
    };
    let site =
        Site::default().rule(spec("far.test", "1")).rule(spec("a.test", "2")).endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    let mut client = Client::h2c(rig.http).await;
    for _ in 0..3 {
        assert_eq!(client.get("far.test", "/").await.status, 502);
        assert_eq!(client.get("a.test", "/").await.status, 200);
    }
}
