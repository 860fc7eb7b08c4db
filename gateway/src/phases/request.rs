//! Before an endpoint is chosen: limits, the rule, and its features.
use features::{Answer, Ask, Backend, ClientAuth, Refusal, Reply, Route, Verdict};
use http::{HeaderName, HeaderValue, Method};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use table::{Generation, Rule};

use super::client_auth::{self, Checked};
use super::{body, plan, route, sender};
use crate::context::Context;
use crate::metrics::BadRequest;
use crate::proxy::Proxy;

/// Why a request is answered whose cluster is empty.
pub(crate) const NO_ENDPOINTS: &str = "no_endpoints";

/// What to do with a request.
pub(crate) enum Decision {
    /// Send it on.
    Proceed,
    /// Answer it.
    Answer(Box<Answer>),
    /// Find something out, and [`resume`] with it.
    Ask(Box<Ask>),
}

impl Decision {
    pub(super) fn answer(status: u16, reason: &'static str) -> Self {
        Self::Answer(Box::new(Answer { status, fields: Vec::new(), body: None, reason }))
    }
}

/// Decides on a request within one table.
pub(crate) fn decide(proxy: &Proxy, session: &Session, context: &mut Context) -> Decision {
    if let Some(reason) = proxy.shedder.sheds() {
        proxy.metrics.overload.shed(reason);
        return Decision::answer(503, "overload");
    }
    let head = session.req_header();
    // HTTP/1 heads were vetted before; a decoded HTTP/2 list is limited in bytes by its codec, in number here.
    if head.headers.len() > proxy.limits.head_fields {
        proxy.metrics.connections.bad_request(BadRequest::TooManyFields);
        return Decision::answer(431, "too_many_fields");
    }
    let table = proxy.live.table();
    context.set_global(table.global.clone());
    context.request_id = request_id(head, table.global.requests.request_id);
    context.said = sender::said(&table.global.sender, session);
    if head.method == Method::TRACE {
        // An answer would repeat the fields that the gateway adds (RFC 9110 section 9.3.8 warns of it).
        return Decision::answer(405, "trace");
    }
    let routed = match route::route(&table, head) {
        Ok(routed) => routed,
        Err(bad) => {
            proxy.metrics.connections.bad_request(bad);
            return Decision::answer(400, bad.as_str());
        }
    };
    let Some(rule) = routed.rule else {
        // Before the first table nothing is known, not even that there is no rule.
        let unknown = table.generation == Generation::default();
        return if unknown { Decision::answer(503, "no_table") } else { Decision::answer(404, "no_rule") };
    };
    context.path = routed.path;
    if rule.policy.fallback.is_some() {
        context.default_backend.clone_from(&table.default_backend);
    }
    let host = routed.host.as_str();
    let checked = client_auth::check(&table, session, host);
    drop(table);
    let decision = match checked {
        Checked::NotAsked => serve(proxy, &rule, session, host, context),
        Checked::Passed => {
            context.certified = true;
            serve(proxy, &rule, session, host, context)
        }
        // Who is sent to HTTPS has been told nothing.
        Checked::PlainText => match serve(proxy, &rule, session, host, context) {
            Decision::Answer(answer) if (300..400).contains(&answer.status) => Decision::Answer(answer),
            _ => Decision::answer(403, "certificate_needs_tls"),
        },
        Checked::Misdirected => Decision::answer(421, "misdirected"),
        Checked::Refused(settings, refusal) => refuse(&rule, session, host, context, &settings, refusal),
    };
    context.rule = Some(rule);
    decision
}

/// As nginx: 400 for a certificate that is missing or not valid, unless there is a page for that.
fn refuse(
    rule: &Rule<Route>,
    session: &Session,
    host: &str,
    context: &Context,
    settings: &ClientAuth,
    refusal: Refusal,
) -> Decision {
    match (refusal, &settings.error_page) {
        (Refusal::Forbidden, _) => Decision::answer(403, "certificate_forbidden"),
        (Refusal::Certificate, None) => Decision::answer(400, "certificate_required"),
        (Refusal::Certificate, Some(page)) => {
            match Verdict::redirect(302, &page.expand(&plan::view(rule, session, host, context), &[])) {
                Verdict::Answer(answer) => Decision::Answer(answer),
                Verdict::Continue | Verdict::Ask(_) => Decision::answer(400, "certificate_required"),
            }
        }
    }
}

fn serve(proxy: &Proxy, rule: &Rule<Route>, session: &Session, host: &str, context: &mut Context) -> Decision {
    if let Backend::Refused(reason) = rule.policy.backend {
        return Decision::answer(503, reason);
    }
    // nginx looks at the length before anything else of a location.
    if body::announces_more(session.req_header(), rule.policy.upstream.max_body) {
        return Decision::answer(413, body::TOO_LARGE);
    }
    if rule.policy.plan.is_empty() {
        return admit(proxy, rule);
    }
    let verdict = plan::on_request(proxy, rule, session, host, context);
    follow(proxy, rule, verdict)
}

/// Goes on with a request whose rule has asked.
pub(crate) fn resume(proxy: &Proxy, session: &Session, context: &mut Context, reply: &Reply) -> Decision {
    let verdict = plan::on_reply(proxy, session, context, reply);
    match &context.rule {
        Some(rule) => follow(proxy, rule, verdict),
        None => Decision::answer(500, "reply_unread"),
    }
}

fn follow(proxy: &Proxy, rule: &Rule<Route>, verdict: Verdict) -> Decision {
    match verdict {
        Verdict::Continue => admit(proxy, rule),
        Verdict::Answer(answer) => Decision::Answer(answer),
        Verdict::Ask(ask) => Decision::Ask(ask),
    }
}

fn admit(proxy: &Proxy, rule: &Rule<Route>) -> Decision {
    // Better here than when an endpoint is chosen: Pingora would close the connection then.
    if proxy.has_endpoints(rule) { Decision::Proceed } else { Decision::answer(503, NO_ENDPOINTS) }
}

/// Parsed already: each request looks for it.
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The client's `X-Request-ID`, or 32 random hexadecimal digits if they are wanted, as ingress-nginx's
/// `generate-request-id` makes them.
fn request_id(head: &RequestHeader, generate: bool) -> Option<HeaderValue> {
    match head.headers.get(&X_REQUEST_ID) {
        Some(id) if !id.is_empty() => Some(id.clone()),
        _ => generate.then(new_request_id),
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
        assert_eq!(request_id(&head, true).unwrap(), "mine");
        head.remove_header("X-Request-ID");
        assert!(request_id(&head, true).is_some() && request_id(&head, false).is_none());
    }

    #[test]
    fn a_new_request_id_has_32_hexadecimal_digits() {
        let (one, other) = (new_request_id(), new_request_id());
        assert!(one.len() == 32 && one.as_bytes().iter().all(u8::is_ascii_hexdigit));
        assert_ne!(one, other);
    }
}
