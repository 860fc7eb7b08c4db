//! One worker: a thread with a runtime of its own that accepts connections and serves them to their end.
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use pingora::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::unconstrained;

use crate::Error;
use crate::admission::Admission;
use crate::connection::{Client, Connection, Transport};
use crate::copies::Copies;
use crate::handshake::handshake;
use crate::metrics::{BadRequest, Listener};
use crate::proxy::Proxy;
use crate::proxy_header::{self, Ends};
use crate::serve::Server;
use crate::stream::ports::{self, Shared};
use crate::tls::Handshakes;

/// Idle connections to endpoints that a worker keeps.
const POOL: usize = 1024;

/// Pingora's own bound of tries. Above any that a rule can set, so that the rule's holds: each further try is the gateway's to grant.
const TRIES: usize = 1 << 17;

/// After a failure to accept, most often for want of file descriptors, to let some come free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a worker needs to serve.
pub(crate) struct Worker {
    pub(crate) proxy: Proxy,
    pub(crate) tls: Arc<Handshakes>,
    pub(crate) admission: Arc<Admission>,
    /// Counts UDP sessions.
    pub(crate) sessions: Arc<Admission>,
    /// Where TCP and UDP services listen.
    pub(crate) bind: IpAddr,
    pub(crate) http: TcpListener,
    pub(crate) https: TcpListener,
    /// The ports that clients connect to.
    pub(crate) ports: (u16, u16),
}

impl Worker {
    /// Accepts until the gateway drains, then waits for open connections up to the drain timeout. Blocks.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error(format!("a worker cannot start: {error}")))?;
        runtime.block_on(async move {
            // Requests ask a channel of the worker's own: one for all would make its counters travel between the cores.
            let (drain_here, draining) = watch::channel(false);
            self.proxy.asking = self.proxy.asking.of_worker();
            self.proxy.copies = Copies::over(self.proxy.asking.subrequests());
            self.proxy.shedder = Arc::new(self.proxy.shedder.of_worker());
            tokio::spawn(self.proxy.shedder.clone().watch_lag(self.proxy.metrics.clone()));
            let mut drain_all = std::mem::replace(&mut self.proxy.draining, draining);
            tokio::spawn(async move {
                // An error means that nobody is left who could say it later.
                drop(drain_all.wait_for(|draining| *draining).await);
                drain_here.send_replace(true);
            });
            // Every open connection holds a receiver; what is left after the timeout is cut when the runtime ends.
            let (alive, _) = watch::channel(());
            tokio::spawn(ports::follow(self.shared(&alive), self.proxy.live.streams()));
            self.accept_all(&alive).await?;
            let drain = self.proxy.terms().1.drain;
            drop(self);
            if tokio::time::timeout(drain, alive.closed()).await.is_err() {
                tracing::warn!(
                    seconds = drain.as_secs(),
                    "connections were still open at the end of the drain timeout"
                );
            }
            Ok(())
        })
    }

    /// What the ports of TCP and UDP services get.
    fn shared(&self, alive: &watch::Sender<()>) -> Arc<Shared> {
        Arc::new(Shared {
            proxy: self.proxy.clone(),
            connections: self.admission.clone(),
            sessions: self.sessions.clone(),
            bind: self.bind,
            alive: alive.clone(),
        })
    }

    async fn accept_all(&self, alive: &watch::Sender<()>) -> Result<(), Error> {
        let failed = |error: io::Error| Error(format!("a listener cannot be used: {error}"));
        let http = tokio::net::TcpListener::from_std(self.http.try_clone().map_err(failed)?).map_err(failed)?;
        let https = tokio::net::TcpListener::from_std(self.https.try_clone().map_err(failed)?).map_err(failed)?;
        let server = Arc::new(Server::new(self.proxy.clone(), Arc::new(http_proxy_of(&self.proxy))));
        let mut draining = self.proxy.draining.clone();
        loop {
            tokio::select! {
                accepted = http.accept() => self.take(&server, accepted, Listener::Http, alive).await,
                accepted = https.accept() => self.take(&server, accepted, Listener::Https, alive).await,
                _ = draining.wait_for(|draining| *draining) => break,
            }
        }
        // The kernel resets what waits in the queue of a socket that is closed.
        while let Some(Ok(accepted)) = unconstrained(http.accept()).now_or_never() {
            self.take(&server, Ok(accepted), Listener::Http, alive).await;
        }
        while let Some(Ok(accepted)) = unconstrained(https.accept()).now_or_never() {
            self.take(&server, Ok(accepted), Listener::Https, alive).await;
        }
        Ok(())
    }

    async fn take(
        &self,
        server: &Arc<Server>,
        accepted: io::Result<(TcpStream, SocketAddr)>,
        listener: Listener,
        alive: &watch::Sender<()>,
    ) {
        let (mut tcp, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                return;
            }
        };
        let connections = &self.proxy.metrics.connections;
        let permit = match self.admission.admit(address.ip()) {
            Ok(permit) => permit,
            Err(refusal) => return connections.refuse(refusal),
        };
        // Answers are written whole; waiting for more of them only costs time.
        if tcp.set_nodelay(true).is_err() {
            return;
        }
        let held = (permit, connections.accept(listener));
        let (server, tls, alive) = (server.clone(), self.tls.clone(), alive.subscribe());
        let port = match listener {
            Listener::Http => self.ports.0,
            Listener::Https => self.ports.1,
        };
        tokio::spawn(async move {
            let Some(ends) = announced(&server.proxy, &mut tcp, address).await else { return };
            let ends = ends.as_ref();
            let connection = match listener {
                Listener::Http => {
                    let client = Client::new(address, port, None).behind(ends);
                    Some(Connection::new(Transport::Tcp(tcp), false, client, server.proxy.timeouts.send, held))
                }
                // Boxed: its room is needed while it lasts, that of the connection's future until the end.
                Listener::Https => Box::pin(handshake(&server, &tls, tcp, (address, port), ends, held)).await,
            };
            if let Some(connection) = connection {
                server.serve(connection).await;
            }
            drop(alive);
        });
    }
}

/// Whose connection it is by the PROXY header that the operator expects; `None` when there is none or it is broken. Of
/// peers that are not trusted it is read but not believed.
async fn announced(proxy: &Proxy, tcp: &mut TcpStream, peer: SocketAddr) -> Option<Option<Ends>> {
    let (limit, trusted) = {
        let table = proxy.live.table();
        let sender = &table.global.sender;
        (sender.proxy_protocol, sender.trusts(peer.ip().to_canonical()))
    };
    let Some(limit) = limit else { return Some(None) };
    match tokio::time::timeout(limit, proxy_header::read(tcp)).await {
        Ok(Ok(ends)) => Some(ends.filter(|_| trusted)),
        Ok(Err(error)) => {
            tracing::debug!(%error, client = %peer, "connection without PROXY protocol");
            proxy.metrics.connections.bad_request(BadRequest::ProxyHeader);
            None
        }
        Err(_) => {
            proxy.metrics.connections.bad_request(BadRequest::ProxyHeader);
            None
        }
    }
}

/// Each worker has connections of its own to endpoints: nothing is shared, nothing wakes another thread.
fn http_proxy_of(proxy: &Proxy) -> HttpProxy<Proxy> {
    let conf = ServerConf { upstream_keepalive_pool_size: POOL, max_retries: TRIES, ..ServerConf::default() };
    let mut http = http_proxy(&Arc::new(conf), proxy.clone());
    http.h2_options = Some(crate::serve::http2_options(&proxy.limits));
    http.server_options = Some(crate::serve::server_options(&proxy.limits, &proxy.timeouts));
    http
}
