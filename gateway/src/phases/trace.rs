//! Traces: which one a request belongs to (W3C Trace Context), and the span that it leaves.
//!
//! Where a collector is named, the gateway is part of the trace: its span is the caller's child and the endpoint's parent.
//! Elsewhere a client's context passes as it came, and who has none gets one, so that endpoints and the access log share an id.
use std::time::{Duration, SystemTime};

use features::{Trace, Tracing};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use table::RequestHost;

use super::sender::Seen;
use super::{plan, route};
use crate::connection::Client;
use crate::context::Context;
use crate::proxy::Proxy;
use crate::spans::{Ids, Span};

static PARENT: HeaderName = HeaderName::from_static("traceparent");
static STATE: HeaderName = HeaderName::from_static("tracestate");

/// The trace of a request whose context was made here.
#[derive(Debug)]
pub(crate) struct Traced {
    /// What the endpoint is told.
    parent: HeaderValue,
    /// It begins here: what the client said of another one goes.
    begins: bool,
    /// The span that is left at the end, if the request is sampled and there is a collector.
    span: Option<Ids>,
}

/// Gives a request of a rule that is traced its context, once: a further try has the same.
pub(crate) fn begin(session: &Session, context: &mut Context) {
    let Some(trace) = context.rule.as_ref().and_then(|rule| rule.policy.observe.trace.as_ref()) else { return };
    context.trace = decide(&session.req_header().headers, trace, &context.global().tracing).map(Box::new);
}

fn decide(headers: &HeaderMap, trace: &Trace, tracing: &Tracing) -> Option<Traced> {
    let parent = incoming(headers).filter(|_| trace.trust);
    if parent.is_some() && tracing.export.is_none() {
        return None;
    }
    // Ids that are all zeros are not valid.
    let id = parent.as_ref().map_or_else(|| fastrand::u128(1..), |parent| parent.trace);
    let ids = Ids { trace: id, span: fastrand::u64(1..), parent: parent.as_ref().map(|parent| parent.span) };
    let flags = parent.as_ref().map_or(0, |parent| parent.flags);
    let sampled = tracing.samples(parent.as_ref().map(Parent::is_sampled), id);
    Some(Traced {
        parent: written(ids, flags & RANDOM | u8::from(sampled)),
        begins: parent.is_none(),
        span: (sampled && tracing.export.is_some()).then_some(ids),
    })
}

/// Tells the endpoint of a context that was made here.
pub(crate) fn tell(head: &mut RequestHeader, context: &Context) -> Result<()> {
    let Some(traced) = &context.trace else { return Ok(()) };
    if traced.begins {
        head.remove_header(&STATE);
    }
    head.insert_header(PARENT.clone(), traced.parent.clone())
}

/// Tells an authentication service, which is asked for the sake of the request.
pub(crate) fn tell_fields(fields: &mut HeaderMap, context: &Context) {
    let Some(traced) = &context.trace else { return };
    if traced.begins {
        fields.remove(&STATE);
    }
    fields.insert(PARENT.clone(), traced.parent.clone());
}

/// The context that the endpoint got, for the access log.
pub(crate) fn of(session: &Session, context: &mut Context) -> Option<HeaderValue> {
    let made = context.trace.take().map(|traced| traced.parent);
    made.or_else(|| sound(&session.req_header().headers).map(|(value, _)| value.clone()))
}

/// Does the request leave a span?
pub(super) fn leaves_span(context: &Context) -> bool {
    context.trace.as_ref().is_some_and(|traced| traced.span.is_some())
}

/// Leaves the span of a request that has ended, if it has one.
pub(super) fn finish(proxy: &Proxy, session: &Session, context: &Context, status: u16, took: Duration) {
    let Some(ids) = context.trace.as_ref().and_then(|traced| traced.span) else { return };
    proxy.live.spans.leave(|| span(proxy, session, context, ids, status, took));
}

fn span(proxy: &Proxy, session: &Session, context: &Context, ids: Ids, status: u16, took: Duration) -> Span {
    let head = session.req_header();
    let host = RequestHost::parse(route::authority(head));
    let host = host.as_ref().map_or("", RequestHost::as_str);
    let seen = Seen::of(session, context);
    let rule = context.rule.as_ref();
    let operation = rule.and_then(|rule| Some((rule, rule.policy.observe.trace.as_ref()?.operation.as_ref()?)));
    Span {
        ids,
        state: if ids.parent.is_some() { state(&head.headers) } else { String::new() },
        name: operation.map(|(rule, name)| name.expand(&plan::view(rule, session, host, context), &[])),
        began: SystemTime::now() - took,
        took,
        method: head.method.clone(),
        https: seen.is_https(),
        host: host.into(),
        port: seen.port(),
        target: head.uri.clone(),
        protocol: head.version,
        status,
        client: seen.client(),
        peer: Client::of(session.digest()).map(|client| client.address),
        user_agent: head.headers.get(header::USER_AGENT).cloned(),
        request_id: context.request_id.clone(),
        labels: rule.map_or_else(|| proxy.no_labels.clone(), |rule| rule.policy.labels.clone()),
        canary: context.alternative().cloned(),
        endpoint: context.attempts.last().map(|attempt| attempt.address),
        retries: context.attempts.len().saturating_sub(1),
        reason: context.reason,
    }
}

/// The `tracestate` of a trace that goes on; several lines are one list.
fn state(headers: &HeaderMap) -> String {
    let lines: Vec<&str> = headers.get_all(&STATE).iter().filter_map(|line| line.to_str().ok()).collect();
    lines.join(",")
}

/// What a client's context says.
struct Parent {
    trace: u128,
    span: u64,
    flags: u8,
}

const SAMPLED: u8 = 0x01;

/// The last seven bytes of the trace's id are random: who goes on says so, too (Trace Context, level 2).
const RANDOM: u8 = 0x02;

impl Parent {
    fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Nothing that cannot be gone on with (Trace Context, sections 2.2 and 4.3).
    fn parse(value: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(value).ok()?.split('-');
        let mut hex = |length: usize| {
            let part = parts.next()?;
            let lower = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            (lower && part.len() == length).then_some(part)
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        // Later versions may have more parts.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let (trace, span) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
        let flags = u8::from_str_radix(flags, 16).ok()?;
        (trace != 0 && span != 0).then_some(Self { trace, span, flags })
    }
}

fn incoming(headers: &HeaderMap) -> Option<Parent> {
    sound(headers).map(|(_, parent)| parent)
}

/// The only `traceparent` of a request, if it is one.
fn sound(headers: &HeaderMap) -> Option<(&HeaderValue, Parent)> {
    let mut values = headers.get_all(&PARENT).iter();
    let value = values.next()?;
    let parent = Parent::parse(value.as_bytes())?;
    values.next().is_none().then_some((value, parent))
}

fn written(ids: Ids, flags: u8) -> HeaderValue {
    let text = format!("00-{:032x}-{:016x}-{flags:02x}", ids.trace, ids.span);
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use features::Global;
    use features::annotation::Config;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const TRUSTING: Trace = Trace { trust: true, operation: None };
    const WARY: Trace = Trace { trust: false, operation: None };

    fn tracing(pairs: &[(&str, &str)]) -> Tracing {
        let config = Config::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Global::read(&config, &features::NoObjects).0.tracing
    }

    fn headers(parents: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(&PARENT, HeaderValue::from_static(parent));
        }
        headers
    }

    fn told(traced: &Traced) -> Parent {
        Parent::parse(traced.parent.as_bytes()).unwrap()
    }

    #[test]
    fn without_a_collector_a_context_passes_or_is_made() {
        let none = Tracing::default();
        assert!(decide(&headers(&[GOOD]), &TRUSTING, &none).is_none());
        for (with, trace) in [(headers(&[GOOD]), &WARY), (headers(&[]), &TRUSTING), (headers(&[GOOD, GOOD]), &TRUSTING)]
        {
            let made = decide(&with, trace, &none).unwrap();
            assert!(made.begins && made.span.is_none() && told(&made).is_sampled());
        }
        let off = tracing(&[("otel-sampler", "AlwaysOff")]);
        assert!(!told(&decide(&headers(&[]), &TRUSTING, &off).unwrap()).is_sampled());
    }

    #[test]
    fn with_a_collector_the_span_takes_the_place_of_the_callers() {
        let collector = tracing(&[("otlp-collector-host", "otel")]);
        let traced = decide(&headers(&[GOOD]), &TRUSTING, &collector).unwrap();
        let (ids, told) = (traced.span.unwrap(), told(&traced));
        assert_eq!((ids.trace, ids.parent), (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, Some(0xb7ad_6b71_6920_3331)));
        assert_eq!((told.trace, told.span, told.flags), (ids.trace, ids.span, 1));
        assert!(!traced.begins);
        let anew = decide(&headers(&[GOOD]), &WARY, &collector).unwrap();
        assert!(anew.begins && anew.span.unwrap().parent.is_none() && anew.span.unwrap().trace != ids.trace);
    }

    #[test]
    fn the_flag_follows_the_sampler() {
        let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02";
        for (sampler, by_parent, parent, flags) in [
            ("AlwaysOff", "true", GOOD, 1),
            ("AlwaysOff", "false", GOOD, 0),
            ("AlwaysOn", "true", unsampled, 2),
            ("AlwaysOn", "false", unsampled, 3),
        ] {
            let pairs =
                [("otlp-collector-host", "otel"), ("otel-sampler", sampler), ("otel-sampler-parent-based", by_parent)];
            let traced = decide(&headers(&[parent]), &TRUSTING, &tracing(&pairs)).unwrap();
            assert_eq!(told(&traced).flags, flags, "{sampler} {by_parent}");
            assert_eq!(traced.span.is_some(), flags & SAMPLED != 0, "{sampler} {by_parent}");
        }
    }

    #[test]
    fn only_a_sound_context_is_gone_on_with() {
        let sound = |text: &str| Parent::parse(text.as_bytes()).is_some();
        assert!(sound(GOOD) && sound(&format!("{}-more", GOOD.replacen("00", "01", 1))));
        for bad in [
            "",
            "00",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert!(!sound(bad), "{bad}");
        }
    }

    #[test]
    fn lines_of_a_state_are_one_list() {
        let mut headers = HeaderMap::new();
        for line in ["a=1,b=2", "c=3"] {
            headers.append(&STATE, HeaderValue::from_static(line));
        }
        assert_eq!(state(&headers), "a=1,b=2,c=3");
    }
}
