//! The span of one request: what the request path leaves, and what becomes of it in OTLP.
//!
//! Names of attributes are those of OpenTelemetry's semantic conventions for HTTP servers; what they have no name for begins
//! with `ingora.` and is called as in the access log.
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use features::Labels;
use http::{HeaderValue, Method, Uri, Version};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Proto, Status};
use table::ClusterId;

use super::query;
use crate::access_log::HOSTNAME;

/// Where a span stands in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    /// The trace.
    pub(crate) trace: u128,
    /// The span.
    pub(crate) span: u64,
    /// The caller's span.
    pub(crate) parent: Option<u64>,
}

/// What a request leaves. Everything in it is cheap to clone from the request.
#[derive(Debug)]
pub(crate) struct Span {
    /// Where it stands.
    pub(crate) ids: Ids,
    /// The `tracestate` that came with the trace.
    pub(crate) state: String,
    /// A name of its own; otherwise it is the path of the rule.
    pub(crate) name: Option<String>,
    /// When the head of the request was complete.
    pub(crate) began: SystemTime,
    /// From then to the end of the answer.
    pub(crate) took: Duration,
    /// The method.
    pub(crate) method: Method,
    /// The client speaks HTTPS.
    pub(crate) https: bool,
    /// The canonical host.
    pub(crate) host: Box<str>,
    /// The port that the client connected to.
    pub(crate) port: u16,
    /// The target as sent.
    pub(crate) target: Uri,
    /// The protocol of the client.
    pub(crate) protocol: Version,
    /// The status that the client got; 499 if it left before.
    pub(crate) status: u16,
    /// The client's address.
    pub(crate) client: Option<IpAddr>,
    /// Who is at the other end of the connection.
    pub(crate) peer: Option<SocketAddr>,
    /// The User-Agent field.
    pub(crate) user_agent: Option<HeaderValue>,
    /// The X-Request-ID field.
    pub(crate) request_id: Option<HeaderValue>,
    /// The objects of the rule.
    pub(crate) labels: Arc<Labels>,
    /// The canary that the request went to.
    pub(crate) canary: Option<ClusterId>,
    /// The endpoint that was tried last.
    pub(crate) endpoint: Option<SocketAddr>,
    /// How often another one was tried.
    pub(crate) retries: usize,
    /// Why the gateway answered itself or failed, in a word.
    pub(crate) reason: &'static str,
}

/// The client left before it got an answer: nginx's status, which nobody was sent.
const LEFT: u16 = 499;

/// The sampled flag, that it is known whether the parent is in another process, and that it is.
const SAMPLED: u32 = 0x01;
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// Spans of a service as one message.
pub(super) fn message(service: &str, spans: &[Span]) -> ResourceSpans {
    let attributes = vec![text("service.name", service), text("host.name", &HOSTNAME)];
    let scope = InstrumentationScope {
        name: "ingora".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = spans.iter().map(Span::proto).collect();
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

impl Span {
    fn proto(&self) -> Proto {
        let remote = if self.ids.parent.is_some() { IS_REMOTE } else { 0 };
        let failed = self.status >= 500;
        Proto {
            trace_id: self.ids.trace.to_be_bytes().to_vec(),
            span_id: self.ids.span.to_be_bytes().to_vec(),
            parent_span_id: self.ids.parent.map_or_else(Vec::new, |parent| parent.to_be_bytes().to_vec()),
            trace_state: self.state.clone(),
            flags: SAMPLED | HAS_IS_REMOTE | remote,
            name: self.name.clone().unwrap_or_else(|| self.labels.path.to_string()),
            kind: SpanKind::Server.into(),
            start_time_unix_nano: nanoseconds(self.began),
            end_time_unix_nano: nanoseconds(self.began + self.took),
            attributes: self.attributes(),
            // Only what is the server's fault is an error (semantic conventions, HTTP server spans).
            status: failed.then(|| Status { code: StatusCode::Error.into(), message: String::new() }),
            ..Proto::default()
        }
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let mut all = Vec::with_capacity(24);
        self.describe_request(&mut all);
        self.describe_answer(&mut all);
        let labels = &self.labels;
        for (key, value) in [
            ("ingora.namespace", &labels.namespace),
            ("ingora.ingress", &labels.ingress),
            ("ingora.service", &labels.service),
        ] {
            all.extend(some(key, value));
        }
        all.extend(self.canary.as_ref().map(|canary| text("ingora.canary", &canary.to_string())));
        all.extend(self.endpoint.map(|endpoint| text("ingora.upstream", &endpoint.to_string())));
        if self.retries > 0 {
            all.push(number("ingora.retries", i64::try_from(self.retries).unwrap_or(i64::MAX)));
        }
        all.extend(some("ingora.reason", self.reason));
        all.extend(self.request_id.as_ref().map(|id| field("ingora.request_id", id)));
        all
    }

    fn describe_request(&self, all: &mut Vec<KeyValue>) {
        let (method, original) = known(&self.method);
        all.push(text("http.request.method", method));
        all.extend(original.map(|method| text("http.request.method_original", method)));
        all.push(text("url.scheme", if self.https { "https" } else { "http" }));
        all.push(text("url.path", self.target.path()));
        all.extend(some("url.query", &query::without_secrets(self.target.query().unwrap_or_default())));
        all.extend(some("http.route", &self.labels.path));
        all.extend(some("server.address", &self.host));
        if self.port > 0 {
            all.push(number("server.port", self.port.into()));
        }
        all.extend(self.client.map(|client| text("client.address", &client.to_string())));
        if let Some(peer) = self.peer {
            all.push(text("network.peer.address", &peer.ip().to_canonical().to_string()));
            all.push(number("network.peer.port", peer.port().into()));
        }
        all.push(text("network.protocol.version", version(self.protocol)));
        all.extend(self.user_agent.as_ref().map(|agent| field("user_agent.original", agent)));
    }

    fn describe_answer(&self, all: &mut Vec<KeyValue>) {
        if self.status != LEFT {
            all.push(number("http.response.status_code", self.status.into()));
        }
        if self.status >= 500 || self.status == LEFT {
            let status = self.status.to_string();
            all.push(text("error.type", if self.reason.is_empty() { &status } else { self.reason }));
        }
    }
}

/// The methods that the conventions know; of others there could be any number.
fn known(method: &Method) -> (&str, Option<&str>) {
    match method.as_str() {
        name @ ("CONNECT" | "DELETE" | "GET" | "HEAD" | "OPTIONS" | "PATCH" | "POST" | "PUT" | "QUERY" | "TRACE") => {
            (name, None)
        }
        other => ("_OTHER", Some(other)),
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.to_owned()))
}

fn some(key: &str, value: &str) -> Option<KeyValue> {
    (!value.is_empty()).then(|| text(key, value))
}

/// What a client sends need not be UTF-8, which a text must be.
fn field(key: &str, value: &HeaderValue) -> KeyValue {
    text(key, &String::from_utf8_lossy(value.as_bytes()))
}

fn number(key: &str, value: i64) -> KeyValue {
    pair(key, Value::IntValue(value))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A span with nothing special in it.
    pub(crate) fn span(target: &'static str) -> Span {
        Span {
            ids: Ids { trace: 1, span: 2, parent: None },
            state: String::new(),
            name: None,
            began: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
            took: Duration::from_millis(2),
            method: Method::GET,
            https: false,
            host: "a.test".into(),
            port: 80,
            target: Uri::from_static(target),
            protocol: Version::HTTP_11,
            status: 200,
            client: Some([192, 0, 2, 1].into()),
            peer: None,
            user_agent: None,
            request_id: None,
            labels: Arc::new(Labels { path: "/shop".into(), ..Labels::default() }),
            canary: None,
            endpoint: None,
            retries: 0,
            reason: "",
        }
    }

    fn told<'a>(proto: &'a Proto, key: &str) -> Option<&'a Value> {
        proto.attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()
    }

    fn texts(span: &Span, keys: &[&str]) -> Vec<Option<String>> {
        let proto = span.proto();
        let one = |key: &&str| match told(&proto, key)? {
            Value::StringValue(text) => Some(text.clone()),
            Value::IntValue(number) => Some(number.to_string()),
            other => panic!("{other:?}"),
        };
        keys.iter().map(one).collect()
    }

    #[test]
    fn a_span_lies_between_the_caller_and_the_endpoint() {
        let proto = Span { ids: Ids { trace: 1, span: 2, parent: Some(3) }, ..span("/") }.proto();
        assert_eq!((proto.trace_id.len(), proto.trace_id[15]), (16, 1));
        assert_eq!((proto.span_id, proto.parent_span_id), (vec![0, 0, 0, 0, 0, 0, 0, 2], vec![0, 0, 0, 0, 0, 0, 0, 3]));
        assert_eq!((proto.start_time_unix_nano, proto.end_time_unix_nano), (1_000_000_000, 1_002_000_000));
        assert_eq!((proto.kind, proto.name.as_str(), proto.flags), (SpanKind::Server as i32, "/shop", 0x301));
        assert_eq!(span("/").proto().flags, 0x101);
    }

    #[test]
    fn secrets_and_unknown_methods_do_not_become_values() {
        let odd = Span { method: Method::from_bytes(b"BREW").unwrap(), ..span("/pot?token=x&a=1") };
        let keys = ["http.request.method", "http.request.method_original", "url.path", "url.query"];
        let want = ["_OTHER", "BREW", "/pot", "token=REDACTED&a=1"].map(|text| Some(text.to_owned()));
        assert_eq!(texts(&odd, &keys), want);
        assert_eq!(texts(&span("/"), &["http.request.method_original", "url.query", "error.type"]), [None, None, None]);
    }

    #[test]
    fn what_the_gateway_or_the_endpoint_failed_at_is_an_error() {
        let keys = ["http.response.status_code", "error.type"];
        for (status, reason, code, kind, error) in [
            (404, "no_rule", Some("404"), None, false),
            (500, "", Some("500"), Some("500"), true),
            (503, "no_endpoints", Some("503"), Some("no_endpoints"), true),
            (499, "client_gone", None, Some("client_gone"), false),
        ] {
            let span = Span { status, reason, ..span("/") };
            assert_eq!(texts(&span, &keys), [code, kind].map(|text| text.map(str::to_owned)), "{status}");
            assert_eq!(span.proto().status.is_some(), error, "{status}");
        }
    }
}
