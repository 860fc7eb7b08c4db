//! A connection to one of a cluster's endpoints, to another one when the first cannot be reached.
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use features::{Balance, Streams};
use tokio::net::TcpStream;

use crate::upstream::{Cluster, Visit, Why};

/// For one connection.
const CONNECT: Duration = Duration::from_secs(5);

/// The first endpoint that accepts, in turn; `None` when there is none.
pub(super) async fn dial(cluster: &Arc<Cluster>, settings: &Streams) -> Option<(TcpStream, Visit)> {
    if !cluster.has_untried(&[]) && !cluster.hold().await {
        return None;
    }
    let began = Instant::now();
    let mut tried = Vec::new();
    loop {
        let now = Instant::now();
        let endpoint = cluster.pick(Balance::default(), &tried, None, now)?;
        tried.push(endpoint.address());
        let visit = Visit::new(endpoint, cluster, now);
        match connect(&visit).await {
            Ok(tcp) => {
                visit.connected(cluster);
                return Some((tcp, visit));
            }
            Err(why) => visit.failed(cluster, why),
        }
        if !settings.may_try(tried.len(), began.elapsed()) {
            return None;
        }
    }
}

async fn connect(visit: &Visit) -> Result<TcpStream, Why> {
    let address = visit.address();
    match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
        // What is passed on has been gathered by its sender already.
        Ok(Ok(tcp)) => tcp.set_nodelay(true).map(|()| tcp).map_err(|_| Why::Unreachable),
        Ok(Err(error)) => {
            tracing::debug!(%error, endpoint = %address, "an endpoint of a stream cannot be reached");
            Err(if error.kind() == io::ErrorKind::ConnectionRefused { Why::Refused } else { Why::Unreachable })
        }
        Err(_) => Err(Why::ConnectTimeout),
    }
}
