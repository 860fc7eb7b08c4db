//! TCP and UDP services: ports that come and go with the ConfigMap, and bytes that nobody changes.
use std::net::SocketAddr;

use table::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::support::{Refusing, Rig, Scripted, Site, Wire, bounded, dial, eventually};

const PLAIN: (bool, bool) = (false, false);

/// A port that nobody listens on just now.
async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Answers with everything that it was sent, once the other side has said its last.
async fn parrot() -> Scripted {
    Scripted::start(|mut wire| async move {
        let said = wire.rest().await;
        wire.try_send(said).await.ok();
    })
    .await
}

async fn connect(port: u16) -> TcpStream {
    eventually("the port", || async move { dial(local(port)).await.ok() }).await
}

/// Says something to a parrot.
async fn say(mut tcp: TcpStream, text: &str) -> String {
    tcp.write_all(text.as_bytes()).await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut heard = String::new();
    bounded("the answer", tcp.read_to_string(&mut heard)).await.unwrap();
    heard
}

async fn count(rig: &Rig, protocol: &str, port: u16, result: &str) -> Option<f64> {
    let port = port.to_string();
    let labels = [("protocol", protocol), ("port", &*port), ("result", result)];
    rig.metrics().await.sum("ingora_stream_connections_total", &labels)
}

#[tokio::test]
async fn a_side_that_has_said_its_last_is_still_answered() {
    let (parrot, port) = (parrot().await, free_port().await);
    let site = Site::default().stream(Transport::Tcp, port, "db", PLAIN).endpoints("db", [parrot.address]);
    let rig = Rig::start(site).await;
    let long = "ingora ".repeat(300_000);
    assert_eq!(say(connect(port).await, &long).await, long);
    let bytes = [("port", &*port.to_string()), ("direction", "sent")];
    let sent = rig.metrics().await.sum("ingora_stream_bytes_total", &bytes);
    assert_eq!(sent, Some(f64::from(u32::try_from(long.len()).unwrap())));
}

#[tokio::test]
async fn ports_come_and_go_and_open_connections_live_on() {
    let (parrot, port) = (parrot().await, free_port().await);
    let mut rig = Rig::start(Site::default().endpoints("db", [parrot.address])).await;
    assert!(dial(local(port)).await.is_err());
    rig.site = std::mem::take(&mut rig.site).stream(Transport::Tcp, port, "db", PLAIN);
    rig.publish().await;
    let old = connect(port).await;
    // It is open once it has reached the endpoint.
    eventually("the connection", || async { count(&rig, "tcp", port, "ok").await.filter(|open| *open > 0.0) }).await;
    rig.site.clear_streams();
    rig.publish().await;
    eventually("the end of the port", || async { dial(local(port)).await.is_err().then_some(()) }).await;
    assert_eq!(say(old, "still there").await, "still there");
    eventually("the end of its series", || async { count(&rig, "tcp", port, "ok").await.is_none().then_some(()) })
        .await;
}

#[tokio::test]
async fn another_endpoint_is_tried_and_without_one_the_connection_closes() {
    let (parrot, refusing) = (parrot().await, Refusing::new());
    let (port, empty) = (free_port().await, free_port().await);
    let site = Site::default()
        .stream(Transport::Tcp, port, "db", PLAIN)
        .stream(Transport::Tcp, empty, "none", PLAIN)
        .endpoints("db", [refusing.address, parrot.address]);
    let rig = Rig::start(site).await;
    for _ in 0..4 {
        assert_eq!(say(connect(port).await, "hello").await, "hello");
    }
    Wire::new(connect(empty).await).closed().await;
    assert_eq!(count(&rig, "tcp", empty, "unreachable").await, Some(1.0));
    assert_eq!(count(&rig, "tcp", port, "ok").await, Some(4.0));
}

#[tokio::test]
async fn the_proxy_header_is_taken_off_and_put_on() {
    let parrot = parrot().await;
    let ports = [free_port().await, free_port().await, free_port().await];
    let modes = [(true, false), (false, true), (true, true)];
    let site = ports
        .iter()
        .zip(modes)
        .fold(Site::default(), |site, (port, mode)| site.stream(Transport::Tcp, *port, "db", mode));
    let _rig = Rig::start(site.endpoints("db", [parrot.address])).await;
    let header = "PROXY TCP4 192.0.2.9 192.0.2.1 4711 443\r\n";
    assert_eq!(say(connect(ports[0]).await, &format!("{header}hello")).await, "hello");
    let tcp = connect(ports[1]).await;
    let client = tcp.local_addr().unwrap();
    let want = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\nhello", client.port(), ports[1]);
    assert_eq!(say(tcp, "hello").await, want);
    assert_eq!(say(connect(ports[2]).await, &format!("{header}hello")).await, format!("{header}hello"));
    // What should begin with a header and does not is nobody's.
    assert_eq!(say(connect(ports[0]).await, "hello, without a header").await, "");
}

#[tokio::test]
async fn a_silent_connection_ends() {
    let (parrot, port) = (parrot().await, free_port().await);
    let site = Site::default().config(&[("proxy-stream-timeout", "200ms")]);
    let site = site.stream(Transport::Tcp, port, "db", PLAIN).endpoints("db", [parrot.address]);
    let _rig = Rig::start(site).await;
    Wire::new(connect(port).await).closed().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_opened_when_it_comes_free() {
    let parrot = parrot().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let site = Site::default().stream(Transport::Tcp, port, "db", PLAIN).endpoints("db", [parrot.address]);
    let _rig = Rig::start(site).await;
    drop(taken);
    assert_eq!(say(connect(port).await, "hello").await, "hello");
}

/// Answers each datagram with itself, so many times, and tells how many different senders there were.
async fn echo(times: usize) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut datagram = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            for _ in 0..times {
                socket.send_to(&datagram[..length], from).await.unwrap();
            }
        }
    });
    (address, task)
}

/// Asks again until there is an answer, as clients of UDP do.
async fn ask(socket: &UdpSocket, port: u16, text: &str) {
    eventually("an answer", || async {
        let mut heard = [0; 2048];
        socket.send_to(text.as_bytes(), local(port)).await.ok()?;
        let wait = std::time::Duration::from_millis(100);
        let (length, from) = tokio::time::timeout(wait, socket.recv_from(&mut heard)).await.ok()?.ok()?;
        assert_eq!((&heard[..length], from), (text.as_bytes(), local(port)));
        Some(())
    })
    .await;
}

#[tokio::test]
async fn datagrams_go_there_and_back_and_a_session_ends_with_its_answers() {
    let (endpoint, port) = (echo(1).await, free_port().await);
    let site = Site::default().stream(Transport::Udp, port, "dns", PLAIN).endpoints("dns", [endpoint.0]);
    let rig = Rig::start(site).await;
    let (one, other) = (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    for round in 0..3 {
        ask(&one, port, &format!("one {round}")).await;
        ask(&other, port, &format!("other {round}")).await;
    }
    assert!(count(&rig, "udp", port, "ok").await.unwrap() >= 6.0, "each answer ends a session");
    let open = [("protocol", "udp")];
    eventually("the end of all sessions", || async {
        rig.metrics().await.sum("ingora_stream_connections", &open).filter(|open| *open == 0.0)
    })
    .await;
    endpoint.1.abort();
}

#[tokio::test]
async fn a_session_lasts_until_all_answers_have_come() {
    let (endpoint, port) = (echo(1).await, free_port().await);
    let site = Site::default().config(&[("proxy-stream-responses", "1000")]);
    let site = site.stream(Transport::Udp, port, "game", PLAIN).endpoints("game", [endpoint.0]);
    let rig = Rig::start(site).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for round in 0..3 {
        ask(&client, port, &round.to_string()).await;
    }
    assert_eq!(count(&rig, "udp", port, "ok").await, Some(1.0));
    endpoint.1.abort();
}
