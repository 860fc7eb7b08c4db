//! A Service gets no more requests at a time than it may; the others wait in their order, for a bounded time.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use features::{Breaker, ClusterPolicy};
use futures::StreamExt;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_tungstenite::{accept_async, client_async};

use crate::support::{Backend, Client, Refusing, Reply, Rig, Scripted, Site, Spec, bounded, eventually, respond};

/// A backend that answers when it is told to.
struct Slow {
    backend: Backend,
    permits: Arc<Semaphore>,
    most: Arc<AtomicUsize>,
}

impl Slow {
    async fn start() -> Self {
        let permits = Arc::new(Semaphore::new(0));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (held, top) = (permits.clone(), most.clone());
        let backend = Backend::handling(move |_| {
            let (held, now, top) = (held.clone(), now.clone(), top.clone());
            async move {
                top.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                held.acquire().await.unwrap().forget();
                now.fetch_sub(1, SeqCst);
                respond("done")
            }
        })
        .await;
        Self { backend, permits, most }
    }

    fn address(&self) -> SocketAddr {
        self.backend.address
    }

    /// Answers so many requests, also those to come.
    fn answer(&self, number: usize) {
        self.permits.add_permits(number);
    }

    fn targets(&self) -> Vec<String> {
        self.backend.seen().into_iter().map(|seen| seen.target).collect()
    }

    async fn await_seen(&self, number: usize) {
        eventually("requests at the backend", || async { (self.targets().len() == number).then_some(()) }).await;
    }
}

const PATIENT: Breaker = Breaker {
    requests: 1,
    requests_per_endpoint: 0,
    pending: 10,
    pending_timeout: Duration::from_secs(10),
    adaptive: None,
};

fn site(endpoints: impl IntoIterator<Item = SocketAddr>, breaker: Breaker) -> Site {
    let site = Site::default().rule(Spec::to("app")).endpoints("app", endpoints);
    site.policy("app", ClusterPolicy { breaker, ..ClusterPolicy::default() })
}

/// A request on a connection of its own.
fn ask(rig: &Rig, target: &'static str) -> JoinHandle<Reply> {
    let address = rig.http;
    tokio::spawn(async move { Client::h1(address).await.get("a.test", target).await })
}

async fn waiting(rig: &Rig, number: f64) {
    eventually("the queue", || async {
        let length = rig.metrics().await.sum("ingora_upstream_queue_length", &[("service", "app")])?;
        (length - number).abs().lt(&0.5).then_some(())
    })
    .await;
}

async fn status(request: JoinHandle<Reply>) -> u16 {
    bounded("the answer", request).await.unwrap().status.as_u16()
}

#[tokio::test]
async fn who_finds_the_queue_full_is_answered_at_once_and_keeps_the_connection() {
    let slow = Slow::start().await;
    let rig = Rig::start(site([slow.address()], Breaker { pending: 1, ..PATIENT })).await;
    let first = ask(&rig, "/1");
    slow.await_seen(1).await;
    let second = ask(&rig, "/2");
    waiting(&rig, 1.0).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..3 {
        let refused = client.get("a.test", "/3").await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, Some("1")));
    }
    slow.answer(3);
    assert_eq!((status(first).await, status(second).await), (200, 200));
    assert_eq!(client.get("a.test", "/4").await.status, 200);
    assert_eq!((slow.targets(), slow.most.load(SeqCst)), (["/1", "/2", "/4"].map(str::to_owned).to_vec(), 1));
    let full = [("reason", "full"), ("service", "app")];
    assert!(
        rig.metrics().await.sum("ingora_upstream_rejections_total", &full).is_some_and(|full| (full - 3.0).abs() < 0.5)
    );
}

#[tokio::test]
async fn those_that_wait_are_served_in_their_order() {
    let slow = Slow::start().await;
    let rig = Rig::start(site([slow.address()], PATIENT)).await;
    let mut requests = vec![ask(&rig, "/0")];
    slow.await_seen(1).await;
    for (number, target) in [(1.0, "/1"), (2.0, "/2"), (3.0, "/3"), (4.0, "/4"), (5.0, "/5")] {
        requests.push(ask(&rig, target));
        waiting(&rig, number).await;
    }
    for number in 1..=6 {
        slow.await_seen(number).await;
        slow.answer(1);
    }
    for request in requests {
        assert_eq!(status(request).await, 200);
    }
    assert_eq!(slow.targets(), ["/0", "/1", "/2", "/3", "/4", "/5"]);
}

#[tokio::test]
async fn nobody_waits_longer_than_allowed() {
    let slow = Slow::start().await;
    let breaker = Breaker { pending_timeout: Duration::from_millis(150), ..PATIENT };
    let rig = Rig::start(site([slow.address()], breaker)).await;
    let first = ask(&rig, "/1");
    slow.await_seen(1).await;
    let late = bounded("the answer", ask(&rig, "/2")).await.unwrap();
    assert_eq!((late.status.as_u16(), late.header("retry-after")), (503, Some("1")));
    waiting(&rig, 0.0).await;
    slow.answer(1);
    assert_eq!(status(first).await, 200);
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_frees_its_place() {
    let slow = Slow::start().await;
    // What is not read yet is the hard case.
    let rule = Spec::to("app").annotation("proxy-request-buffering", "off");
    let mut site = site([slow.address()], PATIENT);
    site.clear_rules();
    let rig = Rig::start(site.rule(rule)).await;
    let first = ask(&rig, "/1");
    slow.await_seen(1).await;
    let mut leaves = rig.wire().await;
    leaves.send("POST /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nabc").await;
    waiting(&rig, 1.0).await;
    drop(leaves);
    waiting(&rig, 0.0).await;
    let resets = tokio::spawn({
        let mut client = Client::h2c(rig.http).await;
        async move { client.try_get("a.test", "/3").await.map(|reply| reply.status) }
    });
    waiting(&rig, 1.0).await;
    resets.abort();
    waiting(&rig, 0.0).await;
    slow.answer(2);
    assert_eq!(status(first).await, 200);
    assert_eq!(status(ask(&rig, "/4")).await, 200);
    assert_eq!(slow.targets(), ["/1", "/4"]);
}

#[tokio::test]
async fn each_endpoint_gets_no_more_than_it_may_and_a_new_one_ends_the_wait() {
    let (one, other) = (Slow::start().await, Slow::start().await);
    let breaker = Breaker { requests: 0, requests_per_endpoint: 2, ..PATIENT };
    let mut rig = Rig::start(site([one.address()], breaker)).await;
    let mut requests: Vec<_> = (0..2).map(|_| ask(&rig, "/")).collect();
    one.await_seen(2).await;
    requests.extend((0..3).map(|_| ask(&rig, "/")));
    waiting(&rig, 3.0).await;
    rig.site.set_endpoints("app", [one.address(), other.address()]);
    rig.publish().await;
    other.await_seen(2).await;
    waiting(&rig, 1.0).await;
    one.answer(5);
    other.answer(5);
    for request in requests {
        assert_eq!(status(request).await, 200);
    }
    assert_eq!((one.most.load(SeqCst), other.most.load(SeqCst)), (2, 2));
}

#[tokio::test]
async fn a_websocket_counts_until_it_ends() {
    let backend = Scripted::start(|wire| async move {
        let mut socket = accept_async(wire.into_stream()).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let breaker = Breaker { requests: 0, requests_per_endpoint: 1, pending: 0, ..PATIENT };
    let rig = Rig::start(site([backend.address], breaker)).await;
    let stream = rig.wire().await.into_stream();
    let mut socket = bounded("the upgrade", client_async("ws://a.test/", stream)).await.unwrap().0;
    assert_eq!(status(ask(&rig, "/")).await, 503);
    socket.close(None).await.unwrap();
    drop(socket);
    eventually("the place", || async {
        let stream = rig.wire().await.into_stream();
        client_async("ws://a.test/", stream).await.ok().map(drop)
    })
    .await;
}

#[tokio::test]
async fn a_retry_passes_the_limits_too_and_holds_one_place() {
    let (dead, slow) = (Refusing::new(), Slow::start().await);
    slow.answer(20);
    let rig = Rig::start(site([dead.address, slow.address()], PATIENT)).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..10 {
        assert_eq!(client.get("a.test", "/").await.status, 200);
    }
    waiting(&rig, 0.0).await;
}

#[tokio::test]
async fn many_clients_are_all_served_within_the_limits() {
    let slow = Slow::start().await;
    slow.answer(10_000);
    let breaker = Breaker { requests: 3, requests_per_endpoint: 2, pending: 1_000, ..PATIENT };
    let rig = Rig::start(site([slow.address()], breaker)).await;
    let address = rig.http;
    let clients = (0..20).map(|_| {
        tokio::spawn(async move {
            let mut client = Client::h1(address).await;
            for _ in 0..50 {
                assert_eq!(client.get("a.test", "/").await.status, 200);
            }
        })
    });
    // Each answer has a limit of time of its own; how long a thousand take is the machine's business.
    futures::future::try_join_all(clients).await.unwrap();
    assert_eq!(slow.targets().len(), 1_000);
    assert!(slow.most.load(SeqCst) <= 2, "{}", slow.most.load(SeqCst));
    waiting(&rig, 0.0).await;
}

/// A backend that works on so many requests at a time, each for 20 ms.
async fn busy(capacity: usize, most: Arc<AtomicUsize>) -> Backend {
    let (places, now) = (Arc::new(Semaphore::new(capacity)), Arc::new(AtomicUsize::new(0)));
    Backend::handling(move |_| {
        let (places, now, most) = (places.clone(), now.clone(), most.clone());
        async move {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            let place = places.acquire().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(place);
            now.fetch_sub(1, SeqCst);
            respond("done")
        }
    })
    .await
}

#[tokio::test]
async fn adaptive_concurrency_sends_about_as_much_as_a_service_can_work_on() {
    let most = Arc::new(AtomicUsize::new(0));
    let backend = busy(5, most.clone()).await;
    let breaker = Breaker { requests: 0, pending: 1_000, adaptive: std::num::NonZeroU32::new(3), ..PATIENT };
    let rig = Rig::start(site([backend.address], breaker)).await;
    let address = rig.http;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..60 {
        clients.spawn(async move {
            let mut client = Client::h1(address).await;
            loop {
                assert_eq!(client.get("a.test", "/").await.status, 200);
            }
        });
    }
    eventually("a limit above the least", || async {
        let limit = rig.metrics().await.sum("ingora_upstream_request_limit", &[("service", "app")])?;
        (limit > 4.5).then_some(())
    })
    .await;
    eventually("many answers", || async { (backend.seen().len() > 500).then_some(()) }).await;
    assert!((4..40).contains(&most.load(SeqCst)), "{}", most.load(SeqCst));
    assert!(clients.try_join_next().is_none(), "nobody was turned away");
}
