//! The rules of one Ingress.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use features::annotation::{Config, OnError};
use features::{
    Backend, Balance, ClusterSettings, Configured, HostSettings, Input, Labels, NoObjects, Resolved, Route, RuleFacts,
    Settings, Upstream, WwwRedirect,
};
use k8s_openapi::api::networking::v1::{Ingress, IngressSpec};
use table::{ClusterId, HostPattern, PathMatch, Rule, Rules};

use crate::annotations::Annotations;
use crate::backends::{Backends, Target};
use crate::canary::CanaryRule;
use crate::dependents::Dependency;
use crate::further_hosts::Sibling;
use crate::notes::Notes;
use crate::options::Options;
use crate::paths::{self, PathType};
use crate::referred::Referred;
use crate::snapshot::{Key, Snapshot};
use crate::text::Quoted;
use crate::tls::parent;

/// Where in an Ingress a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// `spec.rules[rule].http.paths[path]`.
    Path { rule: u32, path: u32 },
    /// `spec.defaultBackend`.
    DefaultBackend,
    /// The annotation `app-root`, which has the root of each host.
    AppRoot,
}

impl Place {
    /// The field that holds the backend.
    pub(crate) fn backend(self) -> String {
        match self {
            Self::Path { .. } => format!("{self}.backend"),
            Self::DefaultBackend | Self::AppRoot => self.to_string(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { rule, path } => write!(f, "spec.rules[{rule}].http.paths[{path}]"),
            Self::DefaultBackend => f.write_str("spec.defaultBackend"),
            Self::AppRoot => f.write_str("annotation app-root"),
        }
    }
}

/// A rule that wants to be in the table.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) place: Place,
    /// The path as written: a regular expression if those of the host are.
    pub(crate) text: Arc<str>,
    pub(crate) path_type: PathType,
    /// Its Ingress turns the paths of the host into regular expressions.
    pub(crate) forces_regex: bool,
    pub(crate) rule: Arc<Rule<Route>>,
}

impl Candidate {
    /// Is it the very same?
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.place == other.place
            && self.text == other.text
            && self.path_type == other.path_type
            && self.forces_regex == other.forces_regex
            && Arc::ptr_eq(&self.rule, &other.rule)
    }
}

/// Candidates by host, in the order of the Ingress. A host without candidates is still a host.
pub(crate) type Hosts = BTreeMap<HostPattern, Vec<Candidate>>;

/// What an Ingress says about routing.
#[derive(Debug, Default)]
pub(crate) struct RulesPart {
    pub(crate) hosts: Hosts,
    /// The clusters it names, each with the first place that does.
    pub(crate) clusters: BTreeMap<ClusterId, Place>,
    /// What it says about these clusters, if it says something.
    pub(crate) cluster: Option<Arc<ClusterSettings>>,
    pub(crate) dependencies: BTreeSet<Dependency>,
    /// Its rules when it is a canary; it has no others then.
    pub(crate) canary: Vec<CanaryRule>,
    /// What it asks of its hosts.
    pub(crate) host: HostSettings,
    /// Further names of its hosts.
    pub(crate) aliases: Arc<[HostPattern]>,
    /// Hosts that redirect to its hosts.
    pub(crate) siblings: Vec<Sibling>,
}

/// What the rules of an Ingress depend on besides itself.
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) options: &'a Options,
    pub(crate) config: &'a Config,
    /// Does any Ingress have a TLS entry for this very pattern?
    pub(crate) has_tls: &'a dyn Fn(&HostPattern) -> bool,
}

/// Why a rule does not serve whose protection cannot be understood.
const CLOSED: &str = "an annotation that protects the rule cannot be honoured";

/// A rule before the annotations were read.
struct Draft {
    host: HostPattern,
    place: Place,
    path: PathMatch,
    /// The path as written.
    text: Arc<str>,
    path_type: PathType,
    target: Target,
}

/// Translates the rules of an Ingress. Rules that are as `before` stay the same objects.
pub(crate) fn translate(
    ingress: &Ingress,
    key: &Key,
    before: &RulesPart,
    context: &Context<'_>,
    notes: &mut Notes,
) -> RulesPart {
    let mut part = RulesPart::default();
    let Some(spec) = &ingress.spec else { return part };
    let mut backends = Backends::new(context.snapshot, &key.namespace);
    let referred = Referred::new(context.snapshot, &key.namespace, context.config);
    let mut annotations = Annotations::new(ingress, context.options, context.config, &referred);
    let mut drafts = drafts(spec, annotations.may_be_regex(), &mut backends, &mut part, notes);
    part.dependencies.append(&mut backends.dependencies);

    let tls_by_host = tls_facts(&mut part, context);
    let facts = |host: &HostPattern| RuleFacts { host_has_tls: tls_by_host.get(host).copied().unwrap_or_default() };
    for draft in &drafts {
        annotations.settings(facts(&draft.host), draft.target.protocol, draft.target.balance);
    }
    part.cluster = annotations.cluster();
    let effect = annotations.report(notes);
    if effect == Some(OnError::Reject) {
        // As if it were not there, but for what it depends on.
        drafts.clear();
        part.hosts.clear();
    }
    let closed = effect == Some(OnError::Close);
    part.host = annotations.host(context.options, notes);

    let mut texts = Texts::new(key);
    let mut kept = Kept::new(&before.hosts);
    let mut roots = BTreeMap::new();
    for draft in drafts {
        let settings = annotations.settings(facts(&draft.host), draft.target.protocol, draft.target.balance);
        let backend = match (&closed, &draft.target.cluster) {
            (true, _) => Backend::Refused(CLOSED),
            (false, Err(answer)) => Backend::Refused(answer),
            (false, Ok(cluster)) => {
                part.clusters.entry(cluster.clone()).or_insert(draft.place);
                Backend::Cluster(cluster.clone())
            }
        };
        let forces_regex = settings.paths.forces_regex(&draft.text);
        let labels = texts.labels(&draft);
        if settings.plan.iter().any(|feature| matches!(feature, Configured::AppRoot(_))) {
            let root = || app_root(labels.clone(), backend.clone(), settings);
            roots.entry(draft.host.clone()).or_insert_with(root);
        }
        let policy = route(labels, backend, settings, &draft.text);
        let rule = kept.reuse(&draft.host, Rule { policy, path: draft.path });
        let Draft { place, text, path_type, .. } = draft;
        let candidate = Candidate { place, text, path_type, forces_regex, rule };
        part.hosts.entry(draft.host).or_default().push(candidate);
    }
    for (host, root) in roots {
        let (text, path_type) = ("/$".into(), PathType::Exact);
        let rule = kept.reuse(&host, root);
        let candidate = Candidate { place: Place::AppRoot, text, path_type, forces_regex: false, rule };
        part.hosts.entry(host).or_default().push(candidate);
    }
    // Most hosts never change.
    part.hosts.values_mut().for_each(Vec::shrink_to_fit);
    part.aliases = annotations.aliases();
    if let Some(status) = annotations.www_redirect() {
        part.siblings = siblings(&part.hosts, status, &before.siblings);
    }
    drop(annotations);
    let (mut dependencies, clusters) = referred.into_parts();
    part.dependencies.append(&mut dependencies);
    for cluster in clusters {
        part.clusters.entry(cluster).or_insert(Place::DefaultBackend);
    }
    part
}

/// The hosts that redirect to the hosts of an Ingress. Rules that are as `before` stay the same objects.
fn siblings(hosts: &Hosts, status: u16, before: &[Sibling]) -> Vec<Sibling> {
    let sibling = |(main, candidates): (&HostPattern, &Vec<Candidate>)| {
        let (host, feature) = WwwRedirect::sibling(main, status)?;
        let mut models = candidates.iter().map(|candidate| &candidate.rule.policy);
        let model = models.find(|route| matches!(route.backend, Backend::Cluster(_)))?;
        let labels = Labels { host: host.to_string().into(), path: "/".into(), ..(*model.labels).clone() };
        let policy = Route {
            labels: Arc::new(labels),
            // The redirect comes before.
            backend: model.backend.clone(),
            upstream: Arc::new(Upstream { max_body: 0, ..Upstream::default() }),
            balance: Balance::default(),
            fallback: None,
            plan: [feature].into(),
            observe: model.observe.clone(),
            resolved: Resolved::default(),
        };
        let kept = before.iter().find(|old| old.host == host && old.main == *main).map(|old| old.rules.clone());
        let kept = kept.filter(|rules| rules.iter().all(|rule| same(&rule.policy, &policy)));
        let make = || Arc::new(Rules::new([Arc::new(Rule { path: PathMatch::Prefix("".into()), policy })]));
        Some(Sibling { main: main.clone(), host, rules: kept.unwrap_or_else(make) })
    };
    hosts.iter().filter_map(sibling).collect()
}

fn drafts<'a>(
    spec: &'a IngressSpec,
    may_be_regex: bool,
    backends: &mut Backends<'a>,
    part: &mut RulesPart,
    notes: &mut Notes,
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (rule, rules) in (0_u32..).zip(spec.rules.iter().flatten()) {
        let text = rules.host.as_deref().unwrap_or_default();
        let host = match HostPattern::parse(text) {
            Ok(host) => host,
            Err(error) => {
                let message = format!("host {} {error}; the rule is ignored until it is corrected", Quoted(text));
                notes.error("HostInvalid", format!("spec.rules[{rule}].host"), message);
                continue;
            }
        };
        part.hosts.entry(host.clone()).or_default();
        for (path, written) in (0_u32..).zip(rules.http.iter().flat_map(|http| &http.paths)) {
            let place = Place::Path { rule, path };
            if let Some(path) = paths::read(written, may_be_regex, || place.to_string(), notes) {
                let target = backends.resolve(&written.backend, place, notes);
                let (text, path_type) = (paths::text(written, &path), PathType::of(written));
                drafts.push(Draft { host: host.clone(), place, path, text, path_type, target });
            }
        }
    }
    if let Some(backend) = &spec.default_backend {
        // Only without rules does the default backend serve all hosts.
        if spec.rules.iter().flatten().next().is_none() {
            part.hosts.entry(HostPattern::Any).or_default();
        }
        let place = Place::DefaultBackend;
        let target = backends.resolve(backend, place, notes);
        let path = PathMatch::Prefix("".into());
        let fallbacks = part.hosts.keys().map(|host| Draft {
            host: host.clone(),
            place,
            path: path.clone(),
            text: "/".into(),
            path_type: PathType::Prefix,
            target: target.clone(),
        });
        drafts.extend(fallbacks);
    }
    drafts
}

/// Whether each host has TLS: by its own name or by the wildcard over it.
fn tls_facts(part: &mut RulesPart, context: &Context<'_>) -> BTreeMap<HostPattern, bool> {
    let mut facts = BTreeMap::new();
    for host in part.hosts.keys().filter(|host| **host != HostPattern::Any) {
        let patterns = [Some(host.clone()), parent(host)];
        facts.insert(host.clone(), patterns.iter().flatten().any(|pattern| (context.has_tls)(pattern)));
        part.dependencies.extend(patterns.into_iter().flatten().map(Dependency::TlsHost));
    }
    facts
}

/// The rule of a host's root that redirects, whoever serves the root otherwise.
fn app_root(labels: Labels, backend: Backend, settings: &Settings) -> Rule<Route> {
    let labels = Labels { path: "/".into(), ..labels };
    Rule { path: PathMatch::Exact("/".into()), policy: route(labels, backend, settings, "/") }
}

fn route(labels: Labels, backend: Backend, settings: &Settings, path: &str) -> Route {
    Route {
        labels: Arc::new(labels),
        backend,
        upstream: settings.upstream.clone(),
        balance: settings.balance,
        fallback: settings.fallback.clone(),
        plan: settings.plan.iter().filter_map(|feature| feature.clone().bind(path)).collect(),
        observe: settings.observe.clone(),
        resolved: features::Resolved::default(),
    }
}

/// The route of the controller-wide default backend.
pub(crate) fn default_route(target: &Target, cluster: ClusterId, config: &Config) -> Route {
    let labels = Labels { service: target.service.clone(), service_port: target.port.clone(), ..Labels::default() };
    let (facts, protocol) = (RuleFacts::default(), target.protocol);
    let input =
        Input { config, objects: &NoObjects, facts, protocol, balance: target.balance, translate_snippets: false };
    let settings = features::read([], &input);
    // The controller's ConfigMap may hold protection that cannot be understood.
    let closed = settings.problems.iter().any(|problem| problem.effect >= OnError::Close);
    let backend = if closed { Backend::Refused(CLOSED) } else { Backend::Cluster(cluster) };
    route(labels, backend, &settings, "/")
}

/// Texts that the labels of an Ingress share.
struct Texts<'a> {
    key: &'a Key,
    root: Arc<str>,
    host: (HostPattern, Arc<str>),
}

impl<'a> Texts<'a> {
    fn new(key: &'a Key) -> Self {
        Self { key, root: "/".into(), host: (HostPattern::Any, "".into()) }
    }

    fn labels(&mut self, draft: &Draft) -> Labels {
        if self.host.0 != draft.host {
            let text = match &draft.host {
                HostPattern::Exact(name) => name.clone(),
                HostPattern::Wildcard(_) | HostPattern::Below(_) | HostPattern::Regex(_) => {
                    draft.host.to_string().into()
                }
                HostPattern::Any => "".into(),
            };
            self.host = (draft.host.clone(), text);
        }
        let path = match &draft.path {
            PathMatch::Prefix(text) if text.is_empty() => &self.root,
            PathMatch::Exact(text) | PathMatch::Prefix(text) => text,
        };
        Labels {
            namespace: self.key.namespace.clone(),
            ingress: self.key.name.clone(),
            service: draft.target.service.clone(),
            service_port: draft.target.port.clone(),
            host: self.host.1.clone(),
            path: path.clone(),
        }
    }
}

/// The rules that an Ingress had: the data plane keeps state in them, so an equal rule must stay the same object.
struct Kept<'a>(BTreeMap<&'a HostPattern, KeptRules<'a>>);

type KeptRules<'a> = BTreeMap<&'a PathMatch, Vec<&'a Arc<Rule<Route>>>>;

impl<'a> Kept<'a> {
    fn new(before: &'a Hosts) -> Self {
        let mut kept: BTreeMap<_, KeptRules<'a>> = BTreeMap::new();
        for (host, candidates) in before {
            let rules = kept.entry(host).or_default();
            // The last stands first, so that rules leave in the order they came.
            for candidate in candidates.iter().rev() {
                rules.entry(&candidate.rule.path).or_default().push(&candidate.rule);
            }
        }
        Self(kept)
    }

    fn reuse(&mut self, host: &HostPattern, rule: Rule<Route>) -> Arc<Rule<Route>> {
        let old = self.0.get_mut(host).and_then(|rules| rules.get_mut(&rule.path)).and_then(Vec::pop);
        match old {
            Some(old) if same(&old.policy, &rule.policy) => old.clone(),
            _ => Arc::new(rule),
        }
    }
}

/// Do two routes mean the same?
pub(crate) fn same(a: &Route, b: &Route) -> bool {
    a.labels == b.labels
        && a.backend == b.backend
        && a.upstream == b.upstream
        && a.balance == b.balance
        && a.fallback == b.fallback
        && a.plan == b.plan
        && a.observe == b.observe
}
