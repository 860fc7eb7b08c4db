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

use std::time::Instant;

use api::Api;
use common::{Plane, ingress, service, slice};
use controller::{Cluster, Namespaces, Source};
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
