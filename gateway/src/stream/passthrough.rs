//! TLS that endpoints end: the bytes of the client, its ClientHello first, go to the Service of the host's path `/`.
use std::sync::Arc;

use features::Route;
use table::Rule;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::dial::dial;
use super::relay::relay;
use crate::connection::Held;
use crate::metrics::{StreamKind, StreamOutcome};
use crate::proxy::Proxy;

/// Where the bytes go: the rule of the path `/`, if there is one.
pub(crate) type Target = Option<Arc<Rule<Route>>>;

/// Serves such a connection to its end.
pub(crate) async fn serve(proxy: &Proxy, mut tcp: TcpStream, hello: &[u8], target: Target, port: u16, held: Held) {
    let metrics = proxy.metrics.stream(StreamKind::Tls, port);
    let settings = proxy.live.table().global.streams.clone();
    let cluster = target.as_ref().and_then(|rule| proxy.handles(rule)?.cluster.as_ref());
    let dialled = match cluster {
        Some(cluster) => dial(cluster, &settings).await,
        None => None,
    };
    let Some((mut endpoint, visit)) = dialled else {
        metrics.connection(StreamOutcome::Unreachable);
        return;
    };
    metrics.connection(StreamOutcome::Ok);
    let open = metrics.open();
    let passed = async {
        endpoint.write_all(hello).await?;
        metrics.received(hello.len());
        relay(&mut tcp, &mut endpoint, settings.idle, &metrics).await
    };
    if let Err(error) = passed.await {
        tracing::debug!(%error, endpoint = %visit.address(), "a TLS connection that passes through has broken");
    }
    drop((open, held));
}
