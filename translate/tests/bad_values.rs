//! Every annotation with every kind of bad value: what is said, what it does, and that nobody else notices.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "every test file uses a part of it")]
mod common;

use std::sync::Arc;

use common::object;
use features::annotation::{Described, OnError};
use features::{Backend, Edits, Labels, Request, Route, StillWorld};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;
use table::{Rule, Table};
use translate::{Change, Note, Options, Translator};

const PREFIX: &str = "nginx.ingress.kubernetes.io";

/// Longest message: values are repeated cut.
const LONGEST: usize = 2_000;

/// Values that no annotation means, by what they try.
fn values() -> Vec<String> {
    let mut values: Vec<String> = [
        // Nothing, and other types.
        "",
        "  \t ",
        "maybe",
        "-1",
        "0",
        "99999999999999999999",
        "1e9",
        "NaN",
        "0x10",
        "60s",
        "null",
        "[]",
        "{}",
        // Ends of lines and of what surrounds the value in a configuration file.
        "true\nfalse",
        "a\r\nSet-Cookie: b=c",
        "}",
        "{",
        "\"; } server { listen 1; } #",
        "'; return 200 'x",
        "/a;} location /b { proxy_pass http://127.0.0.1:1; }",
        "# the rest is a comment",
        "a\\",
        // Directives that load code, and interpreters.
        "content_by_lua_block { os.execute(\"id\") }",
        "ssl_engine ../../proc/self/fd/1",
        "load_module /tmp/a.so;",
        "{{ .Values.secret }}",
        "`id`",
        "%s%n",
        // Variables.
        "$",
        "$$",
        "${",
        "$no_such_variable",
        "$request_uri$host",
        "http://$http_x_evil/",
        // What no text should hold.
        "\0",
        "a\0b",
        "\u{1b}[31m",
        "\u{202e}eurt",
        "ünïcödé",
        "💥",
        "\u{80}\u{ff}",
        // Files and other people's objects.
        "../../etc/passwd",
        "/etc/passwd",
        "kube-system/admin",
        "a/b/c",
        "/",
        // Addresses.
        "http://[::1",
        "http://user:password@a.test/",
        "http://169.254.169.254/latest",
        "javascript:alert(1)",
        "//evil.test",
        "10.0.0.0/33",
        "0.0.0.0/0,",
        ",",
        "*",
        // Regular expressions that cost much elsewhere.
        "(a+)+$",
        "(a{1000}){1000}{1000}",
        "(?=a)b",
        "(a)\\1",
        "[",
        "(?P<",
        "CN=(((.*)*)*)*",
        "CN=[",
        // A name that only begins as it should, and fields.
        "GET;evil",
        "GET /x HTTP/1.1",
        "X-A: b\nX-C: d",
        "basic evil",
        "200 202 401 five minutes",
    ]
    .map(str::to_owned)
    .into();
    values.extend(["a".repeat(1 << 20), "9".repeat(1 << 12), "(".repeat(10_000), "http://a.test/".repeat(1_000)]);
    values
}

/// Annotations without which a key is not looked at.
fn companions(name: &str) -> &'static [(&'static str, &'static str)] {
    const EXTERNAL: [&str; 4] = ["auth-secret", "auth-secret-type", "auth-realm", "auth-type"];
    match name {
        _ if name.starts_with("cors-") => &[("enable-cors", "true")],
        _ if EXTERNAL.contains(&name) => &[("auth-type", "basic"), ("auth-secret", "users")],
        _ if name.starts_with("auth-tls-") => &[("auth-tls-secret", "ns/users")],
        _ if name.starts_with("auth-") => &[("auth-url", "http://auth.test/")],
        _ if name.starts_with("canary-") => &[("canary", "true")],
        _ if name.starts_with("session-cookie-") || name.starts_with("affinity-") => &[("affinity", "cookie")],
        _ if name.starts_with("limit-rate") => &[("limit-rate", "10")],
        _ if name.starts_with("limit-") => &[("limit-rps", "10")],
        _ if name.starts_with("upstream-hash-by-") => &[("upstream-hash-by", "$request_uri")],
        _ if name.starts_with("mirror-") => &[("mirror-target", "http://mirror.test")],
        _ if name.starts_with("permanent-") => &[("permanent-redirect", "https://b.test/")],
        _ if name.starts_with("temporal-") => &[("temporal-redirect", "https://b.test/")],
        "x-forwarded-prefix" => &[("rewrite-target", "/x")],
        _ => &[],
    }
}

/// A cluster with a neighbour, and one Ingress whose annotations change.
struct Cluster {
    translator: Translator,
    table: Arc<Table<Route>>,
}

impl Cluster {
    fn new() -> Self {
        let options = Options { watch_ingress_without_class: true, ..Options::default() };
        let mut cluster = Self { translator: Translator::new(options), table: Arc::default() };
        for manifest in [
            json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "ns"},
                "spec": {"ports": [{"port": 80}]}}),
            json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "users", "namespace": "ns"},
                "stringData": {"auth": "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}}),
        ] {
            cluster.translator.apply(Change::Set(object(manifest)));
        }
        cluster.set("neighbour", "neighbour.test", &[("enable-cors", "true")]);
        cluster.set("victim", "victim.test", &[]);
        cluster
    }

    /// An Ingress with one path, and these annotations.
    fn set(&mut self, name: &str, host: &str, annotations: &[(&str, &str)]) {
        let annotations: serde_json::Map<_, _> =
            annotations.iter().map(|(name, value)| (whole(name), json!(value))).collect();
        let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
        self.translator.apply(Change::Set(object(json!({
            "kind": "Ingress", "apiVersion": "networking.k8s.io/v1",
            "metadata": {"name": name, "namespace": "ns", "annotations": annotations},
            "spec": {"rules": [{"host": host, "http": {"paths": [
                {"path": "/app", "pathType": "Prefix", "backend": backend}
            ]}}]},
        }))));
        if let Some(table) = self.translator.publish(0).table {
            self.table = table;
        }
    }

    /// The rule that gets a host's only path.
    fn rule(&self, host: &str) -> Option<&Arc<Rule<Route>>> {
        self.table.find(host, "/app").rule()
    }

    /// What became of the Ingress that changes.
    fn fate(&self) -> Fate {
        match self.rule("victim.test").map(|rule| &rule.policy.backend) {
            None => Fate::LeftOut,
            Some(Backend::Refused(_)) => Fate::Closed,
            Some(Backend::Cluster(_)) => Fate::Serves,
        }
    }

    fn notes(&self) -> Vec<&Note> {
        self.translator.notes().filter(|note| &*note.object.name == "victim" && note.reason != "NoEndpoints").collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Serves,
    Closed,
    LeftOut,
}

fn whole(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { format!("{PREFIX}/{name}") }
}

/// The beginning of a value, for the message of a test that fails.
fn shown(value: &str) -> String {
    value.chars().take(60).collect()
}

/// Runs the rule on a request that is hostile itself: whatever a value made of it must not panic.
fn run(rule: &Rule<Route>) {
    let mut headers = HeaderMap::new();
    for name in ["origin", "authorization", "cookie", "x-canary"] {
        headers.insert(name, HeaderValue::from_bytes(b"always $1 \xff\"{}").unwrap());
    }
    let labels = Labels::default();
    for method in [Method::GET, Method::OPTIONS] {
        let request = Request {
            method: &method,
            tls: false,
            authority: "victim.test:80",
            host: "victim.test",
            path: "/app/$1/ü",
            target: "/app/$1/%C3%BC?a=${b}",
            headers: &headers,
            client: Some([192, 0, 2, 1].into()),
            port: 80,
            request_id: "0",
            labels: &labels,
            world: &StillWorld,
        };
        let mut edits = Edits::default();
        features::run(&rule.policy.plan, &request, &mut edits, |_, _, _| ());
        features::respond(&rule.policy.plan, &request, &edits, &mut http::Response::new(()));
    }
}

/// Holds one value of one annotation against every promise.
fn hold(cluster: &mut Cluster, key: &dyn Described, value: &str) {
    let name = key.row().name;
    let mut annotations = companions(name).to_vec();
    annotations.retain(|(other, _)| *other != name);
    cluster.set("victim", "victim.test", &annotations);
    let (before, neighbour) = (cluster.fate(), cluster.rule("neighbour.test").unwrap().clone());
    annotations.push((name, value));
    cluster.set("victim", "victim.test", &annotations);

    let case = format!("{name}: {:?}", shown(value));
    assert!(Arc::ptr_eq(&neighbour, cluster.rule("neighbour.test").unwrap()), "the neighbour changed with {case}");
    for note in cluster.notes() {
        assert!(
            note.field.starts_with("metadata.annotations[") || note.field.starts_with("spec."),
            "{case}: {}",
            shown(&note.message)
        );
        assert!(
            note.message.len() <= LONGEST && !note.message.contains(char::is_control),
            "{case}: {}",
            shown(&note.message)
        );
    }
    if let Some(rule) = cluster.rule("victim.test") {
        run(rule);
    }
    let is_bad = !value.trim().is_empty() && key.check(value.trim()).is_err();
    if !is_bad {
        return;
    }
    let field = format!("metadata.annotations[{}]", whole(name));
    assert!(cluster.notes().iter().any(|note| note.field == field), "nothing is said of {case}");
    let want = match key.on_error() {
        OnError::Differs | OnError::Default => before,
        OnError::Close => Fate::Closed,
        OnError::Reject => Fate::LeftOut,
    };
    assert_eq!(cluster.fate(), want, "{case}");
}

/// Every key of the catalogue, a share of it for each test so that they run side by side.
fn hold_share(share: usize, of: usize) {
    let values = values();
    let mut keys: Vec<_> = features::catalogue().map(|(_, key)| key).collect();
    keys.sort_by_key(|key| key.row().name);
    keys.dedup_by_key(|key| key.row().name);
    assert!(keys.len() >= 136, "the catalogue has {} annotations", keys.len());
    let mut cluster = Cluster::new();
    for key in keys.into_iter().skip(share).step_by(of) {
        values.iter().for_each(|value| hold(&mut cluster, key, value));
    }
}

#[test]
fn a_bad_value_does_what_its_class_says_and_nothing_else_1_of_2() {
    hold_share(0, 2);
}

#[test]
fn a_bad_value_does_what_its_class_says_and_nothing_else_2_of_2() {
    hold_share(1, 2);
}

/// Any two annotations with bad values at the same time.
#[test]
fn bad_values_together_harm_no_neighbour() {
    let names: Vec<_> = features::catalogue().map(|(_, key)| key.row().name).collect();
    let values = values();
    let mut cluster = Cluster::new();
    let neighbour = cluster.rule("neighbour.test").unwrap().clone();
    for (index, value) in values.iter().enumerate().filter(|(_, value)| value.len() < 10_000) {
        let all: Vec<_> = names.iter().skip(index % 7).step_by(7).map(|name| (*name, value.as_str())).collect();
        cluster.set("victim", "victim.test", &all);
        cluster.rule("victim.test").iter().for_each(|rule| run(rule));
        assert!(Arc::ptr_eq(&neighbour, cluster.rule("neighbour.test").unwrap()));
    }
}
