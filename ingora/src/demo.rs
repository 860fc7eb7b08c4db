//! `ingora demo`: a gateway, example manifests and pods on this machine, to play with.
mod echo;
mod folder;
mod tour;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use controller::Source;
use gateway::{Config, Limits, Running, Timeouts};
use tokio::runtime::Runtime;
use translate::Options;

use crate::failure::Failure;
use crate::logging::LogArgs;
use crate::run::{CHANNEL, processors};
use crate::value::{distinct_ports, port};

/// Flags of `ingora demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Port for plain-text requests; 0 takes any free one
    #[arg(long, env = "INGORA_DEMO_PORT", value_name = "PORT", value_parser = port, default_value_t = 8080)]
    port: u16,

    /// Port for requests over TLS; 0 takes any free one
    #[arg(long, env = "INGORA_DEMO_TLS_PORT", value_name = "PORT", value_parser = port, default_value_t = 8443)]
    tls_port: u16,

    /// Port of /metrics, /healthz and /readyz; 0 takes any free one
    #[arg(long, env = "INGORA_DEMO_HEALTHZ_PORT", value_name = "PORT", value_parser = port, default_value_t = 10_254)]
    healthz_port: u16,

    /// Where to put the manifests, and to leave them; without it a temporary folder that goes with the demo
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,

    #[command(flatten)]
    log: LogArgs,
}

/// How long the first table may take to be live.
const START: Duration = Duration::from_secs(20);

/// Starts pods, manifests and gateway; ends with Ctrl-C.
pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    distinct_ports([("--port", args.port), ("--tls-port", args.tls_port), ("--healthz-port", args.healthz_port)])?;
    args.log.start("warn")?;
    let runtime = runtime()?;
    let pods = runtime.block_on(echo::start(folder::SERVICES))?;
    let folder = folder::Folder::create(args.dir.clone())?;
    folder.write(&pods)?;
    // Handlers first: a signal while the gateway starts must not leave the folder behind.
    let mut stop = runtime.block_on(async { Stop::new() })?;
    let (updates, received) = tokio::sync::mpsc::channel(CHANNEL);
    let options = Options { classless_without_classes: true, ..Options::default() };
    // Listeners first: when a port is taken, nobody follows a folder that is about to go.
    let running = gateway::start(config(args), received)?;
    controller::spawn(Source::Folder(folder.path().to_owned()), options, updates)?;
    await_ready(running.healthz)?;
    tour::print(&running, folder.path())?;
    runtime.block_on(stop.wait());
    end(running);
    Ok(())
}

/// The pods' threads; the planes have their own.
fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("pod").enable_all().build();
    runtime.map_err(|error| Failure::runtime(format!("the threads of the example pods cannot be started: {error}")))
}

fn config(args: &DemoArgs) -> Config {
    Config {
        http_port: args.port,
        https_port: args.tls_port,
        healthz_port: args.healthz_port,
        bind_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        threads: processors(),
        limits: Limits::default(),
        timeouts: Timeouts { shutdown_grace: Duration::ZERO, drain: Duration::from_secs(1), ..Timeouts::default() },
        access_log: true,
        log_format: gateway::LogFormat::default(),
        metrics_per_path: true,
        metrics_compat: None,
        zone: None,
        events: None,
        metrics_per_endpoint: 0,
        overload: gateway::Overload::default(),
        upgrade_socket: None,
    }
}

/// Waits until `/readyz` answers 200: what is printed then works.
fn await_ready(healthz: SocketAddr) -> Result<(), Failure> {
    let started = Instant::now();
    while started.elapsed() < START {
        if is_ready(healthz).unwrap_or(false) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(Failure::runtime("the gateway did not become ready in 20 seconds; the log above may tell why"))
}

fn is_ready(healthz: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&healthz, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

fn end(running: Running) {
    running.terminate();
    running.wait();
}

/// Ctrl-C and SIGTERM.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error| Failure::runtime(format!("signals cannot be waited for: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
