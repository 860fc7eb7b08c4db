//! What an operator can see of the traffic at `/metrics`.
use http::Method;

use crate::support::{Backend, Client, Rig, Site, Spec, empty, eventually};

async fn counted(rig: &Rig, name: &str, labels: &[(&str, &str)], value: f64) {
    eventually(name, || async { (rig.metrics().await.sum(name, labels) == Some(value)).then_some(()) }).await;
}

#[tokio::test]
async fn requests_are_counted_under_their_rule() {
    let backend = Backend::echo("one").await;
    let site = Site::default()
        .rule(Spec::to("app").prefix("/shop"))
        .rule(Spec::to("empty").prefix("/empty"))
        .endpoints("app", [backend.address])
        .endpoints("empty", []);
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    for number in 0..3 {
        client.get("a.test", &format!("/shop/{number}?secret")).await;
    }
    client.post("a.test", "/shop", "body").await;
    client.get("a.test", "/empty").await;
    let rule = [("namespace", "default"), ("ingress", "web")];
    let label = |more: &[(&'static str, &'static str)]| [&rule[..], more].concat();
    let get = label(&[("service", "app"), ("path", "/shop"), ("method", "GET"), ("status", "200")]);
    counted(&rig, "ingora_requests_total", &get, 3.0).await;
    let post = label(&[("service", "app"), ("path", "/shop"), ("method", "POST"), ("status", "200")]);
    counted(&rig, "ingora_requests_total", &post, 1.0).await;
    let timed = label(&[("service", "app"), ("path", "/shop")]);
    counted(&rig, "ingora_request_duration_seconds_count", &timed, 4.0).await;
    let empty = label(&[("service", "empty"), ("path", "/empty"), ("method", "GET"), ("status", "503")]);
    counted(&rig, "ingora_requests_total", &empty, 1.0).await;
    let text = rig.admin("/metrics").await.1;
    assert!(!text.contains("secret"), "the path of a request is never a label");
}

#[tokio::test]
async fn requests_without_a_rule_are_counted_without_labels() {
    let rig = Rig::start(Site::default()).await;
    let mut client = Client::h1(rig.http).await;
    for path in ["/a", "/b"] {
        client.get("unknown.test", path).await;
    }
    let labels = [("namespace", ""), ("ingress", ""), ("service", ""), ("path", ""), ("status", "404")];
    counted(&rig, "ingora_requests_total", &labels, 2.0).await;
}

#[tokio::test]
async fn a_slow_client_is_counted_when_its_response_ends() {
    let backend = Backend::echo("one").await;
    let rig = Rig::streaming_to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbo").await;
    eventually("the request", || async { backend.seen().pop() }).await;
    assert_eq!(rig.metrics().await.sum("ingora_requests_total", &[("service", "app")]).unwrap_or(0.0), 0.0);
    wire.send("dy").await;
    assert_eq!(wire.response().await.1, b"body");
    counted(&rig, "ingora_requests_total", &[("service", "app")], 1.0).await;
}

#[tokio::test]
async fn counts_survive_a_new_table() {
    let backend = Backend::echo("one").await;
    let mut rig = Rig::to(backend.address).await;
    let mut client = Client::h1(rig.http).await;
    for round in 1..=5_u8 {
        client.get("a.test", "/").await;
        counted(&rig, "ingora_requests_total", &[("service", "app")], f64::from(round)).await;
        rig.publish().await;
    }
}

#[tokio::test]
async fn endpoints_and_connects_are_counted_by_cluster() {
    let (one, two) = (Backend::echo("one").await, Backend::echo("two").await);
    let mut site = Site::default().rule(Spec::to("app")).endpoints("app", [one.address]);
    site.add_draining("app", two.address);
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..3 {
        client.get("a.test", "/").await;
    }
    let cluster =
        |more: (&'static str, &'static str)| [("namespace", "default"), ("service", "app"), ("port", "80"), more];
    counted(&rig, "ingora_upstream_endpoints", &cluster(("state", "ready")), 1.0).await;
    counted(&rig, "ingora_upstream_endpoints", &cluster(("state", "draining")), 1.0).await;
    counted(&rig, "ingora_upstream_connects_total", &cluster(("result", "ok")), 1.0).await;
}

#[tokio::test]
async fn open_connections_are_counted_by_listener() {
    let backend = Backend::echo("one").await;
    let rig = Rig::to(backend.address).await;
    let mut client = Client::h1(rig.http).await;
    client.get("a.test", "/").await;
    counted(&rig, "ingora_connections", &[("listener", "http")], 1.0).await;
    counted(&rig, "ingora_connections", &[("listener", "https")], 0.0).await;
    drop(client);
    counted(&rig, "ingora_connections", &[("listener", "http")], 0.0).await;
    assert_eq!(rig.metrics().await.sum("ingora_connections_total", &[("listener", "http")]), Some(1.0));
}

#[tokio::test]
async fn the_table_that_serves_is_named_and_its_way_is_timed() {
    let mut rig = Rig::start(Site::default()).await;
    rig.publish().await;
    let metrics = rig.metrics().await;
    assert_eq!(metrics.sum("ingora_table_generation", &[]), Some(2.0));
    assert_eq!(metrics.sum("ingora_synced", &[]), Some(1.0));
    assert!(metrics.sum("ingora_update_live_seconds_count", &[]).unwrap() >= 2.0);
}

#[tokio::test]
async fn the_end_of_a_certificate_is_published_while_it_serves() {
    let identity = crate::support::Identity::ecdsa(&["a.test"]);
    let mut rig = Rig::start(Site::default().certificate("a.test", &identity)).await;
    let name = "ingora_certificate_expiry_timestamp_seconds";
    let labels = [("namespace", "default"), ("name", "secret"), ("serial", "01")];
    counted(&rig, name, &labels, 2_208_988_799.0).await;
    rig.site.clear_certificates();
    rig.publish().await;
    eventually("the series to go", || async { rig.metrics().await.sum(name, &[]).is_none().then_some(()) }).await;
}

#[tokio::test]
async fn strangers_cannot_make_series() {
    let backend = Backend::echo("one").await;
    let rig = Rig::to(backend.address).await;
    let mut client = Client::h1(rig.http).await;
    client.get("a.test", "/").await;
    client.get("unknown.test", "/").await;
    // A request is counted after its answer has gone.
    for service in ["app", ""] {
        counted(&rig, "ingora_requests_total", &[("method", "GET"), ("service", service)], 1.0).await;
    }
    let series = |text: String| text.lines().filter(|line| !line.starts_with('#')).count();
    let before = series(rig.admin("/metrics").await.1);
    for number in 0..10_000 {
        if number % 5_000 == 0 {
            client = Client::h1(rig.http).await;
        }
        let host = if number % 2 == 0 { "a.test".to_owned() } else { format!("host-{number}.test") };
        let method = Method::from_bytes(format!("BREW{number}").as_bytes()).unwrap();
        let request = client.request(method, &host, &format!("/{number}")).body(empty()).unwrap();
        client.send(request).await;
    }
    let unknown = [("method", "_other"), ("service", "")];
    counted(&rig, "ingora_requests_total", &unknown, 5_000.0).await;
    let after = series(rig.admin("/metrics").await.1);
    // The method `_other` once under the rule and once without one, and the median latency once it is known.
    assert!(after <= before + 3, "{before} series became {after}");
}

/// Dashboards and alerts of ingress-nginx select and group by these.
#[tokio::test]
async fn requests_have_the_names_and_labels_of_ingress_nginx_when_asked_for() {
    const OF_ALL: [&str; 3] = ["controller_class", "controller_namespace", "controller_pod"];
    const OF_REQUESTS: [&str; 8] = ["canary", "host", "ingress", "method", "namespace", "path", "service", "status"];
    let backend = Backend::echo("one").await;
    let site = Site::default().rule(Spec::to("app").prefix("/shop")).endpoints("app", [backend.address]);
    let compat = Some(gateway::NginxMetrics::default());
    let rig = Rig::with(site, gateway::Config { metrics_compat: compat, ..crate::support::config() }).await;
    let mut client = Client::h1(rig.http).await;
    for path in ["/shop/1", "/shop/2"] {
        client.get("a.test", path).await;
    }
    let rule = [("ingress", "web"), ("path", "/shop"), ("host", "a.test"), ("status", "200"), ("canary", "")];
    counted(&rig, "nginx_ingress_controller_requests", &rule, 2.0).await;
    let text = rig.admin("/metrics").await.1;
    let labels_of = |name: &str| {
        let start = format!("nginx_ingress_controller_{name}{{");
        let line = text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("{name} lacks"));
        let labels = line.rsplit_once('}').unwrap().0;
        let mut names: Vec<_> = labels.split("\",").map(|label| label.split_once('=').unwrap().0).collect();
        names.sort_unstable();
        names.join(" ")
    };
    let expected = |more: &[&'static str]| {
        let mut names = [&OF_ALL[..], more].concat();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(labels_of("requests"), expected(&OF_REQUESTS));
    for histogram in [
        "request_duration_seconds",
        "response_duration_seconds",
        "header_duration_seconds",
        "connect_duration_seconds",
        "request_size",
        "response_size",
        "bytes_sent",
    ] {
        for (end, more) in [("bucket", &["le"][..]), ("sum", &[]), ("count", &[])] {
            let name = format!("{histogram}_{end}");
            assert_eq!(labels_of(&name), expected(&[&OF_REQUESTS[..], more].concat()), "{name}");
        }
    }
    for (name, more) in [
        ("build_info", &["build", "release", "repository"][..]),
        ("config_hash", &[]),
        ("config_last_reload_successful", &[]),
        ("config_last_reload_successful_timestamp_seconds", &[]),
        ("success", &[]),
        ("errors", &[]),
        ("leader_election_status", &["name"]),
        ("nginx_process_connections", &["state"]),
        ("nginx_process_connections_total", &["state"]),
        ("nginx_process_requests_total", &[]),
        ("nginx_process_cpu_seconds_total", &[]),
        ("nginx_process_resident_memory_bytes", &[]),
    ] {
        assert_eq!(labels_of(name), expected(more), "{name}");
    }
}
