//! A request that an endpoint fails goes to another one when its rule says so, and only then.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Backend, Client, Refusing, Rig, Scripted, Site, Spec};

const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";

fn site(spec: Spec, addresses: impl IntoIterator<Item = std::net::SocketAddr>) -> Site {
    Site::default().rule(spec).endpoints("app", addresses)
}

/// Requests of clients; probes of an ejected endpoint are none.
fn requests(backend: &Scripted) -> usize {
    backend.heads().iter().filter(|head| head.first.starts_with("GET")).count()
}

fn asking(conditions: &'static str) -> Spec {
    Spec::to("app").annotation("proxy-next-upstream", conditions)
}

#[tokio::test]
async fn a_listed_status_goes_elsewhere_and_another_one_does_not() {
    let (busy, good) = (Scripted::answering(UNAVAILABLE).await, Backend::echo("good").await);
    let rig = Rig::start(site(asking("http_503"), [busy.address, good.address])).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        for _ in 0..6 {
            assert_eq!(client.get("a.test", "/").await.text(), "good");
        }
    }
    let rig = Rig::start(site(asking("http_502"), [busy.address])).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.text(), "busy");
}

#[tokio::test]
async fn the_last_answer_passes_as_it_is() {
    let busy = [Scripted::answering(UNAVAILABLE).await, Scripted::answering(UNAVAILABLE).await];
    let addresses = busy.each_ref().map(|busy| busy.address);
    let rig = Rig::start(site(asking("http_503"), addresses)).await;
    let reply = Client::h1(rig.http).await.get("a.test", "/").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (503, "busy"));
    let asked: usize = busy.iter().map(requests).sum();
    assert_eq!(asked, 3, "as many as there are tries");
}

#[tokio::test]
async fn tries_have_a_limit() {
    let busy = Scripted::answering(UNAVAILABLE).await;
    let spec = asking("http_503").annotation("proxy-next-upstream-tries", "2");
    let rig = Rig::start(site(spec, [busy.address])).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 503);
    assert_eq!(requests(&busy), 2);
}

#[tokio::test]
async fn all_tries_that_are_written_are_made() {
    for (tries, made) in [("40", 40), ("0", 16)] {
        let busy = Scripted::answering(UNAVAILABLE).await;
        let spec = asking("http_503").annotation("proxy-next-upstream-tries", tries);
        let rig = Rig::start(site(spec, [busy.address])).await;
        assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 503);
        assert_eq!(requests(&busy), made);
    }
}

#[tokio::test]
async fn a_lone_endpoint_that_refuses_gets_its_tries() {
    let dead = Refusing::new();
    let rig = Rig::start(site(Spec::to("app"), [dead.address])).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        assert_eq!(client.post("a.test", "/", "body").await.status, 502);
    }
    let metrics = rig.metrics().await;
    let refused = metrics.sum("ingora_upstream_connects_total", &[("service", "app"), ("result", "refused")]);
    assert_eq!(refused, Some(6.0));
}

#[tokio::test]
async fn what_may_have_an_effect_is_sent_again_only_when_the_rule_says_so() {
    let (busy, good) = (Scripted::answering(UNAVAILABLE).await, Backend::echo("good").await);
    let mut seen = [false, false];
    let rig = Rig::start(site(asking("http_503"), [busy.address, good.address])).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..6 {
        seen[usize::from(client.post("a.test", "/", "body").await.status == 503)] = true;
    }
    assert_eq!(seen, [true, true]);
    let rig = Rig::start(site(asking("http_503 non_idempotent"), [busy.address, good.address])).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..6 {
        assert_eq!(client.post("a.test", "/", "body").await.text(), "body", "the body is sent again");
    }
}

#[tokio::test]
async fn a_body_too_large_to_keep_is_not_sent_again() {
    let (busy, good) = (Scripted::answering(UNAVAILABLE).await, Backend::echo("good").await);
    let rule = asking("http_503 non_idempotent").annotation("proxy-request-buffering", "off");
    let rig = Rig::start(site(rule, [busy.address, good.address])).await;
    let mut client = Client::h1(rig.http).await;
    let large = vec![b'x'; 100_000];
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(client.post("a.test", "/", large.clone()).await.status.as_u16());
    }
    assert!(statuses.contains(&503) && statuses.contains(&200), "{statuses:?}");
}

/// Takes the request and closes without an answer.
async fn closing() -> Scripted {
    Scripted::start(|mut wire| async move {
        let head = wire.head().await;
        wire.body(&head).await;
    })
    .await
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_tried_elsewhere() {
    let (bad, good) = (closing().await, Backend::echo("good").await);
    let rig = Rig::start(site(Spec::to("app"), [bad.address, good.address])).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        for _ in 0..6 {
            assert_eq!(client.get("a.test", "/").await.text(), "good");
        }
    }
}

#[tokio::test]
async fn off_means_off() {
    let dead = Refusing::new();
    let good = Backend::echo("good").await;
    let bad = closing().await;
    for address in [dead.address, bad.address] {
        let rig = Rig::start(site(asking("off"), [address, good.address])).await;
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(Client::h1(rig.http).await.get("a.test", "/").await.status.as_u16());
        }
        assert!(statuses.contains(&502), "{statuses:?}");
    }
}

/// Takes requests and says nothing.
async fn hanging() -> Scripted {
    Scripted::start(|mut wire| async move {
        wire.rest().await;
    })
    .await
}

#[tokio::test]
async fn an_endpoint_that_hangs_costs_one_try_timeout() {
    let (bad, good) = (hanging().await, Backend::echo("good").await);
    let spec = Spec::to("app").annotation("ingora.io/try-timeout", "100ms");
    let rig = Rig::start(site(spec, [bad.address, good.address])).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        for _ in 0..4 {
            assert_eq!(client.get("a.test", "/").await.text(), "good");
        }
    }
}

#[tokio::test]
async fn endpoints_that_hang_get_the_tries_that_there_are_and_then_the_answer_is_504() {
    let asked = Arc::new(AtomicUsize::new(0));
    let silent = || {
        let asked = asked.clone();
        Scripted::start(move |mut wire| {
            let asked = asked.clone();
            async move {
                wire.head().await;
                asked.fetch_add(1, Ordering::SeqCst);
                wire.rest().await;
            }
        })
    };
    let (one, other) = (silent().await, silent().await);
    let spec = || Spec::to("app").annotation("ingora.io/try-timeout", "100ms");
    for (spec, addresses, tries) in [
        (spec(), vec![one.address, other.address], 3),
        (spec(), vec![one.address], 3),
        (spec().annotation("proxy-next-upstream-tries", "2"), vec![one.address], 2),
        (spec().annotation("proxy-next-upstream", "error"), vec![one.address], 1),
    ] {
        let rig = Rig::start(site(spec, addresses)).await;
        let before = asked.load(Ordering::SeqCst);
        assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 504);
        assert_eq!(asked.load(Ordering::SeqCst) - before, tries);
    }
}

#[tokio::test]
async fn the_time_for_a_request_ends_it_whatever_is_left_to_try() {
    let (one, other) = (hanging().await, hanging().await);
    let spec = Spec::to("app").annotation("ingora.io/request-timeout", "200ms");
    let rig = Rig::start(site(spec, [one.address, other.address])).await;
    let began = Instant::now();
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 504);
    assert!(began.elapsed() < Duration::from_secs(5), "far below the read timeout");
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_the_request_may_is_cut() {
    let endless = Scripted::start(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        while wire.try_send("1\r\nx\r\n").await.is_ok() {
            pace.tick().await;
        }
    })
    .await;
    let spec = Spec::to("app").annotation("ingora.io/request-timeout", "300ms");
    let rig = Rig::start(site(spec, [endless.address])).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        assert!(client.try_get("a.test", "/").await.is_err());
    }
}

#[tokio::test]
async fn without_a_budget_there_is_no_retry() {
    let busy = Scripted::answering(UNAVAILABLE).await;
    let spec = asking("http_503")
        .annotation("ingora.io/retry-budget-percent", "0")
        .annotation("ingora.io/retry-budget-min", "0");
    let rig = Rig::start(site(spec, [busy.address])).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..5 {
        assert_eq!(client.get("a.test", "/").await.status, 503);
    }
    assert_eq!(requests(&busy), 5);
    let denied = rig.metrics().await.sum("ingora_upstream_retries_denied_total", &[("service", "app")]);
    assert_eq!(denied, Some(5.0));
}

#[tokio::test]
async fn an_outage_gets_a_fifth_more_requests_and_not_three_times_as_many() {
    let busy = Scripted::answering(UNAVAILABLE).await;
    let spec = asking("http_503").annotation("ingora.io/retry-budget-min", "0");
    let rig = Rig::start(site(spec, [busy.address])).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..200 {
        assert_eq!(client.get("a.test", "/").await.status, 503);
    }
    let asked = requests(&busy);
    assert!((201..=240).contains(&asked), "{asked}");
}

#[tokio::test]
async fn retries_are_counted_by_reason() {
    let (busy, good) = (Scripted::answering(UNAVAILABLE).await, Backend::echo("good").await);
    let rig = Rig::start(site(asking("http_503"), [busy.address, good.address])).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..4 {
        client.get("a.test", "/").await;
    }
    let metrics = rig.metrics().await;
    let reason = |reason| metrics.sum("ingora_upstream_retries_total", &[("service", "app"), ("reason", reason)]);
    assert!(reason("status").unwrap() >= 1.0);
    assert_eq!(reason("timeout"), Some(0.0));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_work_at_the_endpoint() {
    let (gone, left) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (asked, ended) = (gone.clone(), left.clone());
    let backend = Scripted::start(move |mut wire| {
        let (asked, ended) = (asked.clone(), ended.clone());
        async move {
            wire.head().await;
            asked.notify_one();
            wire.rest().await;
            ended.notify_one();
        }
    })
    .await;
    let rig = Rig::start(site(Spec::to("app"), [backend.address])).await;
    let mut wire = rig.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    crate::support::bounded("the request", gone.notified()).await;
    drop(wire);
    crate::support::bounded("the end of the endpoint's connection", left.notified()).await;
}

/// One HTTP/2 frame: type, stream and payload.
async fn frame(wire: &mut crate::support::Wire) -> (u8, [u8; 4], Vec<u8>) {
    let head = wire.exact(9).await;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    (head[3], [head[5], head[6], head[7], head[8]], wire.exact(length).await)
}

/// Speaks HTTP/2 as far as the head of each request, and says `last` about its stream.
async fn refusing_streams(last: fn([u8; 4]) -> Vec<u8>) -> Scripted {
    Scripted::start(move |mut wire| async move {
        wire.exact(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()).await;
        wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        loop {
            let (kind, stream, _) = frame(&mut wire).await;
            if kind == 1 && wire.try_send(last(stream)).await.is_err() {
                break;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_stream_that_was_not_processed_goes_elsewhere_whatever_the_method() {
    let refused = |stream: [u8; 4]| [&[0, 0, 4, 3, 0][..], &stream, &[0, 0, 0, 7]].concat();
    let going_away = |_| [&[0, 0, 8, 7, 0, 0, 0, 0, 0][..], &[0; 8]].concat();
    for bad in [refusing_streams(refused).await, refusing_streams(going_away).await] {
        let good = Backend::h2c("good").await;
        let spec = Spec::to("app").annotation("backend-protocol", "GRPC");
        let rig = Rig::start(site(spec, [bad.address, good.address])).await;
        let mut client = Client::h2c(rig.http).await;
        for _ in 0..4 {
            assert_eq!(client.post("a.test", "/", "body").await.text(), "body");
        }
    }
}
