//! Decides a request with the proxy's own code and keeps what was considered.
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use controller::Loaded;
use features::{Backend, Decision, Protocol, Request, Route, StillWorld, Verdict, World, hash};
use table::{
    Candidate, Certificate, ClusterId, Endpoint, HostPattern, PathMatch, Readiness, RequestHost, RequestPath, Rule,
};
use translate::{Kind, Note, ObjectRef};

use super::peers::By;
use super::provenance::Provenance;
use super::request::Asked;
use super::steps::{self, location};
use super::view::{
    Answer, CanaryView, CertificateView, ClusterView, EndpointView, Explanation, HostView, RequestView, RuleView,
};

/// Rules that do not match and are shown nevertheless; the rest is only counted.
const SHOWN_LOSERS: usize = 10;

/// Walks a request through the table.
pub(super) fn explain(loaded: &Loaded, asked: &Asked) -> Explanation {
    let mut told = Explanation { request: as_sent(asked), ..Explanation::default() };
    if asked.tls {
        told.certificate = Some(certificate(loaded, &asked.server_name));
    }
    told.answer = decide(loaded, asked, &mut told);
    told
}

fn as_sent(asked: &Asked) -> RequestView {
    RequestView {
        method: asked.method.to_string(),
        scheme: asked.scheme().to_owned(),
        authority: asked.authority.clone(),
        target: asked.target.clone(),
        ..RequestView::default()
    }
}

fn decide(loaded: &Loaded, asked: &Asked, told: &mut Explanation) -> Answer {
    if !asked.one_host {
        return answered(400, "the request has more than one Host field");
    }
    let Ok(host) = RequestHost::parse(asked.authority.as_bytes()) else {
        return answered(400, "the host is not a DNS name or address with an optional port");
    };
    let path = match RequestPath::parse(asked.raw_path()) {
        Ok(path) => path,
        Err(error) => return answered(400, format!("the {error}")),
    };
    told.request.host = host.as_str().to_owned();
    told.request.path = path.as_str().to_owned();
    if let (true, Ok(name)) = (asked.tls, RequestHost::parse(asked.server_name.as_bytes()))
        && let Some(rule) = features::passes_to(&loaded.table, name.as_str())
    {
        return passed(name.as_str(), rule);
    }
    consider(loaded, host.as_str(), path.as_str(), told);
    let rule = match loaded.table.find_request(host.as_str(), &path) {
        Err(error) => {
            for rule in told.rules.iter_mut().filter(|rule| rule.won) {
                rule.won = false;
                rule.why.push_str(", once its dot segments are resolved");
            }
            return answered(400, format!("the {error}"));
        }
        Ok(found) => match found.rule() {
            None => return answered(404, nothing_matches(told)),
            Some(rule) => rule,
        },
    };
    told.notes = notes(loaded, rule);
    told.trace = rule.policy.observe.trace.as_ref().map(|trace| loaded.table.global.tracing.describe(trace));
    let request = Request {
        method: &asked.method,
        tls: asked.tls,
        authority: &asked.authority,
        host: host.as_str(),
        path: path.as_str(),
        target: &asked.target,
        headers: &asked.headers,
        client: asked.client,
        port: if asked.tls { asked.https_port } else { 80 },
        request_id: "",
        labels: &rule.policy.labels,
        world: &Held { loaded, https_port: asked.https_port },
    };
    outcome(loaded, rule, &request, told)
}

/// Nothing happens, and the certificates are the table's.
#[derive(Debug)]
struct Held<'a> {
    loaded: &'a Loaded,
    https_port: u16,
}

impl World for Held<'_> {
    fn now(&self) -> Duration {
        StillWorld.now()
    }

    fn random(&self) -> u32 {
        StillWorld.random()
    }

    fn has_certificate(&self, host: &str) -> bool {
        self.loaded.table.certificates.find(host).is_some()
    }

    fn https_port(&self) -> u16 {
        self.https_port
    }
}

/// From the rule on: backend, features, endpoints.
fn outcome(loaded: &Loaded, rule: &Rule<Route>, request: &Request<'_>, told: &mut Explanation) -> Answer {
    let route = &rule.policy;
    let cluster = match &route.backend {
        Backend::Refused(why) => return answered(503, *why),
        Backend::Cluster(cluster) => cluster,
    };
    let walk = steps::walk(&route.plan, request, &Provenance::of(loaded, &route.labels));
    told.features = walk.features;
    told.settings = walk.settings;
    told.cluster = Some(cluster_view(loaded, cluster, route.upstream.protocol));
    let next = match &walk.verdict {
        Verdict::Answer(answer) => answer_of(answer),
        Verdict::Continue | Verdict::Ask(_) => {
            let main_policy = loaded.policies.get(cluster);
            let canary = canary(loaded, cluster, request, walk.assigned, told);
            let cluster = canary.as_ref().unwrap_or(cluster);
            told.cluster = Some(cluster_view(loaded, cluster, route.upstream.protocol));
            let terms = canary.as_ref().and_then(|_| main_policy?.canary.as_ref());
            let balance = terms.map_or(route.balance, |terms| terms.balance(route.balance));
            told.choice = Some((cluster.clone(), By { balance, key: walk.key }));
            endpoint(loaded, cluster, told)
        }
    };
    match walk.assumed.as_slice() {
        [] => next,
        assumed => Answer {
            status: None,
            text: format!("decided by {}; if that lets it pass: {}", assumed.join(" and "), next.text),
        },
    }
}

/// The gateway's own answer.
fn answer_of(answer: &features::Answer) -> Answer {
    let text = match location(answer) {
        Some(location) => format!("{}, redirected to {location}", answer.status),
        None => format!("{}, because of {}", answer.status, answer.reason),
    };
    Answer { status: Some(answer.status), text }
}

/// Who gets what no feature answers.
fn endpoint(loaded: &Loaded, cluster: &ClusterId, told: &Explanation) -> Answer {
    // Only a resolver knows the endpoints of an ExternalName.
    if !loaded.endpoints.contains_key(cluster) {
        return Answer { status: None, text: format!("proxied to what the external name of {cluster} resolves to") };
    }
    match told.cluster.iter().flat_map(|cluster| &cluster.endpoints).filter(|endpoint| endpoint.eligible).count() {
        0 => answered(503, format!("{cluster} has no endpoint that may serve")),
        1 => Answer { status: None, text: format!("proxied to the one endpoint of {cluster}") },
        many => Answer { status: None, text: format!("proxied to one of {many} endpoints of {cluster}") },
    }
}

/// The canary of a cluster that gets the request for certain.
fn canary(
    loaded: &Loaded,
    main: &ClusterId,
    request: &Request<'_>,
    assigned: Option<u64>,
    told: &mut Explanation,
) -> Option<ClusterId> {
    let terms = loaded.policies.get(main)?.canary.as_ref()?;
    let is_empty = |cluster| loaded.endpoints.get(cluster).is_some_and(|endpoints| endpoints.list.is_empty());
    let (decision, taken) = match terms.decide(request.headers, assigned, hash::cluster(main)) {
        _ if is_empty(main) => ("not asked, for the main Service has no endpoint".to_owned(), false),
        _ if is_empty(&terms.cluster) => ("has no endpoint, so the main Service gets the request".to_owned(), false),
        Decision::Canary(why) => (format!("gets the request, by {why}"), true),
        Decision::Main(why) => (format!("does not get the request, by {why}"), false),
        Decision::Chance { weight, total } => (format!("gets {weight} of {total} such requests, by the weight"), false),
    };
    told.canary = Some(CanaryView { terms: terms.to_string(), decision });
    taken.then(|| terms.cluster.clone())
}

/// TLS that the gateway does not end.
fn passed(name: &str, rule: Option<&Arc<Rule<Route>>>) -> Answer {
    let text = match rule.map(|rule| &rule.policy.backend) {
        Some(Backend::Cluster(cluster)) => {
            format!("passed as it is to an endpoint of {cluster}, which ends the TLS of {name} (ssl-passthrough)")
        }
        _ => format!("closed: host {name} has ssl-passthrough and no path / with a Service that could end TLS"),
    };
    Answer { status: None, text }
}

fn answered(status: u16, why: impl std::fmt::Display) -> Answer {
    Answer { status: Some(status), text: format!("{status}, because {why}") }
}

fn nothing_matches(told: &Explanation) -> String {
    match &told.host {
        Some(host) => format!("no rule of host {} matches the path and there is no default backend", host.pattern),
        None => "no rule names the host and there is no default backend".to_owned(),
    }
}

/// Fills host and rules: what won, what lost and why.
fn consider(loaded: &Loaded, host: &str, path: &str, told: &mut Explanation) {
    let trace = loaded.table.trace(host, path);
    let winner = trace.found.rule();
    let matched = trace.rules.first().filter(|first| first.matches);
    let (mut shown, mut hidden) = (0, 0);
    for candidate in &trace.rules {
        if !candidate.matches && shown == SHOWN_LOSERS {
            hidden += 1;
            continue;
        }
        shown += usize::from(!candidate.matches);
        told.rules.push(rule_view(loaded, candidate.rule, winner, why(candidate, matched)));
    }
    if let (Some(rule), None) = (winner, matched) {
        told.rules.insert(0, rule_view(loaded, rule, winner, "no rule matches".to_owned()));
    }
    told.hidden_rules = hidden;
    if let Some(chosen) = &trace.host {
        for lesser in &trace.lesser_hosts {
            let rule = loaded.table.hosts.get(lesser).and_then(|rules| rules.find(path));
            let why = format!("matches, but its host {} is less specific than {}", pattern(lesser), pattern(chosen));
            told.rules.extend(rule.map(|rule| rule_view(loaded, rule, None, why)));
        }
        told.host =
            Some(HostView { pattern: pattern(chosen), lesser: trace.lesser_hosts.iter().map(pattern).collect() });
    }
}

fn pattern(host: &HostPattern) -> String {
    match host {
        HostPattern::Any => "* (any)".to_owned(),
        HostPattern::Below(_) | HostPattern::Regex(_) => format!("{host} (alias)"),
        HostPattern::Exact(_) | HostPattern::Wildcard(_) => host.to_string(),
    }
}

fn why(candidate: &Candidate<'_, Route>, winner: Option<&Candidate<'_, Route>>) -> String {
    match winner {
        _ if !candidate.matches => "does not match the path",
        Some(winner) if candidate.regex.is_some() && Arc::ptr_eq(winner.rule, candidate.rule) => {
            "the first regular expression that matches: longer paths come first"
        }
        _ if candidate.regex.is_some() => "matches, but after another regular expression",
        Some(winner) if winner.rank == candidate.rank && candidate.rank.exact => "exactly this path",
        Some(winner) if winner.rank == candidate.rank => "the longest prefix that matches",
        Some(winner) if winner.rank.exact && !candidate.rank.exact => "matches, but an exact path beats a prefix",
        _ => "matches, but with a shorter prefix",
    }
    .to_owned()
}

fn rule_view(loaded: &Loaded, rule: &Arc<Rule<Route>>, winner: Option<&Arc<Rule<Route>>>, why: String) -> RuleView {
    let labels = &rule.policy.labels;
    let path_type = match rule.path {
        PathMatch::Exact(_) => "Exact",
        PathMatch::Prefix(_) => "Prefix",
    };
    let backend = match &rule.policy.backend {
        Backend::Cluster(cluster) => cluster.to_string(),
        Backend::Refused(_) => "none".to_owned(),
    };
    RuleView {
        won: winner.is_some_and(|winner| Arc::ptr_eq(winner, rule)),
        why,
        host: labels.host.to_string(),
        path_type,
        path: rule.path.as_str().to_owned(),
        ingress: joined(&labels.namespace, &labels.ingress),
        origin: origin(loaded, &object(Kind::Ingress, &labels.namespace, &labels.ingress)),
        backend,
    }
}

fn joined(namespace: &str, name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("{namespace}/{name}") }
}

fn object(kind: Kind, namespace: &Arc<str>, name: &Arc<str>) -> ObjectRef {
    ObjectRef { kind, namespace: namespace.clone(), name: name.clone() }
}

fn origin(loaded: &Loaded, object: &ObjectRef) -> Option<String> {
    loaded.origins.get(object).map(|origin| format!("{}:{}", origin.file.display(), origin.line))
}

fn cluster_view(loaded: &Loaded, cluster: &ClusterId, protocol: Protocol) -> ClusterView {
    let all = loaded.endpoints.get(cluster);
    let eligible: Vec<&Endpoint> = all.iter().flat_map(|endpoints| endpoints.eligible()).collect();
    let endpoints = all.iter().flat_map(|endpoints| &endpoints.list).map(|endpoint| EndpointView {
        address: endpoint.address.to_string(),
        readiness: match endpoint.readiness {
            Readiness::Ready => "ready",
            Readiness::Draining => "terminating",
        },
        zone: endpoint.zone.as_deref().map(str::to_owned),
        eligible: eligible.contains(&endpoint),
    });
    ClusterView { name: cluster.to_string(), protocol: protocol_name(protocol), endpoints: endpoints.collect() }
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "HTTP/1.1",
        Protocol::Https => "HTTP/1.1 over TLS",
        Protocol::H2c => "HTTP/2",
        Protocol::H2 => "HTTP/2 over TLS",
        Protocol::Auto => "HTTP/1.1, over TLS if the client came over TLS",
    }
}

/// The notes on the Ingress and the Service of a rule, and on those that wanted its host and path too.
fn notes(loaded: &Loaded, rule: &Rule<Route>) -> Vec<String> {
    let labels = &rule.policy.labels;
    let involved = [
        object(Kind::Ingress, &labels.namespace, &labels.ingress),
        object(Kind::Service, &labels.namespace, &labels.service),
    ];
    let winner = format!("\"{}/{}\" has path \"{}\"", labels.namespace, labels.ingress, rule.path.as_str());
    let concerns =
        |note: &&Note| involved.contains(&note.object) || (note.reason == "Shadowed" && note.message.contains(&winner));
    loaded.notes.iter().filter(concerns).map(ToString::to_string).collect()
}

/// The choice that the gateway makes in a handshake.
fn certificate(loaded: &Loaded, server_name: &str) -> CertificateView {
    let covering = loaded.table.certificates.candidates(server_name).into_iter().next();
    let (chosen, why) = match (&covering, &loaded.table.default_certificate) {
        (Some((pattern, certificate)), _) => (Some(*certificate), format!("the certificate of {pattern}")),
        (None, Some(default)) => (Some(default), "no certificate covers the name, so the default one".to_owned()),
        (None, None) => (None, "no certificate covers the name and there is no default one".to_owned()),
    };
    CertificateView {
        server_name: server_name.to_owned(),
        source: chosen.map_or_else(
            || "self-signed by the gateway at start".to_owned(),
            |found| format!("Secret {}", found.source),
        ),
        why,
        not_after: chosen.map(|certificate| validity(certificate)),
    }
}

fn validity(certificate: &Certificate) -> String {
    let end =
        jiff::Timestamp::from_second(certificate.not_after).map_or_else(|_| "?".to_owned(), |end| end.to_string());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let expired = u64::try_from(certificate.not_after).map_or(true, |end| end < now);
    if expired { format!("{end} (expired)") } else { end }
}
