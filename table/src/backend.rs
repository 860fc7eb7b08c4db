//! Where requests go: clusters (the endpoints of one service port) and their endpoints.
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A port of a Service as an Ingress names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServicePort {
    /// By number.
    Number(u16),
    /// By name.
    Name(Arc<str>),
    /// By number, of those that take UDP.
    Udp(u16),
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => fmt::Display::fmt(number, f),
            Self::Name(name) => f.write_str(name),
            Self::Udp(number) => write!(f, "{number}/UDP"),
        }
    }
}

/// The endpoints of one service port, shared by all rules that use it: the stable key of all upstream state.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(Arc<(Arc<str>, Arc<str>, ServicePort)>);

impl ClusterId {
    /// The cluster of a port of a Service.
    #[must_use]
    pub fn new(namespace: &str, service: &str, port: ServicePort) -> Self {
        Self(Arc::new((namespace.into(), service.into(), port)))
    }

    /// Namespace of the Service.
    #[must_use]
    pub fn namespace(&self) -> &Arc<str> {
        &self.0.0
    }

    /// Name of the Service.
    #[must_use]
    pub fn service(&self) -> &Arc<str> {
        &self.0.1
    }

    /// Port of the Service.
    #[must_use]
    pub fn port(&self) -> &ServicePort {
        &self.0.2
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace(), self.service(), self.port())
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// May an endpoint get requests?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Readiness {
    /// Yes (`conditions.ready`).
    Ready,
    /// Only when no endpoint of the cluster is ready (`serving` and `terminating`).
    Draining,
}

/// One pod behind a service port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// May it get requests?
    pub readiness: Readiness,
    /// Its share of the requests, relative to the other endpoints of the cluster; with 0 it gets none unless all have 0.
    pub weight: u16,
    /// The zone it runs in.
    pub zone: Option<Arc<str>>,
    /// The zones whose traffic it should take (EndpointSlice `hints.forZones`); empty for all.
    pub for_zones: Arc<[Arc<str>]>,
}

/// All endpoints of a cluster: sorted by address, without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// The endpoints.
    pub list: Vec<Endpoint>,
}

impl Endpoints {
    /// Sorts and removes duplicates; of two entries for one address the readier stays.
    #[must_use]
    pub fn new(mut list: Vec<Endpoint>) -> Self {
        list.sort();
        list.dedup_by(|later, first| later.address == first.address);
        Self { list }
    }

    /// The endpoints that may get requests now: the ready ones, or else the draining ones.
    pub fn eligible(&self) -> impl Iterator<Item = &Endpoint> {
        let wanted = self.list.iter().map(|endpoint| endpoint.readiness).min();
        self.list.iter().filter(move |endpoint| Some(endpoint.readiness) == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str, readiness: Readiness) -> Endpoint {
        Endpoint { address: address.parse().unwrap(), readiness, weight: 1, zone: None, for_zones: [].into() }
    }

    #[test]
    fn duplicates_keep_the_readier() {
        let list = vec![endpoint("10.0.0.1:80", Readiness::Draining), endpoint("10.0.0.1:80", Readiness::Ready)];
        assert_eq!(Endpoints::new(list).list, [endpoint("10.0.0.1:80", Readiness::Ready)]);
    }

    #[test]
    fn draining_endpoints_serve_only_alone() {
        let draining = endpoint("10.0.0.1:80", Readiness::Draining);
        let ready = endpoint("10.0.0.2:80", Readiness::Ready);
        let both = Endpoints::new(vec![draining.clone(), ready.clone()]);
        assert_eq!(both.eligible().collect::<Vec<_>>(), [&ready]);
        let alone = Endpoints::new(vec![draining.clone()]);
        assert_eq!(alone.eligible().collect::<Vec<_>>(), [&draining]);
    }

    #[test]
    fn a_cluster_reads_as_users_write_it() {
        assert_eq!(ClusterId::new("ns", "svc", ServicePort::Number(80)).to_string(), "ns/svc:80");
    }
}
