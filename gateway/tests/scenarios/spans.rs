//! Spans reach a collector, and no collector can hold a request up.
use http::Method;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::support::{Client, Collector, Offer, Refusing, Rig, Says, Scripted, Site, Spec, empty, eventually};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn site(backend: &Scripted, config: &[(&'static str, String)]) -> Site {
    let config: Vec<(&str, &str)> = config.iter().map(|(key, value)| (*key, &**value)).collect();
    Site::default().config(&config).rule(Spec::to("app").config(&config)).endpoints("app", [backend.address])
}

/// Sends a request and returns the status.
async fn get(rig: &Rig, target: &str, fields: &str) -> u16 {
    let mut wire = rig.wire().await;
    wire.send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")).await;
    wire.response().await.0.status()
}

/// The only span of an export.
fn only(export: &ExportTraceServiceRequest) -> &Span {
    let [resource] = &*export.resource_spans else { panic!("{export:?}") };
    let [scope] = &*resource.scope_spans else { panic!("{export:?}") };
    let [span] = &*scope.spans else { panic!("{export:?}") };
    span
}

fn value(attributes: &[KeyValue], key: &str) -> Option<String> {
    match attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key}: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The ConfigMap that names a collector for which spans wait an hour.
fn patient(collector: &Collector) -> Vec<(&'static str, String)> {
    let mut config = collector.config();
    config.retain(|(key, _)| *key != "otel-max-export-batch-size");
    config.push(("otel-schedule-delay-millis", "3600000".to_owned()));
    config
}

async fn dropped(rig: &Rig, reason: &str) -> f64 {
    rig.metrics().await.sum("ingora_spans_dropped_total", &[("reason", reason)]).unwrap_or_default()
}

#[tokio::test]
async fn a_span_is_the_callers_child_and_the_endpoints_parent() {
    let (backend, mut collector) = (Scripted::recording().await, Collector::start().await);
    let rig = Rig::start(site(&backend, &collector.config())).await;
    let fields =
        format!("traceparent: 00-{TRACE}-{CALLER}-01\r\ntracestate: a=1\r\nUser-Agent: curl\r\nX-Request-ID: mine\r\n");
    assert_eq!(get(&rig, "/a/b?token=x&c=d", &fields).await, 200);
    let export = collector.next().await;
    let span = only(&export);
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), CALLER.to_owned()));
    assert_eq!(
        ["traceparent", "tracestate", "x-request-id"].map(|name| backend.last().one(name).map(str::to_owned)),
        [Some(format!("00-{TRACE}-{}-01", hex(&span.span_id))), Some("a=1".to_owned()), Some("mine".to_owned())]
    );
    assert_eq!((span.name.as_str(), span.kind, span.trace_state.as_str()), ("/", SpanKind::Server as i32, "a=1"));
    assert!(span.status.is_none() && span.start_time_unix_nano <= span.end_time_unix_nano);
    let upstream = backend.address.to_string();
    let port = rig.http.port().to_string();
    for (key, want) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("http.route", "/"),
        ("url.scheme", "http"),
        ("url.path", "/a/b"),
        ("url.query", "token=REDACTED&c=d"),
        ("server.address", "a.test"),
        ("server.port", &*port),
        ("client.address", "127.0.0.1"),
        ("network.peer.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "curl"),
        ("ingora.namespace", "default"),
        ("ingora.ingress", "web"),
        ("ingora.service", "app"),
        ("ingora.upstream", &*upstream),
        ("ingora.request_id", "mine"),
    ] {
        assert_eq!(value(&span.attributes, key).as_deref(), Some(want), "{key}");
    }
    for absent in ["error.type", "ingora.reason", "ingora.retries"] {
        assert_eq!(value(&span.attributes, absent), None, "{absent}");
    }
    let resource = export.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(value(&resource.attributes, "service.name").as_deref(), Some("nginx"));
    eventually("the count", || async {
        (rig.metrics().await.sum("ingora_spans_exported_total", &[])? == 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_the_gateway_answers_itself_has_a_span_with_the_name_that_is_wanted() {
    let (backend, mut collector) = (Scripted::recording().await, Collector::start().await);
    let mut config = collector.config();
    config.push(("opentelemetry-operation-name", "HTTP $request_method $service_name".to_owned()));
    config.push(("otel-service-name", "edge".to_owned()));
    let rig = Rig::start(site(&backend, &config).endpoints("app", [])).await;
    assert_eq!(get(&rig, "/", "").await, 503);
    let export = collector.next().await;
    let span = only(&export);
    assert_eq!((span.name.as_str(), span.parent_span_id.len()), ("HTTP GET app", 0));
    assert_eq!(span.status.as_ref().unwrap().code(), StatusCode::Error);
    assert_eq!(value(&span.attributes, "error.type").as_deref(), Some("no_endpoints"));
    let resource = export.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(value(&resource.attributes, "service.name").as_deref(), Some("edge"));
}

#[tokio::test]
async fn the_client_is_believed_only_where_it_is_trusted() {
    let (backend, mut collector) = (Scripted::recording().await, Collector::start().await);
    let mut config = collector.config();
    config.push(("opentelemetry-trust-incoming-span", "false".to_owned()));
    let rig = Rig::start(site(&backend, &config)).await;
    let fields = format!("traceparent: 00-{TRACE}-{CALLER}-00\r\ntracestate: a=1\r\n");
    assert_eq!(get(&rig, "/", &fields).await, 200);
    let export = collector.next().await;
    let span = only(&export);
    assert!(hex(&span.trace_id) != TRACE && span.parent_span_id.is_empty() && span.trace_state.is_empty());
    let last = backend.last();
    let told = format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id));
    assert_eq!((last.one("traceparent"), last.one("tracestate")), (Some(&*told), None));
}

#[tokio::test]
async fn what_is_not_sampled_leaves_no_span_and_says_so() {
    let (backend, mut collector) = (Scripted::recording().await, Collector::start().await);
    let mut config = collector.config();
    config.push(("otel-sampler", "AlwaysOff".to_owned()));
    let rig = Rig::start(site(&backend, &config)).await;
    assert_eq!(get(&rig, "/one", "").await, 200);
    assert!(backend.last().one("traceparent").unwrap().ends_with("-00"));
    let fields = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n");
    assert_eq!(get(&rig, "/two", &fields).await, 200);
    // The caller samples, so the second one is the first that comes.
    assert_eq!(value(&only(&collector.next().await).attributes, "url.path").as_deref(), Some("/two"));
}

#[tokio::test]
async fn an_authentication_service_is_asked_within_the_trace() {
    let (backend, service) = (Scripted::recording().await, Scripted::recording().await);
    let mut collector = Collector::start().await;
    let config = collector.config();
    let config: Vec<(&str, &str)> = config.iter().map(|(key, value)| (*key, &**value)).collect();
    let rule = Spec::to("app").config(&config).annotation("auth-url", format!("http://{}/", service.address));
    let rig = Rig::start(Site::default().config(&config).rule(rule).endpoints("app", [backend.address])).await;
    assert_eq!(get(&rig, "/", "tracestate: a=1\r\n").await, 200);
    let (asked, sent) = (service.last(), backend.last());
    assert_eq!((asked.one("traceparent"), asked.one("tracestate")), (sent.one("traceparent"), None));
    assert!(sent.one("traceparent").unwrap().contains(&hex(&only(&collector.next().await).span_id)));
}

#[tokio::test]
async fn an_annotation_keeps_a_rule_out() {
    let (backend, mut collector) = (Scripted::recording().await, Collector::start().await);
    let config = collector.config();
    let config: Vec<(&str, &str)> = config.iter().map(|(key, value)| (*key, &**value)).collect();
    let quiet = Spec::to("app").config(&config).prefix("/quiet").annotation("enable-opentelemetry", "false");
    let site = Site::default().config(&config).rule(Spec::to("app").config(&config)).rule(quiet);
    let rig = Rig::start(site.endpoints("app", [backend.address])).await;
    let fields = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n");
    assert_eq!(get(&rig, "/quiet", &fields).await, 200);
    assert_eq!(backend.last().one("traceparent"), Some(&*format!("00-{TRACE}-{CALLER}-01")));
    assert_eq!(get(&rig, "/loud", &fields).await, 200);
    assert_eq!(value(&only(&collector.next().await).attributes, "url.path").as_deref(), Some("/loud"));
}

#[tokio::test]
async fn a_collector_that_hangs_costs_spans_and_no_request() {
    let (backend, mut collector) = (Scripted::recording().await, Collector::saying(&[Says::Nothing]).await);
    let mut config = collector.config();
    config.push(("otel-max-queuesize", "2".to_owned()));
    let rig = Rig::start(site(&backend, &config)).await;
    assert_eq!(get(&rig, "/", "").await, 200);
    collector.next().await;
    // One is on its way for ever, and there is room for two.
    for _ in 0..5 {
        assert_eq!(get(&rig, "/", "").await, 200);
    }
    eventually("the lost spans", || async { (dropped(&rig, "queue_full").await == 3.0).then_some(()) }).await;
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_no_request() {
    let (backend, gone) = (Scripted::recording().await, Refusing::new());
    let port = gone.address.port().to_string();
    let mut config = Collector::start().await.config();
    config[1].1 = port;
    let rig = Rig::start(site(&backend, &config)).await;
    assert_eq!(get(&rig, "/", "").await, 200);
    eventually("a failure", || async {
        (rig.metrics().await.sum("ingora_span_export_failures_total", &[])? >= 1.0).then_some(())
    })
    .await;
    assert_eq!(get(&rig, "/", "").await, 200);
}

#[tokio::test]
async fn what_a_collector_cannot_take_now_is_sent_again() {
    let says = &[Says::Unavailable, Says::Taken, Says::Rejected(1)];
    let (backend, mut collector) = (Scripted::recording().await, Collector::saying(says).await);
    let rig = Rig::start(site(&backend, &collector.config())).await;
    assert_eq!(get(&rig, "/", "").await, 200);
    let refused = collector.next().await;
    assert_eq!(only(&collector.next().await).span_id, only(&refused).span_id);
    assert_eq!(get(&rig, "/", "").await, 200);
    eventually("the counts", || async {
        let metrics = rig.metrics().await;
        let count = |name, labels: &[_]| metrics.sum(name, labels);
        let failures = count("ingora_span_export_failures_total", &[])?;
        let exported = count("ingora_spans_exported_total", &[])?;
        let rejected = count("ingora_spans_dropped_total", &[("reason", "rejected")])?;
        ([failures, exported, rejected] == [1.0; 3]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn another_collector_takes_over_without_a_restart() {
    let (backend, mut one, mut other) =
        (Scripted::recording().await, Collector::start().await, Collector::start().await);
    let mut rig = Rig::start(site(&backend, &one.config())).await;
    for (collector, path) in [(&mut one, "/one"), (&mut other, "/other")] {
        rig.site = site(&backend, &collector.config());
        rig.publish().await;
        assert_eq!(get(&rig, path, "").await, 200);
        assert_eq!(value(&only(&collector.next().await).attributes, "url.path").as_deref(), Some(path));
    }
    rig.site = site(&backend, &[("enable-opentelemetry", "true".to_owned())]);
    rig.publish().await;
    assert_eq!(get(&rig, "/none", "").await, 200);
    assert!(backend.last().one("traceparent").unwrap().ends_with("-01"));
}

#[tokio::test]
async fn what_waits_goes_to_the_collector_that_it_waited_for() {
    let (backend, mut one, other) = (Scripted::recording().await, Collector::start().await, Collector::start().await);
    let mut rig = Rig::start(site(&backend, &patient(&one))).await;
    let mut wire = rig.wire().await;
    // When the second request is taken, the first has left its span.
    for path in ["/one", "/two"] {
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        assert_eq!(wire.response().await.0.status(), 200);
    }
    rig.site = site(&backend, &patient(&other));
    rig.publish().await;
    let export = one.next().await;
    let first = &export.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(value(&first.attributes, "url.path").as_deref(), Some("/one"));
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_the_end_up() {
    let (backend, mut collector) = (Scripted::recording().await, Collector::saying(&[Says::Nothing]).await);
    let rig = Rig::start(site(&backend, &collector.config())).await;
    assert_eq!(get(&rig, "/", "").await, 200);
    collector.next().await;
    rig.terminate();
    rig.ended().await;
}

#[tokio::test]
async fn https_and_its_version_are_told() {
    let (backend, mut collector) = (Scripted::recording().await, Collector::start().await);
    let rig = Rig::start(site(&backend, &collector.config())).await;
    let mut client = Client::tls(rig.https, Offer::h2("a.test")).await;
    let request = client.request(Method::from_bytes(b"BREW").unwrap(), "a.test", "/");
    assert_eq!(client.send(request.body(empty()).unwrap()).await.status, 200);
    let export = collector.next().await;
    for (key, want) in [
        ("http.request.method", "_OTHER"),
        ("http.request.method_original", "BREW"),
        ("url.scheme", "https"),
        ("server.port", "443"),
        ("network.protocol.version", "2"),
    ] {
        assert_eq!(value(&only(&export).attributes, key).as_deref(), Some(want), "{key}");
    }
}

#[tokio::test]
async fn what_waits_at_the_end_is_exported() {
    let (backend, mut collector) = (Scripted::recording().await, Collector::start().await);
    let rig = Rig::start(site(&backend, &patient(&collector))).await;
    for path in ["/one", "/two"] {
        assert_eq!(get(&rig, path, "").await, 200);
    }
    rig.terminate();
    let export = collector.next().await;
    assert_eq!(export.resource_spans[0].scope_spans[0].spans.len(), 2);
    rig.ended().await;
}
