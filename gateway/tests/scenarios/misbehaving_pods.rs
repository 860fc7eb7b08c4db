//! One bad pod among good ones: clients hardly notice, and a pod that no connection can be trusted to never sees a request.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use features::Protocol;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{
    Backend, Client, Identity, Mood, Moody, Rig, Scripted, Site, Spec, Wire, collect, empty, eventually, full,
};

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";

fn site(spec: Spec, addresses: impl IntoIterator<Item = SocketAddr>) -> Site {
    Site::default().rule(spec).endpoints("app", addresses)
}

/// Clients that ask one after the other until told to stop; each returns what was not answered with 200.
fn load(http: SocketAddr, stop: &Arc<AtomicBool>) -> JoinSet<Vec<u16>> {
    let mut clients = JoinSet::new();
    for number in 0..4 {
        let stop = stop.clone();
        clients.spawn(async move {
            let mut client = if number % 2 == 0 { Client::h1(http).await } else { Client::h2c(http).await };
            let mut failed = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let status = client.get("a.test", "/").await.status.as_u16();
                failed.extend((status != 200).then_some(status));
            }
            failed
        });
    }
    clients
}

#[tokio::test]
async fn a_pod_that_flaps_every_second_fails_nobody() {
    let pods = [Moody::start("a").await, Moody::start("b").await, Moody::start("c").await, Moody::start("d").await];
    let spec = Spec::to("app").annotation("proxy-next-upstream", "error timeout http_503");
    let rig = Rig::start(site(spec, pods.each_ref().map(|pod| pod.address))).await;
    let stop = Arc::<AtomicBool>::default();
    let clients = load(rig.http, &stop);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    for bad in [Mood::Refuses, Mood::Errors, Mood::Breaks] {
        for mood in [bad, Mood::Good] {
            second.tick().await;
            pods[1].turn(mood).await;
        }
    }
    let before = pods[1].seen();
    eventually("requests to the pod that is well again", || async { (pods[1].seen() > before).then_some(()) }).await;
    stop.store(true, Ordering::SeqCst);
    assert_eq!(clients.join_all().await.concat(), [0; 0]);
}

async fn await_ejected(rig: &Rig) {
    eventually("the ejection", || async {
        let ejected = rig.metrics().await.sum("ingora_upstream_endpoints", &[("state", "ejected")]).unwrap();
        (ejected > 0.5).then_some(())
    })
    .await;
}

/// Sends requests, each on a connection of its own; returns how many were not answered with 200.
async fn failures(rig: &Rig, requests: usize) -> usize {
    let mut failures = 0;
    for _ in 0..requests {
        failures += usize::from(Client::h1(rig.http).await.get("a.test", "/").await.status != 200);
    }
    failures
}

#[tokio::test]
async fn a_pod_that_speaks_another_protocol_costs_three_requests_and_stays_out() {
    let plain = [Backend::echo("good").await, Backend::echo("good").await];
    let h2c = [Backend::h2c("good").await, Backend::h2c("good").await];
    let tls = [Backend::tls("good", &["http/1.1"]).await, Backend::tls("good", &["http/1.1"]).await];
    for (protocol, good, bad) in [
        (Protocol::Http, &plain, tls[0].address),
        (Protocol::Http, &plain, h2c[0].address),
        (Protocol::Https, &tls, plain[0].address),
        (Protocol::H2c, &h2c, plain[0].address),
    ] {
        let spec = Spec::to("app").protocol(protocol).annotation("proxy-next-upstream", "off");
        let rig = Rig::start(site(spec, [good[0].address, good[1].address, bad])).await;
        assert!(failures(&rig, 30).await <= 3, "{protocol:?}");
        await_ejected(&rig).await;
        assert_eq!(failures(&rig, 30).await, 0, "{protocol:?}: a probe that only connects would bring it back");
    }
}

fn verified(roots: &[&Identity]) -> Spec {
    let roots: String = roots.iter().map(|root| &*root.pem.0).collect();
    Spec::to("app")
        .annotation("backend-protocol", "HTTPS")
        .annotation("proxy-ssl-secret", "tls")
        .annotation("proxy-ssl-verify", "on")
        .annotation("proxy-ssl-name", "inside.test")
        .object("tls", "ca.crt", roots)
}

#[tokio::test]
async fn a_pod_whose_certificate_has_expired_sees_no_request_and_the_others_serve() {
    let (valid, expired) = (Identity::ecdsa(&["inside.test"]), Identity::expired(&["inside.test"]));
    let good = Backend::accepting("good", valid.acceptor(&[])).await;
    let bad = Backend::accepting("bad", expired.acceptor(&[])).await;
    let rig = Rig::start(site(verified(&[&valid, &expired]), [good.address, bad.address])).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        for _ in 0..4 {
            assert_eq!(client.get("a.test", "/").await.text(), "good");
            assert_eq!(client.post("a.test", "/", "body").await.text(), "body");
        }
    }
    let rig = Rig::start(site(verified(&[&valid, &expired]), [bad.address])).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 502);
    assert_eq!(bad.seen().len(), 0);
}

/// Ends a connection with RST instead of FIN.
fn reset(wire: Wire<TcpStream>) {
    wire.into_stream().set_zero_linger().unwrap();
}

/// Answers with the begin of something, and resets the connection when it may.
async fn resetting(begin: &'static str, may: &Arc<Semaphore>, asked: &Arc<AtomicUsize>) -> Scripted {
    let (may, asked) = (may.clone(), asked.clone());
    Scripted::start(move |mut wire| {
        let (may, asked) = (may.clone(), asked.clone());
        async move {
            if wire.try_head().await.is_some() {
                asked.fetch_add(1, Ordering::SeqCst);
                wire.send(begin).await;
                may.acquire().await.unwrap().forget();
                reset(wire);
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_reset_within_the_head_goes_to_another_pod() {
    let always = Arc::new(Semaphore::new(1_000));
    let bad = resetting("HTTP/1.1 200 OK\r\nContent-Len", &always, &Arc::default()).await;
    let good = Backend::echo("good").await;
    let rig = Rig::start(site(Spec::to("app"), [bad.address, good.address])).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        for _ in 0..4 {
            assert_eq!(client.get("a.test", "/").await.text(), "good");
        }
    }
    let rig = Rig::start(site(Spec::to("app"), [bad.address])).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 502);
}

#[tokio::test]
async fn a_reset_within_the_body_is_never_a_whole_answer_and_never_asked_again() {
    for begin in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ] {
        let (may, asked) = (Arc::new(Semaphore::new(0)), Arc::default());
        let pods = [resetting(begin, &may, &asked).await, resetting(begin, &may, &asked).await];
        let rig = Rig::start(site(Spec::to("app"), pods.each_ref().map(|pod| pod.address))).await;
        for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
            let request = client.request(http::Method::GET, "a.test", "/").body(empty()).unwrap();
            let begun = client.try_send(request).await.unwrap();
            assert_eq!(begun.status(), 200);
            may.add_permits(1);
            let whole = collect(begun).await;
            assert!(whole.is_err(), "{begin:?} became {whole:?}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}

/// Serves a few requests on each connection and closes it under the next one, when that has been sent already.
async fn closing_under(served: usize, close: fn(Wire<TcpStream>)) -> Scripted {
    Scripted::start(move |mut wire| async move {
        for _ in 0..served {
            let Some(head) = wire.try_head().await else { return };
            wire.body(&head).await;
            if wire.try_send(GOOD).await.is_err() {
                return;
            }
        }
        if let Some(head) = wire.try_head().await {
            wire.body(&head).await;
            close(wire);
        }
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_closes_under_a_request_is_nothing_a_client_sees() {
    let closes: [fn(Wire<TcpStream>); 2] = [drop, reset];
    for close in closes {
        let pod = closing_under(2, close).await;
        let rig = Rig::start(site(Spec::to("app"), [pod.address])).await;
        for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
            for _ in 0..15 {
                assert_eq!(client.get("a.test", "/").await.text(), "good");
                let request = client.request(http::Method::PUT, "a.test", "/").body(full("body"));
                assert_eq!(client.send(request.unwrap()).await.text(), "good", "the body is sent again");
            }
        }
        let ejected = rig.metrics().await.sum("ingora_upstream_ejections_total", &[("service", "app")]);
        assert_eq!(ejected.unwrap_or_default(), 0.0, "it is no fault of the pod's");
    }
}

#[tokio::test]
async fn a_kept_connection_that_is_closed_already_is_used_for_nothing_not_even_a_post() {
    let closes: [fn(Wire<TcpStream>); 2] = [drop, reset];
    for close in closes {
        let (may, closed) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (permits, done) = (may.clone(), closed.clone());
        let pod = Scripted::start(move |mut wire| {
            let (permits, done) = (permits.clone(), done.clone());
            async move {
                let head = wire.head().await;
                wire.body(&head).await;
                wire.send(GOOD).await;
                permits.acquire().await.unwrap().forget();
                close(wire);
                done.add_permits(1);
            }
        })
        .await;
        let rig = Rig::start(site(Spec::to("app"), [pod.address])).await;
        for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
            for body in ["", "body"].repeat(20) {
                assert_eq!(client.post("a.test", "/", body).await.text(), "good");
                may.add_permits(1);
                closed.acquire().await.unwrap().forget();
            }
        }
    }
}

/// Speaks HTTP/2: answers the first stream of each connection with 200, announces the end and refuses all further ones.
async fn going_away_after_one() -> Scripted {
    Scripted::start(|mut wire| async move {
        wire.exact(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()).await;
        wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        let mut answered = false;
        loop {
            let head = wire.exact(9).await;
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            wire.exact(length).await;
            let stream = &head[5..];
            let reply = match (head[3], answered) {
                // The block of one byte says :status 200; then GOAWAY without an error names this stream as the last.
                (1, false) => {
                    [&[0, 0, 1, 1, 5][..], stream, &[0x88, 0, 0, 8, 7, 0, 0, 0, 0, 0], stream, &[0; 4]].concat()
                }
                // RST_STREAM with REFUSED_STREAM.
                (1, true) => [&[0, 0, 4, 3, 0][..], stream, &[0, 0, 0, 7]].concat(),
                (7, _) => return,
                _ => continue,
            };
            answered = true;
            if wire.try_send(reply).await.is_err() {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_pod_that_goes_away_after_each_answer_serves_every_request() {
    let pod = going_away_after_one().await;
    let rig = Rig::start(site(Spec::to("app").protocol(Protocol::H2c), [pod.address])).await;
    for mut client in [Client::h1(rig.http).await, Client::h2c(rig.http).await] {
        for _ in 0..10 {
            assert_eq!(client.get("a.test", "/").await.status, 200);
            assert_eq!(client.post("a.test", "/", "body").await.status, 200);
        }
    }
}
