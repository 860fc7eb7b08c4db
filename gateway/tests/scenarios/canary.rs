//! A canary gets the requests that its Ingress asks for, and no others.
use http::Method;

use crate::support::{Backend, Client, Refusing, Reply, Rig, Site, Spec, empty};

struct Pair {
    rig: Rig,
    main: Backend,
    canary: Backend,
}

async fn pair(main_rule: Spec, canary_rule: Spec) -> Pair {
    let (main, canary) = (Backend::echo("main").await, Backend::echo("canary").await);
    let site = Site::default()
        .rule(main_rule)
        .canary("main", canary_rule)
        .endpoints("main", [main.address])
        .endpoints("canary", [canary.address]);
    Pair { rig: Rig::start(site).await, main, canary }
}

async fn with(rig: &Rig, fields: &[(&str, &str)]) -> Reply {
    let mut client = Client::h1(rig.http).await;
    let mut request = client.request(Method::GET, "a.test", "/");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    client.send(request.body(empty()).unwrap()).await
}

fn cookie(reply: &Reply) -> String {
    reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_field_decides_before_the_cookie_before_the_weight() {
    let spec = Spec::to("canary").annotation("canary-by-header", "X-Canary");
    let pair = pair(Spec::to("main"), spec.annotation("canary-by-cookie", "canary")).await;
    for (fields, name) in [
        (vec![], "main"),
        (vec![("x-canary", "always")], "canary"),
        (vec![("x-canary", "never"), ("cookie", "canary=always")], "main"),
        (vec![("x-canary", "perhaps"), ("cookie", "a=b; canary=always")], "canary"),
        (vec![("cookie", "canary=never")], "main"),
    ] {
        assert_eq!(with(&pair.rig, &fields).await.text(), name, "{fields:?}");
    }
    assert_eq!((pair.main.seen().len(), pair.canary.seen().len()), (3, 2));
}

#[tokio::test]
async fn the_weight_is_met_request_by_request_on_one_connection() {
    let pair = pair(Spec::to("main"), Spec::to("canary").annotation("canary-weight", "30")).await;
    let mut client = Client::h1(pair.rig.http).await;
    for _ in 0..400 {
        client.get("a.test", "/").await;
    }
    // 120 are expected; outside of these bounds lies less than one run in ten thousand million.
    assert!((60..190).contains(&pair.canary.seen().len()), "{}", pair.canary.seen().len());
    assert_eq!(pair.canary.seen().len() + pair.main.seen().len(), 400);
}

#[tokio::test]
async fn all_rules_of_the_main_service_have_its_canary_and_their_own_features() {
    let (main, canary) = (Backend::echo("main").await, Backend::echo("canary").await);
    let closed = Spec::to("main").host("b.test").annotation("denylist-source-range", "127.0.0.0/8");
    let site = Site::default()
        .rule(Spec::to("main").annotation("upstream-vhost", "inner"))
        .rule(closed)
        .canary("main", Spec::to("canary").annotation("canary-weight", "100"))
        .endpoints("main", [main.address])
        .endpoints("canary", [canary.address]);
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    assert_eq!(client.get("a.test", "/").await.text(), "canary");
    assert_eq!(canary.last().header("host"), Some("inner"));
    assert_eq!(client.get("b.test", "/").await.status, 403);
    assert_eq!((canary.seen().len(), main.seen().len()), (1, 0));
}

#[tokio::test]
async fn a_canary_without_endpoints_leaves_its_requests_to_main() {
    let always = Spec::to("canary").annotation("canary-weight", "100");
    let mut pair = pair(Spec::to("main"), always).await;
    pair.rig.site.set_endpoints("canary", []);
    pair.rig.publish().await;
    assert_eq!(with(&pair.rig, &[]).await.text(), "main");
    pair.rig.site.set_endpoints("canary", [pair.canary.address]);
    pair.rig.site.set_endpoints("main", []);
    pair.rig.publish().await;
    assert_eq!(with(&pair.rig, &[]).await.status, 503, "main without endpoints is closed for all");
}

#[tokio::test]
async fn a_retry_stays_with_the_canary() {
    let (main, canary, refusing) = (Backend::echo("main").await, Backend::echo("canary").await, Refusing::new());
    let site = Site::default()
        .rule(Spec::to("main"))
        .canary("main", Spec::to("canary").annotation("canary-weight", "100"))
        .endpoints("main", [main.address])
        .endpoints("canary", [canary.address, refusing.address]);
    let rig = Rig::start(site).await;
    for _ in 0..4 {
        assert_eq!(with(&rig, &[]).await.text(), "canary");
    }
    assert!(main.seen().is_empty());
}

#[tokio::test]
async fn a_session_stays_where_it_began() {
    let spec = || Spec::to("canary").annotation("canary-by-header", "X-Canary");
    let sticky = Spec::to("main").annotation("affinity", "cookie");
    for mode in ["balanced", "persistent"] {
        let pair = pair(sticky.clone().annotation("affinity-mode", mode), spec()).await;
        for (begins, name, other) in [("always", "canary", "never"), ("never", "main", "always")] {
            let first = with(&pair.rig, &[("x-canary", begins)]).await;
            assert_eq!(first.text(), name);
            let again = with(&pair.rig, &[("x-canary", other), ("cookie", &cookie(&first))]).await;
            assert_eq!((again.text(), again.header("set-cookie")), (name, None), "{mode}");
        }
    }
}

#[tokio::test]
async fn a_legacy_canary_has_no_sessions() {
    let spec = Spec::to("canary").annotation("canary-by-header", "X-Canary");
    let legacy = spec.annotation("affinity-canary-behavior", "legacy");
    let pair = pair(Spec::to("main").annotation("affinity", "cookie"), legacy).await;
    let first = with(&pair.rig, &[("x-canary", "always")]).await;
    assert_eq!((first.text(), first.header("set-cookie")), ("canary", None));
    assert_eq!(with(&pair.rig, &[]).await.text(), "main");
}

#[tokio::test]
async fn a_canary_comes_and_goes_without_a_new_table() {
    let mut pair = pair(Spec::to("main"), Spec::to("canary").annotation("canary-weight", "100")).await;
    assert_eq!(with(&pair.rig, &[]).await.text(), "canary");
    pair.rig.site = std::mem::take(&mut pair.rig.site).policy("main", features::ClusterPolicy::default());
    pair.rig.publish().await;
    assert_eq!(with(&pair.rig, &[]).await.text(), "main");
}
