//! What is written to the API server: status, events and the lease, on a small API server on a real socket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "common/api.rs"]
mod api;
mod common;

use std::time::Duration;

use api::Api;
use common::{PATIENCE, Plane, ingress, service, slice};
use controller::{Cluster, Control, Duties, Election, Incident, Incidents, Pod, Setup, Source, StatusSource};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use translate::Options;

/// A control plane that writes.
struct Writing {
    control: Control,
    _plane: Plane,
}

impl Writing {
    /// Ends as SIGTERM does it, and waits until everything is written.
    async fn finish(self) {
        let control = self.control;
        tokio::task::spawn_blocking(move || control.finish(PATIENCE)).await.unwrap();
    }
}

fn status(address: &str) -> StatusSource {
    StatusSource {
        addresses: vec![address.to_owned()],
        service: None,
        node_internal_ip: false,
        interval: Duration::from_secs(1),
        remove_at_end: true,
    }
}

/// Writes the status alone.
fn duties(address: &str) -> Duties {
    Duties { status: Some(status(address)), ..Duties::default() }
}

fn election(ttl: Duration) -> Option<Election> {
    Some(Election { id: "leader".to_owned(), namespace: Some("default".to_owned()), ttl })
}

async fn start(api: &Api, duties: Duties) -> Writing {
    let (sender, updates) = mpsc::channel(64);
    let kubeconfig = api.kubeconfig();
    let cluster = Cluster { kubeconfig: Some(kubeconfig.path().to_owned()), ..Cluster::default() };
    let options = Options { watch_ingress_without_class: true, ..Options::default() };
    let start = move || {
        controller::start(
            Setup { source: Source::Cluster(cluster), options, duties, state: None, webhook: None },
            sender,
        )
    };
    let control = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    Writing { control, _plane: Plane::new(updates) }
}

fn document(manifest: &str) -> &str {
    manifest.trim_end_matches("---\n")
}

async fn with_app() -> Api {
    let api = Api::start().await;
    api.set("ingresses", document(&ingress("a", "a.test", "app")));
    api.set("services", document(&service("app")));
    api.set("endpointslices", document(&slice("app", "10.0.0.1")));
    api
}

fn addresses(api: &Api, ingress: &str) -> Value {
    api.get("ingresses", ingress).unwrap()["status"]["loadBalancer"]["ingress"].clone()
}

fn writes(api: &Api, what: &str) -> usize {
    api.requests().iter().filter(|request| request.contains(what)).count()
}

/// Waits until the watches have told about an Ingress made now, and so about all that was before.
async fn settled(api: &Api, name: &str) {
    api.set("ingresses", document(&ingress(name, "settled.test", "app")));
    api.until("settled", |api| !addresses(api, name).is_null()).await;
}

#[tokio::test]
async fn the_status_is_written_once_and_removed_at_the_end() {
    let api = with_app().await;
    let writing = start(&api, duties("192.0.2.1")).await;
    api.until("written", |api| addresses(api, "a") == json!([{"ip": "192.0.2.1"}])).await;
    settled(&api, "b").await;
    assert_eq!(writes(&api, "/a/status"), 1);
    writing.finish().await;
    assert!(addresses(&api, "a").is_null() && addresses(&api, "b").is_null());
}

#[tokio::test]
async fn addresses_follow_the_service_in_front() {
    let api = with_app().await;
    let front = |ip: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": [{"ip": ip}, {"hostname": "lb.test"}]}}})
    };
    api.put("services", front("192.0.2.9"));
    let service = Some(("default".to_owned(), "front".to_owned()));
    let source = StatusSource { addresses: vec![], service, ..status("") };
    let _writing = start(&api, Duties { status: Some(source), ..Duties::default() }).await;
    let want = |ip: &str| json!([{"hostname": "lb.test"}, {"ip": ip}]);
    api.until("written", |api| addresses(api, "a") == want("192.0.2.9")).await;
    api.put("services", front("192.0.2.10"));
    api.until("followed", |api| addresses(api, "a") == want("192.0.2.10")).await;
}

#[tokio::test]
async fn what_somebody_else_wrote_stays_and_the_owner_is_told() {
    let api = with_app().await;
    let mut taken = api.get("ingresses", "a").unwrap();
    taken["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}});
    taken["metadata"]["managedFields"] = json!([{"manager": "other", "operation": "Update", "subresource": "status"}]);
    api.put("ingresses", taken);
    let writing = start(&api, Duties { events: true, ..duties("192.0.2.1") }).await;
    let is_told = |api: &Api| api.all("events").iter().any(|event| event["reason"] == "StatusConflict");
    api.until("told", is_told).await;
    settled(&api, "b").await;
    assert_eq!((addresses(&api, "a"), writes(&api, "/a/status")), (json!([{"ip": "203.0.113.7"}]), 1));
    writing.finish().await;
    assert_eq!(addresses(&api, "a"), json!([{"ip": "203.0.113.7"}]));
}

#[tokio::test]
async fn an_ingress_that_is_no_longer_ours_loses_our_addresses() {
    let api = with_app().await;
    let _writing = start(&api, duties("192.0.2.1")).await;
    api.until("written", |api| !addresses(api, "a").is_null()).await;
    let mut foreign = api.get("ingresses", "a").unwrap();
    foreign["spec"]["ingressClassName"] = json!("other");
    api.put("ingresses", foreign);
    api.until("removed", |api| addresses(api, "a").is_null()).await;
}

#[tokio::test]
async fn a_problem_is_told_on_the_object_and_counted_by_the_next_process() {
    let api = with_app().await;
    api.set("ingresses", document(&ingress("bad", "bad.test", "missing")));
    let tell = || Duties { events: true, ..Duties::default() };
    let first = start(&api, tell()).await;
    api.until("told", |api| api.all("events").len() == 1).await;
    let event = api.all("events").remove(0);
    assert_eq!((&event["reason"], &event["type"]), (&json!("ServiceMissing"), &json!("Warning")));
    let object = &event["involvedObject"];
    assert_eq!(
        (&object["kind"], &object["name"], &object["uid"]),
        (&json!("Ingress"), &json!("bad"), &json!("uid-of-bad"))
    );
    assert!(event["message"].as_str().unwrap().contains("does not exist; create it"), "{event}");
    first.finish().await;
    let _second = start(&api, tell()).await;
    api.until("counted", |api| api.all("events")[0]["count"] == 2).await;
    assert_eq!(api.all("events").len(), 1);
}

#[tokio::test]
async fn a_change_is_told_once_unless_the_operator_says_no() {
    let api = with_app().await;
    let _writing = start(&api, Duties { events: true, sync_events: true, ..duties("192.0.2.1") }).await;
    api.until("leads", |api| !addresses(api, "a").is_null()).await;
    api.set("ingresses", document(&ingress("a", "new.test", "app")));
    let is_told =
        |api: &Api| api.all("events").iter().any(|event| event["reason"] == "Sync" && event["type"] == "Normal");
    api.until("told", is_told).await;
}

#[tokio::test]
async fn what_the_data_plane_sees_of_endpoints_is_told_on_the_service() {
    let api = with_app().await;
    let (sender, mut receiver) = mpsc::channel(4);
    let incidents = Incidents::new(stream::poll_fn(move |context| receiver.poll_recv(context)));
    let _writing = start(&api, Duties { events: true, incidents, ..duties("192.0.2.1") }).await;
    api.until("leads", |api| !addresses(api, "a").is_null()).await;
    let (namespace, service) = ("default".to_owned(), "app".to_owned());
    let incident = Incident {
        namespace,
        service,
        warning: true,
        reason: "EndpointEjected",
        message: "look at the pod".to_owned(),
    };
    sender.send(incident).await.unwrap();
    let is_told =
        |event: &Value| event["reason"] == "EndpointEjected" && event["involvedObject"]["uid"] == "uid-of-app";
    api.until("told", |api| api.all("events").iter().any(is_told)).await;
}

#[tokio::test]
async fn replicas_that_see_the_same_of_an_endpoint_count_one_event_whoever_leads() {
    let api = with_app().await;
    let mut replicas = Vec::new();
    for address in ["192.0.2.1", "192.0.2.2"] {
        let (sender, mut receiver) = mpsc::channel(4);
        let incidents = Incidents::new(stream::poll_fn(move |context| receiver.poll_recv(context)));
        let election = election(Duration::from_secs(10));
        let replica = start(&api, Duties { events: true, incidents, election, ..duties(address) }).await;
        api.until("leads", |api| !addresses(api, "a").is_null()).await;
        replicas.push((replica, sender));
    }
    for (number, (_, sender)) in (1..).zip(&replicas) {
        let incident = Incident {
            namespace: "default".to_owned(),
            service: "app".to_owned(),
            warning: false,
            reason: "EndpointReturned",
            message: "10.0.0.1:80 is back".to_owned(),
        };
        sender.send(incident).await.unwrap();
        let is_told = |event: &Value| event["reason"] == "EndpointReturned" && event["count"] == number;
        api.until("told", |api| api.all("events").iter().any(is_told)).await;
    }
    let told = api.all("events").into_iter().filter(|event| event["reason"] == "EndpointReturned");
    assert_eq!(told.map(|event| event["type"].clone()).collect::<Vec<_>>(), [json!("Normal")]);
}

#[tokio::test]
async fn only_the_leader_writes_and_the_next_one_takes_over_at_once() {
    let api = with_app().await;
    let replica = |address: &str| Duties { election: election(Duration::from_secs(10)), ..duties(address) };
    let pods = ["pod-1", "pod-2"]
        .map(|name| json!({"metadata": {"name": name, "labels": {"app": "gateway"}}, "status": {"phase": "Running"}}));
    pods.into_iter().for_each(|pod| api.put("pods", pod));
    let pod = |name: &str| Some(Pod { namespace: "default".to_owned(), name: name.to_owned() });
    let first = start(&api, Duties { pod: pod("pod-1"), ..replica("192.0.2.1") }).await;
    api.until("written", |api| addresses(api, "a") == json!([{"ip": "192.0.2.1"}])).await;
    let second = start(&api, Duties { pod: pod("pod-2"), ..replica("192.0.2.2") }).await;
    settled(&api, "b").await;
    assert_eq!(addresses(&api, "b"), json!([{"ip": "192.0.2.1"}]));
    first.finish().await;
    // It was not the last replica; what it wrote is there for the next one.
    assert!(!addresses(&api, "a").is_null());
    api.until("taken over", |api| addresses(api, "a") == json!([{"ip": "192.0.2.2"}])).await;
    let lease = api.get("leases", "leader").unwrap();
    assert!(lease["spec"]["holderIdentity"].as_str().unwrap().starts_with("pod-2_"), "{lease}");
    api.forget("pods", "pod-1");
    second.finish().await;
    assert!(addresses(&api, "a").is_null());
    assert_eq!(api.get("leases", "leader").unwrap()["spec"]["holderIdentity"], "");
}

#[tokio::test]
async fn whose_lease_was_stolen_writes_no_more() {
    let api = with_app().await;
    let _writing = start(&api, Duties { election: election(Duration::from_secs(5)), ..duties("192.0.2.1") }).await;
    api.until("written", |api| !addresses(api, "a").is_null()).await;
    let mut lease = api.get("leases", "leader").unwrap();
    lease["spec"]["holderIdentity"] = json!("thief");
    lease["spec"]["leaseDurationSeconds"] = json!(3600);
    api.put("leases", lease);
    let before = writes(&api, "/leases/leader");
    // Each round asks for the lease once; the first that begins after the theft finds it.
    tokio::time::timeout(PATIENCE, async {
        while writes(&api, "/leases/leader") < before + 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    api.set("ingresses", document(&ingress("b", "b.test", "app")));
    let before = writes(&api, "/leases/leader");
    tokio::time::timeout(PATIENCE, async {
        while writes(&api, "/leases/leader") < before + 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    assert!(addresses(&api, "b").is_null());
    assert_eq!(api.get("leases", "leader").unwrap()["spec"]["holderIdentity"], "thief");
}
