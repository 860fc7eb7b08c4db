//! What Prometheus can ask about the gateway: one registry, handles that are resolved before a request needs them.
//!
//! Nothing here is global. Whoever counts on the request path holds a handle ([`RuleMetrics`], [`ClusterMetrics`],
//! [`Connections`]); the locks are taken when a rule or cluster appears, when it goes and when metrics are read.
mod catalogue;
mod cluster;
mod connection;
mod control;
mod endpoint;
mod flow;
pub(crate) mod label;
mod nginx;
mod overload;
mod queue;
mod register;
mod rule;
mod spans;
mod stream;
mod tally;

pub use catalogue::{Kind, MetricDoc, metrics_catalogue};
pub(crate) use cluster::{ClusterMetrics, ConnectResult};
pub(crate) use connection::{
    Alpn, BadRequest, Connections, Handshake, Listener, OpenConnection, Refusal, TlsSession, TlsVersion,
};
pub(crate) use control::ControlPlane;
pub(crate) use endpoint::EndpointMetrics;
pub(crate) use flow::RetryReason;
pub(crate) use label::closed_label;
pub use nginx::NginxMetrics;
pub(crate) use nginx::{Finished, Lack, Nginx, NginxRule, Objects};
pub(crate) use overload::{OverloadMetrics, ShedReason, Ungathered};
pub(crate) use queue::{QueueMetrics, Rejection};
pub(crate) use rule::{MethodLabel, RuleMetrics};
pub(crate) use spans::{Lost, SpanMetrics};
pub(crate) use stream::{OpenStream, StreamKind, StreamMetrics, StreamOutcome};

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use features::Labels;
use prometheus::{Encoder, IntCounter, Registry, TextEncoder};
use table::ClusterId;

use register::Register;

/// Content-Type of what [`Metrics::encode`] writes.
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Everything that is counted, measured and published.
pub(crate) struct Metrics {
    registry: Registry,
    rules: rule::Rules,
    clusters: cluster::Clusters,
    streams: stream::Streams,
    /// Client connections, handshakes and requests that never became one.
    pub(crate) connections: Connections,
    /// What the control plane has to say about itself.
    pub(crate) control: ControlPlane,
    /// Figures of single endpoints.
    pub(crate) endpoints: EndpointMetrics,
    /// How busy the process is.
    pub(crate) overload: OverloadMetrics,
    /// What becomes of spans.
    pub(crate) spans: SpanMetrics,
    access_log_dropped: IntCounter,
    /// The same under ingress-nginx's names, if that is wanted.
    pub(crate) nginx: Option<Nginx>,
}

impl Metrics {
    /// Registers every metric with a registry of its own.
    ///
    /// # Errors
    /// When two metrics have the same name: an error in this module.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        Self::noted(Registry::new(), &RefCell::default())
    }

    /// Whether requests are counted by path (`--metrics-per-path`), or only by Ingress and Service.
    #[must_use]
    pub(crate) fn per_path(mut self, per_path: bool) -> Self {
        self.rules.per_path(per_path);
        self
    }

    /// How many endpoints have figures of their own (`--metrics-per-endpoint`).
    #[must_use]
    pub(crate) fn per_endpoint(mut self, most: usize) -> Self {
        self.endpoints.limit(most);
        self
    }

    /// Adds metrics with ingress-nginx's names (`--metrics-compat nginx`).
    ///
    /// # Errors
    /// When they cannot be registered, as with buckets that do not ascend.
    pub(crate) fn with_nginx(mut self, options: Option<&NginxMetrics>) -> Result<Self, prometheus::Error> {
        let per_path = self.rules.is_per_path();
        self.nginx = options.map(|options| Nginx::new(options, per_path)).transpose()?;
        Ok(self)
    }

    /// Registers every metric and notes what each is.
    fn noted(registry: Registry, made: &RefCell<Vec<MetricDoc>>) -> Result<Self, prometheus::Error> {
        let register = Register::new(&registry, made);
        let version = register.gauges("build_info", "Version of the gateway; always 1.", &["version"])?;
        version.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        register_process(&registry)?;
        Ok(Self {
            rules: rule::Rules::new(&register.group("Requests"))?,
            clusters: cluster::Clusters::new(&register.group("Endpoints"))?,
            connections: Connections::new(&register.group("Clients"))?,
            streams: stream::Streams::new(&register.group("Streams"))?,
            control: ControlPlane::new(&register.group("Control plane"))?,
            endpoints: EndpointMetrics::new(&register.group("Endpoints"))?,
            overload: OverloadMetrics::new(&register.group("Overload"))?,
            spans: SpanMetrics::new(&register.group("Traces"))?,
            access_log_dropped: register.counter(
                "access_log_dropped_total",
                "Access log lines that were dropped because writing could not keep up or failed.",
            )?,
            nginx: None,
            registry,
        })
    }

    /// The handle of a rule; requests that match none use the default labels. The same labels give the same handle
    /// as long as anyone holds it. Takes a lock: keep the result.
    pub(crate) fn rule(&self, labels: &Arc<Labels>) -> Arc<RuleMetrics> {
        self.rules.get(labels)
    }

    /// Removes the series of rules whose handle nobody has held for a while.
    pub(crate) fn sweep(&self, now: Instant) {
        self.rules.sweep(now);
        self.nginx.iter().for_each(|nginx| nginx.requests().sweep(now));
    }

    /// The handle of a cluster. The same id gives the same handle until the cluster retires. Takes a lock: keep the
    /// result.
    pub(crate) fn cluster(&self, id: &ClusterId) -> Arc<ClusterMetrics> {
        self.clusters.get(id)
    }

    /// Removes the series of a cluster. What handles that are still held count afterwards is not published.
    pub(crate) fn retire_cluster(&self, id: &ClusterId) {
        self.clusters.retire(id);
    }

    /// The handle of a port whose connections pass as bytes. Takes a lock.
    pub(crate) fn stream(&self, kind: StreamKind, port: u16) -> Arc<StreamMetrics> {
        self.streams.get(kind, port)
    }

    /// Removes the series of such a port.
    pub(crate) fn retire_stream(&self, kind: StreamKind, port: u16) {
        self.streams.retire(kind, port);
    }

    /// Counts lines that the access log could not write.
    pub(crate) fn access_log_dropped(&self) -> IntCounter {
        self.access_log_dropped.clone()
    }

    /// Everything in Prometheus' text format; `objects` is what metrics with ingress-nginx's names tell of the table. Takes
    /// milliseconds with many series: not on a request thread.
    ///
    /// # Errors
    /// When a metric cannot be encoded: an error in this module.
    pub(crate) fn encode(&self, objects: &Objects<'_>) -> Result<Vec<u8>, prometheus::Error> {
        let (mut out, ours) = (Vec::new(), self.registry.gather());
        TextEncoder::new().encode(&ours, &mut out)?;
        if let Some(nginx) = &self.nginx {
            TextEncoder::new().encode(&nginx.gather(&ours, objects), &mut out)?;
        }
        Ok(out)
    }
}

/// Processor time, memory, threads and file descriptors, under the names that every Prometheus client uses.
#[cfg(target_os = "linux")]
fn register_process(registry: &Registry) -> Result<(), prometheus::Error> {
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
}

#[cfg(not(target_os = "linux"))]
fn register_process(_registry: &Registry) -> Result<(), prometheus::Error> {
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The published lines that hold a text.
    pub(crate) fn lines(metrics: &Metrics, part: &str) -> Vec<String> {
        let text = String::from_utf8(metrics.encode(&Objects::default()).unwrap()).unwrap();
        text.lines().filter(|line| !line.starts_with('#') && line.contains(part)).map(str::to_owned).collect()
    }

    #[test]
    fn the_version_and_the_process_are_published() {
        let metrics = Metrics::new().unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(lines(&metrics, "build_info"), [format!("ingora_build_info{{version=\"{version}\"}} 1")]);
        if cfg!(target_os = "linux") {
            for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "start_time_seconds"] {
                assert_eq!(lines(&metrics, &format!("process_{name}")).len(), 1, "{name}");
            }
        }
    }

    #[test]
    fn two_gateways_in_one_process_do_not_share_metrics() {
        let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
        one.access_log_dropped().inc();
        assert_eq!(lines(&one, "access_log"), ["ingora_access_log_dropped_total 1"]);
        assert_eq!(lines(&other, "access_log"), ["ingora_access_log_dropped_total 0"]);
    }

    #[test]
    fn every_metric_has_the_prefix_and_a_sentence() {
        let text = String::from_utf8(Metrics::new().unwrap().encode(&Objects::default()).unwrap()).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
            let (name, sentence) = line.split_once(' ').unwrap();
            assert!(name.starts_with("ingora_") || name.starts_with("process_"), "{name}");
            assert!(sentence.ends_with('.'), "{line}");
        }
    }
}
