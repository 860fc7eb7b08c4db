//! WebSocket and other upgrades pass, and outlive what changes around them.
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::support::{Client, Offer, Rig, Scripted, bounded};

/// Sends every message back; a close is answered with a close by the protocol itself.
async fn echo() -> Scripted {
    Scripted::start(|wire| async move {
        let Ok(mut socket) = accept_async(wire.into_stream()).await else { return };
        while let Some(Ok(message)) = socket.next().await {
            if !message.is_close() && socket.send(message).await.is_err() {
                return;
            }
        }
    })
    .await
}

async fn connect<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
    bounded("the upgrade", client_async("ws://a.test/chat?room=1", stream)).await.unwrap().0
}

async fn returns<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, message: Message) {
    bounded("the message to go", socket.send(message.clone())).await.unwrap();
    let answer = bounded("the message to return", socket.next()).await.unwrap().unwrap();
    assert!(answer == message, "the message that returned is the one that was sent");
}

#[tokio::test]
async fn text_binary_and_large_messages_pass_both_ways() {
    let backend = echo().await;
    let rig = Rig::to(backend.address).await;
    let mut socket = connect(rig.wire().await.into_stream()).await;
    returns(&mut socket, Message::text("hello")).await;
    returns(&mut socket, Message::binary(vec![0, 255, 1, 254])).await;
    returns(&mut socket, Message::binary(vec![7; 1 << 20])).await;
    returns(&mut socket, Message::text("after")).await;
}

#[tokio::test]
async fn a_close_is_answered_and_ends_the_connection() {
    let backend = echo().await;
    let rig = Rig::to(backend.address).await;
    let mut socket = connect(rig.wire().await.into_stream()).await;
    let frame = CloseFrame { code: CloseCode::Away, reason: "bye".into() };
    socket.close(Some(frame.clone())).await.unwrap();
    let answer = bounded("the answer", socket.next()).await.unwrap().unwrap();
    assert_eq!(answer, Message::Close(Some(frame)));
    assert!(bounded("the end", socket.next()).await.is_none());
}

#[tokio::test]
async fn websockets_pass_over_tls() {
    let backend = echo().await;
    let rig = Rig::to(backend.address).await;
    let mut socket = connect(Box::new(Offer::h1("a.test").connect(rig.https).await.unwrap())).await;
    returns(&mut socket, Message::text("hello")).await;
}

#[tokio::test]
async fn a_websocket_survives_tables_and_endpoints_that_change() {
    let backend = echo().await;
    let mut rig = Rig::to(backend.address).await;
    let mut socket = connect(rig.wire().await.into_stream()).await;
    returns(&mut socket, Message::text("before")).await;
    rig.publish().await;
    returns(&mut socket, Message::text("after a table")).await;
    rig.site.set_endpoints("app", []);
    rig.send_endpoints("app").await;
    rig.publish().await;
    returns(&mut socket, Message::text("after its endpoint went")).await;
    rig.site.clear_rules();
    rig.publish().await;
    returns(&mut socket, Message::text("after its rule went")).await;
}

#[tokio::test]
async fn a_websocket_stays_at_an_endpoint_that_terminates_until_its_end() {
    let (old, new) = (echo().await, Scripted::recording().await);
    let mut rig = Rig::to(old.address).await;
    let mut socket = connect(rig.wire().await.into_stream()).await;
    returns(&mut socket, Message::text("before")).await;
    rig.site.set_endpoints("app", [new.address]);
    rig.site.add_draining("app", old.address);
    rig.publish().await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.text(), "ok", "what is new goes to the other one");
    returns(&mut socket, Message::text("while it terminates")).await;
    socket.close(None).await.unwrap();
    assert!(bounded("the answer", socket.next()).await.unwrap().unwrap().is_close());
}

#[tokio::test]
async fn any_protocol_may_be_upgraded_to() {
    let backend = Scripted::start(|mut wire| async move {
        let head = wire.head().await;
        assert_eq!((head.one("upgrade"), head.target()), (Some("foo"), "/up"));
        wire.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\nwelcome").await;
        let word = wire.exact(5).await;
        wire.send(word.into_iter().rev().collect::<Vec<_>>()).await;
    })
    .await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send("GET /up HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n").await;
    let head = wire.head().await;
    assert_eq!((head.status(), head.one("upgrade")), (101, Some("foo")));
    assert_eq!(head.one("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(wire.exact(7).await, b"welcome");
    wire.send("12345").await;
    assert_eq!(wire.exact(5).await, b"54321");
    wire.closed().await;
}

#[tokio::test]
async fn an_endpoint_may_decline_to_upgrade() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n").await;
    let (head, body) = wire.response().await;
    assert_eq!((head.status(), body.as_slice()), (200, b"ok".as_slice()));
    assert_eq!(head.one("upgrade"), None);
}

#[tokio::test]
async fn http2_over_an_upgrade_never_reaches_the_endpoint() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
    )
    .await;
    assert_eq!(wire.head().await.status(), 200);
    let seen = backend.last();
    for name in ["upgrade", "connection", "http2-settings"] {
        assert_eq!(seen.one(name), None, "{name}");
    }
}
