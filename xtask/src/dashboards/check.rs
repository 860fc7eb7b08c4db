//! Do panels, rules, their tests and the runbooks name what there is?
use std::collections::{BTreeMap, BTreeSet};

/// What must fit together.
pub(super) struct Texts {
    /// `docs/metrics.md`, which is printed from the code that makes the metrics.
    pub(super) metrics: String,
    /// Recording and alerting rules.
    pub(super) rules: String,
    /// Their unit tests.
    pub(super) tests: String,
    /// One section for each alert.
    pub(super) runbooks: String,
}

/// Labels that Prometheus or its configuration adds to every series, that a function makes, or that a bucket has.
const ADDED: [&str; 5] = ["cluster", "job", "instance", "class", "le"];

/// Complains about what is named and not there, and about metrics that nothing shows.
pub(super) fn check(texts: &Texts) -> Vec<String> {
    let metrics = metrics(&texts.metrics);
    let mut failures = Vec::new();
    let mut shown = BTreeSet::new();
    for dashboard in super::all() {
        for panel in dashboard.panels() {
            for expr in panel.exprs() {
                let found = expression(expr, &metrics, &mut shown);
                failures.extend(found.iter().map(|what| format!("{}: {}: {what}", dashboard.file(), panel.title)));
            }
        }
    }
    for (line, number) in texts.rules.lines().zip(1..) {
        let comment = line.trim_start().starts_with('#');
        let found = if comment { Vec::new() } else { expression(line, &metrics, &mut shown) };
        failures.extend(found.iter().map(|what| format!("dashboards/rules/ingora.yaml:{number}: {what}")));
    }
    let hidden = metrics.keys().filter(|name| !shown.contains(**name));
    failures.extend(hidden.map(|name| {
        format!("docs/metrics.md: {name} is in no dashboard and no rule; add it to a panel in xtask/src/dashboards")
    }));
    failures.extend(alerts(texts));
    failures
}

/// Each metric of the page with its labels.
fn metrics(page: &str) -> BTreeMap<&str, Vec<&str>> {
    page.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `ingora_").map(|_| line.trim_matches('|').split(" | "))?;
            let name = cells.next()?.trim().trim_matches('`');
            let labels = cells.nth(2)?;
            // `result (ok failed)` lists the values of a label.
            let labels = labels.split(", ").filter_map(|label| label.split(" (").next());
            Some((
                name,
                labels.map(|label| label.trim_matches(['`', ' ', '|'])).filter(|label| !label.is_empty()).collect(),
            ))
        })
        .collect()
}

/// Words of an expression that look like names; texts in quotation marks are none.
fn words(expr: &str) -> impl Iterator<Item = (&str, &str)> {
    let name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut rest = expr;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches(|c: char| !name(c) && c != '"');
            if let Some(quoted) = rest.strip_prefix('"') {
                rest = quoted.split_once('"').map_or("", |(_, after)| after);
                continue;
            }
            if rest.is_empty() {
                return None;
            }
            let (word, after) = rest.split_at(rest.find(|c| !name(c)).unwrap_or(rest.len()));
            rest = after;
            return Some((word, after));
        }
    })
}

/// Complains about metrics that there are not, and about labels that none of the metrics has.
fn expression<'m>(expr: &str, metrics: &BTreeMap<&'m str, Vec<&'m str>>, shown: &mut BTreeSet<&'m str>) -> Vec<String> {
    let mut failures = Vec::new();
    for (word, after) in words(expr) {
        if !word.starts_with("ingora_") || word.contains(':') {
            continue;
        }
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end));
        let found = [Some(word), base].into_iter().flatten().find_map(|name| metrics.get_key_value(name));
        let Some((name, labels)) = found else {
            failures.push(format!("{word} is no metric"));
            continue;
        };
        shown.insert(name);
        let selector = after.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        for (label, _) in words(selector) {
            if !labels.contains(&label) && !ADDED.contains(&label) {
                failures.push(format!("{word} has no label {label}"));
            }
        }
    }
    failures
}

/// Each alert has a section in the runbooks, its link, and tests in which it fires and does not.
fn alerts(texts: &Texts) -> Vec<String> {
    let mut failures = Vec::new();
    let after = |text: &'static str| move |line: &str| Some(line.trim().strip_prefix(text)?.trim().to_owned());
    let alerts: Vec<String> = texts.rules.lines().filter_map(after("- alert:")).collect();
    let sections: Vec<String> = texts.runbooks.lines().filter_map(after("## ")).collect();
    for alert in &alerts {
        let mut missing = |what: &str| failures.push(format!("dashboards/rules/ingora.yaml: {alert} has no {what}"));
        if !sections.contains(alert) {
            missing("section in docs/runbooks.md");
        }
        if !texts.rules.contains(&format!("docs/runbooks.md#{}", alert.to_lowercase())) {
            missing("runbook_url");
        }
        let tests: Vec<&str> =
            texts.tests.split("alertname: ").filter(|test| test.lines().next() == Some(alert)).collect();
        if !tests.iter().any(|test| test.contains("exp_labels")) {
            missing("test in which it fires");
        }
        if !tests.iter().any(|test| test.lines().nth(1).is_some_and(|line| line.trim() == "exp_alerts: []")) {
            missing("test in which it does not fire");
        }
    }
    let stale = sections.iter().filter(|section| section.starts_with("Ingora") && !alerts.contains(section));
    failures.extend(stale.map(|section| format!("docs/runbooks.md: there is no alert {section}")));
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
| Metric | What it tells | Type | Labels |
| `ingora_requests_total` | Requests. | `counter` | namespace, method (GET POST) |
| `ingora_time_seconds` | Time. | histogram: 1 2 | `service` |
| `ingora_synced` | Synced. | `gauge` |  |
";

    fn complaints(expr: &str) -> Vec<String> {
        expression(expr, &metrics(PAGE), &mut BTreeSet::new())
    }

    #[test]
    fn metrics_and_labels_that_are_not_there_are_found() {
        assert_eq!(complaints(r#"rate(ingora_requests_total{namespace="a.b",method!~"x"}[5m])"#), [""; 0]);
        assert_eq!(complaints(r#"ingora_time_seconds_bucket{le="1",service="ingora_x"} + ingora_synced"#), [""; 0]);
        assert_eq!(complaints(r#"ingora_requests{namespace="a"}"#), ["ingora_requests is no metric"]);
        assert_eq!(complaints(r#"ingora_requests_total{host="a"}"#), ["ingora_requests_total has no label host"]);
        assert_eq!(complaints("ingora_requests_total{service}"), ["ingora_requests_total has no label service"]);
    }

    #[test]
    fn what_is_recorded_is_no_metric_of_the_gateway() {
        assert_eq!(complaints("service:ingora_requests:rate5m > 1"), [""; 0]);
    }

    #[test]
    fn metrics_that_nothing_shows_are_found() {
        let texts = Texts {
            metrics: "| `ingora_new_total` | New. | `counter` |  |".into(),
            rules: String::new(),
            tests: String::new(),
            runbooks: String::new(),
        };
        assert!(check(&texts).iter().any(|what| what.contains("ingora_new_total is in no dashboard")));
    }

    #[test]
    fn an_alert_needs_a_runbook_and_tests() {
        let rules = "- alert: IngoraDown\n runbook_url: x/docs/runbooks.md#ingoradown\n".to_owned();
        let fires = "alertname: IngoraDown\n exp_alerts:\n - exp_labels: {}\n";
        let rests = "alertname: IngoraDown\n exp_alerts: []\n";
        let texts = |tests: String, runbooks: &str| Texts {
            metrics: String::new(),
            rules: rules.clone(),
            tests,
            runbooks: runbooks.into(),
        };
        assert_eq!(alerts(&texts(format!("{fires}{rests}"), "## IngoraDown")), [""; 0]);
        assert_eq!(alerts(&texts(fires.into(), "## IngoraDown")).len(), 1);
        assert_eq!(alerts(&texts(rests.into(), "## IngoraDown\n## IngoraGone")).len(), 2);
        assert_eq!(alerts(&texts(String::new(), "")).len(), 3);
    }
}
