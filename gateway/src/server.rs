//! Starting and ending: listeners, workers, the operator's port, signals.
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use features::Route;
use pingora::apps::ServerApp;
use table::Update;
use tokio::net::TcpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle as JoinHandleOfTask;

use crate::Error;
use crate::access_log::AccessLog;
use crate::admin::{Admin, Readiness};
use crate::admission::Admission;
use crate::asking::Asking;
use crate::config::Config;
use crate::copies::Copies;
use crate::gather::Room;
use crate::handover::{self, Predecessor, Sockets};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::overload::Shedder;
use crate::proxy::Proxy;
use crate::tls::Handshakes;
use crate::upstream::{self, Health};
use crate::worker::Worker;

/// Connections that the kernel may hold for a listener that is busy.
const BACKLOG: u32 = 4096;

/// UDP sessions at a time. Sources can be forged, so there is no limit by source: it would only lock out whoever is named.
const SESSIONS: usize = 16_384;

/// Connections that the operator's port takes at a time.
const OPERATORS: usize = 256;

/// How long a connection to the operator's port may last.
const OPERATOR_PATIENCE: Duration = Duration::from_secs(600);

/// A gateway that serves: the addresses it got, and how to end it.
#[derive(Debug)]
pub struct Running {
    /// Where plain-text requests are taken.
    pub http: SocketAddr,
    /// Where requests over TLS are taken.
    pub https: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub healthz: SocketAddr,
    end: watch::Sender<End>,
    passed_on: watch::Receiver<bool>,
    main: JoinHandle<()>,
    access_log: Option<Arc<AccessLog>>,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// It serves.
    Not,
    /// Not ready, but still accepting, then draining.
    Graceful,
    /// Another process has taken the listeners over: draining at once.
    HandedOver,
    /// At once.
    Now,
}

/// How the end begins that is not at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nobody is known to serve in its place.
    Terminated,
    /// Another process on this host serves in its place.
    HandedOver,
}

impl Running {
    /// Starts the graceful end, as SIGTERM does: not ready, grace period, drain. Returns at once.
    pub fn terminate(&self) {
        self.end.send_if_modified(|end| std::mem::replace(end, (*end).max(End::Graceful)) != *end);
    }

    /// Ends without waiting for anything, as SIGINT does.
    pub fn abort(&self) {
        self.end.send_replace(End::Now);
    }

    /// Opens the access log's file anew, as SIGUSR1 does: it may have been moved away.
    pub fn reopen_access_log(&self) {
        self.access_log.iter().for_each(|log| log.reopen());
    }

    /// Waits until everything has ended.
    pub fn wait(self) {
        if self.main.join().is_err() {
            tracing::error!("the gateway's main thread has panicked");
        }
    }
}

/// Opens the listeners and serves on threads of its own.
///
/// # Errors
/// When a listener cannot be opened.
pub fn start(mut config: Config, updates: mpsc::Receiver<Update<Route>>) -> Result<Running, Error> {
    let (predecessor, sockets) = match config.upgrade_socket.as_deref().map(Predecessor::ask).transpose()?.flatten() {
        Some((predecessor, sockets)) => (Some(predecessor), sockets),
        None => (None, open_all(&config)?),
    };
    let threads = sockets.http.len();
    let http_address = address(&sockets.http, config.http_port, "--http-port")?;
    let https_address = address(&sockets.https, config.https_port, "--https-port")?;
    let healthz_address = address(&sockets.healthz, config.healthz_port, "--healthz-port")?;
    let shared = |error| Error(format!("the listeners cannot be shared: {error}"));
    let succession = match config.upgrade_socket.take() {
        Some(path) => Some((path, sockets.share().map_err(shared)?)),
        None => None,
    };
    let Sockets { http, https, mut healthz } = sockets;

    let metrics = Metrics::new().map_err(|error| Error(format!("metrics cannot be registered: {error}")))?;
    let metrics = metrics.per_path(config.metrics_per_path).per_endpoint(config.metrics_per_endpoint);
    let metrics = metrics.with_nginx(config.metrics_compat.as_ref());
    let metrics =
        metrics.map_err(|error| Error(format!("the metrics with ingress-nginx's names cannot be made: {error}")))?;
    let (metrics, readiness) = (Arc::new(metrics), Arc::new(Readiness::default()));
    let health = Health::new(config.zone.take(), config.events.take());
    let live = Arc::new(Live::new(metrics.clone(), readiness.clone(), health, https_address.port()));
    let (drain, draining) = watch::channel(false);
    let proxy = proxy(&config, &live, &metrics, draining)?;
    let access_log = proxy.access_log.clone();
    let shedder = proxy.shedder.clone();
    let reopened = access_log.clone();
    let admission = Admission::new(config.limits.connections, config.limits.connections_per_source);
    let sessions = Admission::new(SESSIONS, SESSIONS);
    let tls = Handshakes::new(live.clone())?;
    let ports = (http_address.port(), https_address.port());

    let (mut workers, mut starts) = (Vec::with_capacity(threads), Vec::with_capacity(threads));
    for (index, (http, https)) in http.into_iter().zip(https).enumerate() {
        let worker = Worker {
            proxy: proxy.clone(),
            tls: tls.clone(),
            admission: admission.clone(),
            sessions: sessions.clone(),
            bind: config.bind_address,
            http,
            https,
            ports,
        };
        let (start, started) = std::sync::mpsc::sync_channel(1);
        starts.push(start);
        workers.push(spawn(&format!("worker-{index}"), move || {
            // The process before serves until there is a table; without a start there is nothing to end.
            if started.recv().is_err() {
                return;
            }
            if let Err(error) = worker.run() {
                tracing::error!(%error, "a worker has ended");
            }
        })?);
    }
    drop(proxy);
    let (end, ending) = watch::channel(End::Not);
    let (pass_on, passed_on) = watch::channel(false);
    let admin = Admin { metrics, live: live.clone(), readiness: readiness.clone() };
    let relay = Relay { predecessor, starts, succession, end: end.clone(), pass_on };
    let operator = Operator { live, admin: Arc::new(admin), listener: healthz.pop(), updates, relay, shedder };
    let grace = config.timeouts.shutdown_grace;
    let main = spawn("gateway", move || main(operator, ending, &readiness, grace, &drain, workers, access_log))?;
    tracing::info!(http = %http_address, https = %https_address, healthz = %healthz_address, threads, "listening");
    Ok(Running {
        http: http_address,
        https: https_address,
        healthz: healthz_address,
        end,
        passed_on,
        main,
        access_log: reopened,
    })
}

/// Serves until a signal ends it (SIGTERM: grace period, then drain; SIGINT: at once); SIGUSR1 opens the access log's file
/// anew. Blocks. `ending` is told
/// when the end begins that is not at once.
///
/// # Errors
/// When a listener cannot be opened.
pub fn run(config: Config, updates: mpsc::Receiver<Update<Route>>, ending: impl Fn(Ending)) -> Result<(), Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Error(format!("signals cannot be received: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (mut term, mut int, mut usr1) = {
        let _entered = runtime.enter();
        let signal = |kind| signal(kind).map_err(failed);
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::user_defined1())?)
    };
    let running = start(config, updates)?;
    runtime.block_on(async {
        let mut handed_over = false;
        loop {
            tokio::select! {
                _ = term.recv() => {
                    running.terminate();
                    ending(Ending::Terminated);
                }
                _ = int.recv() => return running.abort(),
                // As nginx.
                _ = usr1.recv() => running.reopen_access_log(),
                () = running.handed_over(), if !handed_over => {
                    handed_over = true;
                    ending(Ending::HandedOver);
                }
                () = running.ended() => return,
            }
        }
    });
    running.wait();
    Ok(())
}

impl Running {
    /// Resolves when another process has taken over.
    async fn handed_over(&self) {
        if self.passed_on.clone().wait_for(|passed| *passed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves when everything has ended.
    async fn ended(&self) {
        self.end.closed().await;
    }
}

/// What runs beside the workers: following the control plane and answering the operator.
struct Operator {
    live: Arc<Live>,
    admin: Arc<Admin>,
    listener: Option<TcpListener>,
    updates: mpsc::Receiver<Update<Route>>,
    relay: Relay,
    shedder: Arc<Shedder>,
}

/// What passes from process to process, and when.
struct Relay {
    predecessor: Option<Predecessor>,
    /// The workers' starts.
    starts: Vec<SyncSender<()>>,
    /// Where the next process asks, and what it gets.
    succession: Option<(PathBuf, Sockets)>,
    end: watch::Sender<End>,
    pass_on: watch::Sender<bool>,
}

impl Relay {
    /// Starts the workers, once the process before need not serve any more.
    async fn begin(&mut self, readiness: &Readiness) {
        if self.predecessor.is_some() {
            tracing::info!("another process serves until the first full table is live");
            readiness.until_synced().await;
        }
        // A worker whose thread has ended said why.
        self.starts.drain(..).for_each(|start| start.send(()).unwrap_or_default());
        if let Some(predecessor) = self.predecessor.take() {
            drop(tokio::task::spawn_blocking(|| predecessor.relieve()).await);
            tracing::info!("this process serves in place of the one before");
        }
    }

    /// Waits for the next process.
    async fn pass_on(self) {
        let Some((path, sockets)) = self.succession else { return };
        match handover::offer(&path, &sockets).await {
            Ok(()) => {
                self.pass_on.send_replace(true);
                self.end.send_if_modified(|end| std::mem::replace(end, (*end).max(End::HandedOver)) != *end);
            }
            Err(error) => tracing::error!(
                "no other process can take over: {} cannot be listened at ({error}); name another file with --upgrade-socket",
                path.display()
            ),
        }
    }
}

fn main(
    operator: Operator,
    mut ending: watch::Receiver<End>,
    readiness: &Readiness,
    grace: Duration,
    drain: &watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    access_log: Option<Arc<AccessLog>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "the gateway cannot start"),
    };
    let live = operator.live.clone();
    runtime.block_on(async {
        let Operator { live, admin, listener, updates, mut relay, shedder } = operator;
        tokio::spawn(shedder.watch_memory(admin.metrics.clone()));
        tokio::spawn(upstream::watch(live.clusters.clone()));
        tokio::spawn(async move { live.follow(updates).await });
        tokio::select! {
            () = relay.begin(readiness) => {}
            // An error means that nobody is left who could end it in another way.
            _ = ending.wait_for(|end| *end > End::Not) => {}
        }
        let serving = listener.map(|listener| tokio::spawn(serve_admin(admin, listener)));
        let passing = tokio::spawn(relay.pass_on());
        drop(ending.wait_for(|end| *end > End::Not).await);
        readiness.set_terminating();
        if *ending.borrow() == End::HandedOver {
            tracing::info!("another process serves now");
            // It answers the operator, too.
            serving.iter().for_each(JoinHandleOfTask::abort);
        } else {
            tracing::info!(seconds = grace.as_secs(), "terminating: not ready, still accepting");
            let now = ending.wait_for(|end| *end >= End::HandedOver);
            drop(tokio::time::timeout(grace, now).await);
        }
        passing.abort();
        drain.send_replace(true);
        if *ending.borrow() == End::Now {
            return;
        }
        tracing::info!("draining: no new connections");
        let drained = tokio::task::spawn_blocking(move || {
            workers.into_iter().map(JoinHandle::join).filter(Result::is_err).count()
        });
        tokio::select! {
            panicked = drained => match panicked {
                Ok(0) => tracing::info!("drained"),
                _ => tracing::error!("a worker has panicked"),
            },
            _ = ending.wait_for(|end| *end == End::Now) => {}
        }
    });
    access_log.into_iter().for_each(|log| log.stop());
    live.spans.stop();
    // Workers that are still busy must not delay the end.
    runtime.shutdown_background();
}

async fn serve_admin(admin: Arc<Admin>, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the operator's port cannot be served"),
    };
    let (_keep, never) = watch::channel(false);
    // Probes and scrapes come from few addresses; nobody may use up the process's file descriptors here.
    let admission = Admission::new(OPERATORS, OPERATORS);
    loop {
        match listener.accept().await {
            Ok((tcp, address)) => {
                let Ok(permit) = admission.admit(address.ip()) else { continue };
                let (admin, never) = (admin.clone(), never.clone());
                let stream = pingora::protocols::l4::stream::Stream::from(tcp);
                tokio::spawn(async move {
                    // Whoever holds a connection for longer opens a new one.
                    drop(tokio::time::timeout(OPERATOR_PATIENCE, admin.process_new(Box::new(stream), &never)).await);
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an operator's connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn proxy(
    config: &Config,
    live: &Arc<Live>,
    metrics: &Arc<Metrics>,
    draining: watch::Receiver<bool>,
) -> Result<Proxy, Error> {
    let access_log = config.access_log.then(|| AccessLog::start(Box::new(std::io::stdout()), metrics)).transpose();
    let access_log = access_log.map_err(|error| Error(format!("the access log cannot start: {error}")))?;
    let no_labels = Arc::default();
    let asking = Asking::new()?;
    Ok(Proxy {
        live: live.clone(),
        metrics: metrics.clone(),
        unmatched: metrics.rule(&no_labels),
        nginx_unmatched: metrics.nginx.as_ref().and_then(|nginx| nginx.requests().unmatched()),
        no_labels,
        access_log: access_log.map(Arc::new),
        log_format: config.log_format,
        limits: config.limits,
        timeouts: config.timeouts,
        copies: Copies::over(asking.subrequests()),
        asking,
        limiter: Arc::default(),
        room: Arc::new(Room::new(config.limits.body_memory, config.limits.body_files)),
        shedder: Arc::new(Shedder::new(config.overload)),
        draining,
    })
}

/// Opens what no other process has opened.
fn open_all(config: &Config) -> Result<Sockets, Error> {
    let threads = config.threads.max(1);
    Ok(Sockets {
        http: listen(config, config.http_port, threads, "--http-port")?,
        https: listen(config, config.https_port, threads, "--https-port")?,
        healthz: listen(config, config.healthz_port, 1, "--healthz-port")?,
    })
}

/// Where listeners listen, which has to be where the operator wants them.
fn address(listeners: &[TcpListener], port: u16, flag: &str) -> Result<SocketAddr, Error> {
    let address = listeners.first().map(TcpListener::local_addr).transpose().ok().flatten();
    let address = address.ok_or_else(|| Error(format!("the listener of {flag} has no address")))?;
    if port != 0 && address.port() != port {
        let now = address.port();
        return Err(Error(format!(
            "{flag} is {port}, but the listener that is taken over has port {now}; an upgrade cannot change ports"
        )));
    }
    Ok(address)
}

/// One socket per worker on the same port, among which the kernel spreads connections (SO_REUSEPORT).
fn listen(config: &Config, port: u16, count: usize, flag: &str) -> Result<Vec<TcpListener>, Error> {
    let mut address = SocketAddr::new(config.bind_address, port);
    let failed = |address: SocketAddr, error: std::io::Error| {
        Error(format!("cannot listen on {address}: {error}; choose another port with {flag}"))
    };
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let listener = open(address, count > 1).map_err(|error| failed(address, error))?;
        address = listener.local_addr().map_err(|error| failed(address, error))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn open(address: SocketAddr, share: bool) -> std::io::Result<TcpListener> {
    // Registering with a reactor is what listen() needs of a runtime; the workers register anew with their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    if share {
        socket.set_reuseport(true)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.map_err(|error| Error(format!("the thread {name} cannot be started: {error}")))
}
