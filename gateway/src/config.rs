//! What the operator decided for the data plane.
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use features::Connections;
use tokio::sync::mpsc;

pub use crate::limits::Limits;
use crate::metrics::NginxMetrics;
use crate::overload::Overload;
use crate::upstream::EndpointEvent;

/// Everything the gateway needs to know to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// `--http-port`: plain-text requests; 0 takes any free port.
    pub http_port: u16,
    /// `--https-port`: requests over TLS; 0 takes any free port.
    pub https_port: u16,
    /// `--healthz-port`: `/metrics`, `/healthz`, `/readyz`; 0 takes any free port.
    pub healthz_port: u16,
    /// `--bind-address`: where all three listen.
    pub bind_address: IpAddr,
    /// `--threads`: worker threads.
    pub threads: usize,
    /// Limits on what strangers can send and hold.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// When requests are answered with 503 because the process has too much to do.
    pub overload: Overload,
    /// `--upgrade-socket`: where the next process asks for the listeners, and this one did.
    pub upgrade_socket: Option<PathBuf>,
    /// `--access-log`: one line a request to standard output.
    pub access_log: bool,
    /// `--access-log-format`: the form of these lines, unless the ConfigMap has one.
    pub log_format: LogFormat,
    /// `--metrics-per-path`: requests are counted by path, not only by Ingress and Service.
    pub metrics_per_path: bool,
    /// `--metrics-per-endpoint`: so many endpoints have figures of their own.
    pub metrics_per_endpoint: usize,
    /// `--metrics-compat nginx`: metrics have ingress-nginx's names, too.
    pub metrics_compat: Option<NginxMetrics>,
    /// `--zone`: the zone that it runs in, whose endpoints it prefers where EndpointSlices have hints.
    pub zone: Option<Arc<str>>,
    /// Who wants to know which endpoints leave the rotation and return. What does not fit is dropped.
    pub events: Option<mpsc::Sender<EndpointEvent>>,
}

/// The form of the access log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object.
    #[default]
    Json,
    /// ingress-nginx's `upstreaminfo`.
    Nginx,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// `--client-header-timeout`: for a whole request head and for a TLS handshake.
    pub head: Duration,
    /// `--keep-alive`: an idle client connection.
    pub keep_alive: Duration,
    /// `--client-body-timeout`: between two reads of a request body (HTTP/1).
    pub body: Duration,
    /// `--client-send-timeout`: between two writes of a response.
    pub send: Duration,
    /// `--shutdown-grace-period`: not ready but still accepting after SIGTERM.
    pub shutdown_grace: Duration,
    /// `--drain-timeout`: for requests in flight after the grace period.
    pub drain: Duration,
}

impl Limits {
    /// With what the ConfigMap says in place of the flags.
    pub(crate) fn with(self, connections: &Connections) -> Self {
        Self {
            head_bytes: connections.head_bytes.unwrap_or(self.head_bytes),
            requests_per_connection: connections.requests.unwrap_or(self.requests_per_connection),
            ..self
        }
    }
}

impl Timeouts {
    /// With what the ConfigMap says in place of the flags.
    pub(crate) fn with(self, connections: &Connections) -> Self {
        Self {
            head: connections.head_timeout.unwrap_or(self.head),
            keep_alive: connections.keep_alive.unwrap_or(self.keep_alive),
            body: connections.body_timeout.unwrap_or(self.body),
            drain: connections.drain.unwrap_or(self.drain),
            ..self
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body: Duration::from_secs(60),
            send: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(5),
            drain: Duration::from_secs(240),
        }
    }
}
