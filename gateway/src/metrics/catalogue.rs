//! The list of metrics, taken from the code that makes them: for the documentation and for checks of dashboards.
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use features::Labels;
use prometheus::Registry;
use table::{ClusterId, ServicePort};

use super::label::ClosedLabel;
use super::{MethodLabel, Metrics, StreamKind};

/// What a metric is, as Prometheus names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of observations by upper bound, with their number and sum.
    Histogram,
}

impl Kind {
    /// The name in Prometheus' text format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricDoc {
    /// The heading that it belongs under.
    pub group: &'static str,
    /// Name with prefix and unit.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// One sentence.
    pub help: String,
    /// Label names, each with its values where they are known beforehand.
    pub labels: Vec<(String, Vec<String>)>,
    /// Upper bounds of a histogram, in the unit of its name.
    pub buckets: Vec<f64>,
}

/// Every metric that the gateway itself makes, in the order of the code. Those of the process are not among them.
///
/// # Errors
/// When two metrics have the same name: an error in this crate.
pub fn metrics_catalogue() -> Result<Vec<MetricDoc>, crate::Error> {
    let made = RefCell::default();
    let values = values(&made).map_err(|error| crate::Error(format!("metrics cannot be registered: {error}")))?;
    let mut made = made.into_inner();
    for metric in &mut made {
        for (label, known) in &mut metric.labels {
            let seen = values.iter().filter(|(name, of, _)| *name == metric.name && of == label);
            let seen: Vec<String> = seen.map(|(_, _, value)| value.clone()).collect();
            // A label with a single value was only set here, by the example below.
            if seen.len() > 1 {
                *known = seen;
            }
        }
    }
    Ok(made)
}

/// Metric, label and value of every series that is published from the start or with the first rule and cluster.
fn values(made: &RefCell<Vec<MetricDoc>>) -> Result<BTreeSet<(String, String, String)>, prometheus::Error> {
    let metrics = Metrics::noted(Registry::new(), made)?;
    let cluster = metrics.cluster(&ClusterId::new("", "", ServicePort::Number(0)));
    let _queue = cluster.queue();
    let _streams = StreamKind::ALL.iter().map(|kind| metrics.stream(*kind, 0)).collect::<Vec<_>>();
    let rule = metrics.rule(&Arc::new(Labels::default()));
    for method in MethodLabel::ALL {
        rule.observe(*method, 200, 0.0);
    }
    let mut values = BTreeSet::new();
    for family in metrics.registry.gather() {
        for series in family.get_metric() {
            for pair in series.get_label() {
                values.insert((family.name().to_owned(), pair.name().to_owned(), pair.value().to_owned()));
            }
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for metric in metrics_catalogue().unwrap() {
            let name = &metric.name;
            assert!(name.starts_with("ingora_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            let unit = ["_seconds", "_bytes", "_ratio"].iter().any(|unit| name.ends_with(unit));
            assert!(unit || metric.kind != Kind::Histogram, "{name}");
            assert!(metric.help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn values_that_are_known_beforehand_are_listed() {
        let catalogue = metrics_catalogue().unwrap();
        let find = |name: &str| catalogue.iter().find(|metric| metric.name == name).unwrap();
        let listeners = ["http", "https"].map(str::to_owned).to_vec();
        assert_eq!(find("ingora_connections").labels, [("listener".to_owned(), listeners)]);
        let requests = find("ingora_requests_total");
        assert!(requests.labels.iter().any(|(name, values)| name == "namespace" && values.is_empty()));
        assert!(requests.labels.iter().any(|(name, values)| name == "method" && values.len() > 5));
    }
}
