//! Makes metrics and registers them, all under one prefix, and keeps a note of each for the documentation.
use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use super::catalogue::{Kind, MetricDoc};
use super::tally::{Family, Published, Tallies};

const PREFIX: &str = "ingora";

/// Makes the metrics of one registry.
pub(super) struct Register<'r> {
    registry: &'r Registry,
    made: &'r RefCell<Vec<MetricDoc>>,
    group: &'static str,
}

type Made<T> = Result<T, prometheus::Error>;

impl<'r> Register<'r> {
    /// What is made is noted in `made`.
    pub(super) fn new(registry: &'r Registry, made: &'r RefCell<Vec<MetricDoc>>) -> Self {
        Self { registry, made, group: "Gateway" }
    }

    /// The same registry; what is made is documented under another heading.
    pub(super) fn group(&self, group: &'static str) -> Self {
        Self { group, ..*self }
    }

    fn note(&self, kind: Kind, name: &str, help: &str, labels: &[&str], buckets: &[f64]) {
        self.made.borrow_mut().push(MetricDoc {
            group: self.group,
            name: format!("{PREFIX}_{name}"),
            kind,
            help: help.to_owned(),
            labels: labels.iter().map(|label| ((*label).to_owned(), Vec::new())).collect(),
            buckets: buckets.to_vec(),
        });
    }
}

impl Register<'_> {
    pub(super) fn counter(&self, name: &str, help: &str) -> Made<IntCounter> {
        self.note(Kind::Counter, name, help, &[], &[]);
        self.keep(IntCounter::with_opts(opts(name, help))?)
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntCounterVec> {
        self.note(Kind::Counter, name, help, labels, &[]);
        self.keep(IntCounterVec::new(opts(name, help), labels)?)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Made<IntGauge> {
        self.note(Kind::Gauge, name, help, &[], &[]);
        self.keep(IntGauge::with_opts(opts(name, help))?)
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntGaugeVec> {
        self.note(Kind::Gauge, name, help, labels, &[]);
        self.keep(IntGaugeVec::new(opts(name, help), labels)?)
    }

    pub(super) fn float_gauge(&self, name: &str, help: &str) -> Made<Gauge> {
        self.note(Kind::Gauge, name, help, &[], &[]);
        self.keep(Gauge::with_opts(opts(name, help))?)
    }

    pub(super) fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> Made<GaugeVec> {
        self.note(Kind::Gauge, name, help, labels, &[]);
        self.keep(GaugeVec::new(opts(name, help), labels)?)
    }

    /// `buckets` in seconds.
    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Made<Histogram> {
        self.note(Kind::Histogram, name, help, &[], buckets);
        self.keep(Histogram::with_opts(HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec()))?)
    }

    /// `buckets` in seconds.
    pub(super) fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Made<HistogramVec> {
        self.note(Kind::Histogram, name, help, labels, buckets);
        let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
        self.keep(HistogramVec::new(opts, labels)?)
    }

    /// Families whose figures are kept in place and become series when they are read.
    pub(super) fn tallies(&self, families: &'static [Family], published: &Published) -> Made<()> {
        for family in families {
            let kind = if family.counts { Kind::Counter } else { Kind::Gauge };
            self.note(kind, family.name, family.help, &family.labels(), &[]);
        }
        self.registry.register(Box::new(Tallies::new(families, PREFIX, published.clone())?))
    }

    fn keep<C: Collector + Clone + 'static>(&self, collector: C) -> Made<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}
