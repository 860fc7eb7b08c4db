//! Which rule decides: one canonical host and path, one lookup in one table.
use std::sync::Arc;

use features::Route;
use pingora_http::RequestHeader;
use table::{Found, RequestHost, RequestPath, Rule, Table};

use crate::metrics::BadRequest;

/// A request that can be decided on.
pub(crate) struct Routed {
    /// The canonical host.
    pub(crate) host: RequestHost,
    /// The rule; none answers 404.
    pub(crate) rule: Option<Arc<Rule<Route>>>,
}

/// The authority of a request as sent: `:authority` or of an absolute target, else the Host field. Pingora has made sure
/// that they agree.
pub(crate) fn authority(head: &RequestHeader) -> &[u8] {
    match head.uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => head.headers.get(http::header::HOST).map_or(b"", |host| host.as_bytes()),
    }
}

/// Path and query as sent, without scheme and authority of an absolute target (RFC 9112 section 3.2.2).
pub(crate) fn target(head: &RequestHeader) -> Option<&str> {
    let target = std::str::from_utf8(head.raw_path()).ok()?;
    if target.starts_with('/') {
        return Some(target);
    }
    let (_, rest) = target.split_once("://")?;
    Some(rest.find(['/', '?']).and_then(|start| rest.get(start..)).unwrap_or("/"))
}

/// The path of a target.
pub(crate) fn path(target: &str) -> &str {
    match target.split('?').next() {
        None | Some("") => "/",
        Some(path) => path,
    }
}

/// Finds the rule, or says why the request cannot be understood: the answer is 400.
pub(crate) fn route(table: &Table<Route>, head: &RequestHeader) -> Result<Routed, BadRequest> {
    let host = RequestHost::parse(authority(head)).map_err(|_| BadRequest::Host)?;
    let path = RequestPath::parse(path(target(head).ok_or(BadRequest::Path)?)).map_err(|_| BadRequest::Path)?;
    let found = table.find_request(host.as_str(), &path).map_err(|_| BadRequest::Ambiguous)?;
    let rule = match found {
        Found::Rule(rule) | Found::Default(rule) => Some(rule.clone()),
        Found::Nothing => None,
    };
    Ok(Routed { host, rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str) -> RequestHeader {
        RequestHeader::build("GET", target.as_bytes(), None).unwrap()
    }

    #[test]
    fn the_target_is_what_the_client_sent() {
        for (raw, want) in [
            ("/a%20b//c?x=%2F", "/a%20b//c?x=%2F"),
            ("http://a.com/x?y", "/x?y"),
            ("http://a.com", "/"),
            ("http://a.com?y", "?y"),
        ] {
            assert_eq!(target(&head(raw)), Some(want), "{raw}");
        }
        assert_eq!(target(&head("*")), None);
    }

    #[test]
    fn a_path_has_no_query() {
        assert_eq!(path("/x?y/z"), "/x");
        assert_eq!(path("?y"), "/");
    }
}
