//! Walks a request through the features of a rule, in order: what each decides, what it changes, and where it comes from.
use std::collections::BTreeSet;

use features::{Answer, Ask, Configured, Edits, Reply, Request, Verdict};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::provenance::Provenance;
use super::view::{FeatureView, SettingView};

/// What became of a request.
pub(super) struct Walk {
    pub(super) features: Vec<FeatureView>,
    pub(super) settings: Vec<SettingView>,
    /// What others decide and is taken to let the request pass.
    pub(super) assumed: Vec<String>,
    pub(super) verdict: Verdict,
    /// The cluster that the client's affinity cookie names.
    pub(super) assigned: Option<u64>,
    /// What hashing goes by.
    pub(super) key: Option<u64>,
}

/// Runs the plan as the proxy does. Passwords are checked; another server is taken to let the request pass.
pub(super) fn walk(plan: &[Configured], request: &Request<'_>, provenance: &Provenance<'_>) -> Walk {
    let (mut edits, mut features, mut assumed) = (Edits::default(), Vec::new(), Vec::new());
    let mut before = Edits::default();
    let mut seen = |feature: &Configured, verdict: &Verdict, after: &Edits| {
        features.push(FeatureView {
            name: feature.name(),
            from: provenance.sources(feature.name()),
            decision: in_words(verdict),
            edits: changes(&before, after),
            answer: Vec::new(),
        });
        before = after.clone();
    };
    let mut verdict = features::run(plan, request, &mut edits, &mut seen);
    while let Verdict::Ask(ask) = &verdict {
        let reply = match &**ask {
            Ask::Password(check) => Reply::Password(check.passes()),
            Ask::Exchange(_) => {
                assumed.push(asked(ask));
                Reply::Response(200, HeaderMap::new())
            }
        };
        verdict = features::resume(plan, request, &mut edits, &reply, &mut seen);
    }
    answers(plan, request, &edits, &verdict, provenance, &mut features);
    let names: BTreeSet<&str> = plan.iter().map(Configured::name).collect();
    Walk { features, settings: provenance.settings(&names), assumed, verdict, assigned: edits.assigned, key: edits.key }
}

/// What each feature changes about the answer: the gateway's own, or an endpoint's 200 without fields.
fn answers(
    plan: &[Configured],
    request: &Request<'_>,
    edits: &Edits,
    verdict: &Verdict,
    provenance: &Provenance<'_>,
    features: &mut Vec<FeatureView>,
) {
    let mut head = http::Response::new(());
    if let Verdict::Answer(answer) = verdict {
        *head.status_mut() = http::StatusCode::from_u16(answer.status).unwrap_or_default();
        head.headers_mut().extend(answer.fields.iter().cloned());
    }
    for feature in plan {
        let before = head.headers().clone();
        feature.on_response(request, edits, &mut head);
        let answer = field_changes(&before, head.headers());
        if answer.is_empty() {
            continue;
        }
        let name = feature.name();
        match features.iter_mut().rfind(|view| view.name == name) {
            Some(view) => view.answer = answer,
            None => features.push(FeatureView {
                name,
                from: provenance.sources(name),
                decision: "not asked: the request is answered before".to_owned(),
                edits: Vec::new(),
                answer,
            }),
        }
    }
}

fn field_changes(before: &HeaderMap, after: &HeaderMap) -> Vec<String> {
    let mut changes = Vec::new();
    for name in after.keys().filter(|name| !before.get_all(*name).iter().eq(after.get_all(*name).iter())) {
        changes.extend(after.get_all(name).iter().map(|value| shown(name, value)));
    }
    changes.extend(before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("no {name}")));
    changes
}

/// What a feature changed about the request.
fn changes(before: &Edits, after: &Edits) -> Vec<String> {
    let mut changes = Vec::new();
    if let Some(target) = after.target.as_ref().filter(|_| after.target != before.target) {
        changes.push(format!("target {target}"));
    }
    if let Some(host) = after.host.as_ref().filter(|_| after.host != before.host) {
        changes.push(shown(&header::HOST, host));
    }
    for (name, value) in after.upstream_fields.iter().skip(before.upstream_fields.len()) {
        changes.push(match value {
            Some(value) => shown(name, value),
            None => format!("no {name}"),
        });
    }
    let added = after.response_fields.iter().skip(before.response_fields.len());
    changes.extend(added.map(|(name, value)| format!("{} in the answer", shown(name, value))));
    let notices = [
        (after.key != before.key, "the endpoint is chosen by a key of the request"),
        (after.session != before.session, "a session begins"),
        (after.copy != before.copy, "a copy goes to another server"),
        (after.bandwidth != before.bandwidth, "the answer is slowed down"),
        (after.satisfied && !before.satisfied, "passed, so no other check is needed"),
        (after.denied.is_some() && before.denied.is_none(), "not passed, but another check may"),
    ];
    changes.extend(notices.into_iter().filter(|(changed, _)| *changed).map(|(_, text)| text.to_owned()));
    changes
}

/// A field; credentials never show.
fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    let secret = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::SET_COOKIE];
    if value.is_sensitive() || secret.contains(name) {
        return format!("{name}: (not shown)");
    }
    format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
}

fn in_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Continue => "continue".to_owned(),
        Verdict::Ask(ask) => format!("ask for {}", asked(ask)),
        Verdict::Answer(answer) => match location(answer) {
            Some(location) => format!("redirect, {} to {location}", answer.status),
            None => format!("answer {}, {}", answer.status, answer.reason),
        },
    }
}

fn asked(ask: &Ask) -> String {
    match ask {
        Ask::Password(_) => "the password".to_owned(),
        Ask::Exchange(exchange) => format!("the answer of {}", exchange.uri),
    }
}

/// Where an answer sends the client.
pub(super) fn location(answer: &Answer) -> Option<&str> {
    let field = answer.fields.iter().find(|(name, _)| *name == header::LOCATION);
    field.and_then(|(_, value)| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_what_differs() {
        let mut before = Edits::default();
        before.target = Some("/a".to_owned());
        assert!(changes(&before, &before).is_empty());
        let mut after = before.clone();
        after.target = Some("/b".to_owned());
        after.upstream_fields.push((header::AUTHORIZATION, None));
        after.upstream_fields.push((header::ACCEPT, Some(HeaderValue::from_static("x"))));
        assert_eq!(changes(&before, &after), ["target /b", "no authorization", "accept: x"]);
    }

    #[test]
    fn credentials_never_show() {
        let value = HeaderValue::from_static("Basic c2VjcmV0");
        assert_eq!(shown(&header::AUTHORIZATION, &value), "authorization: (not shown)");
        let mut secret = HeaderValue::from_static("s");
        secret.set_sensitive(true);
        assert_eq!(shown(&header::ACCEPT, &secret), "accept: (not shown)");
    }

    #[test]
    fn fields_of_the_answer_that_change_are_told() {
        let before = HeaderMap::from_iter([(header::SERVER, HeaderValue::from_static("x"))]);
        let after = HeaderMap::from_iter([(header::VARY, HeaderValue::from_static("Origin"))]);
        assert_eq!(field_changes(&before, &after), ["vary: Origin", "no server"]);
    }
}
