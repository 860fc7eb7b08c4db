//! What was last seen of an Ingress' status, and whose it is.
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress};

/// An address in `status.loadBalancer.ingress`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    /// A name.
    Hostname(String),
    /// An IP address as text: what the API server keeps.
    Ip(String),
}

impl Address {
    /// From a word that is one or the other.
    pub(crate) fn read(word: &str) -> Self {
        match word.parse::<std::net::IpAddr>() {
            Ok(address) => Self::Ip(address.to_string()),
            Err(_) => Self::Hostname(word.to_owned()),
        }
    }

    /// As `status.loadBalancer.ingress` of a Service and of an Ingress have it; with both, the IP address counts.
    pub(crate) fn from_parts(ip: Option<&str>, hostname: Option<&str>) -> Option<Self> {
        let filled = |text: &&str| !text.is_empty();
        let ip = ip.filter(filled).map(|ip| Self::Ip(ip.to_owned()));
        ip.or_else(|| hostname.filter(filled).map(|name| Self::Hostname(name.to_owned())))
    }
}

/// What was last seen of an Ingress' status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// `metadata.resourceVersion`: whoever writes names it, so that a write of what has changed meanwhile fails.
    pub(crate) version: String,
    /// `metadata.uid`.
    pub(crate) uid: Option<Arc<str>>,
    /// The addresses, in their order.
    pub(crate) addresses: Vec<Address>,
    /// Our name stands in `metadata.managedFields` for the status.
    pub(crate) by_us: bool,
}

impl Sighting {
    /// Of an Ingress as the API server told it.
    pub(crate) fn of(ingress: &Ingress, manager: &str) -> Self {
        let meta = &ingress.metadata;
        let written = meta.managed_fields.iter().flatten();
        let mut by_manager = written.filter(|entry| entry.manager.as_deref() == Some(manager));
        Self {
            version: meta.resource_version.clone().unwrap_or_default(),
            uid: meta.uid.as_deref().map(Arc::from),
            addresses: addresses(ingress),
            by_us: by_manager.any(|entry| entry.subresource.as_deref() == Some("status")),
        }
    }
}

fn addresses(ingress: &Ingress) -> Vec<Address> {
    let status = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = status.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    let address =
        |entry: &IngressLoadBalancerIngress| Address::from_parts(entry.ip.as_deref(), entry.hostname.as_deref());
    entries.filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_addresses_or_names() {
        assert_eq!(Address::read("192.0.2.1"), Address::Ip("192.0.2.1".to_owned()));
        assert_eq!(Address::read("2001:DB8::0001"), Address::Ip("2001:db8::1".to_owned()));
        assert_eq!(Address::read("lb.example.com"), Address::Hostname("lb.example.com".to_owned()));
        assert_eq!(Address::from_parts(Some(""), Some("")), None);
    }

    #[test]
    fn the_status_is_ours_when_our_name_stands_for_it() {
        let ingress: Ingress = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "a", "resourceVersion": "7", "managedFields": [
                {"manager": "kubectl", "operation": "Apply"},
                {"manager": "us", "operation": "Apply", "subresource": "status"},
            ]},
            "status": {"loadBalancer": {"ingress": [{"hostname": "b"}, {"ip": "192.0.2.1", "hostname": "a"}]}},
        }))
        .unwrap();
        let seen = Sighting::of(&ingress, "us");
        assert_eq!(seen.addresses, [Address::Hostname("b".to_owned()), Address::Ip("192.0.2.1".to_owned())]);
        assert!(seen.by_us && seen.version == "7");
        assert!(!Sighting::of(&ingress, "kubectl").by_us);
    }
}
