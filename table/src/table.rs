//! The route table: everything that a request can match, in one immutable generation.
use std::fmt;
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::host::HostPattern;
use crate::host_map::HostMap;
use crate::rules::{Rule, Rules};
use crate::stream::Stream;

/// Counts the tables of a process from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// What a match means: the type of a table's rules, and of what holds for all of them.
pub trait Policy: Sized {
    /// Settings that hold for the whole data plane.
    type Global: fmt::Debug + Default;
    /// Settings that hold for all rules of a host.
    type Host: fmt::Debug;
    /// How the endpoints of a cluster are watched, for all rules that use it.
    type Cluster: fmt::Debug;
}

/// One generation of everything that requests and handshakes are decided on. Built once, never changed; a clone
/// shares everything, so that the next generation costs what it changes.
#[derive(Debug)]
pub struct Table<P: Policy> {
    /// Which one.
    pub generation: Generation,
    /// Settings that hold for every request and connection, of whatever host.
    pub global: Arc<P::Global>,
    /// Rules by host.
    pub hosts: HostMap<Arc<Rules<P>>>,
    /// Settings of hosts that have some, by the patterns of [`Table::hosts`].
    pub host_settings: HostMap<Arc<P::Host>>,
    /// Serves what no rule matches; `None` answers 404.
    pub default_backend: Option<Arc<Rule<P>>>,
    /// Certificates by server name.
    pub certificates: HostMap<Arc<Certificate>>,
    /// Serves handshakes that no certificate covers; `None` leaves it to the gateway's self-signed one.
    pub default_certificate: Option<Arc<Certificate>>,
    /// Ports whose connections go on as bytes, sorted, each at most once.
    pub streams: Arc<[Stream]>,
}

impl<P: Policy> Default for Table<P> {
    fn default() -> Self {
        Self {
            generation: Generation::default(),
            global: Arc::default(),
            hosts: HostMap::default(),
            host_settings: HostMap::default(),
            default_backend: None,
            certificates: HostMap::default(),
            default_certificate: None,
            streams: Arc::default(),
        }
    }
}

impl<P: Policy> Clone for Table<P> {
    fn clone(&self) -> Self {
        Self {
            generation: self.generation,
            global: self.global.clone(),
            hosts: self.hosts.clone(),
            host_settings: self.host_settings.clone(),
            default_backend: self.default_backend.clone(),
            certificates: self.certificates.clone(),
            default_certificate: self.default_certificate.clone(),
            streams: self.streams.clone(),
        }
    }
}

impl<P: Policy> Table<P> {
    /// The pattern whose rules decide about a canonical host.
    #[must_use]
    pub fn deciding(&self, host: &str) -> Option<HostPattern> {
        self.hosts.candidates(host).into_iter().next().map(|(pattern, _)| pattern)
    }

    /// The settings of the pattern that decides about a canonical host, not of a lesser one that covers it too.
    #[must_use]
    pub fn settings_of(&self, host: &str) -> Option<&Arc<P::Host>> {
        if self.host_settings.is_empty() {
            return None;
        }
        self.host_settings.get(&self.deciding(host)?)
    }
}
