//! One JSON line for each request.
//!
//! The log goes to standard output, so the requests are made in a process of their own: this test binary, told to run
//! [`requests_of_each_kind`] alone.
use serde_json::Value;

use crate::support::{Backend, Client, LIMIT, Offer, Rig, Site, Spec, config};

/// Set in the process whose log is read.
const SWITCH: &str = "INGORA_SCENARIO_ACCESS_LOG";

#[tokio::test]
async fn requests_of_each_kind() {
    let backend = Backend::echo("one").await;
    let site = Site::default()
        .rule(Spec::to("app").prefix("/shop"))
        .rule(Spec::to("empty").prefix("/empty"))
        .endpoints("app", [backend.address])
        .endpoints("empty", []);
    let mut config = config();
    config.access_log = std::env::var_os(SWITCH).is_some();
    let rig = Rig::with(site, config).await;
    let mut client = Client::h1(rig.http).await;
    let request = client.request(http::Method::POST, "a.test:80", "/shop/1?x=%20y");
    let request = request.header("user-agent", "test \"agent\"").header("x-request-id", "id-1");
    let reply = client.send(request.body(crate::support::full("body")).unwrap()).await;
    assert_eq!(reply.text(), "body");
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/empty").await.status, 503);
    assert_eq!(Client::h1(rig.http).await.get("unknown.test", "/").await.status, 404);
    assert_eq!(Client::tls(rig.https, Offer::h2("a.test")).await.get("a.test", "/shop/tls").await.status, 200);
    drop(client);
    rig.terminate();
    rig.ended().await;
}

/// The lines of a process that makes the requests.
async fn lines() -> Vec<Value> {
    let run = tokio::task::spawn_blocking(|| {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "access_log::requests_of_each_kind", "--nocapture"])
            .env(SWITCH, "1")
            .output()
            .unwrap()
    });
    let output = tokio::time::timeout(LIMIT * 2, run).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // The test harness writes to the same output, and not always with an end of line before ours.
    text.lines()
        .filter_map(|line| line.find('{').map(|at| line.split_at(at).1))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn by_path<'a>(lines: &'a [Value], path: &str) -> &'a Value {
    let mut found = lines.iter().filter(|line| line["path"] == path);
    let line = found.next().unwrap_or_else(|| panic!("a line for {path} in {lines:#?}"));
    assert!(found.next().is_none(), "one line for {path}");
    line
}

#[tokio::test]
async fn a_line_tells_the_request_the_rule_and_the_endpoint() {
    let lines = lines().await;
    assert_eq!(lines.len(), 4, "{lines:#?}");

    let served = by_path(&lines, "/shop/1");
    for (name, value) in [
        ("method", "POST"),
        ("host", "a.test"),
        ("query", "x=%20y"),
        ("protocol", "HTTP/1.1"),
        ("client", "127.0.0.1"),
        ("user_agent", "test \"agent\""),
        ("request_id", "id-1"),
        ("namespace", "default"),
        ("ingress", "web"),
        ("service", "app"),
        ("service_port", "80"),
        ("rule_path", "/shop"),
        ("reason", ""),
    ] {
        assert_eq!(served[name], value, "{name}");
    }
    assert_eq!((served["status"].as_u64(), served["upstream_status"].as_u64()), (Some(200), Some(200)));
    assert_eq!((served["request_bytes"].as_u64(), served["response_bytes"].as_u64()), (Some(4), Some(4)));
    assert!(served["duration"].as_f64().unwrap() > 0.0);
    assert_eq!(served["upstream"].as_array().unwrap().len(), 1);
    assert_eq!(served["tls"], Value::Null);

    let empty = by_path(&lines, "/empty");
    assert_eq!((empty["status"].as_u64(), empty["service"].as_str()), (Some(503), Some("empty")));
    assert_ne!(empty["reason"], "");

    let unknown = by_path(&lines, "/");
    assert_eq!((unknown["status"].as_u64(), unknown["ingress"].as_str()), (Some(404), Some("")));
    assert_ne!(unknown["reason"], "");

    let tls = by_path(&lines, "/shop/tls");
    assert_eq!((tls["protocol"].as_str(), tls["tls"]["sni"].as_str()), (Some("HTTP/2"), Some("a.test")));
    assert_eq!(tls["tls"]["version"], "TLSv1.3");
}
