//! W3C trace context: requests of rules that are traced have one, endpoints and the access log the same.
use crate::support::{Rig, Scripted, Site, Spec};

const CLIENTS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn seen(
    annotations: &[(&'static str, &'static str)],
    config: &[(&str, &str)],
    fields: &str,
) -> [Option<String>; 2] {
    let backend = Scripted::recording().await;
    let rule = annotations.iter().fold(Spec::to("app"), |rule, (name, value)| rule.annotation(name, *value));
    let site = Site::default().config(config).rule(rule).endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    let mut wire = rig.wire().await;
    wire.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")).await;
    assert_eq!(wire.response().await.0.status(), 200);
    let last = backend.last();
    ["traceparent", "tracestate"].map(|name| last.one(name).map(str::to_owned))
}

#[tokio::test]
async fn a_trace_context_passes_and_none_is_made_unless_asked_for() {
    let fields = format!("traceparent: {CLIENTS}\r\ntracestate: a=1\r\n");
    assert_eq!(seen(&[], &[], &fields).await, [Some(CLIENTS.to_owned()), Some("a=1".to_owned())]);
    assert_eq!(seen(&[], &[], "").await, [None, None]);
}

#[tokio::test]
async fn a_traced_request_has_a_context_of_its_own_or_the_clients() {
    let traced = [("enable-opentelemetry", "true")];
    let [made, _] = seen(&traced, &[], "").await;
    assert!(made.unwrap().ends_with("-01"));
    let fields = format!("traceparent: {CLIENTS}\r\ntracestate: a=1\r\n");
    assert_eq!(seen(&traced, &[], &fields).await, [Some(CLIENTS.to_owned()), Some("a=1".to_owned())]);
    // A context that is none begins a new trace.
    let [made, state] = seen(&traced, &[], "traceparent: nonsense\r\ntracestate: a=1\r\n").await;
    assert!(made.unwrap().starts_with("00-") && state.is_none());
}

#[tokio::test]
async fn the_context_of_a_client_that_is_not_trusted_is_replaced() {
    let config = [
        ("enable-opentelemetry", "true"),
        ("opentelemetry-trust-incoming-span", "false"),
        ("otel-sampler", "AlwaysOff"),
    ];
    let fields = format!("traceparent: {CLIENTS}\r\ntracestate: a=1\r\n");
    let [made, state] = seen(&[], &config, &fields).await;
    let made = made.unwrap();
    assert!(made != CLIENTS && made.ends_with("-00") && state.is_none(), "{made}");
}
