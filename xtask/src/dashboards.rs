//! The Grafana dashboards: built here, written to `dashboards/`, and checked against the metrics that there are.
mod check;
mod clients;
mod control_plane;
mod overview;
mod panel;
mod upstreams;

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use panel::{Panel, Row};

/// One dashboard.
pub(crate) struct Dashboard {
    /// Name of the file, and what links to it say.
    uid: &'static str,
    title: &'static str,
    about: &'static str,
    rows: Vec<Row>,
}

/// Every dashboard.
fn all() -> Vec<Dashboard> {
    vec![overview::dashboard(), upstreams::dashboard(), control_plane::dashboard(), clients::dashboard()]
}

/// The grid of Grafana is this many columns wide.
const COLUMNS: u32 = 24;

/// Schema that Grafana 11 writes; later ones read it.
const SCHEMA: u32 = 39;

impl Dashboard {
    fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|row| &row.panels)
    }

    fn file(&self) -> String {
        format!("dashboards/{}.json", self.uid)
    }

    fn json(&self) -> Value {
        let mut laid = Vec::new();
        let (mut id, mut y) = (0_u32, 0_u32);
        for row in &self.rows {
            id += 1;
            laid.push(json!({
                "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
            }));
            y += 1;
            let (mut x, mut tallest) = (0, 0);
            for panel in &row.panels {
                let (width, height) = panel.size();
                if x + width > COLUMNS {
                    y += tallest;
                    (x, tallest) = (0, 0);
                }
                id += 1;
                laid.push(panel.json(id, &json!({"x": x, "y": y, "w": width, "h": height})));
                x += width;
                tallest = tallest.max(height);
            }
            y += tallest;
        }
        json!({
            "uid": self.uid, "title": self.title, "description": self.about, "tags": ["ingora"],
            "schemaVersion": SCHEMA, "version": 1, "editable": true, "graphTooltip": 1, "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"}, "timezone": "browser",
            "links": [{
                "type": "dashboards", "title": "Ingora", "tags": ["ingora"], "asDropdown": true,
                "includeVars": true, "keepTime": true, "targetBlank": false,
            }],
            "annotations": {"list": []},
            "templating": {"list": variables()},
            "panels": laid,
        })
    }
}

/// The choices at the top of every dashboard. "All" is `.*`, which also matches series without the label.
fn variables() -> Vec<Value> {
    let choice = |name: &str, query: &str| {
        json!({
            "name": name, "label": name, "type": "query", "datasource": panel::source(),
            "query": {"query": query, "refId": name}, "definition": query,
            "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        })
    };
    vec![
        json!({"name": "datasource", "label": "data source", "type": "datasource", "query": "prometheus"}),
        choice("cluster", "label_values(ingora_build_info, cluster)"),
        choice("namespace", r#"label_values(ingora_requests_total{cluster=~"$cluster"}, namespace)"#),
        choice(
            "ingress",
            r#"label_values(ingora_requests_total{cluster=~"$cluster", namespace=~"$namespace"}, ingress)"#,
        ),
    ]
}

/// Writes the dashboards.
pub(crate) fn write(root: &Path) -> io::Result<()> {
    for dashboard in all() {
        fs::write(root.join(dashboard.file()), text(&dashboard)?)?;
    }
    Ok(())
}

/// What does not fit together: sentences that begin with a path.
pub(crate) fn check(root: &Path) -> io::Result<Vec<String>> {
    let mut failures = Vec::new();
    for dashboard in all() {
        let have = fs::read_to_string(root.join(dashboard.file())).unwrap_or_default();
        if have != text(&dashboard)? {
            failures.push(format!("{}: is stale; `cargo run -p xtask -- dashboards` rewrites it", dashboard.file()));
        }
    }
    let read = |path: &str| fs::read_to_string(root.join(path));
    failures.extend(check::check(&check::Texts {
        metrics: read("docs/metrics.md")?,
        rules: read("dashboards/rules/ingora.yaml")?,
        tests: read("dashboards/rules/ingora.test.yaml")?,
        runbooks: read("docs/runbooks.md")?,
    }));
    Ok(failures)
}

fn text(dashboard: &Dashboard) -> io::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(&dashboard.json())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashboards_rules_metrics_and_runbooks_fit_together() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(check(root).unwrap(), [""; 0]);
    }

    #[test]
    fn panels_lie_side_by_side_and_never_over_each_other() {
        for dashboard in all() {
            let json = dashboard.json();
            let number = |panel: &Value, key: &str| panel["gridPos"][key].as_u64().unwrap();
            let panels = json["panels"].as_array().unwrap();
            for (index, one) in panels.iter().enumerate() {
                assert!(number(one, "x") + number(one, "w") <= u64::from(COLUMNS));
                for other in &panels[index + 1..] {
                    let apart = |at: &str, size: &str| {
                        number(one, at) + number(one, size) <= number(other, at)
                            || number(other, at) + number(other, size) <= number(one, at)
                    };
                    assert!(apart("x", "w") || apart("y", "h"), "{} and {}", one["title"], other["title"]);
                }
            }
        }
    }

    #[test]
    fn a_dashboard_names_each_panel_once() {
        for dashboard in all() {
            let mut titles: Vec<_> = dashboard.panels().map(|panel| panel.title).collect();
            titles.sort_unstable();
            let all = titles.len();
            titles.dedup();
            assert_eq!(titles.len(), all, "{}", dashboard.title);
        }
    }
}
