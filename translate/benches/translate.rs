//! What translation costs: one changed Ingress and one changed EndpointSlice among 10,000 Ingresses of ten paths, and
//! building all of them at once. Prints the resident memory that the table and its translation add to the objects.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start must stop")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use translate::{Change, Object, Options, Translator};

const INGRESSES: usize = 10_000;
const PATHS: usize = 10;
const ENDPOINTS: usize = 100;

fn options() -> Options {
    Options { watch_ingress_without_class: true, ..Options::default() }
}

/// An Ingress with its own host and Service; `version` changes one of its paths.
fn ingress(number: usize, version: usize) -> Object {
    let backend = json!({"service": {"name": format!("service-{number}"), "port": {"number": 80}}});
    let paths: Vec<Value> = (0..PATHS)
        .map(|path| {
            let version = if path == 0 { version } else { 0 };
            json!({"path": format!("/some/prefix-{path}-{version}"), "pathType": "Prefix", "backend": backend})
        })
        .collect();
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": "shop", "name": format!("ingress-{number}")},
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

/// An EndpointSlice; `version` changes one of its addresses.
fn slice(number: usize, endpoints: usize, version: usize) -> Object {
    let endpoints: Vec<Value> = (0..endpoints)
        .map(|endpoint| {
            let version = if endpoint == 0 { version } else { 0 };
            json!({"addresses": [format!("10.{version}.0.{endpoint}")], "conditions": {"ready": true}, "zone": "zone-a"})
        })
        .collect();
    let service = format!("service-{number}");
    let object = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"namespace": "shop", "name": service, "labels": {"kubernetes.io/service-name": service}},
        "endpoints": endpoints, "ports": [{"name": "http", "port": 8080}],
    });
    Object::EndpointSlice(Arc::new(serde_json::from_value(object).unwrap()))
}

fn objects() -> Vec<Object> {
    (0..INGRESSES).flat_map(|number| [ingress(number, 0), service(number), slice(number, 2, 0)]).collect()
}

fn build(objects: &[Object]) -> Translator {
    let mut translator = Translator::new(options());
    for object in objects {
        translator.apply(Change::Set(object.clone()));
    }
    assert!(translator.publish(0).table.is_some());
    translator
}

/// Resident memory in MiB, as Linux tells it.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<usize>().ok()).unwrap_or_default() / 1024
}

fn benches(criterion: &mut Criterion) {
    let objects = objects();
    let before = resident();
    let mut translator = build(&objects);
    #[expect(clippy::print_stdout, reason = "a figure of the benchmark")]
    {
        println!("memory: {} MiB of objects, {} MiB more for the translation", before, resident() - before);
    }

    let versions = [ingress(7, 1), ingress(7, 2)];
    let mut turns = versions.iter().cycle();
    criterion.bench_function("one changed Ingress of 10,000", |bencher| {
        bencher.iter(|| {
            translator.apply(Change::Set(turns.next().unwrap().clone()));
            let output = translator.publish(0);
            assert!(output.table.is_some());
            black_box(output)
        });
    });

    let versions = [slice(7, ENDPOINTS, 1), slice(7, ENDPOINTS, 2)];
    let mut turns = versions.iter().cycle();
    criterion.bench_function("one changed EndpointSlice of 100 endpoints", |bencher| {
        bencher.iter(|| {
            translator.apply(Change::Set(turns.next().unwrap().clone()));
            let output = translator.publish(0);
            assert!(output.table.is_none() && output.endpoints.len() == 1);
            black_box(output)
        });
    });
    drop(translator);

    criterion.bench_function("100,000 rules at once", |bencher| {
        bencher.iter_batched(|| (), |()| build(&objects), BatchSize::PerIteration);
    });
}

fn settings() -> Criterion {
    Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5))
}

criterion_group! { name = all; config = settings(); targets = benches }
criterion_main!(all);
