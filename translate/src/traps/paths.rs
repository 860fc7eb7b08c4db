//! Paths that are never reached: behind a regular expression that takes all they could take, or written as one where
//! paths are plain.
use std::sync::Arc;

use super::{Scene, Seen};
use crate::report::Note;
use crate::text::Quoted;

/// How expressions usually end when they mean "and all below", and what such an end matches.
const TAILS: &[(&str, &[&str])] = &[
    ("(/|$)(.*)", &["", "/", "/x"]),
    ("/(.*)", &["/", "/x"]),
    ("/.*", &["/", "/x"]),
    ("(.*)", &["", "x", "/x"]),
    (".*", &["", "x", "/x"]),
    ("", &["", "x", "/", "/x"]),
];

/// Signs that a path was meant as a regular expression.
const SIGNS: &[&str] = &["(.*)", ".*", "(/|$)", "[^", "[a-z", "[0-9", "\\d", "\\w", ".+", "(?"];

pub(super) fn find(scene: &Scene<'_>) -> Vec<Note> {
    let mut notes = unreachable(scene);
    notes.extend(scene.ingresses.iter().flat_map(|seen| meant_as_regex(scene, seen)));
    notes
}

/// Expressions are tried longest first, so that a short path can stand behind a longer expression that matches it.
fn unreachable(scene: &Scene<'_>) -> Vec<Note> {
    let mut found = Vec::new();
    for seen in &scene.ingresses {
        for (host, candidate) in seen.candidates() {
            let rules = scene.translator.table.hosts.get(host).filter(|rules| rules.is_regex());
            let Some((rules, samples)) = rules.zip(samples(&candidate.text)) else { continue };
            let before = rules.expressions().take_while(|(_, rule)| !Arc::ptr_eq(rule, &candidate.rule));
            // One that is not among them at all has lost its place to an equal one, which is told elsewhere.
            if !rules.iter().any(|rule| Arc::ptr_eq(rule, &candidate.rule)) {
                continue;
            }
            let taker = before
                .filter_map(|(regex, rule)| Some((regex?, rule)))
                .find(|(regex, _)| samples.iter().all(|sample| regex.matches(sample)));
            let Some((regex, rule)) = taker else { continue };
            let labels = &rule.policy.labels;
            let message = format!(
                "path {} of host {host} is never reached: the regular expression {} of Ingress {} is longer, so it is tried \
                 first, and it matches all of it; make that one narrower or this one longer",
                Quoted(&candidate.text),
                Quoted(regex.as_str()),
                Quoted(&format!("{}/{}", labels.namespace, labels.ingress))
            );
            let mut notes = seen.notes();
            notes.warning("PathNeverReached", candidate.place.to_string(), message);
            found.append(&mut notes.list);
        }
    }
    found
}

/// Paths that stand for all that an expression matches; `None` when it is not of a form whose matches are known.
fn samples(text: &str) -> Option<Vec<String>> {
    let (begin, ends) = TAILS.iter().find_map(|(tail, ends)| Some((text.strip_suffix(tail)?, *ends)))?;
    let is_literal = !begin.contains(['\\', '+', '*', '?', '(', ')', '[', ']', '{', '}', '^', '$', '|']);
    is_literal.then(|| ends.iter().map(|end| format!("{begin}{end}")).collect())
}

fn meant_as_regex(scene: &Scene<'_>, seen: &Seen<'_>) -> Vec<Note> {
    let mut notes = seen.notes();
    for (host, candidate) in seen.candidates() {
        let is_plain = scene.translator.table.hosts.get(host).is_some_and(|rules| !rules.is_regex());
        if is_plain && SIGNS.iter().any(|sign| candidate.text.contains(sign)) {
            let message = format!(
                "path {} looks like a regular expression, but the paths of host {host} are plain, so it matches this very text \
                 only; set use-regex",
                Quoted(&candidate.text)
            );
            notes.warning("PathIsNoRegex", format!("{}.path", candidate.place), message);
        }
    }
    notes.list
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, ingress, traps_of};

    const REGEX: &[(&str, &str)] = &[("use-regex", "true")];

    #[test]
    fn a_path_behind_a_longer_expression_that_takes_it_is_told() {
        assert_eq!(traps_of("PathNeverReached", &["/(.*)", "/api"], REGEX), 1);
        assert_eq!(traps_of("PathNeverReached", &["/[a-z]+/(.*)", "/api/v"], REGEX), 1);
    }

    #[test]
    fn paths_that_some_request_reaches_are_not() {
        for paths in [&["/(.*)", "/api/v1"][..], &["/foo(/|$)(.*)", "/foo"], &["/foo/(.*)", "/bar"], &["/a/.*$", "/a"]]
        {
            assert_eq!(traps_of("PathNeverReached", paths, REGEX), 0, "{paths:?}");
        }
        assert_eq!(traps_of("PathNeverReached", &["/", "/api", "/api/v1"], &[]), 0);
    }

    #[test]
    fn the_taker_may_be_another_ingress() {
        let mut cluster = Cluster::default();
        let regex = [("nginx.ingress.kubernetes.io/use-regex", "true")];
        cluster.add(ingress("wide", "a.test", &["/(.*)"], &regex));
        cluster.add(ingress("api", "a.test", &["/api"], &[]));
        let traps = cluster.traps("PathNeverReached");
        assert_eq!(traps.len(), 1);
        assert!(traps[0].0 == "api" && traps[0].1.contains("of Ingress \"ns/wide\""), "{traps:?}");
    }

    #[test]
    fn an_expression_on_a_plain_host_is_told() {
        assert_eq!(traps_of("PathIsNoRegex", &["/foo(/|$)(.*)"], &[]), 1);
        assert_eq!(traps_of("PathIsNoRegex", &["/foo(/|$)(.*)"], REGEX), 0);
        assert_eq!(traps_of("PathIsNoRegex", &["/v1.0/(beta)"], &[]), 0);
    }
}
