//! What each feature costs per request: its decision about a plain GET, and its part in the answer.
//!
//! `cargo bench -p features`. What the gateway itself does for a feature that asks (a password, another server) or counts is
//! not in it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot start must stop")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use features::annotation::Config;
use features::{Configured, Data, Edits, Input, Labels, Objects, Protocol, Request, RuleFacts, StillWorld};
use http::{HeaderMap, HeaderValue, Method, header};
use table::{ClusterId, ServicePort};

/// A feature, and the annotations that switch it on.
const CASES: &[(&str, &[(&str, &str)])] = &[
    ("redirect", &[("permanent-redirect", "https://b.test/")]),
    ("tls_redirect", &[("force-ssl-redirect", "true")]),
    ("app_root", &[("app-root", "/app")]),
    ("cors", &[("enable-cors", "true"), ("cors-allow-origin", "https://shop.a.test,https://*.b.test")]),
    ("snippet", &[("configuration-snippet", "add_header X-Team web; proxy_set_header X-Path $request_uri;")]),
    ("rewrite", &[("rewrite-target", "/$2"), ("x-forwarded-prefix", "/x")]),
    ("location_rewrite", &[("proxy-redirect-from", "http://in/"), ("proxy-redirect-to", "https://$host/")]),
    ("cookie_rewrite", &[("proxy-cookie-domain", "in.test a.test")]),
    ("custom_headers", &[("custom-headers", "ns/headers")]),
    ("rate_limit", &[("limit-rps", "10"), ("limit-connections", "10")]),
    ("ip_access", &[("whitelist-source-range", "10.0.0.0/8,192.168.0.0/16,192.0.2.0/24")]),
    ("basic_auth", &[("auth-type", "basic"), ("auth-secret", "users")]),
    ("external_auth", &[("auth-url", "http://auth.test/check?u=$request_uri")]),
    ("mirror", &[("mirror-target", "https://m.test$request_uri")]),
    ("bandwidth", &[("limit-rate", "100")]),
    ("upstream_vhost", &[("upstream-vhost", "in.test")]),
    ("connection_header", &[("connection-proxy-header", "keep-alive")]),
    ("affinity", &[("affinity", "cookie")]),
    ("hash_key", &[("upstream-hash-by", "$request_uri")]),
];

/// The objects that the annotations name.
struct Named;

impl Objects for Named {
    fn secret(&self, _: &str) -> Result<Data, String> {
        Ok([("auth".to_owned(), b"alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=".to_vec())].into())
    }

    fn config_map(&self, _: &str) -> Result<Data, String> {
        Ok([("X-Team".to_owned(), b"web".to_vec())].into())
    }

    fn service(&self, name: &str) -> Result<ClusterId, String> {
        Ok(ClusterId::new("ns", name, ServicePort::Number(80)))
    }
}

/// The plan of a rule with these annotations.
fn plan(config: &Config, annotations: &[(&'static str, &'static str)]) -> Box<[Configured]> {
    let input = Input {
        config,
        objects: &Named,
        facts: RuleFacts::default(),
        protocol: Protocol::Http,
        balance: None,
        translate_snippets: true,
    };
    let settings = features::read(annotations.iter().copied(), &input);
    settings.plan.iter().filter_map(|feature| feature.clone().bind("/x(/|$)(.*)")).collect()
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("a.test"));
    headers.insert(header::ORIGIN, HeaderValue::from_static("https://shop.a.test"));
    headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic YWxpY2U6c2VjcmV0"));
    headers.insert(header::COOKIE, HeaderValue::from_static("a=1; b=2"));
    headers
}

fn features_cost(criterion: &mut Criterion) {
    // The operator must have allowed the fields that custom-headers sets.
    let config = Config::new([("global-allowed-response-headers".to_owned(), "X-Team".to_owned())]);
    let (headers, labels) = (headers(), Labels::default());
    let request = Request {
        method: &Method::GET,
        tls: false,
        authority: "a.test",
        host: "a.test",
        path: "/x/orders",
        target: "/x/orders?page=2",
        headers: &headers,
        client: Some([192, 0, 2, 7].into()),
        port: 80,
        request_id: "0123456789abcdef0123456789abcdef",
        labels: &labels,
        world: &StillWorld,
    };
    // What the ConfigMap's defaults put on every rule is what a feature adds to.
    let plain = ("none", &[][..]);
    for (name, annotations) in std::iter::once(&plain).chain(CASES) {
        let plan = plan(&config, annotations);
        if *name != "none" && !plan.iter().any(|feature| feature.name() == *name) {
            panic!("the annotations do not switch {name} on");
        }
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut edits = Edits::default();
                let verdict = features::run(&plan, black_box(&request), &mut edits, |_, _, _| ());
                let mut head = http::Response::builder().header("location", "http://in/x").body(()).unwrap();
                features::respond(&plan, &request, &edits, &mut head);
                black_box((verdict, edits, head))
            });
        });
    }
}

criterion_group!(benches, features_cost);
criterion_main!(benches);
