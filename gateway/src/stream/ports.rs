//! The ports of TCP and UDP services, opened and closed as tables come.
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use table::{Stream, Transport};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::watch;

use super::{tcp, udp};
use crate::admission::Admission;
use crate::metrics::StreamMetrics;
use crate::proxy::Proxy;
use crate::upstream::Cluster;

/// Connections that the kernel may hold for a port that is busy.
const BACKLOG: u32 = 4096;

/// After so long a port is tried again that could not be opened.
const AGAIN: Duration = Duration::from_secs(1);

/// What the ports of a worker share.
pub(crate) struct Shared {
    pub(crate) proxy: Proxy,
    /// Counts TCP connections with those of HTTP.
    pub(crate) connections: Arc<Admission>,
    /// Counts UDP sessions, whose sources anybody can forge, apart from connections.
    pub(crate) sessions: Arc<Admission>,
    pub(crate) bind: IpAddr,
    /// Whoever holds a receiver is waited for at the end.
    pub(crate) alive: watch::Sender<()>,
}

/// Where the connections of a port go now.
pub(super) struct Target {
    pub(super) stream: Stream,
    pub(super) cluster: Arc<Cluster>,
    pub(super) metrics: Arc<StreamMetrics>,
}

/// Opens and closes ports until the gateway drains. Each worker has sockets of its own for each port.
pub(crate) async fn follow(shared: Arc<Shared>, mut streams: watch::Receiver<Arc<[Stream]>>) {
    let mut draining = shared.proxy.draining.clone();
    // The sender of a port that is closed is dropped, which ends what serves it.
    let mut open: HashMap<(Transport, u16), watch::Sender<Arc<Target>>> = HashMap::new();
    let mut failing = HashSet::new();
    loop {
        let wanted = streams.borrow_and_update().clone();
        let stays = |key: &(Transport, u16)| wanted.iter().any(|stream| (stream.transport, stream.port) == *key);
        open.retain(|key, _| stays(key));
        failing.retain(stays);
        for stream in wanted.iter() {
            let key = (stream.transport, stream.port);
            if let Some(sender) = open.get(&key) {
                if sender.borrow().stream != *stream {
                    sender.send_replace(shared.target(stream));
                }
                continue;
            }
            match shared.open(stream) {
                Ok(sender) => {
                    failing.remove(&key);
                    open.insert(key, sender);
                }
                Err(error) if failing.insert(key) => tracing::error!(
                    port = stream.port, transport = %stream.transport, %error,
                    "a port of a TCP or UDP service cannot be opened; it is tried again"
                ),
                Err(_) => {}
            }
        }
        tokio::select! {
            changed = streams.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(AGAIN), if !failing.is_empty() => {}
            _ = draining.wait_for(|draining| *draining) => break,
        }
    }
}

impl Shared {
    fn target(&self, stream: &Stream) -> Arc<Target> {
        Arc::new(Target {
            cluster: self.proxy.live.clusters.get(&stream.cluster),
            metrics: self.proxy.metrics.stream(stream.transport.into(), stream.port),
            stream: stream.clone(),
        })
    }

    fn open(self: &Arc<Self>, stream: &Stream) -> io::Result<watch::Sender<Arc<Target>>> {
        let address = SocketAddr::new(self.bind, stream.port);
        let (shared, alive) = (self.clone(), self.alive.subscribe());
        match stream.transport {
            Transport::Tcp => {
                let listener = listen(address)?;
                let (sender, target) = watch::channel(self.target(stream));
                tokio::spawn(async move {
                    tcp::serve(&shared, listener, target).await;
                    drop(alive);
                });
                Ok(sender)
            }
            Transport::Udp => {
                let socket = datagrams(address)?;
                let (sender, target) = watch::channel(self.target(stream));
                tokio::spawn(async move {
                    udp::serve(shared, socket, target).await;
                    drop(alive);
                });
                Ok(sender)
            }
        }
    }
}

/// The kernel spreads connections among the sockets of one port.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Datagrams of one client go to the same socket as long as no socket comes or goes.
fn datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &address)?;
    UdpSocket::from_std(std::net::UdpSocket::from(socket))
}
