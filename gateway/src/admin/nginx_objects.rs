//! What metrics with ingress-nginx's names tell of the table that serves.
use std::collections::HashSet;

use features::{Backend, NO_SERVICE, Route};
use table::{ClusterId, Rules, Table};

use crate::metrics::{Lack, Objects};
use crate::upstream::Registry;

/// Reads a whole table: once for each time that somebody asks.
pub(super) fn of<'t>(table: &'t Table<Route>, clusters: &Registry) -> Objects<'t> {
    let all = clusters.all();
    let serving: HashSet<&ClusterId> =
        all.iter().filter(|cluster| cluster.has_untried(&[])).map(|cluster| &cluster.id).collect();
    let certificates = table.certificates.iter().map(|(host, certificate)| (host.to_string(), &**certificate));
    let default = table.default_certificate.iter().map(|certificate| ("_".to_owned(), &**certificate));
    let mut objects = Objects { certificates: certificates.chain(default).collect(), ..Objects::default() };
    for rule in table.hosts.iter().flat_map(|(_, rules)| Rules::iter(rules)) {
        let Route { labels, backend, .. } = &rule.policy;
        let lack = match backend {
            Backend::Cluster(id) if !serving.contains(id) => Lack::Endpoint,
            // What is refused for another reason has a Service.
            Backend::Refused(NO_SERVICE) => Lack::Service,
            Backend::Cluster(_) | Backend::Refused(_) => continue,
        };
        objects.orphans.insert((labels.namespace.to_string(), labels.ingress.to_string(), lack));
    }
    let endpoints = all.iter().flat_map(|cluster| cluster.all());
    objects.in_flight = endpoints.map(|member| u64::from(member.endpoint.in_flight())).sum();
    objects
}
