//! An explanation for people: one block for each step, in the order they happen.
use super::view::{Explanation, RuleView, SettingView, SourceView};

/// Columns before the text of a block.
const INDENT: usize = 13;

/// Writes the explanation.
pub(super) fn render(told: &Explanation) -> String {
    let request = &told.request;
    let mut out = format!("{} {}://{}{}\n\n", request.method, request.scheme, request.authority, request.target);
    block(&mut out, "Host", &host(told));
    block(&mut out, "Path", &path(told));
    block(&mut out, "Rule", &winner(told));
    block(&mut out, "Lost", &losers(told));
    block(&mut out, "Features", &features(told));
    block(&mut out, "Settings", &settings(told));
    block(&mut out, "Trace", told.trace.as_slice());
    block(&mut out, "Canary", &canary(told));
    block(&mut out, "Endpoints", &endpoints(told));
    block(&mut out, "Peers", &peers(told));
    block(&mut out, "Certificate", &certificate(told));
    block(&mut out, "Notes", &told.notes);
    block(&mut out, "Answer", std::slice::from_ref(&told.answer.text));
    out
}

/// A title and its lines; nothing without lines.
fn block(out: &mut String, title: &str, lines: &[String]) {
    for (index, line) in lines.iter().enumerate() {
        let title = if index == 0 { title } else { "" };
        out.push_str(format!("{title:<INDENT$}{line}").trim_end());
        out.push('\n');
    }
}

fn host(told: &Explanation) -> Vec<String> {
    let request = &told.request;
    if request.path.is_empty() {
        return Vec::new();
    }
    match &told.host {
        None => vec![format!("{}: no rule names it", request.host)],
        Some(host) => vec![match host.lesser.as_slice() {
            [] => format!("{}, taken by {}", request.host, host.pattern),
            lesser => format!("{}, taken by {}; less specific: {}", request.host, host.pattern, lesser.join(", ")),
        }],
    }
}

fn path(told: &Explanation) -> Vec<String> {
    let raw = told.request.target.split('?').next().unwrap_or_default();
    match told.request.path.as_str() {
        "" => Vec::new(),
        path if path == raw => vec![path.to_owned()],
        path => vec![format!("{path}, which {raw} means")],
    }
}

fn winner(told: &Explanation) -> Vec<String> {
    let Some(rule) = told.rules.iter().find(|rule| rule.won) else { return Vec::new() };
    vec![format!("{}, {}", named(rule), rule.why), place(rule)]
}

/// Each feature in order; below it where it comes from and what it changes.
fn features(told: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    let mut before = "";
    for step in &told.features {
        // One that has asked goes on with the reply.
        let goes_on = std::mem::replace(&mut before, step.name) == step.name;
        lines.push(format!("{}: {}{}", step.name, if goes_on { "then " } else { "" }, step.decision));
        lines.extend(sources(&step.from).filter(|_| !goes_on).map(|source| format!("  from {source}")));
        lines.extend(
            step.edits.iter().map(|edit| format!("  endpoint gets {edit}").replace("endpoint gets the ", "the ")),
        );
        lines.extend(step.answer.iter().map(|field| format!("  client gets {field}")));
    }
    lines
}

fn settings(told: &Explanation) -> Vec<String> {
    let line = |setting: &SettingView| {
        sources(&setting.from).map(|from| format!("{}: {from}", setting.name)).collect::<Vec<_>>()
    };
    told.settings.iter().flat_map(line).collect()
}

/// `a, b of Ingress ns/x`, one text for each object.
fn sources(from: &[SourceView]) -> impl Iterator<Item = String> {
    let objects = from.chunk_by(|a, b| a.object == b.object);
    objects.map(|list| {
        let keys: Vec<&str> = list.iter().map(|source| source.key.as_str()).collect();
        let object = list.first().map_or("", |source| source.object.as_str());
        format!("{} of {object}", keys.join(", "))
    })
}

fn canary(told: &Explanation) -> Vec<String> {
    told.canary.iter().flat_map(|canary| [canary.terms.clone(), canary.decision.clone()]).collect()
}

fn losers(told: &Explanation) -> Vec<String> {
    let listed = told.rules.iter().filter(|rule| !rule.won);
    let mut lines: Vec<String> =
        listed.map(|rule| format!("{} of {}: {}", named(rule), place(rule), rule.why)).collect();
    if told.hidden_rules > 0 {
        lines.push(format!("and {} more whose path does not match", told.hidden_rules));
    }
    lines
}

fn named(rule: &RuleView) -> String {
    format!("{} {}", rule.path_type, rule.path)
}

/// The Ingress and where it stands.
fn place(rule: &RuleView) -> String {
    match (rule.ingress.as_str(), &rule.origin) {
        ("", _) => "the controller's default backend".to_owned(),
        (ingress, Some(origin)) => format!("Ingress {ingress} ({origin})"),
        (ingress, None) => format!("Ingress {ingress}"),
    }
}

fn endpoints(told: &Explanation) -> Vec<String> {
    let Some(cluster) = &told.cluster else { return Vec::new() };
    let mut lines = vec![format!("{} over {}", cluster.name, cluster.protocol)];
    if cluster.endpoints.is_empty() {
        lines.push("none known".to_owned());
    }
    for endpoint in &cluster.endpoints {
        let zone = endpoint.zone.as_ref().map(|zone| format!(", zone {zone}")).unwrap_or_default();
        let held = if endpoint.eligible { "" } else { ", not used while others are ready" };
        lines.push(format!("{}  {}{zone}{held}", endpoint.address, endpoint.readiness));
    }
    lines
}

/// The one that was chosen first.
fn peers(told: &Explanation) -> Vec<String> {
    let lines = |chosen: bool| {
        told.peers.iter().filter(move |peer| peer.chosen == chosen).map(move |peer| {
            let verdict = if chosen { "chosen" } else { "lost" };
            format!("{}  {verdict}: {} ({:.0} % of such requests)", peer.address, peer.why, peer.share_percent)
        })
    };
    let by = Some(told.peers_by.clone()).filter(|by| !by.is_empty());
    by.into_iter().chain(lines(true)).chain(lines(false)).collect()
}

fn certificate(told: &Explanation) -> Vec<String> {
    let Some(certificate) = &told.certificate else { return Vec::new() };
    let until = certificate.not_after.as_ref().map(|end| format!(", valid until {end}")).unwrap_or_default();
    vec![format!("{}{until}", certificate.source), certificate.why.clone()]
}
