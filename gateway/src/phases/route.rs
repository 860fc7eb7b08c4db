//! Which rule decides: one canonical host and path, one lookup in one table.
use std::sync::Arc;

use features::Route;
use pingora::protocols::http::authority::{RawTargetAuthority, raw_target_authority};
use pingora_http::RequestHeader;
use table::{Found, RequestHost, RequestPath, Rule, Table};

use crate::metrics::BadRequest;

/// A request that can be decided on.
pub(crate) struct Routed {
    /// The canonical host.
    pub(crate) host: RequestHost,
    /// The canonical path, if it is not as sent.
    pub(crate) path: Option<String>,
    /// The rule; none answers 404.
    pub(crate) rule: Option<Arc<Rule<Route>>>,
}

/// The authority of a request as sent: `:authority` or of an absolute target, else the Host field. Pingora has made sure
/// that they agree, and sends the former to endpoints.
pub(crate) fn authority(head: &RequestHeader) -> &[u8] {
    if let Some(authority) = head.uri.authority() {
        return authority.as_str().as_bytes();
    }
    let of_target = if is_origin_form(head) { None } else { raw_target_authority(head.raw_path()).authority() };
    of_target.unwrap_or_else(|| head.headers.get(http::header::HOST).map_or(b"", |host| host.as_bytes()))
}

/// Path and query as sent, without scheme and authority of an absolute target (RFC 9112 section 3.2.2).
pub(crate) fn target(head: &RequestHeader) -> Option<&str> {
    let target = match (is_origin_form(head), head.raw_path()) {
        (true, target) => target,
        // Pingora's own reading of what else may stand there: it must not differ from ours.
        (false, target) => match raw_target_authority(target) {
            RawTargetAuthority::Absolute { path_and_query: [], .. } => b"/",
            RawTargetAuthority::Absolute { path_and_query, .. } => path_and_query,
            RawTargetAuthority::None | RawTargetAuthority::AmbiguousAuthority => return None,
        },
    };
    std::str::from_utf8(target).ok()
}

fn is_origin_form(head: &RequestHeader) -> bool {
    head.raw_path().first() == Some(&b'/')
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
    Ok(Routed { host, rule, path: path.into_changed() })
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
        assert_eq!(target(&head("foo:opaque://x/admin")), None);
    }

    #[test]
    fn the_authority_of_an_absolute_target_decides() {
        assert_eq!(authority(&head("http://admin.test/")), b"admin.test");
        let mut plain = head("/");
        plain.insert_header("Host", "a.test:80").unwrap();
        assert_eq!(authority(&plain), b"a.test:80");
    }

    #[test]
    fn a_path_has_no_query() {
        assert_eq!(path("/x?y/z"), "/x");
        assert_eq!(path("?y"), "/");
    }
}
