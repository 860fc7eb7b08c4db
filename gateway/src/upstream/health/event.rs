//! What is told when an endpoint leaves the rotation or returns.
use std::net::SocketAddr;

use table::ClusterId;

use crate::metrics::closed_label;

closed_label! {
    /// Why an endpoint left the rotation.
    Why {
        /// Its host refused a connection.
        Refused = "refused",
        /// It could not be reached.
        Unreachable = "unreachable",
        /// The connect timeout ran out.
        ConnectTimeout = "connect_timeout",
        /// TLS handshakes failed.
        Tls = "tls",
        /// It answered 502, 503 or 504.
        Errors = "gateway_errors",
        /// Connections broke before the answer.
        Reset = "reset",
        /// Answers did not come in time.
        Timeout = "timeout",
        /// It stopped answering while others answer.
        Silent = "silent",
        /// It was much slower than the others.
        Slow = "slow",
        /// Active checks failed.
        Check = "health_check",
    }
}

impl Why {
    /// Is it that no connection could be made?
    pub(crate) fn is_connect(self) -> bool {
        matches!(self, Self::Refused | Self::Unreachable | Self::ConnectTimeout)
    }
}

/// An endpoint of a cluster has left the rotation or returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointEvent {
    /// The cluster; an endpoint of two clusters makes two events.
    pub cluster: ClusterId,
    /// The endpoint.
    pub address: SocketAddr,
    /// What happened.
    pub change: EndpointChange,
    /// Why it left: a word in snake case.
    pub why: &'static str,
}

/// What happened to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointChange {
    /// It left the rotation.
    Ejected,
    /// It is in the rotation again.
    Returned,
}
