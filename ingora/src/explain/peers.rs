//! `ingora explain --peers`: which endpoint would get the request, decided by the gateway's own code on what manifests say,
//! or on what a gateway that runs sees.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use controller::Loaded;
use features::{Balance, hash};
use gateway::balance::{Ask, Choice, Endpoint, Member, Members};
use serde::Deserialize;
use table::{ClusterId, Readiness};

use super::view::{Explanation, PeerView};
use crate::failure::Failure;

/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 64 << 20;

/// Now, in milliseconds of a clock that only the choice sees; slow starts end a while later.
const NOW: u64 = 1 << 30;

/// Requests in flight that are counted one by one.
const IN_FLIGHT: u32 = 1_000_000;

/// A cluster as `/peers` of a gateway shows it.
#[derive(Debug, Deserialize)]
struct Shown {
    cluster: String,
    panic: bool,
    #[serde(default)]
    limit_per_endpoint: u32,
    endpoints: Vec<Peer>,
}

#[derive(Debug, Deserialize)]
struct Peer {
    address: SocketAddr,
    state: String,
    weight: u16,
    near: bool,
    in_flight: u32,
    latency_ms: Option<f32>,
    share: f64,
}

/// What a request chooses by.
#[derive(Clone, Copy, Debug)]
pub(super) struct By {
    pub(super) balance: Balance,
    /// What hashing goes by.
    pub(super) key: Option<u64>,
}

/// What endpoints there are, and what is known of them.
struct Known {
    members: Vec<Member>,
    panic: bool,
    most: u32,
    source: String,
}

/// Chooses for the request, if it goes to an endpoint.
pub(super) fn fill(told: &mut Explanation, loaded: &Loaded, admin: Option<&str>) -> Result<(), Failure> {
    let Some((cluster, by)) = told.choice.clone() else { return Ok(()) };
    let known = match admin {
        Some(admin) => live(admin, &cluster)?,
        None => written(loaded, &cluster),
    };
    let max_percent = if known.panic { 0 } else { 100 };
    let members = Arc::new(Members::new(&known.members, &Members::default()));
    let choice = Choice::new(members, NOW, max_percent).limited(known.most);
    let ask = Ask { now: NOW, random: hash::bytes(told.request.target.as_bytes()), tried: &[], key: by.key };
    let outcomes = choice.explain(by.balance, &known.members, &ask);
    let peers = known.members.iter().zip(outcomes).map(|(member, outcome)| PeerView {
        address: member.endpoint.address().to_string(),
        chosen: outcome.chosen,
        why: outcome.why,
        share_percent: outcome.share * 100.0,
    });
    told.peers = peers.collect();
    told.peers_by = format!("chosen by {}, as {} tells", by.balance.name(), known.source);
    Ok(())
}

fn written(loaded: &Loaded, cluster: &ClusterId) -> Known {
    let endpoints = loaded.endpoints.get(cluster).into_iter().flat_map(|endpoints| &endpoints.list);
    let members = endpoints.map(|endpoint| Member {
        endpoint: Arc::new(Endpoint::new(endpoint.address)),
        weight: endpoint.weight,
        draining: endpoint.readiness == Readiness::Draining,
        near: true,
    });
    Known { members: members.collect(), panic: false, most: 0, source: "the source".to_owned() }
}

fn live(admin: &str, cluster: &ClusterId) -> Result<Known, Failure> {
    let address = admin.trim_start_matches("http://").trim_end_matches('/');
    let path = format!("/peers?{}/{}", cluster.namespace(), cluster.service());
    let body = get(address, &path).map_err(|why| {
        Failure::runtime(format!("{address} cannot be asked ({why}); name the port for health and metrics of a gateway that runs with --admin"))
    })?;
    let shown = read(&body, &cluster.to_string()).map_err(|why| Failure::runtime(format!("{address}: {why}")))?;
    let members = shown.endpoints.iter().map(member).collect();
    Ok(Known {
        members,
        panic: shown.panic,
        most: shown.limit_per_endpoint,
        source: format!("the gateway at {address}"),
    })
}

fn read(body: &str, cluster: &str) -> Result<Shown, String> {
    let all: Vec<Shown> =
        serde_json::from_str(body).map_err(|error| format!("what it answers cannot be read: {error}"))?;
    let found = all.into_iter().find(|shown| shown.cluster == cluster);
    found.ok_or_else(|| {
        format!("the gateway does not know {cluster}; send a request to it first, or correct the address")
    })
}

/// The endpoint in the state that it has there.
fn member(peer: &Peer) -> Member {
    let endpoint = Endpoint::new(peer.address);
    if peer.state == "ejected" {
        endpoint.eject();
    }
    (0..peer.in_flight.min(IN_FLIGHT)).for_each(|_| endpoint.enter());
    if let Some(latency) = peer.latency_ms {
        endpoint.assume_latency(latency * 1_000.0, NOW);
    }
    if peer.share < 1.0 {
        // As long ago as its share says.
        const LENGTH: u64 = 1_000_000;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0 and 1")]
        let passed = (peer.share.max(0.0) * 1e6) as u64;
        endpoint.start_slowly(NOW - passed, Duration::from_millis(LENGTH));
    }
    Member { endpoint: Arc::new(endpoint), weight: peer.weight, draining: peer.state == "draining", near: peer.near }
}

/// The body of an answer to a plain GET.
fn get(address: &str, path: &str) -> std::io::Result<String> {
    let resolved = address.to_socket_addrs()?.next();
    let resolved = resolved.ok_or_else(|| std::io::Error::other("it has no address"))?;
    let mut stream = TcpStream::connect_timeout(&resolved, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).unwrap_or("nothing");
    if status == "200" { Ok(body.to_owned()) } else { Err(std::io::Error::other(format!("it answers {status}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"[{"cluster": "shop/cart:80", "panic": false, "typical_ms": null, "in_flight": 0, "waiting": 0,
        "limit": 0, "limit_per_endpoint": 2, "endpoints": [
        {"address": "10.0.0.1:80", "state": "ejected", "weight": 1, "near": true, "in_flight": 0, "unanswered": 0,
         "latency_ms": null, "share": 1.0},
        {"address": "10.0.0.2:80", "state": "slow_start", "weight": 1, "near": true, "in_flight": 1, "unanswered": 0,
         "latency_ms": 2.5, "share": 0.5}]}]"#;

    #[test]
    fn what_a_gateway_tells_becomes_endpoints_in_the_same_state() {
        let shown = read(BODY, "shop/cart:80").unwrap();
        let members: Vec<_> = shown.endpoints.iter().map(member).collect();
        assert!(members[0].endpoint.is_out() && !members[1].endpoint.is_out());
        let slow = &members[1].endpoint;
        assert_eq!((slow.in_flight(), slow.latency()), (1, Some(2_500.0)));
        assert!((slow.share(NOW) - 0.5).abs() < 0.01, "{}", slow.share(NOW));
        assert_eq!(shown.limit_per_endpoint, 2);
    }

    #[test]
    fn a_cluster_that_the_gateway_does_not_know_is_told() {
        assert!(read(BODY, "shop/other:80").unwrap_err().contains("does not know shop/other:80"));
        assert!(read("<html>", "shop/cart:80").unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn a_gateway_is_asked_over_http() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let gateway = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 256];
            let length = stream.read(&mut head).unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len());
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&head[..length]).into_owned()
        });
        assert_eq!(get(&address, "/peers?shop/cart").unwrap(), BODY);
        assert!(gateway.join().unwrap().starts_with("GET /peers?shop/cart HTTP/1.1\r\n"));
        assert!(get(&address, "/").is_err(), "nobody listens any more");
    }
}
