//! What the phases of one request tell each other.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use features::{Edits, Route};
use http::HeaderValue;
use table::Rule;

use crate::metrics::RuleMetrics;
use crate::upstream::{Cluster, Lease};

/// The state of one request. The rule is found once; a retry must not see another one.
pub(crate) struct Context {
    /// When its head was complete.
    pub(crate) started: Instant,
    /// The rule that decides, once found.
    pub(crate) rule: Option<Arc<Rule<Route>>>,
    /// `X-Request-ID`, the client's or a new one.
    pub(crate) request_id: Option<HeaderValue>,
    /// The endpoints that were tried; the last one is in use.
    pub(crate) tried: Vec<SocketAddr>,
    /// The try in use.
    pub(crate) lease: Option<Lease>,
    /// What the endpoint answered.
    pub(crate) upstream_status: u16,
    /// What features changed; `None` when the rule has none.
    pub(crate) edits: Option<Box<Edits>>,
    /// Why the gateway answered itself, or why the request failed.
    pub(crate) reason: &'static str,
}

impl Context {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            rule: None,
            request_id: None,
            tried: Vec::new(),
            lease: None,
            upstream_status: 0,
            edits: None,
            reason: "",
        }
    }
}

/// What is resolved once for a rule and kept in its [`table::Resolved`].
pub(crate) struct Handles {
    /// Where its requests go.
    pub(crate) cluster: Option<Arc<Cluster>>,
    /// Where they are counted.
    pub(crate) metrics: Arc<RuleMetrics>,
}
