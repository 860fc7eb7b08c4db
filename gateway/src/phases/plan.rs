//! Runs the features of a rule on requests and answers.
use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use features::{Counted, Edits, Rate, Reply, Request, Route, Verdict, World};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use table::{RequestHost, Rule};

use super::route;
use super::sender::Seen;
use crate::connection::Client;
use crate::context::Context;
use crate::limiter::Entered;
use crate::proxy::Proxy;

/// Runs the plan of a rule. What it changed goes into the context.
pub(crate) fn on_request(
    proxy: &Proxy,
    rule: &Rule<Route>,
    session: &Session,
    host: &str,
    context: &mut Context,
) -> Verdict {
    let mut edits = Box::<Edits>::default();
    let counting = Counting { proxy, entered: Cell::new(None) };
    let request = Request { world: &counting, ..view(rule, session, host, context) };
    let verdict = features::run(&rule.policy.plan, &request, &mut edits, |_, _, _| ());
    context.edits = Some(edits);
    context.entered = counting.entered.take();
    verdict
}

/// Takes from an endpoint's answer what clients must not see.
pub(crate) fn endpoint_answered(context: &Context, head: &mut ResponseHeader) {
    context.global().answers.hide(&mut Answered(head));
}

/// Goes on with the plan of a rule that has asked.
pub(crate) fn on_reply(proxy: &Proxy, session: &Session, context: &mut Context, reply: &Reply) -> Verdict {
    let (Some(rule), Some(mut edits)) = (context.rule.clone(), context.edits.take()) else {
        return Verdict::status(500, "reply_unread");
    };
    let host = RequestHost::parse(route::authority(session.req_header()));
    let host = host.as_ref().map_or("", RequestHost::as_str);
    let counting = Counting { proxy, entered: Cell::new(None) };
    let request = Request { world: &counting, ..view(&rule, session, host, context) };
    let verdict = features::resume(&rule.policy.plan, &request, &mut edits, reply, |_, _, _| ());
    context.edits = Some(edits);
    if let Some(entered) = counting.entered.take() {
        context.entered = Some(entered);
    }
    verdict
}

/// Lets the plan of a rule act on the head of the answer, the endpoint's or the gateway's own.
pub(crate) fn on_response(session: &Session, context: &Context, head: &mut ResponseHeader) {
    if head.status.is_informational() {
        return;
    }
    let tls = Client::of(session.digest()).is_some_and(|client| client.tls.is_some());
    context.global().answers.add(tls, &mut Answered(head));
    let Some(rule) = context.rule.as_ref().filter(|rule| !rule.policy.plan.is_empty()) else { return };
    let host = RequestHost::parse(route::authority(session.req_header()));
    let host = host.as_ref().map_or("", RequestHost::as_str);
    let none = Edits::default();
    let edits = context.edits.as_deref().unwrap_or(&none);
    let request = view(rule, session, host, context);
    features::respond(&rule.policy.plan, &request, edits, &mut Answered(head));
}

/// What features see of a request.
pub(crate) fn view<'a>(
    rule: &'a Rule<Route>,
    session: &'a Session,
    host: &'a str,
    context: &'a Context,
) -> Request<'a> {
    let head = session.req_header();
    let target = route::target(head).unwrap_or("/");
    let seen = Seen::of(session, context);
    Request {
        method: &head.method,
        tls: seen.is_https(),
        authority: std::str::from_utf8(seen.authority(session)).unwrap_or_default(),
        host,
        path: context.path.as_deref().unwrap_or_else(|| route::path(target)),
        target,
        headers: &head.headers,
        client: seen.client(),
        port: seen.port(),
        request_id: context.request_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default(),
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

    fn unix(&self) -> i64 {
        jiff::Timestamp::now().as_second()
    }
}

/// The same world, in which requests count.
struct Counting<'a> {
    proxy: &'a Proxy,
    entered: Cell<Option<Entered>>,
}

impl std::fmt::Debug for Counting<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counting").finish_non_exhaustive()
    }
}

impl World for Counting<'_> {
    fn now(&self) -> Duration {
        Running.now()
    }

    fn random(&self) -> u32 {
        Running.random()
    }

    fn unix(&self) -> i64 {
        Running.unix()
    }

    fn seal(&self, text: &[u8]) -> [u8; 16] {
        self.proxy.asking.nonces().seal(text)
    }

    fn use_nonce(&self, nonce: (u64, u64), count: u32) -> bool {
        self.proxy.asking.nonces().take(nonce, count)
    }

    fn has_certificate(&self, host: &str) -> bool {
        self.proxy.live.table().certificates.find(host).is_some()
    }

    fn https_port(&self) -> u16 {
        self.proxy.live.https_port
    }

    fn admit(&self, counted: &Counted<'_>, rates: [Option<Rate>; 2]) -> bool {
        self.proxy.limiter.admit(counted, rates, self.now())
    }

    fn enter(&self, counted: &Counted<'_>, most: u32) -> bool {
        let entered = self.proxy.limiter.enter(counted, most);
        let within = entered.is_some();
        self.entered.set(entered);
        within
    }
}

/// The head of an answer as features see it.
pub(crate) struct Answered<'a>(pub(crate) &'a mut ResponseHeader);

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
