//! A port of a TCP service.
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::unconstrained;

use super::dial::dial;
use super::ports::{Shared, Target};
use super::relay::relay;
use crate::metrics::StreamOutcome;
use crate::proxy_header::{self, Ends};

/// After a failure to accept, most often for want of file descriptors, to let some come free.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a client may take to say who it is, where the ConfigMap does not say.
const PROXY_HEADER: Duration = Duration::from_secs(5);

/// Accepts until the port is closed; connections that were accepted live on.
pub(super) async fn serve(shared: &Arc<Shared>, listener: TcpListener, mut target: watch::Receiver<Arc<Target>>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => take(shared, accepted, &target),
                Err(error) => {
                    tracing::warn!(%error, "a connection of a TCP service cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            changed = target.changed() => if changed.is_err() { break },
        }
    }
    // The kernel resets what waits in the queue of a socket that is closed.
    while let Some(Ok(accepted)) = unconstrained(listener.accept()).now_or_never() {
        take(shared, accepted, &target);
    }
}

fn take(shared: &Arc<Shared>, (tcp, peer): (TcpStream, SocketAddr), target: &watch::Receiver<Arc<Target>>) {
    let target = target.borrow().clone();
    let Ok(permit) = shared.connections.admit(peer.ip()) else {
        return target.metrics.connection(StreamOutcome::Limited);
    };
    let (shared, alive) = (shared.clone(), shared.alive.subscribe());
    tokio::spawn(async move {
        if let Err(error) = pass(&shared, tcp, peer, &target).await {
            tracing::debug!(%error, client = %peer, port = target.stream.port, "a connection of a TCP service has broken");
        }
        drop((permit, alive));
    });
}

async fn pass(shared: &Shared, mut tcp: TcpStream, peer: SocketAddr, target: &Target) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let (settings, patience, trusted) = {
        let table = shared.proxy.live.table();
        let sender = &table.global.sender;
        let trusted = sender.trusts(peer.ip().to_canonical());
        (table.global.streams.clone(), sender.proxy_protocol.unwrap_or(PROXY_HEADER), trusted)
    };
    let mut ends = None;
    if target.stream.decode_proxy {
        match tokio::time::timeout(patience, proxy_header::read(&mut tcp)).await {
            // Of a peer that is not trusted it is read but not believed.
            Ok(Ok(said)) => ends = said.filter(|_| trusted),
            Ok(Err(error)) => {
                target.metrics.connection(StreamOutcome::ProxyHeader);
                return Err(error);
            }
            Err(_) => {
                target.metrics.connection(StreamOutcome::ProxyHeader);
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
    let Some((mut endpoint, visit)) = dial(&target.cluster, &settings).await else {
        target.metrics.connection(StreamOutcome::Unreachable);
        return Ok(());
    };
    target.metrics.connection(StreamOutcome::Ok);
    let open = target.metrics.open();
    if target.stream.encode_proxy {
        let ends = match ends {
            Some(ends) => ends,
            None => Ends { source: peer, destination: tcp.local_addr()? },
        };
        endpoint.write_all(ends.line().as_bytes()).await?;
    }
    let passed = relay(&mut tcp, &mut endpoint, settings.idle, &target.metrics).await;
    drop((open, visit));
    passed
}
