//! The names and labels of ingress-nginx's metrics (`--metrics-compat nginx`), for dashboards and alerts that ask for them.
//!
//! They have a registry of their own, whose constant labels every metric of ingress-nginx has. Without the switch nothing
//! of this exists.
mod checks;
mod objects;
mod process;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Counter, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use table::{Facts, Generation};

pub(crate) use objects::{Lack, Objects};
pub(crate) use requests::{Finished, NginxRule};

const PREFIX: &str = "nginx_ingress_controller";

/// What the metrics with ingress-nginx's names are like.
#[derive(Clone, Debug)]
pub struct NginxMetrics {
    /// `controller_namespace` of every series.
    pub namespace: String,
    /// `controller_class` of every series.
    pub class: String,
    /// `controller_pod` of every series.
    pub pod: String,
    /// `--election-id`: `name` of `leader_election_status`.
    pub election: String,
    /// `--metrics-per-host`: requests have the host of their rule.
    pub per_host: bool,
    /// `--metrics-per-undefined-host`: requests that no rule matched are counted, all under one host.
    pub undefined_hosts: bool,
    /// `--report-status-classes`: statuses are counted as `2xx`.
    pub status_classes: bool,
    /// `--time-buckets`: seconds.
    pub time_buckets: Vec<f64>,
    /// `--length-buckets`: bytes of requests and responses.
    pub length_buckets: Vec<f64>,
    /// `--size-buckets`: bytes of `bytes_sent`.
    pub size_buckets: Vec<f64>,
    /// `--exclude-socket-metrics`: names of metrics of requests that are not made, without the prefix.
    pub exclude: Vec<String>,
}

/// ingress-nginx's defaults.
impl Default for NginxMetrics {
    fn default() -> Self {
        Self {
            namespace: String::new(),
            class: String::new(),
            pod: String::new(),
            election: String::new(),
            per_host: true,
            undefined_hosts: false,
            status_classes: false,
            time_buckets: vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
            length_buckets: (1..=10_u8).map(|ten| f64::from(ten) * 10.0).collect(),
            size_buckets: (1..=7).map(|power| 10_f64.powi(power)).collect(),
            exclude: Vec::new(),
        }
    }
}

/// All of them.
pub(crate) struct Nginx {
    registry: Registry,
    requests: requests::Requests,
    process: process::Process,
    objects: objects::Published,
    checks: checks::Published,
    reloads: Reloads,
    leader: Gauge,
}

/// What ingress-nginx says of its reloads; here of tables that became live.
struct Reloads {
    success: IntCounter,
    hash: Gauge,
    last: Gauge,
    last_time: Gauge,
    generation: AtomicI64,
}

impl Nginx {
    /// Registers them.
    ///
    /// # Errors
    /// When buckets are not in ascending order.
    pub(crate) fn new(options: &NginxMetrics, per_path: bool) -> Result<Self, prometheus::Error> {
        let labels = [
            ("controller_namespace", &options.namespace),
            ("controller_class", &options.class),
            ("controller_pod", &options.pod),
        ];
        let labels: HashMap<_, _> = labels.map(|(name, value)| (name.to_owned(), value.clone())).into();
        let registry = Registry::new_custom(None, Some(labels))?;
        let make = Make { registry: &registry };
        for buckets in [&options.time_buckets, &options.length_buckets, &options.size_buckets] {
            if !buckets.is_sorted_by(|a, b| a < b) {
                return Err(prometheus::Error::Msg(format!("the buckets {buckets:?} do not ascend")));
            }
        }
        let build = make.gauges("build_info", "Version of the gateway.", &["release", "build", "repository"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), "ingora", ""]).set(1.0);
        make.counter("errors", "Tables that could not be applied; there are none.")?;
        let leader = make.gauges("leader_election_status", "1 on the leader.", &["name"])?;
        Ok(Self {
            requests: requests::Requests::new(&make, options, per_path)?,
            process: process::Process::new(&make)?,
            objects: objects::Published::new(&make, &options.class)?,
            checks: checks::Published::new(&make)?,
            reloads: Reloads {
                success: make.counter("success", "Tables that became live.")?,
                hash: make.gauge("config_hash", "Generation of the table that serves.")?,
                last: make.gauge("config_last_reload_successful", "1 once a table is live.")?,
                last_time: make.gauge(
                    "config_last_reload_successful_timestamp_seconds",
                    "When the table that serves became live, in seconds since the Unix epoch.",
                )?,
                generation: AtomicI64::new(0),
            },
            leader: leader.with_label_values(&[&options.election]),
            registry,
        })
    }

    /// Where the requests of rules are counted.
    pub(crate) fn requests(&self) -> &requests::Requests {
        &self.requests
    }

    /// A table became live, at this time in seconds since the Unix epoch.
    pub(crate) fn live(&self, generation: Generation, unix: i64) {
        let number = i64::try_from(generation.0).unwrap_or(i64::MAX);
        if self.reloads.generation.swap(number, Relaxed) != number {
            self.reloads.success.inc();
            self.reloads.hash.set(number as f64);
            self.reloads.last.set(1.0);
            self.reloads.last_time.set(unix as f64);
        }
    }

    /// What the control plane says of itself.
    pub(crate) fn facts(&self, facts: &Facts) {
        self.leader.set(f64::from(u8::from(facts.leader == Some(true))));
        self.checks.publish(&facts.checks);
    }

    /// What is read when somebody asks: the process, and what the live table holds.
    pub(crate) fn gather(&self, ours: &[MetricFamily], objects: &Objects<'_>) -> Vec<MetricFamily> {
        self.process.publish(ours, objects.in_flight);
        self.objects.publish(objects);
        self.registry.gather()
    }
}

/// Makes metrics and registers them.
struct Make<'r> {
    registry: &'r Registry,
}

type Made<T> = Result<T, prometheus::Error>;

impl Make<'_> {
    fn counter(&self, name: &str, help: &str) -> Made<IntCounter> {
        self.keep(IntCounter::with_opts(opts(name, help))?)
    }

    /// A counter whose value somebody else counts.
    fn mirror(&self, name: &str, help: &str) -> Made<Counter> {
        self.keep(Counter::with_opts(opts(name, help))?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntCounterVec> {
        self.keep(IntCounterVec::new(opts(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Made<Gauge> {
        self.keep(Gauge::with_opts(opts(name, help))?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Made<GaugeVec> {
        self.keep(GaugeVec::new(opts(name, help), labels)?)
    }

    fn int_gauges(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntGaugeVec> {
        self.keep(IntGaugeVec::new(opts(name, help), labels)?)
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Made<HistogramVec> {
        let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
        self.keep(HistogramVec::new(opts, labels)?)
    }

    fn keep<C: Collector + Clone + 'static>(&self, collector: C) -> Made<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}
