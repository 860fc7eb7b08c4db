//! Hosts that ask for client certificates.
use http::Method;

use crate::support::{Authority, Backend, Client, Identity, Offer, Reply, Rig, Site, Spec, empty};

const NAME: &str = "auth-tls-verify-client";

fn asking(authority: &Authority) -> Spec {
    Spec::to("app").annotation("auth-tls-secret", "ca").object("ca", "ca.crt", authority.pem.as_str())
}

async fn rig(backend: &Backend, rules: Vec<Spec>) -> Rig {
    let site = Site::default().endpoints("app", [backend.address]);
    Rig::start(rules.into_iter().fold(site, Site::rule)).await
}

async fn get(rig: &Rig, offer: Offer<'_>, host: &str) -> Reply {
    Client::tls(rig.https, offer).await.get(host, "/").await
}

#[tokio::test]
async fn only_valid_certificates_of_the_authority_pass() {
    let (backend, authority, other) = (Backend::echo("app").await, Authority::new("ours"), Authority::new("theirs"));
    let modes = [("a.test", "on"), ("optional.test", "optional"), ("any.test", "optional_no_ca"), ("off.test", "off")];
    let rules = modes.iter().map(|(host, mode)| asking(&authority).host(host).annotation(NAME, *mode)).collect();
    let rig = rig(&backend, rules).await;
    let (valid, expired, foreign) = (authority.client("ann"), authority.client_until("old", 2010), other.client("eve"));
    for (identity, statuses) in [
        (None, [400, 200, 200, 200]),
        (Some(&valid), [200, 200, 200, 200]),
        (Some(&foreign), [400, 400, 200, 200]),
        (Some(&expired), [400, 400, 400, 200]),
    ] {
        for ((host, mode), status) in modes.iter().zip(statuses) {
            for offer in [Offer::h1(host), Offer::h2(host)] {
                let offer = Offer { identity, ..offer };
                assert_eq!(get(&rig, offer, host).await.status, status, "{mode} {:?}", identity.is_some());
            }
        }
    }
}

#[tokio::test]
async fn endpoints_are_told_by_the_gateway_alone() {
    let (backend, authority) = (Backend::echo("app").await, Authority::new("ours"));
    let rules = vec![
        asking(&authority).annotation("auth-tls-pass-certificate-to-upstream", "true"),
        asking(&authority).host("optional.test").annotation(NAME, "optional"),
        Spec::to("app").host("plain.test"),
    ];
    let rig = rig(&backend, rules).await;
    let ann = authority.client("ann");
    for (host, identity, want) in [
        ("a.test", Some(&ann), [Some("SUCCESS"), Some("CN=ann"), Some("CN=ours")]),
        ("optional.test", None, [Some("NONE"), None, None]),
        ("plain.test", None, [None; 3]),
    ] {
        let mut client = Client::tls(rig.https, Offer { identity, ..Offer::h2(host) }).await;
        let mut request = client.request(Method::GET, host, "/");
        for name in [
            "ssl-client-verify",
            "ssl-client-subject-dn",
            "ssl-client-issuer-dn",
            "ssl-client-cert",
            "SSL-Client-Other",
        ] {
            request = request.header(name, "forged");
        }
        assert_eq!(client.send(request.body(empty()).unwrap()).await.status, 200);
        let seen = backend.last();
        let told = ["ssl-client-verify", "ssl-client-subject-dn", "ssl-client-issuer-dn"].map(|name| seen.header(name));
        assert_eq!([told[0], told[1]], [want[0], want[1]], "{host}");
        assert_eq!(told[2].map(|issuer| issuer.starts_with("CN=ours")), want[2].map(|_| true), "{host}");
        let sent = seen.header("ssl-client-cert");
        assert_eq!(
            sent.map(|pem| pem.starts_with("-----BEGIN%20CERTIFICATE-----%0A")),
            (host == "a.test").then_some(true)
        );
        assert_eq!(seen.header("ssl-client-other"), None);
    }
}

#[tokio::test]
async fn a_certificate_counts_only_for_the_host_of_the_handshake() {
    let (backend, ours, theirs) = (Backend::echo("app").await, Authority::new("ours"), Authority::new("theirs"));
    let rules = vec![asking(&ours), asking(&theirs).host("b.test"), Spec::to("app").host("plain.test")];
    let rig = rig(&backend, rules).await;
    let ann = ours.client("ann");
    for (name, host, status) in [
        ("a.test", "A.test", 200),
        ("a.test", "b.test", 421),
        ("plain.test", "a.test", 421),
        ("a.test", "plain.test", 200),
    ] {
        assert_eq!(get(&rig, Offer::h2(name).showing(&ann), host).await.status, status, "{name} {host}");
    }
    let nameless = Offer { name: None, ..Offer::h1("a.test") };
    assert_eq!(get(&rig, nameless.showing(&ann), "a.test").await.status, 421);
}

#[tokio::test]
async fn plain_text_is_redirected_or_refused() {
    let (backend, authority) = (Backend::echo("app").await, Authority::new("ours"));
    let rules = vec![asking(&authority), asking(&authority).host("go.test").annotation("force-ssl-redirect", "true")];
    let rig = rig(&backend, rules).await;
    let mut client = Client::h1(rig.http).await;
    for (host, status) in [("a.test", 403), ("go.test", 308)] {
        assert_eq!(client.get(host, "/").await.status, status, "{host}");
    }
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_closes_the_host_and_a_stricter_ingress_wins() {
    let (backend, authority) = (Backend::echo("app").await, Authority::new("ours"));
    let rules = vec![
        Spec::to("app").host("broken.test").annotation("auth-tls-secret", "missing"),
        Spec::to("app").host("broken.test").prefix("/open"),
        asking(&authority).annotation(NAME, "optional"),
        asking(&authority).prefix("/strict"),
    ];
    let rig = rig(&backend, rules).await;
    for host in ["broken.test", "a.test"] {
        let mut client = Client::tls(rig.https, Offer::h2(host)).await;
        for path in ["/", "/open", "/strict"] {
            let status = if host == "a.test" { 400 } else { 403 };
            assert_eq!(client.get(host, path).await.status, status, "{host}{path}");
        }
    }
}

#[tokio::test]
async fn revoked_certificates_and_other_subjects_are_refused() {
    let (backend, authority) = (Backend::echo("app").await, Authority::new("ours"));
    let rules = vec![
        asking(&authority).object("ca", "ca.crl", authority.revoking(&["bob"])),
        asking(&authority).host("cn.test").annotation("auth-tls-match-cn", "CN=an"),
        asking(&authority).host("page.test").annotation("auth-tls-error-page", "https://help.test/$host"),
    ];
    let rig = rig(&backend, rules).await;
    let (ann, bob) = (authority.client("ann"), authority.client("bob"));
    for (host, identity, status) in
        [("a.test", &ann, 200), ("a.test", &bob, 400), ("cn.test", &ann, 200), ("cn.test", &bob, 403)]
    {
        assert_eq!(get(&rig, Offer::h2(host).showing(identity), host).await.status, status, "{host}");
    }
    let reply = get(&rig, Offer::h1("page.test"), "page.test").await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (302, Some("https://help.test/page.test")));
}

#[tokio::test]
async fn what_lies_between_a_client_and_its_authority_is_counted_wherever_it_comes_from() {
    let (backend, root) = (Backend::echo("app").await, Authority::new("root"));
    let upper = root.authority("upper");
    let lower = upper.authority("lower");
    let all = [&root, &upper, &lower].map(|authority| authority.pem.as_str()).concat();
    let hosts = [("one.test", &root.pem, "1"), ("two.test", &root.pem, "2"), ("all.test", &all, "1")];
    let hosts = hosts.into_iter().chain([("deep.test", &all, "2"), ("cut.test", &upper.pem, "1")]);
    let rules = hosts.map(|(host, authorities, depth)| {
        let rule = Spec::to("app").host(host).annotation("auth-tls-verify-depth", depth);
        let secret = host.trim_end_matches(".test");
        rule.annotation("auth-tls-secret", secret).object(secret, "ca.crt", authorities.as_str())
    });
    let rig = rig(&backend, rules.collect()).await;
    let showing = |signer: &Authority, links: &[&Authority]| {
        let mut identity = signer.client("ann");
        identity.links = links.iter().map(|link| link.der.clone()).collect();
        identity
    };
    let (near, far) = (showing(&upper, &[&upper]), showing(&lower, &[&lower, &upper]));
    let (spare, bare) = (showing(&root, &[&upper, &lower]), showing(&lower, &[]));
    for (host, statuses) in [
        ("one.test", [200, 400, 200, 400]),
        ("two.test", [200, 200, 200, 400]),
        ("all.test", [200, 400, 200, 400]),
        ("deep.test", [200, 200, 200, 200]),
        // An authority whose own is not known is the end.
        ("cut.test", [200, 200, 400, 400]),
    ] {
        for (identity, status) in [&near, &far, &spare, &bare].into_iter().zip(statuses) {
            let links = identity.links.len();
            assert_eq!(get(&rig, Offer::h2(host).showing(identity), host).await.status, status, "{host} {links}");
        }
    }
}

#[tokio::test]
async fn settings_that_change_hold_for_open_connections() {
    let (backend, ours, theirs) = (Backend::echo("app").await, Authority::new("ours"), Authority::new("theirs"));
    let mut rig = rig(&backend, vec![asking(&ours)]).await;
    let ann = ours.client("ann");
    let mut client = Client::tls(rig.https, Offer::h2("a.test").showing(&ann)).await;
    assert_eq!(client.get("a.test", "/").await.status, 200);
    rig.publish().await;
    assert_eq!(client.get("a.test", "/").await.status, 200);
    rig.site.clear_rules();
    rig.site.add(asking(&theirs));
    rig.publish().await;
    assert_eq!(client.get("a.test", "/").await.status, 400);
    let identity: &Identity = &theirs.client("eve");
    assert_eq!(get(&rig, Offer::h2("a.test").showing(identity), "a.test").await.status, 200);
}
