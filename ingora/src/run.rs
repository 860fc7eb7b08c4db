//! `ingora run`: serves until a signal ends it.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use controller::Setup;
use gateway::{Config, Ending, Limits, LogFormat, Timeouts};

use crate::accepted::Accepted;
use crate::duties::{self, DutyArgs};
use crate::failure::Failure;
use crate::logging::LogArgs;
use crate::metrics::MetricsArgs;
use crate::options::{ClassArgs, SourceArgs};
use crate::overload::OverloadArgs;
use crate::state::StateArgs;
use crate::value::{Span, count, distinct_ports, port};
use crate::webhook::WebhookArgs;

/// Updates that may wait between the planes; the control plane coalesces while the channel is full.
pub(crate) const CHANNEL: usize = 16;

/// The client logs each failure on its own, without saying what it was for; whoever asked says it once.
const LOG: &str = "info,kube_client::client::builder=off";

/// Longest time that writing to the API server may take after the last request.
const FAREWELL: Duration = Duration::from_secs(25);

/// Flags of `ingora run`.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    listeners: ListenerArgs,
    #[command(flatten)]
    classes: ClassArgs,
    #[command(flatten)]
    duties: DutyArgs,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    webhook: WebhookArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    timeouts: TimeoutArgs,
    #[command(flatten)]
    overload: OverloadArgs,
    #[command(flatten)]
    access_log: AccessLogArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    accepted: Accepted,
}

/// Where the gateway listens.
#[derive(Args, Debug)]
#[command(next_help_heading = "Listeners")]
struct ListenerArgs {
    /// Port for plain-text requests
    #[arg(long, env = "INGORA_HTTP_PORT", value_name = "PORT", value_parser = port, default_value_t = 80)]
    http_port: u16,

    /// Port for requests over TLS
    #[arg(long, env = "INGORA_HTTPS_PORT", value_name = "PORT", value_parser = port, default_value_t = 443)]
    https_port: u16,

    /// Port of /metrics, /healthz and /readyz
    #[arg(long, env = "INGORA_HEALTHZ_PORT", value_name = "PORT", value_parser = port, default_value_t = 10_254)]
    healthz_port: u16,

    /// Address of all three ports; without it every address, IPv6 too where the machine has it
    #[arg(long, env = "INGORA_BIND_ADDRESS", value_name = "ADDRESS")]
    bind_address: Option<IpAddr>,

    /// Unix socket through which the next process on this host takes the listeners over: start it with the same flags,
    /// and this one drains once that one serves
    #[arg(long, env = "INGORA_UPGRADE_SOCKET", value_name = "FILE")]
    upgrade_socket: Option<PathBuf>,

    /// Worker threads; without it as many as there are processors
    #[arg(long, env = "INGORA_THREADS", value_name = "NUMBER", value_parser = count::<usize>)]
    threads: Option<usize>,

    /// Zone that it runs in (topology.kubernetes.io/zone); endpoints that EndpointSlices hint for it are preferred
    #[arg(long, env = "INGORA_ZONE", value_name = "ZONE")]
    zone: Option<String>,
}

impl ListenerArgs {
    /// The ports that TCP services cannot have.
    fn ports(&self) -> Vec<u16> {
        vec![self.http_port, self.https_port, self.healthz_port]
    }

    fn check(&self) -> Result<(), Failure> {
        let Self { http_port, https_port, healthz_port, .. } = *self;
        distinct_ports([("--http-port", http_port), ("--https-port", https_port), ("--healthz-port", healthz_port)])
    }
}

/// Limits on what a stranger can send and hold: [`Limits`].
#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Open client connections in all
    #[arg(long, env = "INGORA_MAX_CONNECTIONS", value_name = "NUMBER", value_parser = count::<usize>, default_value_t = Limits::default().connections)]
    max_connections: usize,

    /// Open client connections from one address, or from one /64 network with IPv6
    #[arg(long, env = "INGORA_MAX_CONNECTIONS_PER_SOURCE", value_name = "NUMBER", value_parser = count::<usize>,
          default_value_t = Limits::default().connections_per_source)]
    max_connections_per_source: usize,

    /// Size of a request line with its fields
    #[arg(long, env = "INGORA_MAX_REQUEST_HEAD", value_name = "BYTES", value_parser = count::<usize>, default_value_t = Limits::default().head_bytes)]
    max_request_head: usize,

    /// Number of fields in a request
    #[arg(long, env = "INGORA_MAX_REQUEST_FIELDS", value_name = "NUMBER", value_parser = count::<usize>,
          default_value_t = Limits::default().head_fields)]
    max_request_fields: usize,

    /// Requests before a connection is closed (HTTP/1)
    #[arg(long, env = "INGORA_MAX_REQUESTS_PER_CONNECTION", value_name = "NUMBER", value_parser = count::<u32>,
          default_value_t = Limits::default().requests_per_connection)]
    max_requests_per_connection: u32,

    /// Open HTTP/2 streams of one connection
    #[arg(long, env = "INGORA_MAX_CONCURRENT_STREAMS", value_name = "NUMBER", value_parser = count::<u32>,
          default_value_t = Limits::default().concurrent_streams)]
    max_concurrent_streams: u32,

    /// Bytes of memory for request bodies that are read whole, beyond 64 KiB for each
    #[arg(long, env = "INGORA_MAX_BODY_MEMORY", value_name = "BYTES", default_value_t = Limits::default().body_memory)]
    max_body_memory: u64,

    /// Bytes of temporary files for them; beyond that they pass to endpoints as they come
    #[arg(long, env = "INGORA_MAX_BODY_FILES", value_name = "BYTES", default_value_t = Limits::default().body_files)]
    max_body_files: u64,
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        Limits {
            connections: self.max_connections,
            connections_per_source: self.max_connections_per_source,
            head_bytes: self.max_request_head,
            head_fields: self.max_request_fields,
            requests_per_connection: self.max_requests_per_connection,
            concurrent_streams: self.max_concurrent_streams,
            body_memory: self.max_body_memory,
            body_files: self.max_body_files,
        }
    }
}

/// How long things may take: [`Timeouts`].
#[derive(Args, Debug)]
#[command(next_help_heading = "Timeouts (10s, 500ms, 1m; without a unit: seconds)")]
struct TimeoutArgs {
    /// A whole request head, and a TLS handshake
    #[arg(long, env = "INGORA_CLIENT_HEADER_TIMEOUT", value_name = "TIME", default_value_t = Span(Timeouts::default().head))]
    client_header_timeout: Span,

    /// An idle client connection
    #[arg(long, env = "INGORA_KEEP_ALIVE", value_name = "TIME", default_value_t = Span(Timeouts::default().keep_alive))]
    keep_alive: Span,

    /// Between two reads of a request body (HTTP/1)
    #[arg(long, env = "INGORA_CLIENT_BODY_TIMEOUT", value_name = "TIME", default_value_t = Span(Timeouts::default().body))]
    client_body_timeout: Span,

    /// Between two writes of a response
    #[arg(long, env = "INGORA_CLIENT_SEND_TIMEOUT", value_name = "TIME", default_value_t = Span(Timeouts::default().send))]
    client_send_timeout: Span,

    /// Not ready but still accepting after SIGTERM, so that load balancers can notice
    #[arg(long, env = "INGORA_SHUTDOWN_GRACE_PERIOD", value_name = "TIME",
          default_value_t = Span(Timeouts::default().shutdown_grace))]
    shutdown_grace_period: Span,

    /// For requests in flight after the grace period
    #[arg(long, env = "INGORA_DRAIN_TIMEOUT", value_name = "TIME", default_value_t = Span(Timeouts::default().drain))]
    drain_timeout: Span,
}

impl TimeoutArgs {
    fn timeouts(&self) -> Timeouts {
        Timeouts {
            head: self.client_header_timeout.0,
            keep_alive: self.keep_alive.0,
            body: self.client_body_timeout.0,
            send: self.client_send_timeout.0,
            shutdown_grace: self.shutdown_grace_period.0,
            drain: self.drain_timeout.0,
        }
    }
}

/// The access log.
#[derive(Args, Debug)]
#[command(next_help_heading = "Logging")]
struct AccessLogArgs {
    /// Write one line a request to standard output, or to the file of the ConfigMap's access-log-path
    #[arg(long, env = "INGORA_ACCESS_LOG", value_name = "BOOL", num_args = 0..=1, default_value_t = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new())]
    access_log: bool,

    /// Form of these lines: a JSON object, or the default line of ingress-nginx; the ConfigMap's log-format-upstream wins
    #[arg(long, env = "INGORA_ACCESS_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LineFormat::Json)]
    access_log_format: LineFormat,
}

/// The form of the access log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LineFormat {
    Json,
    Nginx,
}

impl AccessLogArgs {
    fn format(&self) -> LogFormat {
        match self.access_log_format {
            LineFormat::Json => LogFormat::Json,
            LineFormat::Nginx => LogFormat::Nginx,
        }
    }
}

/// Joins the planes and serves.
pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    args.listeners.check()?;
    args.log.start(LOG)?;
    args.accepted.tell();
    let source = args.source.source();
    let mut options = args.classes.options(&source);
    options.reserved_ports = args.listeners.ports();
    let (endpoint_events, incidents) = duties::incidents();
    let config = Config {
        http_port: args.listeners.http_port,
        https_port: args.listeners.https_port,
        healthz_port: args.listeners.healthz_port,
        bind_address: args.listeners.bind_address.unwrap_or_else(every_address),
        threads: args.listeners.threads.unwrap_or_else(processors),
        limits: args.limits.limits(),
        timeouts: args.timeouts.timeouts(),
        access_log: args.access_log.access_log,
        log_format: args.access_log.format(),
        metrics_per_path: args.metrics.metrics_per_path,
        metrics_per_endpoint: args.metrics.metrics_per_endpoint,
        metrics_compat: args.metrics.compat(args.classes.controller_class(), args.duties.election_id()),
        zone: args.listeners.zone.as_deref().filter(|zone| !zone.is_empty()).map(Into::into),
        events: Some(endpoint_events),
        overload: args.overload.overload(),
        upgrade_socket: args.listeners.upgrade_socket.clone(),
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), ?source, "starting");
    let (updates, received) = tokio::sync::mpsc::channel(CHANNEL);
    let setup = Setup {
        source,
        options,
        duties: args.duties.duties(incidents),
        state: args.state.state(),
        webhook: args.webhook.webhook(),
    };
    let control = controller::start(setup, updates)?;
    // What is written to the API server is finished while requests in flight are.
    gateway::run(config, received, |ending| match ending {
        Ending::Terminated => control.terminate(),
        Ending::HandedOver => control.hand_over(),
    })?;
    control.finish(FAREWELL);
    Ok(())
}

/// `::`, which takes IPv4 too, unless the machine has no IPv6.
fn every_address() -> IpAddr {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// Processors that this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
