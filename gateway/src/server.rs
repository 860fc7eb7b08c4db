//! Starting and ending: listeners, workers, the operator's port, signals.
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use features::Route;
use pingora::apps::ServerApp;
use table::Update;
use tokio::net::TcpSocket;
use tokio::sync::{mpsc, watch};

use crate::access_log::AccessLog;
use crate::admin::{Admin, Readiness};
use crate::admission::Admission;
use crate::asking::Asking;
use crate::config::Config;
use crate::copies::Copies;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::upstream::{self, Health};
use crate::worker::Worker;
use crate::{Error, tls};

/// Connections that the kernel may hold for a listener that is busy.
const BACKLOG: u32 = 4096;

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
    main: JoinHandle<()>,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// It serves.
    Not,
    /// Not ready, but still accepting, then draining.
    Graceful,
    /// At once.
    Now,
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
    let threads = config.threads.max(1);
    let (http, http_address) = listen(&config, config.http_port, threads, "--http-port")?;
    let (https, https_address) = listen(&config, config.https_port, threads, "--https-port")?;
    let (mut healthz, healthz_address) = listen(&config, config.healthz_port, 1, "--healthz-port")?;

    let metrics = Metrics::new().map_err(|error| Error(format!("metrics cannot be registered: {error}")))?;
    let metrics = metrics.per_path(config.metrics_per_path);
    let (metrics, readiness) = (Arc::new(metrics), Arc::new(Readiness::default()));
    let health = Health::new(config.zone.take(), config.events.take());
    let live = Arc::new(Live::new(metrics.clone(), readiness.clone(), health));
    let (drain, draining) = watch::channel(false);
    let proxy = proxy(&config, &live, &metrics, draining)?;
    let access_log = proxy.access_log.clone();
    let admission = Admission::new(config.limits.connections, config.limits.connections_per_source);
    let tls = tls::server_config(live.clone())?;
    let ports = (http_address.port(), https_address.port());

    let mut workers = Vec::with_capacity(threads);
    for (index, (http, https)) in http.into_iter().zip(https).enumerate() {
        let worker =
            Worker { proxy: proxy.clone(), tls: tls.clone(), admission: admission.clone(), http, https, ports };
        workers.push(spawn(&format!("worker-{index}"), move || {
            if let Err(error) = worker.run() {
                tracing::error!(%error, "a worker has ended");
            }
        })?);
    }
    drop(proxy);
    let (end, ending) = watch::channel(End::Not);
    let admin = Admin { metrics, live: live.clone(), readiness: readiness.clone() };
    let operator = Operator { live, admin: Arc::new(admin), listener: healthz.pop(), updates };
    let grace = config.timeouts.shutdown_grace;
    let main = spawn("gateway", move || main(operator, ending, &readiness, grace, &drain, workers, access_log))?;
    tracing::info!(http = %http_address, https = %https_address, healthz = %healthz_address, threads, "listening");
    Ok(Running { http: http_address, https: https_address, healthz: healthz_address, end, main })
}

/// Serves until a signal ends it (SIGTERM: grace period, then drain; SIGINT: at once). Blocks. `terminating` is called
/// when the end begins gracefully.
///
/// # Errors
/// When a listener cannot be opened.
pub fn run(config: Config, updates: mpsc::Receiver<Update<Route>>, terminating: impl Fn()) -> Result<(), Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Error(format!("signals cannot be received: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (mut term, mut int) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate()).map_err(failed)?, signal(SignalKind::interrupt()).map_err(failed)?)
    };
    let running = start(config, updates)?;
    runtime.block_on(async {
        loop {
            tokio::select! {
                _ = term.recv() => {
                    running.terminate();
                    terminating();
                }
                _ = int.recv() => return running.abort(),
                () = running.ended() => return,
            }
        }
    });
    running.wait();
    Ok(())
}

impl Running {
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
    runtime.block_on(async {
        let Operator { live, admin, listener, updates } = operator;
        tokio::spawn(upstream::watch(live.clusters.clone()));
        tokio::spawn(async move { live.follow(updates).await });
        if let Some(listener) = listener {
            tokio::spawn(serve_admin(admin, listener));
        }
        // An error means that nobody is left who could end it in another way.
        drop(ending.wait_for(|end| *end > End::Not).await);
        readiness.set_terminating();
        tracing::info!(seconds = grace.as_secs(), "terminating: not ready, still accepting");
        let now = ending.wait_for(|end| *end == End::Now);
        drop(tokio::time::timeout(grace, now).await);
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
    if let Some(log) = access_log {
        log.stop();
    }
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
        no_labels,
        access_log: access_log.map(Arc::new),
        limits: config.limits,
        timeouts: config.timeouts,
        copies: Copies::over(asking.subrequests()),
        asking,
        limiter: Arc::default(),
        draining,
    })
}

/// One socket per worker on the same port, among which the kernel spreads connections (SO_REUSEPORT).
fn listen(config: &Config, port: u16, count: usize, flag: &str) -> Result<(Vec<TcpListener>, SocketAddr), Error> {
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
    Ok((listeners, address))
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
