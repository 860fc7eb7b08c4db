//! What dashboards of ingress-nginx find.
use super::*;
use crate::metrics::tests::lines;
use crate::metrics::{MethodLabel, Metrics};
use crate::upstream::Attempt;
use features::Labels;
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::{Certificate, Checks};

fn metrics(options: &NginxMetrics) -> Metrics {
    Metrics::new().unwrap().with_nginx(Some(options)).unwrap()
}

fn options() -> NginxMetrics {
    NginxMetrics {
        namespace: "ingress".to_owned(),
        class: "k8s.io/ingress-nginx".to_owned(),
        pod: "pod-1".to_owned(),
        ..NginxMetrics::default()
    }
}

fn labels(path: &str, host: &str) -> Labels {
    Labels {
        namespace: "shop".into(),
        ingress: "web".into(),
        service: "cart".into(),
        service_port: "80".into(),
        host: host.into(),
        path: path.into(),
    }
}

fn served(metrics: &Metrics, path: &str, host: &str, status: u16) -> Arc<NginxRule> {
    let rule = metrics.nginx.as_ref().unwrap().requests().get(&labels(path, host));
    let attempt = Attempt {
        address: ([10, 0, 0, 1], 80).into(),
        began: Instant::now(),
        connected: None,
        answered: Some(Duration::from_millis(20)),
        took: Duration::from_millis(30),
        status,
        failure: 0,
        received: 3,
    };
    rule.observe(&Finished {
        method: MethodLabel::Get,
        status,
        took: Duration::from_millis(40),
        attempt: Some(&attempt),
        request_bytes: 77,
        response_bytes: 1_234,
        canary: None,
    });
    rule
}

#[test]
fn without_the_switch_there_is_nothing() {
    assert_eq!(lines(&Metrics::new().unwrap(), "nginx"), [""; 0]);
}

#[test]
fn requests_have_ingress_nginxs_names_and_labels() {
    let metrics = metrics(&options());
    served(&metrics, "/cart", "a.com", 200);
    let counted = lines(&metrics, "nginx_ingress_controller_requests{");
    assert!(counted.len() == 1 && counted[0].ends_with(" 1"), "{counted:?}");
    for label in [
        r#"controller_class="k8s.io/ingress-nginx""#,
        r#"controller_namespace="ingress""#,
        r#"controller_pod="pod-1""#,
        r#"canary="",host="a.com",ingress="web",method="GET",namespace="shop",path="/cart",service="cart",status="200""#,
    ] {
        assert!(counted[0].contains(label), "{label} in {counted:?}");
    }
    for (name, sum) in [
        ("request_duration_seconds_sum", "0.04"),
        ("response_duration_seconds_sum", "0.03"),
        ("header_duration_seconds_sum", "0.02"),
        ("connect_duration_seconds_sum", "0"),
        ("request_size_sum", "77"),
        ("response_size_sum", "1234"),
        ("bytes_sent_sum", "1234"),
    ] {
        let found = lines(&metrics, &format!("nginx_ingress_controller_{name}{{"));
        assert!(found.len() == 1 && found[0].ends_with(&format!("}} {sum}")), "{name}: {found:?}");
    }
    assert!(lines(&metrics, "nginx_process_requests_total")[0].ends_with(" 1"));
}

#[test]
fn a_request_that_no_endpoint_got_has_no_times_of_one() {
    let metrics = metrics(&options());
    let rule = metrics.nginx.as_ref().unwrap().requests().get(&labels("/", ""));
    let took = Duration::from_millis(1);
    let (method, status) = (MethodLabel::Get, 503);
    rule.observe(&Finished { method, status, took, attempt: None, request_bytes: 1, response_bytes: 1, canary: None });
    assert_eq!(lines(&metrics, "response_duration").len() + lines(&metrics, "connect_duration").len(), 0);
    let counted = lines(&metrics, "controller_requests{");
    assert!(counted[0].contains(r#"host="_""#) && counted[0].contains(r#"status="503""#), "{counted:?}");
}

#[test]
fn a_canary_has_series_of_its_own() {
    let metrics = metrics(&options());
    let rule = metrics.nginx.as_ref().unwrap().requests().get(&labels("/", "a.com"));
    let next = table::ClusterId::new("shop", "next", table::ServicePort::Number(80));
    let (method, took, status) = (MethodLabel::Get, Duration::ZERO, 200);
    for canary in [None, Some(&next), Some(&next)] {
        rule.observe(&Finished { method, status, took, attempt: None, request_bytes: 1, response_bytes: 1, canary });
    }
    let counted = lines(&metrics, "controller_requests{");
    let told = |label: &str, end| counted.iter().any(|line| line.contains(label) && line.ends_with(end));
    assert!(told("canary=\"shop-next-80\"", " 2") && told("canary=\"\"", " 1"), "{counted:?}");
}

#[test]
fn fewer_series_can_be_asked_for() {
    let all = metrics(&options());
    served(&all, "/", "a.com", 200);
    served(&all, "/", "b.com", 204);
    let exclude = vec!["bytes_sent".to_owned(), "header_duration_seconds".to_owned()];
    let few = metrics(&NginxMetrics { per_host: false, status_classes: true, exclude, ..options() });
    served(&few, "/", "a.com", 200);
    served(&few, "/", "b.com", 204);
    let counted = lines(&few, "controller_requests{");
    assert_eq!(counted.len(), 1, "{counted:?}");
    assert!(counted[0].contains(r#"status="2xx""#) && !counted[0].contains("host="), "{counted:?}");
    assert_eq!(lines(&few, "bytes_sent").len() + lines(&few, "header_duration").len(), 0);
    let requests =
        |metrics: &Metrics| lines(metrics, r#"ingress="web""#).iter().filter(|line| line.starts_with("nginx")).count();
    assert_eq!((requests(&all), requests(&few)), (2 * 93, 93 - 10 - 14));
}

#[test]
fn strangers_make_no_series() {
    for (undefined_hosts, want) in [(false, 0), (true, 1)] {
        let metrics = metrics(&NginxMetrics { undefined_hosts, ..options() });
        let unmatched = metrics.nginx.as_ref().unwrap().requests().unmatched();
        for _ in 0..10_000 {
            if let Some(rule) = &unmatched {
                let (method, took) = (MethodLabel::Other, Duration::ZERO);
                rule.observe(&Finished {
                    method,
                    status: 404,
                    took,
                    attempt: None,
                    request_bytes: 1,
                    response_bytes: 1,
                    canary: None,
                });
            }
        }
        assert_eq!(lines(&metrics, "controller_requests{").len(), want);
    }
}

/// 500 paths with one method and one status each.
#[test]
fn routes_have_as_many_series_as_their_documentation_says() {
    let series = |options: &NginxMetrics| {
        let metrics = metrics(options);
        let held: Vec<_> = (0..500).map(|number| served(&metrics, &format!("/{number}"), "a.com", 200)).collect();
        let series = lines(&metrics, "").len();
        drop(held);
        series
    };
    let all = series(&options());
    assert!((46_500..47_000).contains(&all), "{all}");
    // What both dashboards ask for, with three buckets.
    let exclude = ["bytes_sent", "header_duration_seconds", "connect_duration_seconds"].map(str::to_owned).to_vec();
    let (time_buckets, length_buckets) = (vec![0.1, 1.0, 10.0], vec![1000.0]);
    let few = series(&NginxMetrics { exclude, time_buckets, length_buckets, ..options() });
    assert!(few < 11_000, "{few}");
}

#[test]
fn series_of_a_rule_go_after_it() {
    let metrics = metrics(&options());
    drop(served(&metrics, "/gone", "a.com", 200));
    let kept = served(&metrics, "/kept", "a.com", 200);
    let now = Instant::now();
    metrics.sweep(now);
    metrics.sweep(now + Duration::from_secs(600));
    assert!(lines(&metrics, "/gone").is_empty() && !lines(&metrics, "/kept").is_empty());
    drop(kept);
}

#[test]
fn checks_of_the_webhook_are_counted_by_ingress() {
    let metrics = metrics(&options());
    let nginx = metrics.nginx.as_ref().unwrap();
    let told = |by_name: &[(&str, (u64, u64))]| {
        let by_name = by_name.iter().map(|(name, counts)| (("d".to_owned(), (*name).to_owned()), *counts)).collect();
        let (translation, whole) = (Duration::from_millis(250), Duration::from_millis(500));
        Facts { checks: Arc::new(Checks { by_name, ingresses: 7, translation, whole }), ..Facts::default() }
    };
    nginx.facts(&told(&[("a", (1, 0))]));
    nginx.facts(&told(&[("a", (1, 2)), ("b", (3, 0))]));
    let value = |name: &str, ingress: &str| {
        let found = lines(&metrics, name).into_iter().find(|line| line.contains(&format!(r#"ingress="{ingress}""#)));
        found.and_then(|line| line.rsplit(' ').next().map(str::to_owned)).unwrap_or_default()
    };
    assert_eq!(["a", "b"].map(|ingress| value("controller_check_success{", ingress)), ["1", "3"]);
    assert_eq!(["a", "b"].map(|ingress| value("controller_check_errors{", ingress)), ["2", "0"]);
    for (name, want) in [
        ("tested_ingresses", "7"),
        ("render_ingresses", "7"),
        ("tested_duration", "0.25"),
        ("render_duration", "0.25"),
        ("roundtrip_duration", "0.5"),
        ("config_size", "0"),
    ] {
        let found = lines(&metrics, &format!("controller_admission_{name}{{"));
        assert!(found.len() == 1 && found[0].ends_with(&format!("}} {want}")), "{name}: {found:?}");
    }
    nginx.facts(&told(&[("b", (3, 0))]));
    assert_eq!(["a", "b"].map(|ingress| value("controller_check_success{", ingress)), ["", "3"]);
}

#[test]
fn tables_and_the_process_are_told_of() {
    let metrics = metrics(&NginxMetrics { election: "lease".to_owned(), ..options() });
    let nginx = metrics.nginx.as_ref().unwrap();
    nginx.live(Generation(3), 1_700_000_000);
    nginx.live(Generation(3), 1_700_000_001);
    nginx.facts(&Facts { leader: Some(true), ..Facts::default() });
    for (name, value) in [
        ("controller_success", "1"),
        ("controller_errors", "0"),
        ("controller_config_hash", "3"),
        ("controller_config_last_reload_successful{", "1"),
        ("controller_config_last_reload_successful_timestamp_seconds", "1700000000"),
        (r#"leader_election_status{"#, "1"),
        (r#"state="active""#, "0"),
        ("num_procs", "1"),
    ] {
        let found = lines(&metrics, name);
        assert!(found.len() == 1 && found[0].ends_with(&format!("}} {value}")), "{name}: {found:?}");
    }
    if cfg!(target_os = "linux") {
        let resident = lines(&metrics, "nginx_process_resident_memory_bytes");
        assert!(!resident[0].ends_with("} 0"), "{resident:?}");
    }
}

#[test]
fn orphans_and_certificates_are_those_of_the_table() {
    let metrics = metrics(&options());
    let made = rcgen::generate_simple_self_signed(["a.com".to_owned()]).unwrap();
    let certificate = Certificate {
        source: "shop/tls".into(),
        chain: vec![made.cert.der().clone()],
        key: rustls_pki_types::PrivateKeyDer::Pkcs8(vec![1].into()),
        not_after: 2_000_000_000,
        serial: "0a".into(),
        resolved: table::Resolved::default(),
    };
    let objects = Objects {
        certificates: vec![("a.com".to_owned(), &certificate)],
        orphans: [("shop".to_owned(), "web".to_owned(), Lack::Endpoint)].into(),
        in_flight: 0,
    };
    let text = |objects: &Objects<'_>| String::from_utf8(metrics.encode(objects).unwrap()).unwrap();
    let with = text(&objects);
    for part in [
        r#"orphan_ingress{ingress="web",namespace="shop",type="no-endpoint","#,
        r#"host="a.com",identifier="shop-tls-0a",namespace="shop",secret_name="tls","#,
        "} 2000000000",
        r#"public_key_algorithm="ECDSA""#,
    ] {
        assert!(with.contains(part), "{part}");
    }
    let without = text(&Objects::default());
    assert!(!without.contains("orphan_ingress{") && !without.contains("ssl_expire_time_seconds{"));
}

#[test]
fn buckets_that_do_not_ascend_are_refused() {
    let options = NginxMetrics { time_buckets: vec![1.0, 0.5], ..options() };
    assert!(Metrics::new().unwrap().with_nginx(Some(&options)).is_err());
}
