//! How the endpoints of a cluster are watched: checks, ejection, slow start. One policy for all rules that use it.
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::{Alternative, Pattern};

/// The policy of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPolicy {
    /// The active check; `None` for no check.
    pub check: Option<Arc<Check>>,
    /// When requests tell that an endpoint is bad.
    pub ejection: Ejection,
    /// How long an endpoint that comes back takes to get its full share.
    pub slow_start: Duration,
    /// Slow start also for endpoints that are new.
    pub slow_start_new: bool,
    /// The Service's cluster IP is used instead of its endpoints.
    pub service_upstream: bool,
    /// How long a request waits for the first endpoint while there is none; zero answers 503 at once.
    pub hold: Duration,
    /// How much it gets at a time.
    pub breaker: Breaker,
    /// Who takes some of the requests.
    pub canary: Option<Arc<Alternative>>,
}

impl Default for ClusterPolicy {
    fn default() -> Self {
        Self {
            check: None,
            ejection: Ejection::default(),
            slow_start: Duration::from_secs(10),
            slow_start_new: false,
            service_upstream: false,
            hold: Duration::ZERO,
            breaker: Breaker::default(),
            canary: None,
        }
    }
}

/// How many requests a cluster gets at a time, and how many wait for the others to end (circuit breaking).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Requests in flight at all endpoints together; 0 for no limit.
    pub requests: u32,
    /// Requests in flight at each endpoint; with HTTP/1 each of them has a connection of its own. 0 for no limit.
    pub requests_per_endpoint: u32,
    /// Requests that wait while a limit is reached.
    pub pending: u32,
    /// How long one of them waits.
    pub pending_timeout: Duration,
    /// The limit on requests follows the latency (adaptive concurrency), but is never lower than this, and never higher than
    /// `requests` where that is set. Requests count until their answer begins then.
    pub adaptive: Option<NonZeroU32>,
}

impl Breaker {
    /// Is there any limit?
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.requests > 0 || self.requests_per_endpoint > 0 || self.adaptive.is_some()
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            requests: 0,
            requests_per_endpoint: 0,
            pending: 1_024,
            pending_timeout: Duration::from_secs(1),
            adaptive: None,
        }
    }
}

/// When requests tell that an endpoint is bad (passive ejection).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// A connection that cannot be made ejects at once.
    pub on_connect: bool,
    /// So many failures in a row eject: 502, 503, 504, a reset or a timeout before the answer. 0: never.
    pub failures: u16,
    /// A latency of so many times the cluster's median ejects. 0: never.
    pub latency_factor: u16,
    /// The largest share of endpoints that may be out of the rotation, in percent, 1 to 90. When more are bad, all are used.
    pub max_percent: u8,
}

impl Default for Ejection {
    fn default() -> Self {
        Self { on_connect: true, failures: 3, latency_factor: 8, max_percent: 50 }
    }
}

/// An active check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub kind: CheckKind,
    /// Another port than that of requests.
    pub port: Option<u16>,
    /// Between two checks of an endpoint; each waits up to a tenth longer.
    pub interval: Duration,
    /// For one check; at most the interval.
    pub timeout: Duration,
    /// Passed checks in a row that bring an endpoint back, at least 1.
    pub rise: u16,
    /// Failed checks in a row that take an endpoint out, at least 1.
    pub fall: u16,
}

/// What an active check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A connection is accepted.
    Tcp,
    /// A TLS handshake succeeds; the certificate is not verified.
    Tls {
        /// The server name that is sent, if any.
        server_name: Box<str>,
    },
    /// A GET is answered.
    Http {
        /// HTTP/2 instead of HTTP/1.1.
        http2: bool,
        /// Over TLS; the certificate is not verified.
        tls: bool,
        /// Path and query.
        path: Box<str>,
        /// The Host field, also the server name that is sent; the endpoint's address when empty.
        host: Box<str>,
        /// Further fields.
        headers: Box<[(HeaderName, HeaderValue)]>,
        /// Ranges of statuses that pass, both ends included.
        statuses: Box<[(u16, u16)]>,
        /// What the first 64 KiB of the body must match.
        body: Option<Pattern>,
    },
    /// `grpc.health.v1.Health/Check` answers SERVING.
    Grpc {
        /// Over TLS; the certificate is not verified.
        tls: bool,
        /// The service asked for; empty for the server as a whole.
        service: Box<str>,
        /// The `:authority`; the endpoint's address when empty.
        host: Box<str>,
    },
}
