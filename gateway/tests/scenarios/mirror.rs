//! A mirror gets a copy of each request, and the client never waits for it.
use http::Method;
use tokio::sync::mpsc;

use crate::support::{Client, Head, Rig, Scripted, Site, Spec, bounded, channel, full};

/// A server that tells the head and body of each request.
async fn mirror() -> (Scripted, mpsc::UnboundedReceiver<(Head, Vec<u8>)>) {
    let (seen, copies) = mpsc::unbounded_channel();
    let mirror = Scripted::start(move |mut wire| {
        let seen = seen.clone();
        async move {
            while let Some(head) = wire.try_head().await {
                let body = wire.body(&head).await;
                seen.send((head, body)).ok();
                wire.try_send(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n").await.ok();
            }
        }
    })
    .await;
    (mirror, copies)
}

fn site(app: &Scripted, target: String) -> Site {
    let target: &'static str = target.leak();
    let rule = Spec::to("app").annotation("mirror-target", target).annotation("mirror-host", "test.example");
    Site::default()
        .rule(rule.clone().host("with.test"))
        .rule(rule.host("without.test").annotation("mirror-request-body", "off"))
        .endpoints("app", [app.address])
}

#[tokio::test]
async fn a_copy_has_method_target_fields_and_body() {
    let (mirror, mut copies) = mirror().await;
    let app = Scripted::recording().await;
    let rig = Rig::start(site(&app, format!("http://{}$request_uri", mirror.address))).await;
    for (host, wanted) in [("with.test", &b"hello"[..]), ("without.test", &b""[..])] {
        let mut client = Client::h1(rig.http).await;
        let request = client.request(Method::PUT, host, "/a?b=c").header("X-Token", "7");
        let reply = client.send(request.body(full("hello")).unwrap()).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "ok"), "the mirror's answer is dropped");
        let (head, body) = bounded("the copy", copies.recv()).await.unwrap();
        assert_eq!(head.first, "PUT /a?b=c HTTP/1.1");
        assert_eq!([head.one("host"), head.one("x-token")], [Some("test.example"), Some("7")]);
        assert_eq!(body, wanted, "{host}");
    }
}

#[tokio::test]
async fn a_mirror_that_hangs_or_is_gone_delays_nobody() {
    let hanging = Scripted::start(|mut wire| async move {
        wire.try_head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let gone = {
        let closed = Scripted::recording().await;
        closed.address
    };
    let app = Scripted::recording().await;
    for address in [hanging.address, gone] {
        let rig = Rig::start(site(&app, format!("http://{address}/copy"))).await;
        for _ in 0..3 {
            let reply = Client::h1(rig.http).await.post("with.test", "/", "hello").await;
            assert_eq!(reply.status.as_u16(), 200);
        }
    }
}

#[tokio::test]
async fn a_copy_has_the_body_whatever_its_size_and_though_it_would_stream() {
    let (mirror, mut copies) = mirror().await;
    let app = Scripted::recording().await;
    let target: &'static str = format!("http://{}/", mirror.address).leak();
    let rule = Spec::to("app").annotation("mirror-target", target).annotation("proxy-body-size", "0");
    let site = Site::default()
        .rule(rule.clone())
        .rule(rule.host("off.test").annotation("proxy-request-buffering", "off"))
        .endpoints("app", [app.address]);
    let rig = Rig::start(site).await;
    for host in ["a.test", "off.test"] {
        for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
            for len in [5, 3_000_000] {
                let (mut sender, body) = channel();
                let sending = tokio::spawn(async move { sender.send_data(vec![b'x'; len].into()).await });
                let request = client.request(Method::POST, host, "/").body(body).unwrap();
                assert_eq!(client.send(request).await.text(), "ok");
                sending.await.unwrap().unwrap();
                let (head, body) = bounded("the copy", copies.recv()).await.unwrap();
                assert_eq!((head.one("content-length"), body.len()), (Some(len.to_string().as_str()), len));
            }
        }
    }
}
