//! A cluster as the source, played by a small API server on a real socket: lists, watches, their end, and outages.
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

use std::time::{Duration, Instant};

use api::{Api, Breakdown};
use common::{Plane, ingress, service, slice};
use controller::{Cluster, Duties, Namespaces, Patience, Setup, Source, StateDir};
use features::Route;
use table::Update;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use translate::Options;

fn source(kubeconfig: &NamedTempFile, namespace: Option<&str>) -> Source {
    let namespaces = namespace.map_or(Namespaces::All, |namespace| Namespaces::One(namespace.to_owned()));
    Source::Cluster(Cluster { kubeconfig: Some(kubeconfig.path().to_owned()), namespaces, ..Cluster::default() })
}

fn options() -> Options {
    Options { watch_ingress_without_class: true, ..Options::default() }
}

async fn follow(api: &Api, namespace: Option<&str>) -> Plane {
    let (sender, updates) = mpsc::channel(4);
    let kubeconfig = api.kubeconfig();
    let source = source(&kubeconfig, namespace);
    // It asks the API server, which runs here, before it returns.
    let spawn = move || controller::spawn(source, options(), sender);
    tokio::task::spawn_blocking(spawn).await.unwrap().unwrap();
    Plane::new(updates)
}

fn document(manifest: &str) -> &str {
    manifest.trim_end_matches("---\n")
}

/// An API server that knows one application.
async fn with_app() -> Api {
    let api = Api::start().await;
    api.set("ingresses", document(&ingress("a", "a.test", "app")));
    api.set("services", document(&service("app")));
    api.set("endpointslices", document(&slice("app", "10.0.0.1")));
    api
}

#[tokio::test]
async fn the_first_update_holds_everything() {
    let api = with_app().await;
    let mut plane = follow(&api, None).await;
    let update = plane.next().await;
    assert!(update.synced);
    assert_eq!(plane.service("a.test"), "app");
    assert_eq!(plane.addresses("app"), ["10.0.0.1:8080"]);
}

#[tokio::test]
async fn watch_events_arrive() {
    let api = with_app().await;
    let mut plane = follow(&api, None).await;
    plane.next().await;
    api.set("ingresses", document(&ingress("b", "b.test", "app")));
    plane.until("created", |plane| plane.service("b.test") == "app").await;
    api.delete("ingresses", "b");
    plane.until("deleted", |plane| plane.service("b.test").is_empty()).await;
    let start = Instant::now();
    api.set("endpointslices", document(&slice("app", "10.0.0.2")));
    let update = plane.until("moved", |plane| plane.addresses("app") == ["10.0.0.2:8080"]).await;
    println!("watch event to update: {:?}", start.elapsed());
    assert!(update.table.is_none());
}

#[tokio::test]
async fn a_watch_that_is_too_old_lists_again_and_notices_what_went() {
    let api = with_app().await;
    api.set("ingresses", document(&ingress("b", "b.test", "app")));
    let mut plane = follow(&api, None).await;
    plane.next().await;
    assert_eq!(plane.service("b.test"), "app");
    api.forget("ingresses", "b");
    api.expire("ingresses");
    plane.until("noticed", |plane| plane.service("b.test").is_empty()).await;
    assert_eq!(plane.service("a.test"), "app");
    assert_eq!(plane.tables, 2, "what was listed again unchanged makes no table");
}

#[tokio::test]
async fn an_outage_changes_nothing_and_what_happened_meanwhile_is_caught_up() {
    let mut api = with_app().await;
    let mut plane = follow(&api, None).await;
    plane.next().await;
    api.stop().await;
    api.set("ingresses", document(&ingress("b", "b.test", "app")));
    let is_stale = |update: &Update<Route>| update.facts.watches.iter().any(|watch| watch.stale_since.is_some());
    let update = plane.next().await;
    assert!(is_stale(&update) && update.table.is_none() && update.endpoints.is_empty());
    api.resume().await;
    let mut stale = true;
    while stale || plane.service("b.test").is_empty() {
        stale = is_stale(&plane.next().await);
    }
    assert_eq!((plane.service("a.test").as_str(), plane.service("b.test").as_str()), ("app", "app"));
    assert_eq!(plane.tables, 2);
}

#[tokio::test]
async fn an_api_server_that_comes_up_late_is_waited_for() {
    let mut api = with_app().await;
    api.stop().await;
    let mut plane = follow(&api, None).await;
    api.resume().await;
    plane.until("synced", |plane| plane.service("a.test") == "app").await;
}

#[tokio::test]
async fn kinds_that_are_hidden_do_not_hold_up_the_others() {
    let api = with_app().await;
    api.forbid("secrets");
    api.forbid("ingressclasses");
    let mut plane = follow(&api, None).await;
    plane.next().await;
    assert_eq!(plane.service("a.test"), "app");
}

#[tokio::test]
async fn only_what_is_needed_is_asked_for() {
    let api = with_app().await;
    let mut plane = follow(&api, Some("default")).await;
    plane.next().await;
    let requests = api.requests();
    let asked = |what: &str| requests.iter().any(|request| request.starts_with(what));
    assert!(asked("/apis/networking.k8s.io/v1/namespaces/default/ingresses?"), "{requests:?}");
    assert!(asked("/apis/networking.k8s.io/v1/ingressclasses?"), "{requests:?}");
    assert!(
        asked("/api/v1/namespaces/default/secrets?&fieldSelector=type%21%3Dhelm.sh%2Frelease.v1%2C"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn loading_lists_once() {
    let api = with_app().await;
    let kubeconfig = api.kubeconfig();
    let load = move || controller::load(&source(&kubeconfig, None), options());
    let loaded = tokio::task::spawn_blocking(load).await.unwrap().unwrap();
    assert!(loaded.table.find("a.test", "/").rule().is_some());
    assert_eq!(loaded.endpoints.len(), 1);
    assert!(!api.requests().iter().any(|request| request.contains("watch=true")));
}

#[tokio::test]
async fn loading_from_where_nothing_may_be_read_names_the_remedy() {
    let api = with_app().await;
    api.forbid("services");
    let kubeconfig = api.kubeconfig();
    let load = move || controller::load(&source(&kubeconfig, None), options());
    let error = tokio::task::spawn_blocking(load).await.unwrap().unwrap_err();
    assert!(error.to_string().starts_with("reading services is forbidden; grant the verbs list and watch"), "{error}");
}

/// A Service that is checked as its pods are, an EndpointSlice that names one of them, and that one.
fn probed(api: &Api) {
    let asks = "metadata: {annotations: {ingora.io/health-check: readiness-probe}, ";
    api.set("services", &document(&service("app")).replace("metadata: {", asks));
    let target = "targetRef: {kind: Pod, name: app-1-a, uid: uid-of-app-1-a}, addresses:";
    api.set("endpointslices", &document(&slice("app", "10.0.0.1")).replace("addresses:", target));
    let probe = "readinessProbe: {tcpSocket: {port: 9000}}";
    let spec = format!("spec: {{containers: [{{name: app, {probe}}}]}}");
    api.set("pods", &format!("metadata: {{name: app-1-a, namespace: default}}\n{spec}\n"));
}

/// The port of the active check that an update brings.
fn checked(update: &Update<Route>) -> Option<u16> {
    update.policies.iter().find_map(|(_, policy)| policy.check.as_ref()?.port)
}

#[tokio::test]
async fn a_pod_is_read_when_its_readiness_probe_is_asked_for() {
    let api = with_app().await;
    let mut plane = follow(&api, None).await;
    plane.next().await;
    let read = |api: &Api| api.requests().iter().filter(|request| request.contains("/pods")).count();
    assert_eq!(read(&api), 0);
    probed(&api);
    while checked(&plane.next().await) != Some(9000) {}
    assert_eq!(read(&api), 1, "{:?}", api.requests());
}

#[tokio::test]
async fn pods_that_may_not_be_read_are_told_and_all_else_serves() {
    let api = with_app().await;
    probed(&api);
    api.forbid("pods");
    let mut plane = follow(&api, None).await;
    plane.until("told", |plane| plane.facts.warnings > 0).await;
    assert_eq!(plane.service("a.test"), "app");
    api.permit("pods");
    while checked(&plane.next().await) != Some(9000) {}
}

/// An Ingress whose users are in a Secret.
fn guarded(secret: &str) -> String {
    let prefix = "nginx.ingress.kubernetes.io";
    let metadata =
        format!("metadata: {{name: a, annotations: {{{prefix}/auth-type: basic, {prefix}/auth-secret: {secret}}}}}");
    document(&ingress("a", "a.test", "app")).replace("metadata: {name: a}", &metadata)
}

/// A Secret with one user.
fn users(name: &str, user: &str) -> String {
    format!(
        "metadata: {{name: {name}, namespace: default}}\ndata: {{auth: {}}}\n",
        base64(&format!("{user}:{{PLAIN}}x"))
    )
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text.as_bytes()
        .chunks(3)
        .map(|chunk| {
            let bits = (0..3).fold(0_u32, |bits, i| bits << 8 | u32::from(*chunk.get(i).unwrap_or(&0)));
            (0..4)
                .map(|i| if i <= chunk.len() { char::from(DIGITS[(bits >> (18 - 6 * i)) as usize & 63]) } else { '=' })
                .collect::<String>()
        })
        .collect()
}

/// Is the rule of `a.test` one that lets users in?
fn serves(plane: &Plane) -> bool {
    plane.service("a.test") == "app"
}

#[tokio::test]
async fn only_secrets_that_something_refers_to_are_read() {
    let api = with_app().await;
    api.set("ingresses", &guarded("users"));
    api.set("secrets", &users("users", "ann"));
    api.set("secrets", &users("other", "bob"));
    let mut plane = follow(&api, None).await;
    plane.next().await;
    assert!(serves(&plane), "the first table has the Secret");
    let read = |name: &str| {
        api.requests().iter().any(|r| r.starts_with(&format!("/api/v1/namespaces/default/secrets/{name}")))
    };
    assert!(read("users") && !read("other"), "{:?}", api.requests());
    api.set("ingresses", &guarded("other"));
    plane.until("the other", |_| read("other")).await;
    assert!(serves(&plane), "no table lacked the Secret");
}

#[tokio::test]
async fn a_secret_that_changes_is_read_again_and_one_that_goes_closes_its_rules() {
    let api = with_app().await;
    api.set("ingresses", &guarded("users"));
    api.set("secrets", &users("users", "ann"));
    let mut plane = follow(&api, None).await;
    plane.next().await;
    let tables = plane.tables;
    api.set("secrets", &users("users", "bob"));
    plane.until("read again", |plane| plane.tables > tables).await;
    assert!(serves(&plane));
    api.delete("secrets", "users");
    plane.until("closed", |plane| !serves(plane)).await;
    api.set("secrets", &users("users", "ann"));
    plane.until("open again", serves).await;
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_at_once_is_read_later() {
    let api = with_app().await;
    api.set("ingresses", &guarded("users"));
    api.set("secrets", &users("users", "ann"));
    // Once for the Ingress, and once for the news that there is such a Secret.
    api.break_next("secrets/users", &[Breakdown::Status(500), Breakdown::Status(500)]);
    let mut plane = follow(&api, None).await;
    plane.next().await;
    assert!(!serves(&plane), "what protects stays closed");
    plane.until("read", serves).await;
}

#[tokio::test]
async fn secrets_are_read_by_name_where_they_may_not_be_listed() {
    let api = with_app().await;
    api.set("ingresses", &guarded("users"));
    api.set("secrets", &users("users", "ann"));
    api.forbid_listing("secrets");
    let mut plane = follow(&api, None).await;
    plane.next().await;
    assert!(serves(&plane));
}

/// Waits for little, so that a test need not.
fn impatient(kubeconfig: &NamedTempFile) -> Source {
    let patience = Patience { request: Duration::from_millis(500), watch: Duration::from_secs(1) };
    Source::Cluster(Cluster { kubeconfig: Some(kubeconfig.path().to_owned()), patience, ..Cluster::default() })
}

async fn follow_impatiently(api: &Api) -> Plane {
    let (sender, updates) = mpsc::channel(4);
    let kubeconfig = api.kubeconfig();
    let source = impatient(&kubeconfig);
    let spawn = move || controller::spawn(source, options(), sender);
    tokio::task::spawn_blocking(spawn).await.unwrap().unwrap();
    Plane::new(updates)
}

fn stale(plane: &Plane) -> bool {
    plane.facts.watches.iter().any(|watch| watch.kind == "Ingress" && watch.stale_since.is_some())
}

#[tokio::test]
async fn an_empty_list_is_believed_only_when_another_confirms_it() {
    let api = with_app().await;
    let mut plane = follow_impatiently(&api).await;
    plane.next().await;
    api.break_next("ingresses", &[Breakdown::Empty]);
    api.expire("ingresses");
    plane.until("doubted", stale).await;
    plane.until("denied", |plane| !stale(plane)).await;
    assert_eq!((plane.service("a.test").as_str(), plane.tables), ("app", 1));
    api.forget("ingresses", "a");
    api.expire("ingresses");
    plane.until("confirmed", |plane| plane.service("a.test").is_empty()).await;
}

#[tokio::test]
async fn failures_garbage_and_silence_are_got_over() {
    let api = with_app().await;
    let mut plane = follow_impatiently(&api).await;
    plane.next().await;
    let faults = [Breakdown::Status(500), Breakdown::Garbage, Breakdown::Status(429), Breakdown::Silence];
    api.break_next("ingresses", &faults);
    api.expire("ingresses");
    plane.until("failing", stale).await;
    assert_eq!(plane.service("a.test"), "app");
    api.set("ingresses", document(&ingress("b", "b.test", "app")));
    plane.until("caught up", |plane| plane.service("b.test") == "app").await;
    plane.until("fresh", |plane| !stale(plane)).await;
}

#[tokio::test]
async fn a_connection_that_leads_nowhere_is_given_up() {
    let api = with_app().await;
    let mut plane = follow_impatiently(&api).await;
    plane.next().await;
    // The next watch, once this one has had its time, hears nothing.
    api.break_next("ingresses", &[Breakdown::Silence]);
    plane.until("noticed", stale).await;
    plane.until("given up", |plane| !stale(plane)).await;
    assert_eq!(plane.tables, 1);
}

#[tokio::test]
async fn repeated_and_late_events_change_nothing() {
    let api = with_app().await;
    let mut plane = follow(&api, None).await;
    plane.next().await;
    let old = api.get("ingresses", "a").unwrap();
    api.set("ingresses", document(&ingress("a", "new.test", "app")));
    plane.until("changed", |plane| plane.service("new.test") == "app").await;
    api.replay("ingresses", "MODIFIED", &old);
    api.replay("ingresses", "DELETED", &old);
    let new = api.get("ingresses", "a").unwrap();
    api.replay("ingresses", "MODIFIED", &new);
    api.set("ingresses", document(&ingress("b", "b.test", "app")));
    plane.until("the next one", |plane| plane.service("b.test") == "app").await;
    assert_eq!((plane.service("new.test").as_str(), plane.tables), ("app", 3));
}

#[tokio::test]
async fn rights_that_are_lost_later_leave_everything_as_it_is() {
    let api = with_app().await;
    let mut plane = follow_impatiently(&api).await;
    plane.next().await;
    api.forbid("ingresses");
    api.expire("ingresses");
    plane.until("told", stale).await;
    assert_eq!((plane.service("a.test").as_str(), plane.tables), ("app", 1));
}

#[tokio::test]
async fn missing_rights_at_the_start_are_an_error_with_the_remedy() {
    let api = with_app().await;
    api.forbid("endpointslices");
    let kubeconfig = api.kubeconfig();
    let source = source(&kubeconfig, None);
    let spawn = move || controller::spawn(source, options(), mpsc::channel(1).0);
    let error = tokio::task::spawn_blocking(spawn).await.unwrap().unwrap_err();
    let want = "reading endpointslices is forbidden; grant the verbs list and watch on endpointslices";
    assert!(error.to_string().starts_with(want), "{error}");
}

#[tokio::test]
async fn only_namespaces_with_the_labels_count() {
    let api = with_app().await;
    let kubeconfig = api.kubeconfig();
    let (sender, updates) = mpsc::channel(4);
    let namespaces = Namespaces::Labelled("team=web".to_owned());
    let cluster = Cluster { kubeconfig: Some(kubeconfig.path().to_owned()), namespaces, ..Cluster::default() };
    let spawn = move || controller::spawn(Source::Cluster(cluster), options(), sender);
    tokio::task::spawn_blocking(spawn).await.unwrap().unwrap();
    let mut plane = Plane::new(updates);
    plane.next().await;
    assert_eq!(plane.service("a.test"), "");
    api.set("namespaces", "metadata: {name: default}");
    plane.until("selected", |plane| plane.service("a.test") == "app").await;
    api.delete("namespaces", "default");
    plane.until("no longer", |plane| plane.service("a.test").is_empty()).await;
    assert!(
        api.requests()
            .iter()
            .any(|request| request.starts_with("/api/v1/namespaces?") && request.contains("team%3Dweb"))
    );
}

async fn follow_with_state(api: &Api, folder: &std::path::Path) -> Plane {
    let (sender, updates) = mpsc::channel(4);
    let kubeconfig = api.kubeconfig();
    let state = Some(StateDir { folder: folder.to_owned(), secrets: false });
    let setup =
        Setup { source: impatient(&kubeconfig), options: options(), duties: Duties::default(), state, webhook: None };
    let start = move || controller::start(setup, sender);
    drop(tokio::task::spawn_blocking(start).await.unwrap().unwrap());
    Plane::new(updates)
}

async fn written(file: &std::path::Path) {
    let is_written = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(common::PATIENCE, is_written).await.expect("no state on disk");
}

#[tokio::test]
async fn a_restart_without_an_api_server_serves_the_last_good_state() {
    let mut api = with_app().await;
    let folder = tempfile::tempdir().unwrap();
    let mut plane = follow_with_state(&api, folder.path()).await;
    plane.next().await;
    written(&folder.path().join("last-good.state")).await;
    drop(plane);
    api.stop().await;
    let start = Instant::now();
    let mut plane = follow_with_state(&api, folder.path()).await;
    let update = plane.next().await;
    println!("the last good state serves after {:?}", start.elapsed());
    assert!(update.synced && start.elapsed() < Duration::from_secs(1));
    assert_eq!((plane.service("a.test").as_str(), plane.addresses("app")), ("app", vec!["10.0.0.1:8080".to_owned()]));
    // What happened meanwhile is caught up, deletions too.
    api.forget("ingresses", "a");
    api.set("ingresses", document(&ingress("b", "b.test", "app")));
    api.resume().await;
    plane.until("caught up", |plane| plane.service("b.test") == "app" && plane.service("a.test").is_empty()).await;
}
