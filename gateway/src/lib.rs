//! Pingora I/O: listeners, request phases, upstreams.
mod access_log;
mod admin;
mod config;
mod metrics;

pub use config::{Config, Limits, Timeouts};

use features::Route;
use table::Update;
use tokio::sync::mpsc;

/// Why the gateway cannot start: one sentence with the remedy.
#[derive(Debug)]
pub struct Error(pub String);

/// A gateway that serves: the addresses it got, and how to end it.
#[derive(Debug)]
pub struct Running {
    /// Where plain-text requests are taken.
    pub http: std::net::SocketAddr,
    /// Where requests over TLS are taken.
    pub https: std::net::SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub healthz: std::net::SocketAddr,
}

impl Running {
    /// Starts the graceful end, as SIGTERM does: not ready, grace period, drain. Returns at once.
    pub fn terminate(&self) {}

    /// Waits until everything has ended.
    pub fn wait(self) {}
}

/// Opens the listeners and serves on threads of its own.
///
/// # Errors
/// When a listener cannot be opened.
pub fn start(_config: Config, _updates: mpsc::Receiver<Update<Route>>) -> Result<Running, Error> {
    Err(Error("not there yet".to_owned()))
}

/// Serves until a signal ends it (SIGTERM: grace period, then drain; SIGINT: at once). Blocks.
///
/// # Errors
/// When a listener cannot be opened.
pub fn run(_config: Config, _updates: mpsc::Receiver<Update<Route>>) -> Result<(), Error> {
    Err(Error("not there yet".to_owned()))
}
