//! Requests that belong together meet the same pod.
use std::collections::BTreeSet;

use http::Method;

use crate::support::{Client, Mood, Moody, Reply, Rig, Site, Spec, empty};

async fn pods() -> [Moody; 3] {
    [Moody::start("a").await, Moody::start("b").await, Moody::start("c").await]
}

async fn rig(pods: &[Moody], spec: Spec) -> Rig {
    Rig::start(Site::default().rule(spec).endpoints("app", pods.iter().map(|pod| pod.address))).await
}

async fn get(rig: &Rig, name: &str, value: &str) -> Reply {
    let mut client = Client::h1(rig.http).await;
    let request = client.request(Method::GET, "a.test", "/").header(name, value);
    client.send(request.body(empty()).unwrap()).await
}

/// The cookie without its attributes.
fn cookie(reply: &Reply) -> String {
    reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_session_stays_at_its_pod() {
    for mode in ["balanced", "persistent"] {
        let pods = pods().await;
        let spec = Spec::to("app").annotation("affinity", "cookie").annotation("affinity-mode", mode);
        let rig = rig(&pods, spec).await;
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            let first = Client::h1(rig.http).await.get("a.test", "/").await;
            let cookie = cookie(&first);
            assert!(cookie.starts_with("INGRESSCOOKIE="), "{cookie}");
            seen.insert(first.text().to_owned());
            for _ in 0..3 {
                let again = get(&rig, "cookie", &cookie).await;
                assert_eq!((again.text(), again.header("set-cookie")), (first.text(), None), "{mode}");
            }
        }
        assert_eq!(seen.len(), 3, "sessions spread over all pods");
    }
}

#[tokio::test]
async fn a_session_whose_pod_fails_goes_elsewhere_and_comes_back() {
    let pods = pods().await;
    let rig = rig(&pods, Spec::to("app").annotation("affinity", "cookie")).await;
    let first = Client::h1(rig.http).await.get("a.test", "/").await;
    let (cookie, home) = (cookie(&first), first.text().to_owned());
    let pod = &pods[["a", "b", "c"].iter().position(|name| *name == home).unwrap()];
    pod.turn(Mood::Refuses).await;
    let elsewhere = get(&rig, "cookie", &cookie).await;
    assert!(elsewhere.status == 200 && elsewhere.text() != home);
    pod.turn(Mood::Good).await;
    crate::support::eventually("the way back", || async {
        (get(&rig, "cookie", &cookie).await.text() == home).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_persistent_session_whose_pod_is_gone_gets_a_new_cookie() {
    let pods = pods().await;
    let spec = Spec::to("app").annotation("affinity", "cookie").annotation("affinity-mode", "persistent");
    let mut rig = rig(&pods, spec).await;
    let first = Client::h1(rig.http).await.get("a.test", "/").await;
    let old = cookie(&first);
    let stay = pods.iter().zip(["a", "b", "c"]).filter(|(_, name)| *name != first.text());
    rig.site.set_endpoints("app", stay.map(|(pod, _)| pod.address));
    rig.publish().await;
    let moved = get(&rig, "cookie", &old).await;
    let new = cookie(&moved);
    assert_ne!(new, old);
    for _ in 0..5 {
        assert_eq!(get(&rig, "cookie", &new).await.text(), moved.text());
    }
}

#[tokio::test]
async fn the_same_key_is_the_same_pod() {
    let pods = pods().await;
    let rig = rig(&pods, Spec::to("app").annotation("upstream-hash-by", "$http_x_user")).await;
    let mut seen = BTreeSet::new();
    for user in ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"] {
        let home = get(&rig, "x-user", user).await.text().to_owned();
        for _ in 0..4 {
            assert_eq!(get(&rig, "x-user", user).await.text(), home);
        }
        seen.insert(home);
    }
    assert!(seen.len() > 1);
}

#[tokio::test]
async fn an_empty_key_does_not_flood_one_pod() {
    let pods = pods().await;
    let rig = rig(&pods, Spec::to("app").annotation("upstream-hash-by", "$http_x_user")).await;
    for _ in 0..30 {
        get(&rig, "x-user", "").await;
    }
    assert!(pods.iter().all(|pod| pod.seen() >= 8), "{:?}", pods.each_ref().map(Moody::seen));
}
