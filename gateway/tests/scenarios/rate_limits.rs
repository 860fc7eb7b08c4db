//! Limits of what one client may ask for: requests over time, requests at once, size of bodies, speed of answers.
use std::time::{Duration, Instant};

use http::Method;
use tokio::sync::Semaphore;

use crate::support::{Backend, Client, Rig, Site, Spec, channel, eventually, full, respond};

#[tokio::test]
async fn what_is_over_the_burst_gets_503_or_another_status_and_does_not_reach_the_endpoint() {
    let backend = Backend::echo("app").await;
    let limited = || Spec::to("app").annotation("limit-rpm", "2").annotation("limit-burst-multiplier", "1");
    let site = Site::default()
        .rule(limited())
        .rule(limited().host("exempt.test").annotation("limit-allowlist", "127.0.0.0/8"))
        .rule(limited().host("status.test").config(&[("limit-req-status-code", "429")]))
        .endpoints("app", [backend.address]);
    let mut rig = Rig::start(site).await;
    let mut client = Client::h1(rig.http).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(client.get("a.test", "/").await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 503, 503]);
    // The count is the Ingress's, and outlives the table.
    rig.publish().await;
    assert_eq!(Client::h2c(rig.http).await.get("status.test", "/").await.status, 429);
    for _ in 0..5 {
        assert_eq!(client.get("exempt.test", "/").await.status, 200);
    }
    assert_eq!(backend.seen().len(), 8);
}

#[tokio::test]
async fn a_place_among_connections_is_free_again_when_the_request_has_ended() {
    static GO: Semaphore = Semaphore::const_new(0);
    let backend = Backend::handling(|_| async {
        GO.acquire().await.unwrap().forget();
        respond("done")
    })
    .await;
    let rule = Spec::to("app").annotation("limit-connections", "1");
    let rig = Rig::start(Site::default().rule(rule).endpoints("app", [backend.address])).await;
    let mut first = Client::h1(rig.http).await;
    let held = tokio::spawn(async move { first.get("a.test", "/").await.status });
    eventually("the first request", || async { (backend.seen().len() == 1).then_some(()) }).await;
    let mut second = Client::h1(rig.http).await;
    assert_eq!(second.get("a.test", "/").await.status, 503);
    GO.add_permits(2);
    assert_eq!(held.await.unwrap(), 200);
    eventually("a free place", || async {
        (Client::h1(rig.http).await.get("a.test", "/").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_too_large_gets_413() {
    let backend = Backend::echo("app").await;
    let site = Site::default()
        .rule(Spec::to("app").annotation("proxy-body-size", "1k"))
        .rule(Spec::to("app").host("default.test"))
        .rule(Spec::to("app").host("any.test").annotation("proxy-body-size", "0"))
        .rule(Spec::to("app").host("global.test").config(&[("proxy-body-size", "2k")]))
        .endpoints("app", [backend.address]);
    let rig = Rig::start(site).await;
    for (host, length, status) in [
        ("a.test", 1024, 200),
        ("a.test", 1025, 413),
        ("default.test", 1024 * 1024, 200),
        ("default.test", 1024 * 1024 + 1, 413),
        ("any.test", 2 * 1024 * 1024, 200),
        ("global.test", 2049, 413),
    ] {
        for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
            assert_eq!(client.post(host, "/", vec![b'x'; length]).await.status, status, "{host} {length}");
        }
    }
}

#[tokio::test]
async fn a_body_without_a_length_gets_413_when_it_has_grown_too_large() {
    let backend = Backend::echo("app").await;
    let rule = Spec::to("app").annotation("proxy-body-size", "1k");
    let rig = Rig::start(Site::default().rule(rule).endpoints("app", [backend.address])).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        let (mut sender, body) = channel();
        let request = client.request(Method::POST, "a.test", "/").body(body).unwrap();
        let pieces = async {
            for _ in 0..3 {
                // The gateway may have answered already.
                sender.send_data(vec![b'x'; 512].into()).await.ok();
            }
        };
        let (response, ()) = tokio::join!(client.try_send(request), pieces);
        assert_eq!(response.unwrap().status(), 413);
    }
}

#[tokio::test]
async fn an_answer_is_no_faster_than_its_limit() {
    let backend = Backend::handling(|_| async { respond(vec![b'x'; 256 * 1024]) }).await;
    let rule = Spec::to("app").annotation("limit-rate", "512").annotation("limit-rate-after", "64");
    let rig = Rig::start(Site::default().rule(rule).endpoints("app", [backend.address])).await;
    let mut client = Client::h1(rig.http).await;
    let began = Instant::now();
    let reply = client.send(client.request(Method::GET, "a.test", "/").body(full("")).unwrap()).await;
    assert_eq!(reply.body.len(), 256 * 1024);
    // 192 KiB at 512 KiB/s, less the piece that goes at once.
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
}
