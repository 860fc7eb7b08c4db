//! Before an endpoint is chosen: limits, the rule, and its features.
use features::{Backend, Request, Route, Verdict};
use http::HeaderValue;
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use table::{Generation, Rule};

use super::route;
use crate::connection::Client;
use crate::context::Context;
use crate::metrics::BadRequest;
use crate::proxy::Proxy;

/// What to do with a request.
pub(crate) enum Decision {
    /// Send it on.
    Proceed,
    /// Answer it.
    Answer {
        /// The status.
        status: u16,
        /// For a redirect.
        location: Option<HeaderValue>,
        /// For the log.
        reason: &'static str,
    },
}

impl Decision {
    fn answer(status: u16, reason: &'static str) -> Self {
        Self::Answer { status, location: None, reason }
    }
}

/// Decides on a request within one table.
pub(crate) fn decide(proxy: &Proxy, session: &Session, context: &mut Context) -> Decision {
    let head = session.req_header();
    // HTTP/1 heads were vetted before; a decoded HTTP/2 list is limited in bytes by its codec, in number here.
    if head.headers.len() > proxy.limits.head_fields {
        proxy.metrics.connections.bad_request(BadRequest::TooManyFields);
        return Decision::answer(431, "too_many_fields");
    }
    context.request_id = Some(request_id(head));
    let table = proxy.live.table();
    let routed = match route::route(&table, head) {
        Ok(routed) => routed,
        Err(bad) => {
            proxy.metrics.connections.bad_request(bad);
            return Decision::answer(400, bad.as_str());
        }
    };
    context.rule = routed.rule;
    match &context.rule {
        // Before the first table nothing is known, not even that there is no rule.
        None if table.generation == Generation::default() => Decision::answer(503, "no_table"),
        None => Decision::answer(404, "no_rule"),
        Some(rule) => serve(proxy, rule, session, routed.host.as_str()),
    }
}

fn serve(proxy: &Proxy, rule: &Rule<Route>, session: &Session, host: &str) -> Decision {
    if let Backend::Refused(reason) = rule.policy.backend {
        return Decision::answer(503, reason);
    }
    match run_features(rule, session, host) {
        // Better here than when an endpoint is chosen: Pingora would close the connection then.
        Decision::Proceed if !proxy.has_endpoints(rule) => Decision::answer(503, "no_endpoints"),
        decision => decision,
    }
}

fn run_features(rule: &Rule<Route>, session: &Session, host: &str) -> Decision {
    if rule.policy.plan.is_empty() {
        return Decision::Proceed;
    }
    let head = session.req_header();
    let target = route::target(head).unwrap_or("/");
    let request = Request {
        method: &head.method,
        tls: Client::of(session.digest()).is_some_and(|client| client.tls.is_some()),
        authority: std::str::from_utf8(route::authority(head)).unwrap_or_default(),
        host,
        path: route::path(target),
        target,
        headers: &head.headers,
    };
    match features::run(&rule.policy.plan, &request, |_, _| ()) {
        Verdict::Continue => Decision::Proceed,
        Verdict::Redirect { status, location } => match HeaderValue::from_str(&location) {
            Ok(location) => Decision::Answer { status, location: Some(location), reason: "redirect" },
            Err(_) => Decision::answer(400, "redirect_location"),
        },
    }
}

/// The client's `X-Request-ID`, or 32 random hexadecimal digits, as ingress-nginx's `generate-request-id` makes them.
fn request_id(head: &RequestHeader) -> HeaderValue {
    match head.headers.get("x-request-id") {
        Some(id) if !id.is_empty() => id.clone(),
        _ => new_request_id(),
    }
}

fn new_request_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut random = fastrand::u128(..);
    let mut id = [0; 32];
    for byte in &mut id {
        *byte = DIGITS.get((random & 0xf) as usize).copied().unwrap_or(b'0');
        random >>= 4;
    }
    HeaderValue::from_bytes(&id).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_request_id_is_kept() {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        head.insert_header("X-Request-ID", "mine").unwrap();
        assert_eq!(request_id(&head), "mine");
    }

    #[test]
    fn a_new_request_id_has_32_hexadecimal_digits() {
        let (one, other) = (new_request_id(), new_request_id());
        assert!(one.len() == 32 && one.as_bytes().iter().all(u8::is_ascii_hexdigit));
        assert_ne!(one, other);
    }
}
