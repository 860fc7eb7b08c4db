//! Requests spread evenly over the endpoints that may get them.
use std::collections::BTreeMap;

use crate::support::{Backend, Client, Rig, Site, Spec};

async fn three() -> [Backend; 3] {
    [Backend::echo("one").await, Backend::echo("two").await, Backend::echo("three").await]
}

fn site(backends: &[Backend]) -> Site {
    Site::default().rule(Spec::to("app")).endpoints("app", backends.iter().map(|backend| backend.address))
}

async fn count(client: &mut Client, requests: usize, counts: &mut BTreeMap<String, usize>) {
    for _ in 0..requests {
        let reply = client.get("a.test", "/").await;
        *counts.entry(reply.text().to_owned()).or_default() += 1;
    }
}

#[tokio::test]
async fn three_endpoints_get_a_third_each() {
    let backends = three().await;
    let rig = Rig::start(site(&backends)).await;
    let mut counts = BTreeMap::new();
    count(&mut Client::h1(rig.http).await, 150, &mut counts).await;
    count(&mut Client::h2c(rig.http).await, 150, &mut counts).await;
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|count| (95..=105).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn rules_of_one_cluster_share_its_turn() {
    let backends = three().await;
    let mut site = site(&backends);
    site.add(Spec::to("app").prefix("/other"));
    let rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for target in ["/", "/other", "/"].into_iter().cycle().take(90) {
        *counts.entry(client.get("a.test", target).await.text().to_owned()).or_default() += 1;
    }
    assert!(counts.len() == 3 && counts.values().all(|count| (25..=35).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn the_turn_survives_a_new_table() {
    let backends = three().await;
    let mut rig = Rig::start(site(&backends)).await;
    let mut client = Client::h1(rig.http).await;
    let mut counts = BTreeMap::new();
    for _ in 0..30 {
        count(&mut client, 1, &mut counts).await;
        rig.publish().await;
    }
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|count| (8..=12).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn draining_endpoints_serve_only_when_none_is_ready() {
    let backends = three().await;
    let mut rig = Rig::start(Site::default().rule(Spec::to("app"))).await;
    let mut client = Client::h1(rig.http).await;
    rig.site.set_endpoints("app", [backends[0].address]);
    rig.site.add_draining("app", backends[1].address);
    rig.publish().await;
    for _ in 0..6 {
        assert_eq!(client.get("a.test", "/").await.text(), "one");
    }
    rig.site.set_endpoints("app", []);
    rig.site.add_draining("app", backends[1].address);
    rig.publish().await;
    for _ in 0..6 {
        assert_eq!(client.get("a.test", "/").await.text(), "two");
    }
}
