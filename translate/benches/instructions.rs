//! What `scripts/instructions.py` counts the instructions of: one case, a number of times.
//!
//!     instructions CASE TIMES
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start must stop")]

use std::hint::black_box;
use std::sync::Arc;

use features::{Edits, Request, Route, StillWorld};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use table::{RequestHost, RequestPath, Table};
use translate::{Change, Object, Options, Translator};

const HOSTS: usize = 200;

/// Annotations of a rule that has much of what a rule can have.
const RICH: &[(&str, &str)] = &[
    ("enable-cors", "true"),
    ("whitelist-source-range", "10.0.0.0/8,192.168.0.0/16,127.0.0.1/32"),
    ("limit-rps", "100000"),
    ("proxy-body-size", "8m"),
    ("use-regex", "false"),
    ("force-ssl-redirect", "false"),
];

fn ingress(number: usize, version: usize, annotations: &[(&str, &str)]) -> Object {
    let backend = json!({"service": {"name": format!("service-{number}"), "port": {"number": 80}}});
    let path = |path: usize| json!({"path": format!("/some/prefix-{path}"), "pathType": "Prefix", "backend": backend});
    let mut paths: Vec<Value> = (0..10).map(path).collect();
    paths.push(json!({"path": format!("/version-{version}"), "pathType": "Exact", "backend": backend}));
    let annotations: serde_json::Map<String, Value> = annotations
        .iter()
        .map(|(name, value)| (format!("nginx.ingress.kubernetes.io/{name}"), Value::from(*value)))
        .collect();
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": "shop", "name": format!("ingress-{number}"), "annotations": annotations},
        "spec": {"rules": [{"host": format!("host-{number}.example.com"), "http": {"paths": paths}}]},
    });
    Object::Ingress(Arc::new(serde_json::from_value(object).unwrap()))
}

fn service(number: usize) -> Object {
    let object = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": format!("service-{number}")},
        "spec": {"ports": [{"port": 80, "name": "http"}]},
    });
    Object::Service(Arc::new(serde_json::from_value(object).unwrap()))
}

fn slice(number: usize, version: usize) -> Object {
    let address = |endpoint: usize| json!({"addresses": [format!("10.{version}.0.{endpoint}")]});
    let endpoints: Vec<Value> = (1..=10).map(address).collect();
    let service = format!("service-{number}");
    let object = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"namespace": "shop", "name": service, "labels": {"kubernetes.io/service-name": service}},
        "endpoints": endpoints, "ports": [{"name": "http", "port": 8080}],
    });
    Object::EndpointSlice(Arc::new(serde_json::from_value(object).unwrap()))
}

/// Hosts with a plain rule, and the first one with a rich one.
fn objects() -> Vec<Object> {
    let annotations = |number| if number == 0 { RICH } else { &[] };
    (0..HOSTS).flat_map(|number| [ingress(number, 0, annotations(number)), service(number), slice(number, 0)]).collect()
}

fn build(objects: &[Object]) -> (Translator, Arc<Table<Route>>) {
    let mut translator = Translator::new(Options { watch_ingress_without_class: true, ..Options::default() });
    for object in objects {
        translator.apply(Change::Set(object.clone()));
    }
    let table = translator.publish(0).table.unwrap();
    (translator, table)
}

fn canonicalise() {
    let host = RequestHost::parse(black_box(b"Host-7.Example.com:8080")).unwrap();
    let path = RequestPath::parse(black_box("/some/./prefix-3//a%20b/c?d=e")).unwrap();
    black_box((host.as_str(), path.as_str()));
}

fn find(table: &Table<Route>) {
    let path = RequestPath::parse("/some/prefix-3/item").unwrap();
    assert!(black_box(table).find_request(black_box("host-7.example.com"), &path).unwrap().rule().is_some());
}

/// Decides a request to a host.
fn decide(table: &Table<Route>, host: &str, headers: &HeaderMap) {
    let rule = table.find(host, "/some/prefix-3").rule().unwrap();
    let request = Request {
        method: &Method::GET,
        tls: true,
        authority: host,
        host,
        path: "/some/prefix-3",
        target: "/some/prefix-3?a=b",
        headers,
        client: Some([127, 0, 0, 1].into()),
        port: 443,
        request_id: "0",
        labels: &rule.policy.labels,
        world: &StillWorld,
    };
    black_box(features::run(&rule.policy.plan, black_box(&request), &mut Edits::default(), |_, _, _| {}));
}

/// Applies one object and publishes.
fn change(translator: &mut Translator, object: Object) {
    translator.apply(Change::Set(object));
    black_box(translator.publish(0));
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [case, times] = arguments.as_slice() else { return };
    let times: usize = times.parse().unwrap();
    let objects = objects();
    let (mut translator, table) = build(&objects);
    let headers = HeaderMap::from_iter([(http::header::ORIGIN, "https://a.example.com".parse().unwrap())]);
    for turn in 1..=times {
        match case.as_str() {
            "canonicalise" => canonicalise(),
            "find" => find(&table),
            "plain-rule" => decide(&table, "host-7.example.com", &headers),
            "rich-rule" => decide(&table, "host-0.example.com", &headers),
            "table" => drop(black_box(build(&objects))),
            "changed-ingress" => change(&mut translator, ingress(7, turn, &[])),
            "changed-endpoints" => change(&mut translator, slice(7, turn % 200)),
            _ => return assert!(case.is_empty(), "{case} is no case"),
        }
    }
}
