//! Who a request comes from behind other proxies: forwarded fields and PROXY protocol, believed of the listed peers only.
use crate::support::{Head, Offer, Rig, Scripted, Site, Spec, Wire, dial};

const FORWARDED: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 192.0.2.9, 198.51.100.7\r\n\
     X-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\nX-Forwarded-Host: shop.test, b.test\r\n\r\n";

async fn rig(config: &[(&str, &str)]) -> (Scripted, Rig) {
    let backend = Scripted::recording().await;
    let site = Site::default().config(config).rule(Spec::to("app")).endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    (backend, rig)
}

async fn sent(config: &[(&str, &str)], request: &str) -> Head {
    let (backend, rig) = rig(config).await;
    let mut wire = rig.wire().await;
    wire.send(request).await;
    assert_eq!(wire.response().await.0.status(), 200);
    backend.last()
}

fn assert_fields(head: &Head, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        assert_eq!(head.one(name), Some(*value), "{name}");
    }
}

#[tokio::test]
async fn a_believed_peer_says_who_the_client_is() {
    let head = sent(&[("use-forwarded-headers", "true")], FORWARDED).await;
    assert_fields(
        &head,
        &[
            ("host", "shop.test"),
            ("x-real-ip", "192.0.2.9"),
            ("x-forwarded-for", "192.0.2.9"),
            ("x-forwarded-host", "shop.test"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-scheme", "https"),
            ("x-scheme", "https"),
            ("x-original-forwarded-for", "192.0.2.9, 198.51.100.7"),
            ("x-original-forwarded-host", "shop.test, b.test"),
        ],
    );
}

#[tokio::test]
async fn of_other_peers_nothing_is_believed() {
    let config = [("use-forwarded-headers", "true"), ("proxy-real-ip-cidr", "10.0.0.0/8")];
    let head = sent(&config, FORWARDED).await;
    assert_fields(
        &head,
        &[
            ("host", "a.test"),
            ("x-real-ip", "127.0.0.1"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
        ],
    );
}

#[tokio::test]
async fn the_whole_list_goes_on_when_asked_for() {
    let config = [("use-forwarded-headers", "true"), ("compute-full-forwarded-for", "true")];
    let head = sent(&config, FORWARDED).await;
    let want = [("x-forwarded-for", "192.0.2.9, 198.51.100.7, 127.0.0.1"), ("x-real-ip", "192.0.2.9")];
    assert_fields(&head, &want);
    let head = sent(&config, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_fields(&head, &[("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1")]);
}

#[tokio::test]
async fn only_the_address_is_believed_with_enable_real_ip() {
    let config = [("enable-real-ip", "true"), ("forwarded-for-header", "CF-Connecting-IP")];
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\nCF-Connecting-IP: 192.0.2.9\r\nX-Forwarded-Proto: https\r\n\r\n";
    let head = sent(&config, request).await;
    assert_fields(
        &head,
        &[("x-real-ip", "192.0.2.9"), ("x-forwarded-proto", "http"), ("x-original-forwarded-for", "192.0.2.9")],
    );
}

#[tokio::test]
async fn a_forwarded_scheme_decides_on_the_redirect_to_https() {
    let (_backend, mut rig) = rig(&[("use-forwarded-headers", "true")]).await;
    rig.site.clear_rules();
    rig.site.add(Spec::to("app").annotation("force-ssl-redirect", "true"));
    rig.publish().await;
    for (scheme, status) in [("http", 308), ("https", 200), ("https,http", 200)] {
        let mut wire = rig.wire().await;
        wire.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: {scheme}\r\n\r\n")).await;
        assert_eq!(wire.response().await.0.status(), status, "{scheme}");
    }
}

#[tokio::test]
async fn a_proxy_header_names_the_client_on_both_ports() {
    let (backend, rig) = rig(&[("use-proxy-protocol", "true")]).await;
    let mut wire = rig.wire().await;
    wire.send("PROXY TCP4 192.0.2.9 192.0.2.1 4711 80\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(wire.response().await.0.status(), 200);
    let want = [("x-real-ip", "192.0.2.9"), ("x-forwarded-port", "80"), ("x-forwarded-proto", "http")];
    assert_fields(&backend.last(), &want);

    let mut tcp = Wire::new(dial(rig.https).await.unwrap());
    let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\xc0\0\x02\x01\x12\x67\x01\xbb";
    tcp.send(binary).await;
    let mut wire = Wire::new(Offer::h1("a.test").over(tcp.into_stream()).await.unwrap());
    wire.get("/").await;
    assert_eq!(wire.response().await.0.status(), 200);
    assert_fields(&backend.last(), &[("x-real-ip", "192.0.2.9"), ("x-forwarded-port", "443")]);
}

#[tokio::test]
async fn behind_a_balancer_that_ended_tls_the_scheme_is_https() {
    let (backend, rig) = rig(&[("use-proxy-protocol", "true")]).await;
    let mut wire = rig.wire().await;
    wire.send("PROXY TCP4 192.0.2.9 192.0.2.1 4711 443\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(wire.response().await.0.status(), 200);
    assert_fields(&backend.last(), &[("x-forwarded-proto", "https"), ("x-forwarded-port", "443")]);
}

#[tokio::test]
async fn a_proxy_header_of_a_stranger_is_read_but_not_believed() {
    let (backend, rig) = rig(&[("use-proxy-protocol", "true"), ("proxy-real-ip-cidr", "10.0.0.0/8")]).await;
    let mut wire = rig.wire().await;
    wire.send("PROXY TCP4 192.0.2.9 192.0.2.1 4711 443\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(wire.response().await.0.status(), 200);
    assert_fields(&backend.last(), &[("x-real-ip", "127.0.0.1"), ("x-forwarded-proto", "http")]);
}

#[tokio::test]
async fn without_the_expected_proxy_header_a_connection_ends() {
    let (_backend, mut rig) = rig(&[("use-proxy-protocol", "true")]).await;
    let mut wire = rig.wire().await;
    wire.get("/").await;
    wire.closed().await;
    // A change of the ConfigMap holds for the next connection.
    rig.site.set_config(&[]);
    rig.publish().await;
    let mut wire = rig.wire().await;
    wire.get("/").await;
    assert_eq!(wire.response().await.0.status(), 200);
}
