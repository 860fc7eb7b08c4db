//! Tables are replaced under load: no request fails, and each is decided by one of them.
use std::time::Duration;

use http::{Method, Response};
use http_body_util::BodyExt;
use tokio::time::MissedTickBehavior;

use crate::support::{Backend, Client, Offer, Rig, Site, Spec, bounded, channel, empty};

#[tokio::test]
async fn hosts_and_rules_come_and_go() {
    let backend = Backend::echo("one").await;
    let mut rig = Rig::to(backend.address).await;
    let mut client = Client::h1(rig.http).await;
    assert_eq!(client.get("b.test", "/").await.status, 404);
    rig.site.add(Spec::to("app").host("b.test"));
    rig.publish().await;
    assert_eq!(client.get("b.test", "/").await.status, 200);
    rig.site.clear_rules();
    rig.site.add(Spec::to("app").host("b.test"));
    rig.publish().await;
    assert_eq!(client.get("a.test", "/").await.status, 404);
    assert_eq!(client.get("b.test", "/").await.status, 200);
}

#[tokio::test]
async fn a_new_cluster_serves_with_the_table_that_names_it() {
    let (one, two) = (Backend::echo("one").await, Backend::echo("two").await);
    let mut rig = Rig::to(one.address).await;
    let mut client = Client::h1(rig.http).await;
    assert_eq!(client.get("a.test", "/").await.text(), "one");
    rig.site.clear_rules();
    rig.site.add(Spec::to("new"));
    rig.site.set_endpoints("new", [two.address]);
    rig.publish().await;
    assert_eq!(client.get("a.test", "/").await.text(), "two");
}

#[tokio::test]
async fn a_response_in_flight_outlives_its_rule() {
    let (sender, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let backend = Backend::handling(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Response::new(body) }
    })
    .await;
    let mut rig = Rig::to(backend.address).await;
    let mut sender = sender;
    let mut client = Client::h2c(rig.http).await;
    let request = client.request(Method::GET, "a.test", "/").body(empty()).unwrap();
    sender.send_data("first ".into()).await.unwrap();
    let mut response = client.try_send(request).await.unwrap();
    let first = bounded("the first frame", response.frame()).await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "first ");
    rig.site = Site::default();
    rig.publish().await;
    assert_eq!(client.get("a.test", "/").await.status, 404);
    sender.send_data("last".into()).await.unwrap();
    drop(sender);
    let rest = bounded("the rest", response.collect()).await.unwrap().to_bytes();
    assert_eq!(rest, "last");
}

#[tokio::test]
async fn no_request_fails_while_tables_change() {
    let (one, two) = (Backend::echo("one").await, Backend::echo("two").await);
    let site = Site::default().rule(Spec::to("one")).endpoints("one", [one.address]).endpoints("two", [two.address]);
    let mut rig = Rig::start(site).await;
    let (http, https) = (rig.http, rig.https);
    let load = tokio::spawn(async move {
        let client = |number| async move {
            let mut client = match number {
                0 | 1 => Client::h1(http).await,
                2 => Client::h2c(http).await,
                _ => Client::tls(https, Offer::h2("a.test")).await,
            };
            for request in 0..750 {
                let reply = client.post("a.test", "/x", format!("{number}-{request}")).await;
                assert_eq!((reply.status.as_u16(), reply.text()), (200, format!("{number}-{request}").as_str()));
            }
        };
        futures::future::join_all((0..4).map(client)).await;
    });
    let mut pace = tokio::time::interval(Duration::from_millis(3));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tables = 0;
    while !load.is_finished() {
        pace.tick().await;
        rig.site.clear_rules();
        rig.site.add(Spec::to(if tables % 2 == 0 { "two" } else { "one" }));
        for extra in 0..tables % 5 {
            rig.site.add(Spec::to("one").host(&format!("h{extra}.test")));
        }
        rig.send_table().await;
        tables += 1;
    }
    bounded("the load", load).await.unwrap();
    assert!(tables > 10, "{tables} tables under load");
    assert!(!one.seen().is_empty() && !two.seen().is_empty());
}
