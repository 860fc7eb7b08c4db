//! Whoever connects while one process takes over from another, or while one ends slowly, is served.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::{SinkExt, StreamExt, TryStreamExt};
use support::client::connect;
use support::{Folder, Gateway, backends};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

const PATIENCE: Duration = Duration::from_secs(30);

/// Clients that ask again and again, some on a new connection each time.
struct Crowd {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn gather(address: SocketAddr) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |index: usize| {
            let (stop, served) = (stop.clone(), served.clone());
            tokio::spawn(async move {
                let mut client = connect(address).await;
                while !stop.load(Ordering::Relaxed) {
                    if index.is_multiple_of(2) {
                        client = connect(address).await;
                    }
                    let (status, body) = client.get("web.test", "/").await.expect("a request was lost");
                    assert_eq!((status, body.starts_with("backend ")), (200, true), "{body}");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let clients = (0..4).map(client).collect();
        Self { stop, served, clients }
    }

    /// Waits until so many more requests were served.
    async fn serve(&self, more: usize) {
        let goal = self.served.load(Ordering::Relaxed) + more;
        let served = async {
            while self.served.load(Ordering::Relaxed) < goal {
                assert!(!self.clients.iter().any(JoinHandle::is_finished), "a client was not served");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, served).await.expect("too slow");
    }

    async fn leave(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
    }
}

/// A backend that answers one request with a stream whose end comes when it is told.
async fn stream(end: oneshot::Receiver<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.1.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        assert!(tcp.read(&mut head).await.unwrap() > 0);
        tcp.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n").await.unwrap();
        end.await.unwrap();
        tcp.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.unwrap();
    });
    address
}

async fn read_until(tcp: &mut TcpStream, what: &str) {
    let mut text = String::new();
    let reading = async {
        while !text.contains(what) {
            let mut part = [0; 1024];
            let length = tcp.read(&mut part).await.unwrap();
            assert!(length > 0, "it ended after {text:?}");
            text.push_str(&String::from_utf8_lossy(&part[..length]));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("no {what:?}"));
}

/// A Service with one endpoint, and an Ingress that leads to it.
fn service(name: &str, address: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{port: {}}}]\nendpoints: [{{addresses: [{}]}}]\n---\n\
         apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec: {{rules: [{{host: {name}.test, http: {{paths: \
         [{{path: /, pathType: Prefix, backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}]}}}}]}}\n",
        address.port(),
        address.ip()
    )
}

async fn site() -> Folder {
    let folder = Folder::new();
    folder.endpoints(&backends::start(2).await);
    folder.ingress("web", "web.test", 1);
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_refuses_nobody_and_lets_streams_finish() {
    let folder = site().await;
    let (end, ended) = oneshot::channel();
    let address = stream(ended).await;
    folder.write("stream", &service("stream", address));
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("upgrade");
    let old = Gateway::start_with(folder.path(), &["--upgrade-socket", socket.to_str().unwrap()]);
    old.ready().await;
    let mut long = TcpStream::connect(old.http()).await.unwrap();
    long.write_all(b"GET / HTTP/1.1\r\nhost: stream.test\r\n\r\n").await.unwrap();
    read_until(&mut long, "first").await;
    let crowd = Crowd::gather(old.http());
    crowd.serve(200).await;
    wait_for(&socket).await;
    let new = Gateway::start_with(folder.path(), &["--upgrade-socket", socket.to_str().unwrap()]);
    assert_eq!((new.http(), new.healthz()), (old.http(), old.healthz()));
    old.logged("another process serves now").await;
    crowd.serve(500).await;
    new.ready().await;
    crowd.leave().await;
    end.send(()).unwrap();
    read_until(&mut long, "last").await;
    assert!(old.wait(PATIENCE).await, "the old process ended with a failure");
    let (status, _) = connect(new.http()).await.get("web.test", "/").await.unwrap();
    assert_eq!(status, 200);
}

/// A backend that echoes what one WebSocket says.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.1.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let (mut out, said) = accept_async(tcp).await.unwrap().split();
        // Whoever talks may leave without a word.
        drop(said.try_filter(|message| std::future::ready(message.is_text())).forward(&mut out).await);
    });
    address
}

async fn echoes(socket: &mut WebSocketStream<TcpStream>, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, socket.next()).await.expect("no echo");
    assert_eq!(answer.unwrap().unwrap(), Message::text(text));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_outlives_an_upgrade_until_the_drain_timeout() {
    let folder = site().await;
    folder.write("echo", &service("echo", echo().await));
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("upgrade");
    let arguments = ["--upgrade-socket", socket.to_str().unwrap(), "--drain-timeout", "4s"];
    let old = Gateway::start_with(folder.path(), &arguments);
    old.ready().await;
    let tcp = TcpStream::connect(old.http()).await.unwrap();
    let (mut talk, _) = client_async("ws://echo.test/", tcp).await.unwrap();
    echoes(&mut talk, "before").await;
    wait_for(&socket).await;
    let new = Gateway::start_with(folder.path(), &arguments);
    old.logged("another process serves now").await;
    new.ready().await;
    echoes(&mut talk, "after").await;
    let end = tokio::time::timeout(PATIENCE, talk.next()).await.expect("the old process never lets go");
    assert!(!matches!(end, Some(Ok(Message::Text(_)))), "{end:?}");
    assert!(old.wait(PATIENCE).await, "the old process ended with a failure");
    let (status, _) = connect(new.http()).await.get("web.test", "/").await.unwrap();
    assert_eq!(status, 200);
}

async fn wait_for(socket: &Path) {
    let there = async {
        while !socket.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, there).await.expect("nobody offers the sockets");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_late_is_served_while_a_process_ends() {
    let folder = site().await;
    let gateway = Gateway::start_with(folder.path(), &["--shutdown-grace-period", "3s"]);
    gateway.ready().await;
    let crowd = Crowd::gather(gateway.http());
    crowd.serve(200).await;
    gateway.signal("TERM");
    gateway.logged("terminating").await;
    // A balancer that has not noticed yet goes on as before.
    crowd.serve(300).await;
    crowd.leave().await;
    assert!(gateway.wait(PATIENCE).await, "it ended with a failure");
}
