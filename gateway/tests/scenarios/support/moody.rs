//! A backend that can turn bad and good again at the same address.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::Wire;

/// What it does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers 200 with its name.
    Good,
    /// Answers 200 with its name, after a while.
    Slow(Duration),
    /// Answers 503.
    Errors,
    /// Takes the request and says nothing.
    Hangs,
    /// Takes the request and breaks off within the head of its answer.
    Breaks,
    /// Refuses connections.
    Refuses,
}

/// An HTTP/1.1 server; ends on drop.
pub(crate) struct Moody {
    pub(crate) address: SocketAddr,
    mood: watch::Sender<Mood>,
    seen: Arc<AtomicUsize>,
    probed: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Moody {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mood, moods) = watch::channel(Mood::Good);
        let (seen, probed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let task = tokio::spawn(live(listener, address, moods, name, [seen.clone(), probed.clone()]));
        Self { address, mood, seen, probed, task }
    }

    /// Turns; returns when the next connection meets the new mood. Open connections end, but for requests that hang:
    /// they go on hanging.
    pub(crate) async fn turn(&self, mood: Mood) {
        self.mood.send_replace(mood);
        let refuses = mood == Mood::Refuses;
        super::eventually("the new mood", || async {
            (TcpStream::connect(self.address).await.is_err() == refuses).then_some(())
        })
        .await;
    }

    /// Requests for `/` so far, whatever became of them, but HEAD: that is what probes are.
    pub(crate) fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }

    /// HEAD requests so far.
    pub(crate) fn probed(&self) -> usize {
        self.probed.load(Ordering::SeqCst)
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn live(
    listener: TcpListener,
    address: SocketAddr,
    mut moods: watch::Receiver<Mood>,
    name: &'static str,
    counts: [Arc<AtomicUsize>; 2],
) {
    let mut listener = Some(listener);
    loop {
        let mood = *moods.borrow_and_update();
        if mood == Mood::Refuses {
            drop(listener.take());
            moods.changed().await.ok();
            continue;
        }
        let open = listener.get_or_insert_with(|| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            socket.listen(1024).unwrap()
        });
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = open.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    connections.spawn(serve(Wire::new(stream), mood, name, counts.clone()));
                }
                _ = moods.changed() => break,
            }
        }
        if mood == Mood::Hangs {
            connections.detach_all();
        }
    }
}

async fn serve(mut wire: Wire<TcpStream>, mood: Mood, name: &'static str, [seen, probed]: [Arc<AtomicUsize>; 2]) {
    while let Some(head) = wire.try_head().await {
        let is_head = head.first.starts_with("HEAD");
        if is_head {
            probed.fetch_add(1, Ordering::SeqCst);
        } else if head.target() == "/" {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        let body = if is_head { "" } else { name };
        let ok = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", name.len());
        let sent = match mood {
            Mood::Good | Mood::Refuses => wire.try_send(ok).await,
            Mood::Slow(pause) => {
                tokio::time::sleep(pause).await;
                wire.try_send(ok).await
            }
            Mood::Errors => wire.try_send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await,
            Mood::Breaks => {
                wire.try_send("HTTP/1.1 200 OK\r\nContent-Le").await.ok();
                return;
            }
            Mood::Hangs => std::future::pending().await,
        };
        if sent.is_err() {
            return;
        }
    }
}
