//! Runs the features of a rule on requests and answers.
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use features::{Edits, Request, Route, Verdict, World};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use table::{RequestHost, Rule};

use super::route;
use crate::connection::Client;
use crate::context::Context;

/// Runs the plan of a rule. What it changed goes into the context.
pub(crate) fn on_request(rule: &Rule<Route>, session: &Session, host: &str, context: &mut Context) -> Verdict {
    let mut edits = Box::<Edits>::default();
    let request = view(rule, session, host, context.request_id.as_ref());
    let verdict = features::run(&rule.policy.plan, &request, &mut edits, |_, _| ());
    context.edits = Some(edits);
    verdict
}

/// Lets the plan of a rule act on the head of the answer, the endpoint's or the gateway's own.
pub(crate) fn on_response(session: &Session, context: &Context, head: &mut ResponseHeader) {
    let Some(rule) = &context.rule else { return };
    if rule.policy.plan.is_empty() || head.status.is_informational() {
        return;
    }
    let host = RequestHost::parse(route::authority(session.req_header()));
    let host = host.as_ref().map_or("", RequestHost::as_str);
    let none = Edits::default();
    let edits = context.edits.as_deref().unwrap_or(&none);
    let request = view(rule, session, host, context.request_id.as_ref());
    features::respond(&rule.policy.plan, &request, edits, &mut Answered(head));
}

/// What features see of a request.
fn view<'a>(rule: &'a Rule<Route>, session: &'a Session, host: &'a str, id: Option<&'a HeaderValue>) -> Request<'a> {
    let head = session.req_header();
    let target = route::target(head).unwrap_or("/");
    let client = Client::of(session.digest());
    Request {
        method: &head.method,
        tls: client.is_some_and(|client| client.tls.is_some()),
        authority: std::str::from_utf8(route::authority(head)).unwrap_or_default(),
        host,
        path: route::path(target),
        target,
        headers: &head.headers,
        client: client.map(|client| client.address.ip().to_canonical()),
        port: client.and_then(|client| client.port.to_str().ok()?.parse().ok()).unwrap_or_default(),
        request_id: id.and_then(|id| id.to_str().ok()).unwrap_or_default(),
        labels: &rule.policy.labels,
        world: &Running,
    }
}

/// The world of a running gateway.
#[derive(Debug)]
struct Running;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl World for Running {
    fn now(&self) -> Duration {
        START.elapsed()
    }

    fn random(&self) -> u32 {
        fastrand::u32(..)
    }
}

/// The head of an answer as features see it.
struct Answered<'a>(&'a mut ResponseHeader);

/// Names and values of these types are always accepted.
impl features::Head for Answered<'_> {
    fn status(&self) -> u16 {
        self.0.status.as_u16()
    }

    fn fields(&self) -> &HeaderMap {
        &self.0.headers
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.insert_header(name, value).ok();
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.append_header(name, value).ok();
    }

    fn remove(&mut self, name: &HeaderName) {
        self.0.remove_header(name);
    }
}
