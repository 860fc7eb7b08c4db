//! Turns the DNS names of ExternalName Services into endpoints, again and again.
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use table::{ClusterId, Endpoint, Endpoints, Readiness};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use translate::ExternalName;

/// Time between two resolutions of a name.
const INTERVAL: Duration = Duration::from_secs(5);
/// Longest time between two resolutions of a name that fails.
const LONGEST: Duration = Duration::from_secs(30);

/// Finds the addresses of a name; injected so that tests need no DNS.
pub(crate) type Lookup = Arc<dyn Fn(ExternalName) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Asks the system's resolver.
pub(crate) fn system_lookup() -> Lookup {
    Arc::new(|name: ExternalName| {
        Box::pin(async move { Ok(tokio::net::lookup_host((&*name.host, name.port)).await?.collect()) })
    })
}

/// The endpoints that a name has now.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The cluster that the name stands for.
    pub(crate) cluster: ClusterId,
    /// The name; a cluster may have got another one meanwhile.
    pub(crate) name: ExternalName,
    /// What it resolved to.
    pub(crate) endpoints: Arc<Endpoints>,
}

/// Resolves names, each in a task of its own.
pub(crate) struct Resolver {
    lookup: Lookup,
    results: mpsc::Sender<Resolved>,
    tasks: BTreeMap<ClusterId, (ExternalName, AbortHandle)>,
}

impl Resolver {
    /// Sends what names resolve to, when it changes.
    pub(crate) fn new(lookup: Lookup, results: mpsc::Sender<Resolved>) -> Self {
        Self { lookup, results, tasks: BTreeMap::new() }
    }

    /// Resolves `name` for a cluster from now on, or stops.
    pub(crate) fn set(&mut self, cluster: ClusterId, name: Option<ExternalName>) {
        if self.tasks.get(&cluster).map(|(name, _)| name) == name.as_ref() {
            return;
        }
        if let Some((_, task)) = self.tasks.remove(&cluster) {
            task.abort();
        }
        if let Some(name) = name {
            let follow = follow(self.lookup.clone(), cluster.clone(), name.clone(), self.results.clone());
            self.tasks.insert(cluster, (name, tokio::spawn(follow).abort_handle()));
        }
    }

    /// Does the result belong to what is asked for now?
    pub(crate) fn is_current(&self, resolved: &Resolved) -> bool {
        self.tasks.get(&resolved.cluster).is_some_and(|(name, _)| *name == resolved.name)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.tasks.values().for_each(|(_, task)| task.abort());
    }
}

async fn follow(lookup: Lookup, cluster: ClusterId, name: ExternalName, results: mpsc::Sender<Resolved>) {
    let service = format!("{}/{}", cluster.namespace(), cluster.service());
    let mut last: Option<Arc<Endpoints>> = None;
    let mut refused: Vec<IpAddr> = Vec::new();
    let mut pause = INTERVAL;
    let mut failing = false;
    loop {
        match lookup(name.clone()).await {
            Ok(addresses) => {
                if failing {
                    tracing::info!(service, host = %name.host, "ExternalName resolves again");
                }
                (failing, pause) = (false, INTERVAL);
                let (endpoints, bad) = endpoints(addresses);
                if bad != refused && !bad.is_empty() {
                    tracing::warn!(service, host = %name.host, addresses = ?bad, "ExternalName resolves to addresses that are never forwarded to (loopback, link-local, multicast or metadata); name another host");
                }
                refused = bad;
                if last.as_ref().is_none_or(|last| **last != endpoints) {
                    let endpoints = Arc::new(endpoints);
                    last = Some(endpoints.clone());
                    let resolved = Resolved { cluster: cluster.clone(), name: name.clone(), endpoints };
                    if results.send(resolved).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(service, host = %name.host, %error, "ExternalName does not resolve; the addresses of before stay");
                } else {
                    pause = (pause * 2).min(LONGEST);
                }
                failing = true;
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Endpoints for the addresses that may be forwarded to, and the addresses that may not.
fn endpoints(addresses: Vec<SocketAddr>) -> (Endpoints, Vec<IpAddr>) {
    let (refused, good): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| is_refused(address.ip()));
    let endpoint =
        |address| Endpoint { address, readiness: Readiness::Ready, weight: 1, zone: None, for_zones: Arc::default() };
    let mut refused: Vec<_> = refused.into_iter().map(|address| address.ip()).collect();
    refused.sort();
    refused.dedup();
    (Endpoints::new(good.into_iter().map(endpoint).collect()), refused)
}

/// Is it an address that a name must never lead to: this host, its links, or a cloud's metadata service?
///
/// Whoever may create a Service could otherwise reach what only the gateway's node can.
pub(crate) fn is_refused(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_refused_v4(address),
        IpAddr::V6(address) => is_refused_v6(address) || embedded_v4(address).is_some_and(is_refused_v4),
    }
}

fn is_refused_v4(address: Ipv4Addr) -> bool {
    // Alibaba Cloud's and Oracle Cloud's metadata services; the others' are link-local.
    const METADATA: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
    let this_network = address.octets().starts_with(&[0]);
    address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || this_network
        || METADATA.contains(&address)
}

fn is_refused_v6(address: Ipv6Addr) -> bool {
    // Amazon's metadata service.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    address.is_loopback()
        || address.is_unspecified()
        || address.is_unicast_link_local()
        || address.is_multicast()
        || address == METADATA
}

/// The IPv4 address that a translator on the way makes of it: NAT64 (RFC 6052), 6to4 (RFC 3056), or the former
/// IPv4-compatible form.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use table::ServicePort;

    #[test]
    fn what_only_the_node_can_reach_is_refused() {
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.192",
            "::1",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
        ] {
            assert!(is_refused(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn other_addresses_are_not() {
        for address in [
            "10.0.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "93.184.216.34",
            "fd00::1",
            "2606:4700::1",
            "::ffff:10.0.0.1",
            "64:ff9b::808:808",
        ] {
            assert!(!is_refused(address.parse().unwrap()), "{address}");
        }
    }

    type Answer = io::Result<Vec<SocketAddr>>;

    /// Answers in order, then never again.
    fn scripted(answers: Vec<Answer>) -> Lookup {
        let answers = Mutex::new(answers.into_iter());
        Arc::new(move |_| match answers.lock().unwrap().next() {
            Some(answer) => Box::pin(async move { answer }),
            None => Box::pin(std::future::pending()),
        })
    }

    fn name() -> (ClusterId, ExternalName) {
        let cluster = ClusterId::new("ns", "svc", ServicePort::Number(80));
        (cluster, ExternalName { host: "example.com".into(), port: 80 })
    }

    fn addresses(list: &[&str]) -> Answer {
        Ok(list.iter().map(|address| address.parse().unwrap()).collect())
    }

    async fn next(results: &mut mpsc::Receiver<Resolved>) -> Vec<String> {
        let resolved = results.recv().await.unwrap();
        resolved.endpoints.list.iter().map(|endpoint| endpoint.address.to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_resolved_at_once_and_told_when_it_changes() {
        let script = vec![
            addresses(&["10.0.0.2:80", "10.0.0.1:80"]),
            addresses(&["10.0.0.1:80", "10.0.0.2:80"]),
            Err(io::Error::other("no answer")),
            addresses(&["10.0.0.3:80", "127.0.0.1:80"]),
            addresses(&["169.254.169.254:80"]),
        ];
        let (sender, mut results) = mpsc::channel(1);
        let mut resolver = Resolver::new(scripted(script), sender);
        let (cluster, name) = name();
        let start = tokio::time::Instant::now();
        resolver.set(cluster, Some(name));
        assert_eq!(next(&mut results).await, ["10.0.0.1:80", "10.0.0.2:80"]);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(next(&mut results).await, ["10.0.0.3:80"]);
        assert_eq!(start.elapsed().as_secs(), 15);
        assert!(next(&mut results).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_asked_less_and_less_often() {
        let failure = || Err(io::Error::other("no answer"));
        let script = vec![failure(), failure(), failure(), failure(), failure(), addresses(&["10.0.0.1:80"])];
        let (sender, mut results) = mpsc::channel(1);
        let mut resolver = Resolver::new(scripted(script), sender);
        let (cluster, name) = name();
        let start = tokio::time::Instant::now();
        resolver.set(cluster, Some(name));
        next(&mut results).await;
        assert_eq!(start.elapsed().as_secs(), 5 + 10 + 20 + 30 + 30);
    }

    #[tokio::test(start_paused = true)]
    async fn results_for_a_former_name_do_not_count() {
        let script = vec![addresses(&["10.0.0.1:80"]), addresses(&["10.0.0.2:80"])];
        let (sender, mut results) = mpsc::channel(1);
        let mut resolver = Resolver::new(scripted(script), sender);
        let (cluster, name) = name();
        resolver.set(cluster.clone(), Some(name.clone()));
        let former = results.recv().await.unwrap();
        assert!(resolver.is_current(&former));
        resolver.set(cluster.clone(), Some(ExternalName { port: 81, ..name }));
        assert!(!resolver.is_current(&former));
        assert!(resolver.is_current(&results.recv().await.unwrap()));
        resolver.set(cluster, None);
        assert!(!resolver.is_current(&former));
    }
}
