//! The most specific host, then the most specific path.
use crate::support::{Backend, Client, Rig, Site, Spec};

async fn check(specs: Vec<(Spec, &'static str)>, requests: &[(&str, &str, Option<&str>)]) {
    let mut site = Site::default();
    let mut backends = Vec::new();
    for (spec, name) in specs {
        let backend = Backend::echo(name).await;
        site.set_endpoints(name, [backend.address]);
        site.add(spec);
        backends.push(backend);
    }
    let rig = Rig::start(site).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        for (host, target, backend) in requests {
            let reply = client.get(host, target).await;
            assert_eq!(reply.header("x-backend"), *backend, "{host}{target}");
            assert_eq!(reply.status, if backend.is_some() { 200 } else { 404 }, "{host}{target}");
        }
    }
}

#[tokio::test]
async fn exact_hosts_beat_wildcards_beat_none() {
    check(
        vec![
            (Spec::to("exact").host("a.foo.test"), "exact"),
            (Spec::to("wildcard").host("*.foo.test"), "wildcard"),
            (Spec::to("any").host(""), "any"),
        ],
        &[
            ("a.foo.test", "/", Some("exact")),
            ("A.FOO.test:8080", "/", Some("exact")),
            ("a.foo.test.", "/", Some("exact")),
            ("b.foo.test", "/", Some("wildcard")),
            ("c.b.foo.test", "/", Some("any")),
            ("foo.test", "/", Some("any")),
            ("127.0.0.1", "/", Some("any")),
        ],
    )
    .await;
}

#[tokio::test]
async fn exact_paths_beat_longer_prefixes_beat_shorter() {
    check(
        vec![
            (Spec::to("exact").exact("/foo"), "exact"),
            (Spec::to("foo").prefix("/foo"), "foo"),
            (Spec::to("foobar").prefix("/foo/bar"), "foobar"),
        ],
        &[
            ("a.test", "/foo", Some("exact")),
            ("a.test", "/foo?query", Some("exact")),
            ("a.test", "/foo/", Some("foo")),
            ("a.test", "/foo/bar", Some("foobar")),
            ("a.test", "/foo/bar/x", Some("foobar")),
            ("a.test", "/foo/barx", Some("foo")),
            ("a.test", "/foobar", None),
            ("a.test", "/", None),
            ("a.test", "/Foo", None),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_host_with_rules_never_falls_through() {
    check(
        vec![(Spec::to("own").prefix("/own"), "own"), (Spec::to("any").host(""), "any")],
        &[("a.test", "/own", Some("own")), ("a.test", "/other", None), ("b.test", "/other", Some("any"))],
    )
    .await;
}
