//! A hand-made control plane: rules, endpoints and certificates as a scenario wants them.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use features::annotation::Config;
use features::{
    Alternative, Backend, ClusterPolicy, Data, Global, HostSettings, Input, Labels, NoObjects, Objects, Protocol,
    Route, RuleFacts, WwwRedirect,
};
use table::{
    Certificate, ClusterId, Endpoint, Endpoints, Generation, HostPattern, PathMatch, Readiness, Resolved, Rule, Rules,
    ServicePort, Stream, Table, Transport,
};

use super::Identity;

/// One rule.
#[derive(Clone)]
pub(crate) struct Spec {
    host: String,
    path: PathMatch,
    backend: Backend,
    protocol: Protocol,
    annotations: Vec<(&'static str, String)>,
    config: Option<Config>,
    objects: Held,
}

/// Secrets and ConfigMaps by name, in one namespace.
#[derive(Clone, Debug, Default)]
struct Held(BTreeMap<String, Data>);

impl Objects for Held {
    fn secret(&self, reference: &str) -> Result<Data, String> {
        self.0.get(reference).cloned().ok_or_else(|| format!("{reference} does not exist; create it"))
    }

    fn config_map(&self, reference: &str) -> Result<Data, String> {
        self.secret(reference)
    }

    fn service(&self, name: &str) -> Result<ClusterId, String> {
        Ok(Site::cluster(name))
    }
}

impl Spec {
    /// A rule for every path of `a.test` to a cluster.
    pub(crate) fn to(name: &str) -> Self {
        Self::with(Backend::Cluster(Site::cluster(name)))
    }

    /// A rule that must not serve.
    pub(crate) fn refused(why: &'static str) -> Self {
        Self::with(Backend::Refused(why))
    }

    fn with(backend: Backend) -> Self {
        let path = PathMatch::prefix("/").unwrap();
        Self {
            host: "a.test".to_owned(),
            path,
            backend,
            protocol: Protocol::Http,
            annotations: Vec::new(),
            config: None,
            objects: Held::default(),
        }
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    pub(crate) fn prefix(mut self, path: &str) -> Self {
        self.path = PathMatch::prefix(path).unwrap();
        self
    }

    pub(crate) fn exact(mut self, path: &str) -> Self {
        self.path = PathMatch::exact(path).unwrap();
        self
    }

    pub(crate) fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    pub(crate) fn annotation(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.annotations.push((name, value.into()));
        self
    }

    /// A ConfigMap of the controller's for this rule only.
    pub(crate) fn config(mut self, data: &[(&str, &str)]) -> Self {
        self.config = Some(Config::new(data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))));
        self
    }

    /// A Secret or a ConfigMap with one key.
    pub(crate) fn object(mut self, name: &str, key: &str, value: impl Into<Vec<u8>>) -> Self {
        self.objects.0.entry(name.to_owned()).or_default().insert(key.to_owned(), value.into());
        self
    }

    /// Its cluster as the canary of another one.
    pub(crate) fn alternative(&self) -> Arc<Alternative> {
        let Backend::Cluster(cluster) = &self.backend else { panic!("a canary has a cluster") };
        let offer = self.settings(false, &Config::default()).canary.expect("the annotation canary");
        Arc::new(offer.with(cluster.clone(), "default/canary".into()))
    }

    fn settings(&self, host_has_tls: bool, config: &Config) -> features::Settings {
        let facts = RuleFacts { host_has_tls };
        let (config, objects) = (self.config.as_ref().unwrap_or(config), &self.objects);
        let input = Input { config, objects, facts, protocol: self.protocol, balance: None, translate_snippets: false };
        features::read(self.annotations.iter().map(|(name, value)| (*name, &**value)), &input)
    }

    fn rule(&self, host_has_tls: bool, config: &Config) -> Arc<Rule<Route>> {
        let settings = self.settings(host_has_tls, config);
        let (service, service_port): (Arc<str>, Arc<str>) = match &self.backend {
            Backend::Cluster(id) => (id.service().clone(), id.port().to_string().into()),
            Backend::Refused(_) => Default::default(),
        };
        let labels = Labels {
            namespace: "default".into(),
            ingress: "web".into(),
            service,
            service_port,
            host: self.host.as_str().into(),
            path: self.path.as_str().into(),
        };
        let policy = Route {
            labels: Arc::new(labels),
            backend: self.backend.clone(),
            upstream: settings.upstream,
            balance: settings.balance,
            fallback: settings.fallback,
            plan: settings.plan.iter().filter_map(|feature| feature.clone().bind(self.path.as_str())).collect(),
            observe: settings.observe,
            resolved: Resolved::default(),
        };
        Arc::new(Rule { path: self.path.clone(), policy })
    }
}

/// Everything that the control plane knows.
#[derive(Default)]
pub(crate) struct Site {
    rules: Vec<Spec>,
    default_backend: Option<Spec>,
    clusters: BTreeMap<String, Vec<Endpoint>>,
    policies: BTreeMap<String, ClusterPolicy>,
    certificates: BTreeMap<String, Arc<Certificate>>,
    default_certificate: Option<Arc<Certificate>>,
    config: Config,
    /// Aliases with their hosts.
    aliases: Vec<(HostPattern, String)>,
    /// Hosts whose siblings redirect.
    siblings: Vec<String>,
    streams: Vec<Stream>,
}

impl Site {
    /// The id of a cluster.
    pub(crate) fn cluster(name: &str) -> ClusterId {
        ClusterId::new("default", name, ServicePort::Number(80))
    }

    pub(crate) fn rule(mut self, spec: Spec) -> Self {
        self.add(spec);
        self
    }

    pub(crate) fn add(&mut self, spec: Spec) {
        self.rules.push(spec);
    }

    /// The data of the controller's ConfigMap.
    pub(crate) fn config(mut self, pairs: &[(&str, &str)]) -> Self {
        self.set_config(pairs);
        self
    }

    pub(crate) fn set_config(&mut self, pairs: &[(&str, &str)]) {
        self.config = Config::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    }

    /// A further name of a host.
    pub(crate) fn alias(mut self, alias: HostPattern, host: &str) -> Self {
        self.aliases.push((alias, host.to_owned()));
        self
    }

    /// The sibling of a host (`www.` or not) redirects to it.
    pub(crate) fn www_redirect(mut self, host: &str) -> Self {
        self.siblings.push(host.to_owned());
        self
    }

    /// Gives a port to a cluster.
    pub(crate) fn stream(
        mut self,
        transport: Transport,
        port: u16,
        name: &str,
        (decode, encode): (bool, bool),
    ) -> Self {
        let cluster = Self::cluster(name);
        self.streams.push(Stream { transport, port, cluster, decode_proxy: decode, encode_proxy: encode });
        self
    }

    /// Takes all ports back.
    pub(crate) fn clear_streams(&mut self) {
        self.streams.clear();
    }

    /// Forgets all rules.
    pub(crate) fn clear_rules(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn default_backend(mut self, spec: Spec) -> Self {
        self.default_backend = Some(spec);
        self
    }

    /// The ready endpoints of a cluster.
    pub(crate) fn endpoints(mut self, name: &str, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.set_endpoints(name, addresses);
        self
    }

    pub(crate) fn set_endpoints(&mut self, name: &str, addresses: impl IntoIterator<Item = SocketAddr>) {
        let list = addresses.into_iter().map(|address| endpoint(address, Readiness::Ready)).collect();
        self.clusters.insert(name.to_owned(), list);
    }

    /// Adds an endpoint that goes away.
    pub(crate) fn add_draining(&mut self, name: &str, address: SocketAddr) {
        self.clusters.entry(name.to_owned()).or_default().push(endpoint(address, Readiness::Draining));
    }

    /// The certificate of a host pattern.
    pub(crate) fn certificate(mut self, host: &str, identity: &Identity) -> Self {
        self.set_certificate(host, identity);
        self
    }

    pub(crate) fn set_certificate(&mut self, host: &str, identity: &Identity) {
        self.set_raw_certificate(host, Arc::new(identity.certificate()));
    }

    pub(crate) fn set_raw_certificate(&mut self, host: &str, certificate: Arc<Certificate>) {
        self.certificates.insert(host.to_owned(), certificate);
    }

    pub(crate) fn clear_certificates(&mut self) {
        self.certificates.clear();
    }

    pub(crate) fn default_certificate(mut self, identity: &Identity) -> Self {
        self.default_certificate = Some(Arc::new(identity.certificate()));
        self
    }

    /// How a cluster is watched.
    pub(crate) fn policy(mut self, name: &str, policy: ClusterPolicy) -> Self {
        self.policies.insert(name.to_owned(), policy);
        self
    }

    /// The canary of a cluster; its own spec says who gets it.
    pub(crate) fn canary(mut self, main: &str, spec: Spec) -> Self {
        let canary = Some(spec.annotation("canary", "true").alternative());
        self.policies.insert(main.to_owned(), ClusterPolicy { canary, ..ClusterPolicy::default() });
        self
    }

    pub(crate) fn all_policies(&self) -> Vec<(ClusterId, Arc<ClusterPolicy>)> {
        self.policies.iter().map(|(name, policy)| (Self::cluster(name), Arc::new(policy.clone()))).collect()
    }

    pub(crate) fn all_endpoints(&self) -> Vec<(ClusterId, Arc<Endpoints>)> {
        self.clusters.keys().map(|name| self.endpoints_of(name)).collect()
    }

    pub(crate) fn endpoints_of(&self, name: &str) -> (ClusterId, Arc<Endpoints>) {
        let list = self.clusters.get(name).cloned().unwrap_or_default();
        (Self::cluster(name), Arc::new(Endpoints::new(list)))
    }

    /// Builds every rule anew, so that nothing survives by being shared.
    pub(crate) fn table(&self, generation: u64) -> Table<Route> {
        let global = Arc::new(Global::read(&self.config, &NoObjects).0);
        let mut table = Table { generation: Generation(generation), global, ..Table::default() };
        let mut hosts: BTreeMap<&str, Vec<Arc<Rule<Route>>>> = BTreeMap::new();
        for spec in &self.rules {
            let tls = self.certificates.contains_key(&spec.host);
            hosts.entry(&spec.host).or_default().push(spec.rule(tls, &self.config));
        }
        for host in hosts.keys() {
            let of_host = self.rules.iter().filter(|spec| spec.host == *host);
            let wants: Vec<_> = of_host.map(|spec| spec.settings(true, &self.config).host).collect();
            let pattern = HostPattern::parse(host).unwrap();
            table.host_settings.set(&pattern, HostSettings::merge(&wants.iter().collect::<Vec<_>>()).map(Arc::new));
        }
        for (host, rules) in hosts {
            table.hosts.set(&HostPattern::parse(host).unwrap(), Some(Arc::new(Rules::new(rules))));
        }
        for (alias, host) in &self.aliases {
            let rules = table.hosts.get(&HostPattern::parse(host).unwrap()).cloned();
            table.hosts.set(alias, rules);
        }
        for host in &self.siblings {
            let (from, feature) = WwwRedirect::sibling(&HostPattern::parse(host).unwrap(), 308).unwrap();
            let spec = self.rules.iter().find(|spec| spec.host == *host).unwrap();
            let rule = spec.rule(false, &self.config);
            let policy = Route {
                labels: rule.policy.labels.clone(),
                backend: rule.policy.backend.clone(),
                upstream: rule.policy.upstream.clone(),
                balance: rule.policy.balance,
                fallback: None,
                plan: [feature].into(),
                observe: rule.policy.observe.clone(),
                resolved: Resolved::default(),
            };
            let rule = Arc::new(Rule { path: PathMatch::prefix("/").unwrap(), policy });
            table.hosts.set(&from, Some(Arc::new(Rules::new([rule]))));
        }
        for (host, certificate) in &self.certificates {
            table.certificates.set(&HostPattern::parse(host).unwrap(), Some(certificate.clone()));
        }
        table.default_backend = self.default_backend.as_ref().map(|spec| spec.rule(false, &self.config));
        table.default_certificate.clone_from(&self.default_certificate);
        table.streams = self.streams.clone().into();
        table
    }
}

fn endpoint(address: SocketAddr, readiness: Readiness) -> Endpoint {
    Endpoint { address, readiness, weight: 1, zone: None, for_zones: [].into() }
}
