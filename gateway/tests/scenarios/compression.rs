//! Answers are compressed as the ConfigMap says, while they stream, and never twice.
use std::io::Read;

use crate::support::{Client, Offer, Rig, Scripted, Site, Spec, Wire};

/// What a gzip stream holds.
fn unzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

fn page(more: &str) -> (String, Vec<u8>) {
    let body = "lorem ipsum ".repeat(1000);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{more}Content-Length: {}\r\n\r\n", body.len());
    (head + &body, body.into_bytes())
}

async fn rig(answer: String) -> (Scripted, Rig) {
    let backend = Scripted::answering(answer).await;
    let site = Site::default().config(&[("use-gzip", "true")]).rule(Spec::to("app"));
    let rig = Rig::start(site.endpoints("app", [backend.address])).await;
    (backend, rig)
}

async fn ask(wire: &mut Wire, accept: &str) {
    wire.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: {accept}\r\n\r\n")).await;
}

#[tokio::test]
async fn a_client_that_takes_gzip_gets_it_and_others_do_not() {
    let (answer, body) = page("ETag: \"x\"\r\n");
    let (_backend, rig) = rig(answer).await;
    let mut wire = rig.wire().await;
    ask(&mut wire, "gzip").await;
    let (head, zipped) = wire.response().await;
    for (name, want) in [
        ("content-encoding", Some("gzip")),
        ("vary", Some("Accept-Encoding")),
        ("etag", Some("W/\"x\"")),
        ("content-length", None),
    ] {
        assert_eq!(head.one(name), want, "{name}");
    }
    assert!(zipped.len() < body.len() / 10);
    assert_eq!(unzip(&zipped), body);
    ask(&mut wire, "identity").await;
    let (head, plain) = wire.response().await;
    assert_eq!((head.one("content-encoding"), head.one("vary")), (None, Some("Accept-Encoding")));
    assert_eq!(plain, body);
}

#[tokio::test]
async fn http2_clients_get_it_too() {
    let (answer, body) = page("");
    let (_backend, rig) = rig(answer).await;
    let mut client = Client::tls(rig.https, Offer::h2("a.test")).await;
    let request = client.request(http::Method::GET, "a.test", "/").header("accept-encoding", "gzip");
    let reply = client.send(request.body(crate::support::empty()).unwrap()).await;
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    assert_eq!(unzip(&reply.body), body);
}

#[tokio::test]
async fn what_is_compressed_already_passes_as_it_is() {
    let (answer, body) = page("Content-Encoding: br\r\n");
    let (_backend, rig) = rig(answer).await;
    let mut wire = rig.wire().await;
    ask(&mut wire, "gzip, br").await;
    let (head, got) = wire.response().await;
    assert_eq!((head.all("content-encoding"), got), (vec!["br"], body));
}
