//! What a publication does and, above all, does not do.
use super::*;
use serde_json::{Value, json};
use table::Found;

fn object(value: Value) -> Object {
    match value["kind"].as_str() {
        Some("Ingress") => Object::Ingress(Arc::new(serde_json::from_value(value).unwrap())),
        Some("IngressClass") => Object::IngressClass(Arc::new(serde_json::from_value(value).unwrap())),
        Some("Service") => Object::Service(Arc::new(serde_json::from_value(value).unwrap())),
        Some("EndpointSlice") => Object::EndpointSlice(Arc::new(serde_json::from_value(value).unwrap())),
        Some("Secret") => Object::Secret(Arc::new(serde_json::from_value(value).unwrap())),
        other => panic!("{other:?}"),
    }
}

fn set(value: Value) -> Change {
    Change::Set(object(value))
}

fn delete(kind: Kind, name: &str) -> Change {
    Change::Delete(Key::new("ns", name).reference(kind))
}

fn ingress(name: &str, host: &str, paths: &[&str], tls: &[&str]) -> Value {
    let backend = json!({"service": {"name": "svc", "port": {"number": 80}}});
    let paths: Vec<_> =
        paths.iter().map(|path| json!({"path": path, "pathType": "Prefix", "backend": backend})).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"namespace": "ns", "name": name},
        "spec": {"rules": [{"host": host, "http": {"paths": paths}}], "tls": [{"hosts": tls}]}
    })
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns", "name": name},
        "spec": {"ports": [{"port": 80}]}
    })
}

fn slice(service: &str, address: &str) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"namespace": "ns", "name": service, "labels": {"kubernetes.io/service-name": service}},
        "endpoints": [{"addresses": [address]}], "ports": [{"port": 8080}]
    })
}

/// After the first publication of these objects.
fn started(objects: impl IntoIterator<Item = Value>) -> Translator {
    let mut translator = Translator::new(Options { watch_ingress_without_class: true, ..Options::default() });
    for object in objects {
        translator.apply(set(object));
    }
    assert_eq!(translator.publish(0).table.unwrap().generation, Generation(1));
    translator
}

fn many() -> Translator {
    let ingresses =
        (0..1000).map(|number| ingress(&format!("i{number}"), &format!("h{number}.com"), &["/", "/a"], &[]));
    started(ingresses.chain([service("svc"), service("other"), slice("svc", "10.0.0.1")]))
}

fn rule<'t>(table: &'t Table<Route>, host: &str, path: &str) -> &'t Arc<table::Rule<Route>> {
    match table.find(host, path) {
        Found::Rule(rule) => rule,
        Found::Default(_) | Found::Nothing => panic!("no rule for {host}{path}"),
    }
}

#[test]
fn the_first_publication_has_a_table_and_then_only_changes_do() {
    let mut translator = started([]);
    let output = translator.publish(0);
    assert!(output.table.is_none() && output.endpoints.is_empty() && output.notes.is_empty());
}

#[test]
fn one_changed_ingress_costs_one_ingress() {
    let mut translator = many();
    translator.apply(set(ingress("i7", "h7.com", &["/", "/b"], &[])));
    let output = translator.publish(0);
    assert_eq!(output.table.unwrap().generation, Generation(2));
    assert_eq!(translator.work(), Work { ingresses: 1, hosts: 1, services: 0, notes: 1 });
}

#[test]
fn a_changed_slice_costs_its_service_and_no_table() {
    let mut translator = many();
    translator.apply(set(slice("svc", "10.0.0.2")));
    let output = translator.publish(0);
    assert!(output.table.is_none());
    assert_eq!(output.endpoints.len(), 1);
    assert_eq!(translator.work(), Work { ingresses: 0, hosts: 0, services: 1, notes: 0 });
}

#[test]
fn a_slice_of_a_service_without_rules_costs_nothing() {
    let mut translator = many();
    translator.apply(set(slice("other", "10.0.0.2")));
    let output = translator.publish(0);
    assert!(output.table.is_none() && output.endpoints.is_empty());
    assert_eq!(translator.work(), Work::default());
}

#[test]
fn a_change_that_means_the_same_makes_no_table() {
    let mut translator = many();
    let mut changed = ingress("i7", "h7.com", &["/", "/a"], &[]);
    changed["metadata"]["labels"] = json!({"a": "b"});
    translator.apply(set(changed));
    assert!(translator.publish(0).table.is_none());
    let mut renamed = service("svc");
    renamed["spec"]["clusterIP"] = json!("10.1.1.1");
    translator.apply(set(renamed));
    let output = translator.publish(0);
    assert_eq!(translator.work().ingresses, 1000, "all depend on the Service");
    assert!(output.table.is_none() && translator.work().hosts == 0, "and all keep their rules");
}

#[test]
fn unchanged_rules_stay_the_same_objects() {
    let mut translator = many();
    let before = translator.table.clone();
    translator.apply(set(ingress("i7", "h7.com", &["/", "/b"], &[])));
    translator.apply(set(ingress("young", "h8.com", &["/new"], &[])));
    let after = translator.publish(0).table.unwrap();
    for (host, path) in [("h6.com", "/"), ("h7.com", "/"), ("h8.com", "/"), ("h8.com", "/a")] {
        assert!(Arc::ptr_eq(rule(&before, host, path), rule(&after, host, path)), "{host}{path}");
    }
    assert_eq!(&*rule(&after, "h8.com", "/new").policy.labels.ingress, "young");
}

#[test]
fn tls_of_one_ingress_reaches_the_rules_of_another() {
    let mut translator = many();
    translator.apply(set(ingress("tls", "", &[], &["h7.com"])));
    translator.publish(0);
    assert_eq!(rule(&translator.table, "h7.com", "/").policy.plan.len(), 0, "without a rule for a host, no say in it");
    translator.apply(set(ingress("tls", "h7.com", &["/tls"], &["h7.com"])));
    let table = translator.publish(0).table.unwrap();
    assert_eq!(rule(&table, "h7.com", "/").policy.plan.len(), 1);
    assert_eq!(rule(&table, "h8.com", "/").policy.plan.len(), 0);
    assert_eq!(translator.work().ingresses, 2);
    translator.apply(set(ingress("tls", "*.com", &["/"], &["*.com"])));
    let table = translator.publish(0).table.unwrap();
    assert_eq!(rule(&table, "h8.com", "/").policy.plan.len(), 1);
    translator.apply(delete(Kind::Ingress, "tls"));
    let table = translator.publish(0).table.unwrap();
    assert_eq!(rule(&table, "h7.com", "/").policy.plan.len(), 0);
}

#[test]
fn a_service_that_appears_is_noticed() {
    let mut translator = started([ingress("a", "a.com", &["/"], &[])]);
    assert_eq!(translator.notes().map(|note| note.reason).collect::<Vec<_>>(), ["ServiceMissing"]);
    translator.apply(set(service("svc")));
    let output = translator.publish(0);
    assert!(output.table.is_some());
    let (cluster, endpoints) = &output.endpoints[0];
    assert_eq!((cluster.to_string().as_str(), endpoints.list.len()), ("ns/svc:80", 0), "empty ones are told, too");
    assert_eq!(output.notes[0].1[0].reason, "NoEndpoints");
    translator.apply(set(slice("svc", "10.0.0.1")));
    let output = translator.publish(0);
    assert!(output.table.is_none(), "a note may change without a table");
    assert_eq!(output.notes, [(Key::new("ns", "a").reference(Kind::Ingress), vec![])]);
}

#[test]
fn a_cluster_retires_with_its_last_rule() {
    let mut translator = started([
        ingress("a", "a.com", &["/"], &[]),
        ingress("b", "b.com", &["/"], &[]),
        service("svc"),
        slice("svc", "x"),
    ]);
    assert_eq!(translator.notes().count(), 3);
    translator.apply(delete(Kind::Ingress, "a"));
    assert_eq!(translator.publish(0).retired, []);
    translator.apply(delete(Kind::Ingress, "b"));
    let output = translator.publish(0);
    assert_eq!(output.retired.len(), 1);
    assert!(output.table.unwrap().hosts.is_empty());
    assert_eq!(translator.notes().count(), 0, "the notes of its slices go, too");
}

#[test]
fn a_cluster_between_two_rules_does_not_retire() {
    let mut translator = started([ingress("a", "a.com", &["/"], &[]), service("svc")]);
    translator.apply(delete(Kind::Ingress, "a"));
    translator.apply(set(ingress("b", "b.com", &["/"], &[])));
    let output = translator.publish(0);
    assert!(output.retired.is_empty() && output.endpoints.is_empty());
}

#[test]
fn an_external_name_leaves_and_returns() {
    let mut external = service("svc");
    external["spec"]["type"] = json!("ExternalName");
    external["spec"]["externalName"] = json!("example.com");
    let mut translator = started([ingress("a", "a.com", &["/"], &[]), service("svc")]);
    translator.apply(set(external));
    let output = translator.publish(0);
    let name = ExternalName { host: "example.com".into(), port: 80 };
    assert_eq!(output.external.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>(), [Some(name)]);
    assert!(output.endpoints.is_empty() && output.table.is_none());
    translator.apply(set(service("svc")));
    let output = translator.publish(0);
    assert_eq!((output.external[0].1.as_ref(), output.endpoints.len()), (None, 1));
}

#[test]
fn losing_an_older_ingress_lets_the_younger_take_over() {
    let mut old = ingress("z", "a.com", &["/"], &[]);
    old["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    let mut translator = started([ingress("a", "a.com", &["/"], &[]), old, service("svc"), slice("svc", "10.0.0.1")]);
    assert_eq!(&*rule(&translator.table, "a.com", "/").policy.labels.ingress, "z");
    assert_eq!(
        translator.notes().map(|note| (note.reason, &*note.object.name)).collect::<Vec<_>>(),
        [("Shadowed", "a")]
    );
    translator.apply(delete(Kind::Ingress, "z"));
    let output = translator.publish(0);
    assert_eq!(&*rule(&output.table.unwrap(), "a.com", "/").policy.labels.ingress, "a");
    assert_eq!(translator.notes().count(), 0);
}

#[test]
fn huge_and_empty_input_does_not_panic() {
    let paths: Vec<String> = (0..10_000).map(|number| format!("/{number}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut huge = ingress("huge", "a.com", &paths, &["", "..", "*"]);
    huge["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/x": "\u{7}".repeat(1 << 20)});
    let mut translator = started([
        huge,
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {}}),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {}, "addressType": "", "endpoints": []}),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"namespace": "\n", "name": "\u{0}"},
            "spec": {"rules": [{}], "tls": [{}], "defaultBackend": {}}
        }),
    ]);
    translator.apply(delete(Kind::Ingress, "never was"));
    let _output = translator.publish(i64::MAX);
    assert!(translator.notes().count() < 300);
    assert!(translator.notes().all(|note| note.message.len() < 1000));
}

#[test]
fn a_certificate_leaves_when_it_expires_and_others_stay() {
    let secret = |name: &str, certificate: &str, key: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "ns", "name": name},
            "stringData": {"tls.crt": certificate, "tls.key": key}
        })
    };
    let mut both = ingress("a", "foo.com", &["/"], &[]);
    both["spec"]["tls"] =
        json!([{"hosts": ["foo.com"], "secretName": "ends"}, {"hosts": ["www.foo.com"], "secretName": "stays"}]);
    both["spec"]["rules"].as_array_mut().unwrap().push(json!({"host": "www.foo.com"}));
    let mut translator = Translator::new(Options { watch_ingress_without_class: true, ..Options::default() });
    for object in [
        both,
        service("svc"),
        slice("svc", "10.0.0.1"),
        secret(
            "ends",
            include_str!("../tests/certificates/expired.crt"),
            include_str!("../tests/certificates/expired.key"),
        ),
        secret("stays", include_str!("../tests/certificates/foo.crt"), include_str!("../tests/certificates/foo.key")),
    ] {
        translator.apply(set(object));
    }
    let end = 1_609_459_200;
    let before = translator.publish(end).table.unwrap();
    assert_eq!(before.certificates.len(), 2);
    assert!(translator.publish(end).table.is_none());
    let output = translator.publish(end + 1);
    let after = output.table.unwrap();
    assert_eq!(after.certificates.len(), 1);
    assert_eq!(output.notes[0].1[0].reason, "CertificateExpired");
    let stays = |table: &Table<Route>| table.certificates.find("www.foo.com").cloned().unwrap();
    assert!(Arc::ptr_eq(&stays(&before), &stays(&after)), "a Secret is parsed once");
    assert!(Arc::ptr_eq(rule(&before, "foo.com", "/"), rule(&after, "foo.com", "/")));
}
