//! Pingora I/O: listeners, request phases, upstreams.
//!
//! Sees the route table, the features and Pingora; neither Kubernetes nor how a table is made.
mod access_log;
mod admin;
mod admission;
mod answer;
mod asking;
pub mod balance;
mod chain;
mod client_auth;
mod config;
mod connection;
mod context;
mod copies;
mod gather;
mod handover;
mod handshake;
mod head;
mod hello;
mod limiter;
mod limits;
mod live;
mod metrics;
mod nonces;
mod overload;
mod phases;
mod proxy;
mod proxy_header;
mod remember;
mod serve;
mod server;
mod signatures;
mod spans;
mod stream;
mod subrequest;
mod tls;
mod upstream;
mod worker;

use std::fmt;

pub use config::{Config, Limits, LogFormat, Timeouts};
pub use metrics::{Kind, MetricDoc, NginxMetrics, metrics_catalogue};
pub use overload::Overload;
pub use server::{Ending, Running, run, start};
pub use upstream::{EndpointChange, EndpointEvent};

/// Why the gateway cannot start: one sentence with the remedy.
#[derive(Debug)]
pub struct Error(pub String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
