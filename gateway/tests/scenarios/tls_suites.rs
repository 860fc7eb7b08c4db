//! Which TLS versions and cipher suites clients get, by the ConfigMap and by host.
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedProtocolVersion};

use crate::support::{Backend, Offer, Rig, Site, Spec};

static ONLY_TLS12: &[&SupportedProtocolVersion] = &[&TLS12];
static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&TLS13];

const AES128: CipherSuite = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
const AES256: CipherSuite = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;
const CHACHA20: CipherSuite = CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;

fn tls12(name: &str) -> Offer<'_> {
    Offer { versions: ONLY_TLS12, ..Offer::h1(name) }
}

/// What a client gets that prefers AES256 to AES128 to CHACHA20, as rustls does.
async fn agreed(rig: &Rig, offer: Offer<'_>) -> Option<CipherSuite> {
    let stream = offer.connect(rig.https).await.ok()?;
    stream.get_ref().1.negotiated_cipher_suite().map(|suite| suite.suite())
}

#[tokio::test]
async fn a_host_has_suites_and_an_order_of_its_own() {
    let backend = Backend::echo("app").await;
    let (list, prefers) = ("ssl-ciphers", "ssl-prefer-server-ciphers");
    let site = Site::default()
        .rule(Spec::to("app"))
        .rule(Spec::to("app").host("b.test").annotation(list, "CHACHA20:AES128"))
        .rule(Spec::to("app").host("c.test").annotation(list, "CHACHA20:AES128").annotation(prefers, "false"))
        .rule(Spec::to("app").host("d.test").annotation(prefers, "true"));
    let rig = Rig::start(site.endpoints("app", [backend.address])).await;
    for (name, want) in [("a.test", AES256), ("b.test", CHACHA20), ("c.test", AES128), ("d.test", AES256)] {
        assert_eq!(agreed(&rig, tls12(name)).await, Some(want), "{name}");
        // Those of TLS 1.3 are always there.
        let newer = Offer { versions: ONLY_TLS13, ..Offer::h1(name) };
        assert!(agreed(&rig, newer).await.is_some(), "{name}");
    }
}

#[tokio::test]
async fn the_config_map_says_what_hosts_do_not_and_a_change_holds_for_the_next_handshake() {
    let backend = Backend::echo("app").await;
    let own = Spec::to("app").host("b.test").annotation("ssl-ciphers", "CHACHA20");
    let site = Site::default().config(&[("ssl-ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256")]);
    let site = site.rule(Spec::to("app")).rule(own).endpoints("app", [backend.address]);
    let mut rig = Rig::start(site).await;
    assert_eq!(agreed(&rig, tls12("a.test")).await, Some(AES128));
    assert_eq!(agreed(&rig, tls12("b.test")).await, Some(CHACHA20));
    rig.site.set_config(&[("ssl-protocols", "TLSv1.3")]);
    rig.publish().await;
    for name in ["a.test", "b.test"] {
        assert_eq!(agreed(&rig, tls12(name)).await, None, "{name}");
        assert!(agreed(&rig, Offer::h2(name)).await.is_some(), "{name}");
    }
    rig.site.set_config(&[("ssl-protocols", "SSLv3"), ("ssl-ciphers", "AES128-SHA")]);
    rig.publish().await;
    assert_eq!(agreed(&rig, tls12("a.test")).await, Some(AES256), "what cannot be used keeps the default");
}
