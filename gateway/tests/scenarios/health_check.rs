//! Active checks: a pod that fails them leaves before a request meets it.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use features::{Check, CheckKind, ClusterPolicy, Pattern, check_field};
use http::Response;
use tonic_health::ServingStatus;

use crate::support::{Backend, Client, GrpcBackend, Mood, Moody, Rig, Site, Spec, eventually, full};

fn http(path: &str) -> CheckKind {
    let (path, host, statuses) = (path.into(), "".into(), [(200, 399)].into());
    CheckKind::Http { http2: false, tls: false, path, host, headers: [].into(), statuses, body: None }
}

fn policy(kind: CheckKind) -> ClusterPolicy {
    let (interval, timeout) = (Duration::from_millis(50), Duration::from_secs(2));
    let check = Check { kind, port: None, interval, timeout, rise: 1, fall: 2 };
    ClusterPolicy { check: Some(Arc::new(check)), ..ClusterPolicy::default() }
}

async fn rig(kind: CheckKind, addresses: impl IntoIterator<Item = SocketAddr>) -> Rig {
    Rig::start(Site::default().rule(Spec::to("app")).endpoints("app", addresses).policy("app", policy(kind))).await
}

async fn await_ejected(rig: &Rig, number: f64) {
    eventually("the ejection", || async {
        let ejected = rig.metrics().await.sum("ingora_upstream_endpoints", &[("state", "ejected")]).unwrap();
        ((ejected - number).abs() < 0.5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_tcp_check_sees_who_refuses() {
    let pods = [Moody::start("a").await, Moody::start("b").await];
    let rig = rig(CheckKind::Tcp, pods.each_ref().map(|pod| pod.address)).await;
    pods[0].turn(Mood::Refuses).await;
    await_ejected(&rig, 1.0).await;
    pods[0].turn(Mood::Good).await;
    await_ejected(&rig, 0.0).await;
}

#[tokio::test]
async fn an_http_check_sees_statuses_and_bodies() {
    let sick = Arc::new(AtomicBool::new(false));
    let state = sick.clone();
    let pod = Backend::handling(move |request| {
        let sick = state.load(Ordering::SeqCst);
        async move {
            match (request.uri().path(), sick) {
                ("/healthz", true) => Response::builder().status(500).body(full("sick")).unwrap(),
                _ => Response::new(full("status: well")),
            }
        }
    })
    .await;
    let other = Backend::echo("status: well").await;
    let CheckKind::Http { http2, tls, path, host, headers, statuses, .. } = http("/healthz") else { unreachable!() };
    let body = Some(Pattern::new("^status: w[a-z]+$", false).unwrap());
    let kind = CheckKind::Http { http2, tls, path, host, headers, statuses, body };
    let rig = rig(kind, [pod.address, other.address]).await;
    eventually("a check", || async { pod.seen().iter().any(|seen| seen.target == "/healthz").then_some(()) }).await;
    await_ejected(&rig, 0.0).await;
    sick.store(true, Ordering::SeqCst);
    await_ejected(&rig, 1.0).await;
    sick.store(false, Ordering::SeqCst);
    await_ejected(&rig, 0.0).await;
}

#[tokio::test]
async fn a_readiness_probe_on_a_port_of_its_own_decides_over_the_served_one() {
    let sick = Arc::new(AtomicBool::new(false));
    let state = sick.clone();
    let kubelets = Backend::handling(move |request| {
        let asked = request.headers().get("x-probe").is_some_and(|value| value == "1");
        let well = asked && request.uri().path() == "/ready" && !state.load(Ordering::SeqCst);
        async move { Response::builder().status(if well { 200 } else { 500 }).body(full("")).unwrap() }
    })
    .await;
    // The other one has nobody on that port.
    let pods = [Backend::echo("probed").await, Backend::elsewhere("deaf").await];
    let CheckKind::Http { http2, tls, path, statuses, body, .. } = http("/ready") else { unreachable!() };
    let headers = [check_field("X-Probe", "1").unwrap()].into();
    let kind = CheckKind::Http { http2, tls, path, host: "shop.test".into(), headers, statuses, body };
    let mut policy = policy(kind);
    let check = Check { port: Some(kubelets.address.port()), ..(**policy.check.as_ref().unwrap()).clone() };
    policy.check = Some(Arc::new(check));
    let addresses = pods.each_ref().map(|pod| pod.address);
    let site = Site::default().rule(Spec::to("app")).endpoints("app", addresses).policy("app", policy);
    let rig = Rig::start(site).await;
    await_ejected(&rig, 1.0).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..4 {
        assert_eq!(client.get("a.test", "/").await.body, "probed");
    }
    assert!(kubelets.seen().iter().all(|seen| seen.header("host") == Some("shop.test")));
    sick.store(true, Ordering::SeqCst);
    await_ejected(&rig, 2.0).await;
    sick.store(false, Ordering::SeqCst);
    await_ejected(&rig, 1.0).await;
}

#[tokio::test]
async fn checks_speak_http2_and_tls() {
    let checks = [
        (CheckKind::Tls { server_name: "backend.test".into() }, Backend::tls("a", &[]).await),
        (kind(true, false), Backend::h2c("a").await),
        (kind(true, true), Backend::tls("a", &["h2"]).await),
        (kind(false, true), Backend::tls("a", &["http/1.1"]).await),
    ];
    for (kind, pod) in checks {
        let plain = Backend::echo("b").await;
        // The other one speaks plain HTTP/1.1 only, so it fails.
        let rig = rig(kind.clone(), [pod.address, plain.address]).await;
        await_ejected(&rig, 1.0).await;
        let peers: serde_json::Value = serde_json::from_str(&rig.admin("/peers").await.1).unwrap();
        let bad = peers[0]["endpoints"].as_array().unwrap().iter().find(|peer| peer["state"] == "ejected").unwrap();
        assert_eq!(bad["address"], plain.address.to_string(), "{kind:?}");
    }
}

fn kind(http2: bool, tls: bool) -> CheckKind {
    let (path, host, statuses) = ("/healthz".into(), "backend.test".into(), [(200, 299)].into());
    CheckKind::Http { http2, tls, path, host, headers: [].into(), statuses, body: None }
}

#[tokio::test]
async fn a_grpc_check_asks_for_the_service() {
    let pods = [GrpcBackend::start().await, GrpcBackend::start().await];
    for pod in &pods {
        pod.reporter.set_service_status("shop.Cart", ServingStatus::Serving).await;
    }
    let kind = CheckKind::Grpc { tls: false, service: "shop.Cart".into(), host: "".into() };
    let rig = rig(kind, pods.each_ref().map(|pod| pod.address)).await;
    pods[1].reporter.set_service_status("shop.Cart", ServingStatus::NotServing).await;
    await_ejected(&rig, 1.0).await;
    pods[1].reporter.set_service_status("shop.Cart", ServingStatus::Serving).await;
    await_ejected(&rig, 0.0).await;
}

#[tokio::test]
async fn a_pod_is_checked_once_however_many_routes_and_services_have_it() {
    let checks = Arc::new(AtomicUsize::new(0));
    let count = checks.clone();
    let pod = Backend::handling(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Response::new(full("ok")) }
    })
    .await;
    let mut policy = policy(http("/healthz"));
    let once = Check { interval: Duration::from_secs(60), ..(**policy.check.as_ref().unwrap()).clone() };
    policy.check = Some(Arc::new(once));
    let mut site = Site::default();
    for service in ["one", "two", "three"] {
        for host in ["a.test", "b.test", "c.test"] {
            site.add(Spec::to(service).host(host).prefix(&format!("/{service}")));
        }
        site = site.endpoints(service, [pod.address]).policy(service, policy.clone());
    }
    let mut rig = Rig::start(site).await;
    eventually("a check", || async { (checks.load(Ordering::SeqCst) > 0).then_some(()) }).await;
    for _ in 0..5 {
        rig.publish().await;
    }
    assert_eq!(checks.load(Ordering::SeqCst), 1);
}
