//! What is published when: the publisher with an injected clock, and the loop with an injected resolver.
use std::sync::Mutex;

use super::*;
use crate::manifest::{Format, read};
use table::ServicePort;
use translate::Options;

const INGRESS: &str = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec:\n  defaultBackend: \
                       {service: {name: app, port: {number: 80}}}\n";
const OTHER: &str = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: b}\nspec:\n  rules: [{host: \
                     b.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: app, port: \
                     {number: 80}}}}]}}]\n";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: app}\nspec: {ports: [{port: 80}]}\n";

fn slice(address: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: app-1, labels: \
         {{kubernetes.io/service-name: app}}}}\naddressType: IPv4\nports: [{{port: 8080}}]\nendpoints: [{{addresses: [{address}]}}]\n"
    )
}

fn changes(documents: &[&str]) -> Vec<Change> {
    let manifest = read(&documents.join("---\n"), Format::Yaml);
    assert!(manifest.broken.is_empty(), "{:?}", manifest.broken);
    manifest.objects.into_iter().map(|(_, object)| Change::Set(object)).collect()
}

fn translator() -> Translator {
    Translator::new(Options { watch_ingress_without_class: true, ..Options::default() })
}

/// A publisher whose first update is out.
fn started(start: Instant) -> Publisher {
    let mut publisher = Publisher::new(translator());
    let all = changes(&[INGRESS, SERVICE, &slice("10.0.0.1")]);
    publisher.take(Batch { arrived: start, changes: all, synced: true });
    let update = publisher.build(start + MAXIMUM, 0).update.unwrap();
    assert!(update.table.is_some() && update.endpoints.len() == 1);
    publisher
}

fn take(publisher: &mut Publisher, documents: &[&str], arrived: Instant) {
    publisher.take(Batch { arrived, changes: changes(documents), synced: false });
}

#[test]
fn nothing_is_due_before_the_source_has_handed_over_everything() {
    let start = Instant::now();
    let mut publisher = Publisher::new(translator());
    take(&mut publisher, &[INGRESS, SERVICE, &slice("10.0.0.1")], start);
    assert_eq!(publisher.due(), None);
    publisher.take(Batch { arrived: start, changes: vec![], synced: true });
    assert_eq!(publisher.due(), Some(start + QUIET));
}

#[test]
fn endpoints_are_due_at_once_and_do_not_drag_half_a_burst_along() {
    let start = Instant::now();
    let mut publisher = started(start);
    let later = start + Duration::from_secs(1);
    take(&mut publisher, &[OTHER], later);
    assert_eq!(publisher.due(), Some(later + QUIET));
    take(&mut publisher, &[&slice("10.0.0.2")], later);
    assert_eq!(publisher.due(), Some(later));
    let update = publisher.build(later, 0).update.unwrap();
    assert!(update.table.is_none() && update.endpoints.len() == 1);
    assert_eq!(publisher.due(), Some(later + QUIET));
    let update = publisher.build(later + QUIET, 0).update.unwrap();
    assert!(update.table.is_some() && update.endpoints.is_empty());
    assert_eq!(publisher.due(), None);
}

#[test]
fn endpoints_that_go_with_their_service_go_no_sooner() {
    let start = Instant::now();
    let mut publisher = started(start);
    let later = start + Duration::from_secs(1);
    let gone =
        changes(&[INGRESS, SERVICE, &slice("10.0.0.1")]).iter().map(|set| Change::Delete(reference(set))).collect();
    publisher.take(Batch { arrived: later, changes: gone, synced: false });
    assert_eq!(publisher.due(), Some(later + QUIET));
    // A tick comes between.
    assert!(publisher.build(later, 0).update.is_none());
    let update = publisher.build(later + QUIET, 0).update.unwrap();
    assert!(update.table.is_some() && update.retired.len() == 1);
}

#[test]
fn endpoints_do_not_overtake_what_waits_for_the_same_slice() {
    let start = Instant::now();
    let mut publisher = started(start);
    let later = start + Duration::from_secs(1);
    take(&mut publisher, &[OTHER, &slice("10.0.0.2")], later);
    take(&mut publisher, &[&slice("10.0.0.3")], later);
    let update = publisher.build(later + QUIET, 0).update.unwrap();
    let addresses: Vec<_> = update.endpoints[0].1.list.iter().map(|endpoint| endpoint.address.to_string()).collect();
    assert_eq!((update.endpoints.len(), addresses), (1, vec!["10.0.0.3:8080".to_owned()]));
}

fn resolved_endpoints(address: [u8; 4]) -> Arc<Endpoints> {
    let address = (address, 80).into();
    let ready = table::Readiness::Ready;
    Arc::new(Endpoints::new(vec![table::Endpoint {
        address,
        readiness: ready,
        weight: 1,
        zone: None,
        for_zones: Arc::default(),
    }]))
}

#[test]
fn what_a_former_name_resolved_to_is_not_published() {
    let external = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: app}}\nspec: {{type: ExternalName, externalName: {name}, ports: [{{port: 80}}]}}\n"
        )
    };
    let cluster = ClusterId::new("default", "app", ServicePort::Number(80));
    let start = Instant::now();
    let mut publisher = Publisher::new(translator());
    let all = changes(&[INGRESS, &external("one.test")]);
    publisher.take(Batch { arrived: start, changes: all, synced: true });
    publisher.build(start + MAXIMUM, 0);
    let mut published = |document: &str, at: Instant| {
        publisher.take_resolved(cluster.clone(), resolved_endpoints([10, 9, 9, 9]), at);
        take(&mut publisher, &[document], at);
        publisher.build(at + MAXIMUM, 0).update.map_or_else(Vec::new, |update| update.endpoints)
    };
    let stale = resolved_endpoints([10, 9, 9, 9]);
    let renamed = published(&external("two.test"), start + Duration::from_secs(1));
    assert!(renamed.iter().all(|(_, endpoints)| *endpoints != stale), "{renamed:?}");
    let selected = published(SERVICE, start + Duration::from_secs(2));
    assert!(selected.iter().all(|(_, endpoints)| *endpoints != stale), "{selected:?}");
}

#[test]
fn an_update_tells_when_its_oldest_change_arrived() {
    let start = Instant::now();
    let mut publisher = started(start);
    let (one, two) = (start + Duration::from_millis(100), start + Duration::from_millis(101));
    take(&mut publisher, &[&SERVICE.replace("port: 80", "port: 81")], one);
    take(&mut publisher, &[&slice("10.0.0.2")], two);
    assert_eq!(publisher.build(two + MAXIMUM, 0).update.unwrap().arrived, one);
}

#[test]
fn without_news_there_is_no_update() {
    let start = Instant::now();
    let mut publisher = started(start);
    assert!(publisher.build(start + TICK, 60).update.is_none());
}

#[test]
fn how_the_source_is_doing_is_published_without_a_table() {
    let start = Instant::now();
    let mut publisher = started(start);
    let stale = [WatchFacts { kind: "Ingress", stale_since: Some(start) }];
    publisher.take_standing(&stale, Some(true), start);
    assert_eq!(publisher.due(), Some(start));
    let update = publisher.build(start, 0).update.unwrap();
    assert!(update.table.is_none() && update.facts.leader == Some(true) && update.facts.watches == stale);
    publisher.take_standing(&stale, Some(true), start);
    assert_eq!(publisher.due(), None);
}

#[test]
fn a_build_tells_whose_the_ingresses_are_and_which_changed() {
    let start = Instant::now();
    let mut publisher = Publisher::new(translator());
    let foreign = OTHER.replace("spec:", "spec:\n  ingressClassName: other");
    publisher.take(Batch { arrived: start, changes: changes(&[INGRESS, &foreign]), synced: true });
    let built = publisher.build(start + MAXIMUM, 0);
    let ours: Vec<_> = built.ours.iter().map(|(object, ours)| (&*object.name, *ours)).collect();
    assert_eq!(ours, [("a", true), ("b", false)]);
    assert_eq!(built.changed.len(), 2);
    assert!(built.noted.iter().any(|(object, noted)| &*object.name == "a" && noted.notes.len() == 1));
}

#[tokio::test]
async fn an_external_name_gets_its_addresses_from_the_resolver() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: app}\nspec: {type: ExternalName, externalName: \
                   example.com, ports: [{port: 80}]}\n";
    let asked = Arc::new(Mutex::new(Vec::new()));
    let lookup: Lookup = {
        let asked = asked.clone();
        Arc::new(move |name: ExternalName| {
            asked.lock().unwrap().push(name.host.to_string());
            Box::pin(async move { Ok(vec![([10, 1, 1, 1], name.port).into(), ([127, 0, 0, 1], name.port).into()]) })
        })
    };
    let (batches, receiver) = mpsc::channel(1);
    let (updates, mut received) = mpsc::channel(1);
    let loop_ = tokio::spawn(run(translator(), receiver, Surroundings::none(), lookup, updates));
    let all = Batch { arrived: Instant::now(), changes: changes(&[INGRESS, service]), synced: true };
    batches.send(all).await.unwrap();
    let first = received.recv().await.unwrap();
    assert!(first.table.is_some() && first.synced);
    let second = received.recv().await.unwrap();
    let (cluster, endpoints) = &second.endpoints[0];
    assert_eq!(*cluster, ClusterId::new("default", "app", ServicePort::Number(80)));
    let addresses: Vec<_> = endpoints.list.iter().map(|endpoint| endpoint.address.to_string()).collect();
    assert_eq!(addresses, ["10.1.1.1:80"]);
    assert_eq!(*asked.lock().unwrap(), ["example.com"]);
    drop(received);
    loop_.await.unwrap();
}
