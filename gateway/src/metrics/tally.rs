//! Figures of each cluster that become series only when metrics are read.
//!
//! A series of the library's own holds name, help and labels in texts of its own, several hundred bytes, and a cluster has
//! eighteen from the start, so that a rate over the first event is not lost.
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use table::ClusterId;

use super::ClusterMetrics;
use super::label::ClosedLabel;

/// A figure.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    /// Adds one.
    pub(crate) fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Replaces the figure.
    pub(crate) fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus' figures are floats")]
    fn get(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64
    }
}

/// Adds one to the figure of a label's value.
pub(super) fn inc<L: ClosedLabel>(tallies: &[Tally], label: L) {
    if let Some(tally) = tallies.get(label.index()) {
        tally.inc();
    }
}

/// A metric with a series for each cluster, or one for each cluster and value of a closed label.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// It only grows; otherwise it is a gauge.
    pub(super) counts: bool,
    /// The closed label and its values.
    pub(super) label: Option<(&'static str, &'static [&'static str])>,
    /// Where the figures are, in the order of the label's values.
    pub(super) tallies: fn(&ClusterMetrics) -> &[Tally],
}

impl Family {
    /// The names of the labels.
    pub(super) fn labels(&self) -> Vec<&'static str> {
        ["namespace", "service", "port"].into_iter().chain(self.label.map(|(name, _)| name)).collect()
    }

    fn series(&self, id: &ClusterId, of: &ClusterMetrics, out: &mut Vec<Metric>) {
        let port = id.port().to_string();
        let values = self.label.map_or(&[""][..], |(_, values)| values);
        for (value, tally) in values.iter().zip((self.tallies)(of)) {
            let mut labels =
                vec![pair("namespace", id.namespace()), pair("port", &port), pair("service", id.service())];
            labels.extend(self.label.map(|(name, _)| pair(name, value)));
            labels.sort_by(|a, b| a.name().cmp(b.name()));
            let mut metric = Metric::from_label(labels);
            if self.counts {
                let mut counter = Counter::default();
                counter.set_value(tally.get());
                metric.set_counter(counter);
            } else {
                let mut gauge = Gauge::default();
                gauge.set_value(tally.get());
                metric.set_gauge(gauge);
            }
            out.push(metric);
        }
    }
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// The figures of all clusters that are published.
pub(super) type Published = Arc<Mutex<HashMap<ClusterId, Arc<ClusterMetrics>>>>;

/// Makes series of figures.
pub(super) struct Tallies {
    families: Vec<(&'static Family, Desc)>,
    published: Published,
}

impl Tallies {
    /// The series of some families.
    ///
    /// # Errors
    /// When a name is none.
    pub(super) fn new(families: &'static [Family], prefix: &str, published: Published) -> prometheus::Result<Self> {
        let desc = |family: &'static Family| {
            let labels = family.labels().into_iter().map(str::to_owned).collect();
            let desc = Desc::new(format!("{prefix}_{}", family.name), family.help.to_owned(), labels, HashMap::new())?;
            Ok((family, desc))
        };
        Ok(Self { families: families.iter().map(desc).collect::<prometheus::Result<_>>()?, published })
    }
}

impl Collector for Tallies {
    fn desc(&self) -> Vec<&Desc> {
        self.families.iter().map(|(_, desc)| desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Whoever makes a cluster must not wait for a scrape.
        let published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> = published.iter().map(|(id, of)| (id.clone(), of.clone())).collect();
        drop(published);
        let made = |(family, desc): &(&Family, Desc)| {
            let mut series = Vec::new();
            all.iter().for_each(|(id, of)| family.series(id, of, &mut series));
            let mut made = MetricFamily::default();
            made.set_name(desc.fq_name.clone());
            made.set_help(desc.help.clone());
            made.set_field_type(if family.counts { MetricType::COUNTER } else { MetricType::GAUGE });
            made.set_metric(series);
            made
        };
        self.families.iter().map(made).collect()
    }
}
