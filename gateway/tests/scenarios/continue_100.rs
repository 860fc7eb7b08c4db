//! `Expect: 100-continue` and other interim responses.
use crate::support::{Rig, Scripted, Wire};

const HEAD: &str = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";

/// The first head that is not interim, and the statuses before it.
async fn final_head(wire: &mut Wire) -> (Vec<u16>, crate::support::Head) {
    let mut interim = Vec::new();
    loop {
        let head = wire.head().await;
        match head.status() {
            status @ 100..=199 => interim.push(status),
            _ => return (interim, head),
        }
    }
}

#[tokio::test]
async fn the_client_is_told_to_go_on_and_then_sends() {
    let backend = Scripted::start(|mut wire| async move {
        let head = wire.head().await;
        if head.one("expect").is_some() {
            wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        let body = wire.body(&head).await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await;
        wire.send(body).await;
    })
    .await;
    let rig = Rig::streaming_to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send(HEAD).await;
    assert_eq!(wire.head().await.status(), 100);
    wire.send("body").await;
    let (interim, head) = final_head(&mut wire).await;
    assert!(interim.is_empty(), "one 100 is enough: {interim:?}");
    assert_eq!((head.status(), wire.body(&head).await.as_slice()), (200, b"body".as_slice()));
}

#[tokio::test]
async fn a_client_that_does_not_wait_is_served() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send(format!("{HEAD}body")).await;
    let (_, head) = final_head(&mut wire).await;
    assert_eq!((head.status(), wire.body(&head).await.as_slice()), (200, b"ok".as_slice()));
}

#[tokio::test]
async fn a_refusal_arrives_before_the_body_is_sent() {
    let backend = Scripted::start(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
    })
    .await;
    let rig = Rig::streaming_to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send(HEAD).await;
    let (_, head) = final_head(&mut wire).await;
    assert_eq!((head.status(), wire.body(&head).await.as_slice()), (401, b"no".as_slice()));
}

#[tokio::test]
async fn the_gateways_own_answers_need_no_body() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send(HEAD.replace("a.test", "unknown.test")).await;
    let (interim, head) = final_head(&mut wire).await;
    assert_eq!((interim.len(), head.status()), (0, 404));
}

#[tokio::test]
async fn interim_responses_do_not_end_the_exchange() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
    let backend = Scripted::answering(format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")).await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    for _ in 0..2 {
        wire.get("/").await;
        let (interim, head) = final_head(&mut wire).await;
        assert!(interim.iter().all(|status| *status == 103), "{interim:?}");
        assert_eq!((head.status(), wire.body(&head).await.as_slice()), (200, b"ok".as_slice()));
    }
}
