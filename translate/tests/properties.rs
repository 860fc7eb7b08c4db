//! Properties of translation: the order of objects never matters, and changes lead to what a fresh start would see.
mod common;

use common::{Picture, Plane, object};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use translate::{Change, Object, ObjectRef, Options, Translator};

const EXPIRED: (&str, &str) = (include_str!("certificates/expired.crt"), include_str!("certificates/expired.key"));
const FOO: (&str, &str) = (include_str!("certificates/foo.crt"), include_str!("certificates/foo.key"));
const WILDCARD: (&str, &str) = (include_str!("certificates/wildcard.crt"), include_str!("certificates/wildcard.key"));

/// Before, at and after the end of the expired certificate, which is the first of January 2021.
const TIMES: [i64; 3] = [1_600_000_000, 1_609_459_200, 1_900_000_000];

/// Always the same cases, so that a failure is everybody's failure.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() }
}

fn options() -> Options {
    Options {
        classless_without_classes: true,
        default_backend_service: Some(("one".to_owned(), "a".to_owned())),
        default_ssl_certificate: Some(("one".to_owned(), "a".to_owned())),
        ..Options::default()
    }
}

fn text(choices: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    select(choices)
}

fn namespace() -> impl Strategy<Value = &'static str> {
    text(&["one", "two"])
}

fn name() -> impl Strategy<Value = &'static str> {
    text(&["a", "b", "c"])
}

fn host() -> impl Strategy<Value = &'static str> {
    text(&["foo.com", "a.foo.com", "*.foo.com", "", "b.bar.com", "*.bar.com", "not a host"])
}

fn backend() -> impl Strategy<Value = Value> {
    let port = select(vec![json!({"number": 80}), json!({"name": "web"}), json!({"number": 81}), json!({"number": 0})]);
    (name(), port).prop_map(|(name, port)| json!({"service": {"name": name, "port": port}}))
}

fn path() -> impl Strategy<Value = Value> {
    let path = text(&["/", "/x", "/x/", "/x/y", "/(?=x)", "//", "x"]);
    (path, text(&["Exact", "Prefix", "ImplementationSpecific", "Other"]), backend())
        .prop_map(|(path, kind, backend)| json!({"path": path, "pathType": kind, "backend": backend}))
}

fn tls() -> impl Strategy<Value = Value> {
    (proptest::collection::vec(host(), 0..3), name())
        .prop_map(|(hosts, secret)| json!({"hosts": hosts, "secretName": secret}))
}

fn ingress() -> impl Strategy<Value = Value> {
    let rule = (host(), proptest::collection::vec(path(), 0..4))
        .prop_map(|(host, paths)| json!({"host": host, "http": {"paths": paths}}));
    let rules = proptest::collection::vec(rule, 0..3);
    let created = select(vec![Value::Null, json!("2020-01-01T00:00:00Z"), json!("2021-01-01T00:00:00Z")]);
    let class = select(vec![Value::Null, Value::Null, Value::Null, json!("a"), json!("b")]);
    let annotation = select(vec![
        ("ssl-redirect", "false"),
        ("nonsense", "false"),
        ("backend-protocol", "false"),
        ("auth-url", "false"),
        ("use-regex", "true"),
        ("rewrite-target", "/x"),
    ]);
    let names = (namespace(), name(), created, class, proptest::option::weighted(0.3, annotation));
    let spec = (rules, proptest::option::of(backend()), proptest::collection::vec(tls(), 0..3));
    (names, spec).prop_map(|((namespace, name, created, class, annotation), (rules, backend, tls))| {
        let annotations: serde_json::Map<String, Value> =
            annotation.iter().map(|(name, value)| (format!("nginx.ingress.kubernetes.io/{name}"), json!(value))).collect();
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"namespace": namespace, "name": name, "creationTimestamp": created, "annotations": annotations},
            "spec": {"ingressClassName": class, "defaultBackend": backend, "rules": rules, "tls": tls},
        })
    })
}

/// Ingresses that meet on one path, some of them canaries.
fn meeting_ingress() -> impl Strategy<Value = Value> {
    let created = select(vec![json!("2020-01-01T00:00:00Z"), json!("2021-01-01T00:00:00Z")]);
    let path = (text(&["/", "/x"]), name()).prop_map(|(path, service)| {
        json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}})
    });
    let rule = (text(&["foo.com", "", "foo.com"]), proptest::collection::vec(path, 1..3))
        .prop_map(|(host, paths)| json!({"host": host, "http": {"paths": paths}}));
    let weight = proptest::option::of(text(&["10", "20"]));
    let further = proptest::option::weighted(
        0.3,
        select(vec![
            ("server-alias", "b.bar.com,a.foo.com"),
            ("server-alias", "*.foo.com,~^b"),
            ("from-to-www-redirect", "true"),
        ]),
    );
    let backend = proptest::option::weighted(0.2, backend());
    let names = (namespace(), name(), created);
    (names, weight, further, proptest::collection::vec(rule, 0..3), backend).prop_map(
        |((namespace, name, created), weight, further, rules, backend)| {
            let canary = weight.into_iter().flat_map(|weight| [("canary", "true"), ("canary-weight", weight)]);
            let annotations: serde_json::Map<String, Value> = canary
                .chain(further)
                .map(|(name, value)| (format!("nginx.ingress.kubernetes.io/{name}"), json!(value)))
                .collect();
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"namespace": namespace, "name": name, "creationTimestamp": created, "annotations": annotations},
                "spec": {"rules": rules, "defaultBackend": backend},
            })
        },
    )
}

fn class() -> impl Strategy<Value = Value> {
    (text(&["a", "b"]), any::<bool>(), any::<bool>()).prop_map(|(name, ours, default)| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": name, "annotations": {"ingressclass.kubernetes.io/is-default-class": default.to_string()}},
            "spec": {"controller": if ours { "ingora.io/ingress-controller" } else { "example.com/other" }},
        })
    })
}

fn service() -> impl Strategy<Value = Value> {
    let ports = select(vec![
        json!([{"port": 80}]),
        json!([{"port": 80, "name": "web", "appProtocol": "h2c"}, {"port": 81, "name": "other"}]),
        json!([{"port": 81, "name": "web", "appProtocol": "unheard"}]),
        json!([]),
    ]);
    let kind = select(vec!["ClusterIP", "ClusterIP", "ExternalName"]);
    let check = select(vec!["none", "readiness-probe", "tcp"]);
    (namespace(), name(), ports, kind, check).prop_map(|(namespace, name, ports, kind, check)| {
        let spec = json!({"type": kind, "externalName": "example.com", "ports": ports});
        let annotations = json!({"ingora.io/health-check": check});
        json!({
            "apiVersion": "v1", "kind": "Service", "spec": spec,
            "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
        })
    })
}

fn slice() -> impl Strategy<Value = Value> {
    let addresses = proptest::collection::vec(text(&["10.0.0.1", "10.0.0.2", "nonsense"]), 0..3);
    let port = select(vec![json!({"port": 1}), json!({"name": "web", "port": 2}), json!({"name": "web", "port": 0})]);
    let pod = select(vec![json!(null), target("x-a", "1"), target("x-b", "1"), target("x-b", "2"), target("y-a", "1")]);
    (namespace(), name(), name(), addresses, port, any::<bool>(), pod).prop_map(
        |(namespace, name, service, addresses, port, ready, pod)| {
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"namespace": namespace, "name": name, "labels": {"kubernetes.io/service-name": service}},
                "endpoints": [{"addresses": addresses, "conditions": {"ready": ready}, "targetRef": pod}], "ports": [port],
            })
        },
    )
}

fn target(name: &str, uid: &str) -> Value {
    json!({"kind": "Pod", "name": name, "uid": uid})
}

fn pod() -> impl Strategy<Value = Value> {
    let probe = select(vec![
        json!({"tcpSocket": {"port": 1}}),
        json!({"httpGet": {"path": "/up", "port": "web"}}),
        json!({"exec": {"command": ["true"]}}),
        json!(null),
    ]);
    (namespace(), text(&["x-a", "x-b", "y-a", "z"]), text(&["1", "2"]), probe).prop_map(
        |(namespace, name, uid, probe)| {
            let containers =
                json!([{"name": "web", "ports": [{"name": "web", "containerPort": 2}], "readinessProbe": probe}]);
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name, "uid": uid},
                "spec": {"containers": containers},
            })
        },
    )
}

fn secret() -> impl Strategy<Value = Value> {
    let pair = select(vec![EXPIRED, FOO, WILDCARD, (FOO.0, WILDCARD.1), ("", "")]);
    (namespace(), name(), pair).prop_map(|(namespace, name, (certificate, key))| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": name},
            "stringData": {"tls.crt": certificate, "tls.key": key},
        })
    })
}

fn any_object() -> impl Strategy<Value = Object> {
    prop_oneof![4 => ingress(), 4 => meeting_ingress(), 1 => class(), 4 => service(), 3 => slice(), 2 => secret(), 2 => pod()]
        .prop_map(object)
}

/// The last one of each name.
fn distinct(objects: Vec<Object>) -> Vec<Object> {
    let by_name: std::collections::BTreeMap<ObjectRef, Object> =
        objects.into_iter().map(|object| (object.reference(), object)).collect();
    by_name.into_values().collect()
}

/// What the data plane and the owners of objects see.
fn fresh(objects: &[Object], now: i64) -> (Picture, Vec<String>) {
    let mut translator = Translator::new(options());
    for object in objects {
        translator.apply(Change::Set(object.clone()));
    }
    let mut plane = Plane::default();
    plane.take(&translator.publish(now));
    (plane.picture(), translator.notes().map(ToString::to_string).collect())
}

#[derive(Clone, Debug)]
enum Step {
    Set(Object),
    Delete(Index),
    Publish,
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any_object().prop_map(Step::Set),
        3 => any::<Index>().prop_map(Step::Delete),
        4 => Just(Step::Publish),
        1 => Just(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn the_order_of_objects_never_matters(
        (sorted, shuffled) in proptest::collection::vec(any_object(), 0..30).prop_map(distinct)
            .prop_flat_map(|objects| (Just(objects.clone()), Just(objects).prop_shuffle())),
    ) {
        prop_assert_eq!(fresh(&sorted, TIMES[0]), fresh(&shuffled, TIMES[0]));
    }

    #[test]
    fn a_pod_that_is_no_endpoint_changes_nothing(objects in proptest::collection::vec(any_object(), 0..30), pod in pod()) {
        let mut translator = Translator::new(options());
        objects.into_iter().for_each(|object| translator.apply(Change::Set(object)));
        translator.publish(TIMES[0]);
        let mut stranger = pod;
        stranger["metadata"]["name"] = json!("stranger-a");
        translator.apply(Change::Set(object(stranger)));
        let output = translator.publish(TIMES[0]);
        prop_assert!(output.table.is_none() && output.policies.is_empty() && output.notes.is_empty());
    }

    #[test]
    fn changes_lead_to_what_a_fresh_start_would_see(steps in proptest::collection::vec(step(), 0..60)) {
        let mut translator = Translator::new(options());
        let mut objects: Vec<Object> = Vec::new();
        let (mut plane, mut told) = (Plane::default(), std::collections::BTreeMap::new());
        let mut times = TIMES.into_iter();
        let mut now = times.next().unwrap();
        for step in steps.into_iter().chain([Step::Publish]) {
            match step {
                Step::Set(object) => {
                    objects.push(object.clone());
                    objects = distinct(objects);
                    translator.apply(Change::Set(object));
                }
                Step::Delete(index) if !objects.is_empty() => {
                    let gone = objects.remove(index.index(objects.len()));
                    translator.apply(Change::Delete(gone.reference()));
                }
                Step::Delete(_) => {}
                Step::Wait => now = times.next().unwrap_or(now),
                Step::Publish => {
                    let output = translator.publish(now);
                    plane.take(&output);
                    told.extend(output.notes);
                    let (picture, notes) = fresh(&objects, now);
                    prop_assert_eq!(plane.picture(), picture);
                    let held: Vec<String> = translator.notes().map(ToString::to_string).collect();
                    prop_assert_eq!(&held, &notes, "the notes that hold");
                    let told: Vec<String> = told.values().flatten().map(ToString::to_string).collect();
                    prop_assert_eq!(&told, &notes, "the notes that were told");
                }
            }
        }
    }
}
