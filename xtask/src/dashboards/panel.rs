//! One panel: what it shows, and the JSON that Grafana reads.
use serde_json::{Value, json};

/// Panels under one heading.
pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) panels: Vec<Panel>,
}

/// How a panel shows its figures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Lines over time.
    Lines,
    /// Areas on top of each other.
    Stack,
    /// One large figure.
    Figure,
    /// Counts of a histogram's buckets over time.
    Heatmap,
    /// The newest values, one row a series.
    Table,
}

/// A query with the legend of its series.
#[derive(Clone)]
struct Query {
    expr: String,
    legend: &'static str,
}

/// One panel.
pub(super) struct Panel {
    pub(super) title: &'static str,
    about: &'static str,
    form: Form,
    unit: &'static str,
    queries: Vec<Query>,
    /// Where yellow begins and where red begins.
    limits: Option<(f64, f64)>,
}

/// Labels that a template variable restricts. `%rule` for series of a rule, `%service` for those of a Service,
/// `%gateway` for those of a whole gateway, `%process` for what every Prometheus client publishes.
const SCOPES: [(&str, &str); 4] = [
    ("%rule", r#"cluster=~"$cluster",namespace=~"$namespace",ingress=~"$ingress""#),
    ("%service", r#"cluster=~"$cluster",namespace=~"$namespace""#),
    ("%gateway", r#"cluster=~"$cluster""#),
    ("%process", r#"on (cluster, job, instance) group_left () ingora_build_info{cluster=~"$cluster"}"#),
];

/// A rate's window, which Grafana fits to the resolution and the scrape interval.
const WINDOW: &str = "$__rate_interval";

/// The data source that the reader chose.
pub(super) fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

impl Panel {
    fn new(form: Form, title: &'static str, unit: &'static str, about: &'static str) -> Self {
        Self { title, about, form, unit, queries: Vec::new(), limits: None }
    }

    pub(super) fn lines(title: &'static str, unit: &'static str, about: &'static str) -> Self {
        Self::new(Form::Lines, title, unit, about)
    }

    pub(super) fn stack(title: &'static str, unit: &'static str, about: &'static str) -> Self {
        Self::new(Form::Stack, title, unit, about)
    }

    pub(super) fn figure(title: &'static str, unit: &'static str, about: &'static str) -> Self {
        Self::new(Form::Figure, title, unit, about)
    }

    pub(super) fn heatmap(title: &'static str, about: &'static str) -> Self {
        Self::new(Form::Heatmap, title, "s", about)
    }

    pub(super) fn table(title: &'static str, unit: &'static str, about: &'static str) -> Self {
        Self::new(Form::Table, title, unit, about)
    }

    /// Adds a query. `%rule` and its like stand for what the variables choose, `%window` for a rate's window.
    pub(super) fn query(mut self, legend: &'static str, expr: &str) -> Self {
        let mut expr = expr.split_whitespace().collect::<Vec<_>>().join(" ").replace("%window", WINDOW);
        for (scope, labels) in SCOPES {
            expr = expr.replace(scope, labels);
        }
        self.queries.push(Query { expr, legend });
        self
    }

    /// Colours values from `warn` on yellow, from `bad` on red. When `bad` is the lower one, low values are bad.
    pub(super) fn limits(mut self, warn: f64, bad: f64) -> Self {
        self.limits = Some((warn, bad));
        self
    }

    /// Every expression.
    pub(super) fn exprs(&self) -> impl Iterator<Item = &str> {
        self.queries.iter().map(|query| query.expr.as_str())
    }

    /// Columns and rows of the grid.
    pub(super) fn size(&self) -> (u32, u32) {
        match self.form {
            Form::Figure => (4, 4),
            Form::Lines | Form::Stack => (8, 8),
            Form::Heatmap | Form::Table => (12, 9),
        }
    }

    pub(super) fn json(&self, id: u32, place: &Value) -> Value {
        let targets: Vec<_> = self.queries.iter().zip('A'..).map(|(query, id)| self.target(query, id)).collect();
        json!({
            "id": id, "title": self.title, "description": self.about, "gridPos": place, "datasource": source(),
            "type": match self.form {
                Form::Lines | Form::Stack => "timeseries",
                Form::Figure => "stat",
                Form::Heatmap => "heatmap",
                Form::Table => "table",
            },
            "targets": targets,
            "fieldConfig": {"defaults": self.defaults(), "overrides": []},
            "options": self.options(),
            "transformations": if self.form == Form::Table {
                json!([{"id": "labelsToFields", "options": {"mode": "columns"}}, {"id": "merge", "options": {}}])
            } else {
                json!([])
            },
        })
    }

    fn target(&self, query: &Query, id: char) -> Value {
        let format = match self.form {
            Form::Heatmap => "heatmap",
            Form::Table => "table",
            _ => "time_series",
        };
        let instant = matches!(self.form, Form::Table | Form::Figure);
        json!({
            "refId": id.to_string(), "datasource": source(), "expr": query.expr, "legendFormat": query.legend,
            "format": format, "instant": instant, "range": !instant, "editorMode": "code",
        })
    }

    fn defaults(&self) -> Value {
        let mut defaults = json!({"unit": self.unit, "min": 0, "color": {"mode": "palette-classic"}});
        if let Some(object) = defaults.as_object_mut() {
            if let Some((warn, bad)) = self.limits {
                let step = |color: &str, value: Option<f64>| json!({"color": color, "value": value});
                let steps = if warn < bad {
                    json!([step("green", None), step("yellow", Some(warn)), step("red", Some(bad))])
                } else {
                    json!([step("red", None), step("yellow", Some(bad)), step("green", Some(warn))])
                };
                object.insert("thresholds".to_owned(), json!({"mode": "absolute", "steps": steps}));
                object.insert("color".to_owned(), json!({"mode": "thresholds"}));
            }
            let (stacking, fill) = if self.form == Form::Stack { ("normal", 25) } else { ("none", 5) };
            if matches!(self.form, Form::Lines | Form::Stack) {
                object.insert("color".to_owned(), json!({"mode": "palette-classic"}));
                let custom = json!({"stacking": {"mode": stacking}, "fillOpacity": fill, "showPoints": "never"});
                object.insert("custom".to_owned(), custom);
            }
        }
        defaults
    }

    fn options(&self) -> Value {
        match self.form {
            Form::Lines | Form::Stack => json!({
                "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
            Form::Figure => json!({
                "reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "none",
                "colorMode": if self.limits.is_some() { "background" } else { "value" },
            }),
            Form::Heatmap => json!({
                "calculate": false, "yAxis": {"unit": self.unit}, "cellGap": 1,
                "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
                "tooltip": {"mode": "single", "yHistogram": true},
            }),
            Form::Table => json!({"showHeader": true, "sortBy": [{"displayName": "Value", "desc": false}]}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_and_windows_are_filled_in() {
        let panel = Panel::lines("", "", "").query("", "sum(rate(a{%service}[%window]))\n  / b");
        let want = r#"sum(rate(a{cluster=~"$cluster",namespace=~"$namespace"}[$__rate_interval])) / b"#;
        assert_eq!(panel.exprs().collect::<Vec<_>>(), [want]);
    }

    #[test]
    fn low_values_can_be_bad() {
        let colors = |warn, bad| {
            let json = Panel::figure("", "", "").limits(warn, bad).defaults();
            let steps = json["thresholds"]["steps"].as_array().unwrap().clone();
            steps.iter().map(|step| step["color"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(colors(1.0, 2.0), ["green", "yellow", "red"]);
        assert_eq!(colors(2.0, 1.0), ["red", "yellow", "green"]);
    }
}
