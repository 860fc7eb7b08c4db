//! What a request that matched a rule gets.
use std::sync::Arc;
use std::time::Duration;

use table::{ClusterId, Resolved};

use crate::{Balance, ClusterPolicy, Configured, Fallback, Observe, Retry, UpstreamTls, body_size, request_body};

/// The policy of a rule.
#[derive(Debug)]
pub struct Route {
    /// Names the rule in metrics, logs and explanations.
    pub labels: Arc<Labels>,
    /// Where requests go.
    pub backend: Backend,
    /// How to talk to the endpoints; rules of one Ingress share it.
    pub upstream: Arc<Upstream>,
    /// Which of them gets a request.
    pub balance: Balance,
    /// Who answers instead of the endpoints.
    pub fallback: Option<Arc<Fallback>>,
    /// The features that act on a request, in order.
    pub plan: Box<[Configured]>,
    /// What is kept of requests.
    pub observe: Observe,
    /// What the data plane resolved once for this rule.
    pub resolved: Resolved,
}

impl table::Policy for Route {
    type Global = crate::Global;
    type Host = crate::HostSettings;
    type Cluster = ClusterPolicy;
}

/// The objects that a rule came from. Texts are empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels {
    /// Namespace of the Ingress.
    pub namespace: Arc<str>,
    /// Name of the Ingress.
    pub ingress: Arc<str>,
    /// Name of the Service.
    pub service: Arc<str>,
    /// Port of the Service, a number or a name.
    pub service_port: Arc<str>,
    /// Host of the rule as written.
    pub host: Arc<str>,
    /// Path of the rule, never of the request.
    pub path: Arc<str>,
}

/// Why a rule does not serve whose Service is missing.
pub const NO_SERVICE: &str = "the Service does not exist";

/// Where the requests of a rule go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// To the endpoints of a service port.
    Cluster(ClusterId),
    /// Nowhere: the rule could not be understood or must not serve. The answer is 503.
    Refused(&'static str),
}

/// The protocol towards endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 with prior knowledge.
    H2c,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/1.1, over TLS if the client came over TLS (`AUTO_HTTP`).
    Auto,
}

impl Protocol {
    /// Is only HTTP/2 spoken?
    #[must_use]
    pub fn speaks_http2_only(self) -> bool {
        matches!(self, Self::H2c | Self::H2)
    }

    /// Is the connection encrypted?
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::H2)
    }
}

/// How to talk to the endpoints of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The protocol.
    pub protocol: Protocol,
    /// Is HTTP/1.0 spoken instead of HTTP/1.1, with a connection for each request?
    pub http_10: bool,
    /// Limit for establishing a connection.
    pub connect_timeout: Duration,
    /// Limit between two reads.
    pub read_timeout: Duration,
    /// Limit between two writes.
    pub send_timeout: Duration,
    /// Limit from the head of the request to the end of the answer.
    pub request_timeout: Option<Duration>,
    /// Limit for silence on both sides of a connection that changed its protocol; the read timeout without one.
    pub upgrade_idle: Option<Duration>,
    /// When a request is tried again.
    pub retry: Retry,
    /// TLS beyond the defaults.
    pub tls: Option<Arc<UpstreamTls>>,
    /// Largest head of an answer in bytes; without it Pingora's own limit holds.
    pub max_head: Option<u64>,
    /// Largest request body in bytes; 0 is no limit.
    pub max_body: u64,
    /// A request body is read whole before an endpoint gets it, with so many bytes of it in memory; `None`: it is passed on
    /// as it comes.
    pub gather: Option<u64>,
}

/// The defaults of ingress-nginx.
impl Default for Upstream {
    fn default() -> Self {
        Self {
            protocol: Protocol::default(),
            http_10: false,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            request_timeout: None,
            upgrade_idle: None,
            retry: Retry::default(),
            tls: None,
            max_head: None,
            max_body: body_size::DEFAULT,
            gather: Some(request_body::USUAL),
        }
    }
}
