//! What the integration tests share: manifests to objects, and output as text.
#![expect(clippy::panic, reason = "a test that cannot go on must stop")]
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use features::{Backend, ClusterPolicy, Protocol, Route};
use serde::{Deserialize, Serialize};
use table::{ClusterId, Endpoints, HostMap, Rule, Stream, Table};
use translate::{ExternalName, Object, Output};

/// One manifest to an object; its kind decides which.
pub(crate) fn object(value: serde_json::Value) -> Object {
    let kind = value.get("kind").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let read = || -> Result<Object, serde_json::Error> {
        Ok(match &*kind {
            "Ingress" => Object::Ingress(Arc::new(serde_json::from_value(value)?)),
            "IngressClass" => Object::IngressClass(Arc::new(serde_json::from_value(value)?)),
            "Service" => Object::Service(Arc::new(serde_json::from_value(value)?)),
            "EndpointSlice" => Object::EndpointSlice(Arc::new(serde_json::from_value(value)?)),
            "ConfigMap" => Object::ConfigMap(Arc::new(serde_json::from_value(value)?)),
            "Pod" => Object::Pod(Arc::new(serde_json::from_value(value)?)),
            "Secret" => Object::Secret(Arc::new(serde_json::from_value(value)?)),
            other => panic!("kind {other:?}"),
        })
    };
    read().unwrap_or_else(|error| panic!("{kind}: {error}"))
}

/// Everything that the data plane holds after some outputs, as text that can be compared and read.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Picture {
    /// Rules by host and path: where they come from and lead to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) hosts: BTreeMap<String, BTreeMap<String, String>>,
    /// Who may pass with which certificate, by host.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) client_auth: BTreeMap<String, String>,
    /// Hosts whose TLS the endpoints end.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) passthrough: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_backend: Option<String>,
    /// Secrets by host.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) certificates: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_certificate: Option<String>,
    /// Clusters by port.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) streams: BTreeMap<String, String>,
    /// Endpoints by cluster.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) endpoints: BTreeMap<String, Vec<String>>,
    /// Policies by cluster, where they are not the default.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) policies: BTreeMap<String, Vec<String>>,
    /// DNS names by cluster.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) external: BTreeMap<String, String>,
}

/// What the data plane would hold: it takes outputs in as they come.
#[derive(Default)]
pub(crate) struct Plane {
    pub(crate) table: Arc<Table<Route>>,
    pub(crate) endpoints: BTreeMap<ClusterId, Arc<Endpoints>>,
    pub(crate) external: BTreeMap<ClusterId, ExternalName>,
    pub(crate) policies: BTreeMap<ClusterId, Arc<ClusterPolicy>>,
}

impl Plane {
    pub(crate) fn take(&mut self, output: &Output) {
        for (id, name) in &output.external {
            match name {
                Some(name) => {
                    self.endpoints.remove(id);
                    self.external.insert(id.clone(), name.clone());
                }
                None => assert!(self.external.remove(id).is_some(), "{id} was not external"),
            }
        }
        for (id, policy) in &output.policies {
            self.policies.insert(id.clone(), policy.clone());
        }
        for (id, endpoints) in &output.endpoints {
            assert!(!self.external.contains_key(id), "{id} is external");
            self.endpoints.insert(id.clone(), endpoints.clone());
        }
        if let Some(table) = &output.table {
            assert!(table.generation > self.table.generation);
            self.table = table.clone();
        }
        for id in &output.retired {
            self.endpoints.remove(id);
            self.policies.remove(id);
            assert!(!self.external.contains_key(id), "{id} is still external");
        }
    }

    pub(crate) fn picture(&self) -> Picture {
        let certificates = |map: &HostMap<Arc<table::Certificate>>| {
            map.iter().map(|(host, certificate)| (host.to_string(), certificate.source.to_string())).collect()
        };
        Picture {
            hosts: self
                .table
                .hosts
                .iter()
                .map(|(host, rules)| {
                    (host.to_string(), rules.expressions().map(|(regex, rule)| row(regex, rule)).collect())
                })
                .collect(),
            client_auth: self
                .table
                .host_settings
                .iter()
                .filter_map(|(host, settings)| Some((host, settings.client_auth.as_ref()?)))
                .map(|(host, auth)| {
                    (host.to_string(), format!("{:?}, {} authorities", auth.mode, auth.authorities.len()))
                })
                .collect(),
            passthrough: self
                .table
                .host_settings
                .iter()
                .filter(|(_, settings)| settings.passthrough)
                .map(|(host, _)| host.to_string())
                .collect(),
            default_backend: self.table.default_backend.as_deref().map(destination),
            certificates: certificates(&self.table.certificates),
            default_certificate: self
                .table
                .default_certificate
                .as_ref()
                .map(|certificate| certificate.source.to_string()),
            streams: self.table.streams.iter().map(stream).collect(),
            endpoints: self.endpoints.iter().map(|(id, list)| (id.to_string(), endpoints(list))).collect(),
            policies: self
                .policies
                .iter()
                .map(|(id, policy)| (id.to_string(), policy_text(policy)))
                .filter(|(_, text)| !text.is_empty())
                .collect(),
            external: self
                .external
                .iter()
                .map(|(id, name)| (id.to_string(), format!("{}:{}", name.host, name.port)))
                .collect(),
        }
    }
}

fn row(regex: Option<&table::PathRegex>, rule: &Rule<Route>) -> (String, String) {
    let path = match (regex, &rule.path) {
        (Some(regex), _) => format!("Regex {}", regex.as_str()),
        (None, table::PathMatch::Exact(_)) => format!("Exact {}", rule.path.as_str()),
        (None, table::PathMatch::Prefix(_)) => format!("Prefix {}", rule.path.as_str()),
    };
    (path, format!("{} -> {}", owner(rule), destination(rule)))
}

fn stream(stream: &Stream) -> (String, String) {
    let proxy = |is: bool, text| if is { text } else { "" };
    let (decode, encode) = (proxy(stream.decode_proxy, ", decode"), proxy(stream.encode_proxy, ", encode"));
    (format!("{} {}", stream.transport, stream.port), format!("{}{decode}{encode}", stream.cluster))
}

/// The Ingress that a rule comes from.
pub(crate) fn owner(rule: &Rule<Route>) -> String {
    format!("{}/{}", rule.policy.labels.namespace, rule.policy.labels.ingress)
}

/// Where a rule leads, how, and through which features.
pub(crate) fn destination(rule: &Rule<Route>) -> String {
    let mut text = match &rule.policy.backend {
        Backend::Cluster(id) => id.to_string(),
        Backend::Refused(why) => format!("503 {why}"),
    };
    if rule.policy.upstream.protocol != Protocol::Http {
        text += &format!(" {:?}", rule.policy.upstream.protocol);
    }
    if rule.policy.upstream.http_10 {
        text += " in HTTP/1.0";
    }
    if rule.policy.upstream.gather != features::Upstream::default().gather
        && !rule.policy.upstream.protocol.speaks_http2_only()
    {
        text += &match rule.policy.upstream.gather {
            Some(memory) => format!(", bodies whole with {memory} in memory"),
            None => ", bodies as they come".to_owned(),
        };
    }
    if let Some(tls) = &rule.policy.upstream.tls {
        text += &format!(" as {}", tls.name);
    }
    if rule.policy.balance != features::Balance::default() {
        text += &format!(", by {}", rule.policy.balance.name());
    }
    for feature in &rule.policy.plan {
        text += &format!(", {}", feature.name());
    }
    text
}

/// The fields of a policy that differ from the default.
fn policy_text(policy: &ClusterPolicy) -> Vec<String> {
    let default = ClusterPolicy::default();
    let mut text = Vec::new();
    if let Some(check) = &policy.check {
        let port = check.port.map(|port| format!(", port {port}")).unwrap_or_default();
        let (every, within) = (check.interval, check.timeout);
        text.push(format!("check {:?}", check.kind));
        text.push(format!("every {every:?} within {within:?}, rise {}, fall {}{port}", check.rise, check.fall));
    }
    if policy.ejection != default.ejection {
        text.push(format!("{:?}", policy.ejection));
    }
    if (policy.slow_start, policy.slow_start_new) != (default.slow_start, default.slow_start_new) {
        text.push(format!("slow start {:?}", policy.slow_start));
    }
    if policy.service_upstream {
        text.push("cluster IP".to_owned());
    }
    if let Some(canary) = &policy.canary {
        text.push(format!("canary {canary}"));
    }
    if !policy.hold.is_zero() {
        text.push(format!("hold {:?}", policy.hold));
    }
    if policy.breaker != default.breaker {
        text.push(format!("{:?}", policy.breaker));
    }
    text
}

fn endpoints(endpoints: &Endpoints) -> Vec<String> {
    let show = |endpoint: &table::Endpoint| {
        let mut text = format!("{} {:?}", endpoint.address, endpoint.readiness);
        if endpoint.weight != 1 {
            text += &format!(", weight {}", endpoint.weight);
        }
        if let Some(zone) = &endpoint.zone {
            text += &format!(", in {zone}");
        }
        if !endpoint.for_zones.is_empty() {
            text += &format!(", for {}", endpoint.for_zones.join(" "));
        }
        text
    };
    endpoints.list.iter().map(show).collect()
}
