//! What features see of a request, and what they may decide.
use http::{HeaderMap, Method};

/// A request after its host and path were canonicalised.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// Did it come over TLS?
    pub tls: bool,
    /// The Host field or `:authority` as sent, with port.
    pub authority: &'a str,
    /// The canonical host.
    pub host: &'a str,
    /// The canonical path.
    pub path: &'a str,
    /// The request target as sent: path and query.
    pub target: &'a str,
    /// The fields.
    pub headers: &'a HeaderMap,
}

/// What a feature decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Answer with a redirect.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Value of the Location field.
        location: String,
    },
}
