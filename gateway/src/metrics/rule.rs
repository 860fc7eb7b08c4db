//! Requests, counted and timed by rule.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use features::Labels;
use http::{Method, StatusCode};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::label::{ClosedLabel, closed_label};
use super::register::Register;

/// Seconds. Few on purpose: each bucket is a series for each rule that gets requests.
const DURATION_BUCKETS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 2.5, 10.0];

const LABELS: &[&str] = &["namespace", "ingress", "service", "path", "method", "status"];

/// Without method and status, which would multiply the buckets.
const DURATION_LABELS: &[&str] = &["namespace", "ingress", "service", "path"];

/// Combinations of method and status that a rule keeps handles for.
const SLOTS: usize = 16;

closed_label! {
    /// The method of a request. Strangers can invent methods; those are one value, so that they cannot invent series.
    MethodLabel {
        /// GET.
        Get = "GET",
        /// HEAD.
        Head = "HEAD",
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// DELETE.
        Delete = "DELETE",
        /// CONNECT.
        Connect = "CONNECT",
        /// OPTIONS.
        Options = "OPTIONS",
        /// TRACE.
        Trace = "TRACE",
        /// PATCH.
        Patch = "PATCH",
        /// Any other.
        Other = "_other",
    }
}

impl From<&Method> for MethodLabel {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::DELETE => Self::Delete,
            Method::CONNECT => Self::Connect,
            Method::OPTIONS => Self::Options,
            Method::TRACE => Self::Trace,
            Method::PATCH => Self::Patch,
            _ => Self::Other,
        }
    }
}

/// A status as it is published: registered ones and 499 (the client went away) as they are, others as their class, so
/// that a server behind the gateway cannot invent series.
pub(super) fn status_label(status: u16) -> String {
    let registered = StatusCode::from_u16(status).is_ok_and(|status| status.canonical_reason().is_some());
    match status {
        status if registered || status == 499 => status.to_string(),
        100..=599 => format!("{}xx", status / 100),
        _ => "_other".to_owned(),
    }
}

#[derive(Clone)]
struct Vecs {
    count: IntCounterVec,
    duration: HistogramVec,
}

/// The count of one method and status.
struct Series {
    key: (MethodLabel, u16),
    count: IntCounter,
}

/// What is published of a rule's [`Labels`]. Rules that differ in the rest share their series.
#[derive(Clone, PartialEq, Eq, Hash)]
struct RuleLabels {
    namespace: Arc<str>,
    ingress: Arc<str>,
    service: Arc<str>,
    path: Arc<str>,
}

impl From<&Labels> for RuleLabels {
    fn from(labels: &Labels) -> Self {
        Self {
            namespace: labels.namespace.clone(),
            ingress: labels.ingress.clone(),
            service: labels.service.clone(),
            path: labels.path.clone(),
        }
    }
}

/// The handle of one rule's metrics.
pub(crate) struct RuleMetrics {
    labels: RuleLabels,
    vecs: Vecs,
    /// Published from the first request on: most rules of a large cluster rest.
    duration: OnceLock<Histogram>,
    slots: [OnceLock<Series>; SLOTS],
    /// What found no slot.
    rest: Mutex<HashMap<(MethodLabel, u16), Series>>,
}

impl RuleMetrics {
    fn new(labels: RuleLabels, vecs: Vecs) -> Self {
        Self {
            labels,
            vecs,
            duration: OnceLock::new(),
            slots: [const { OnceLock::new() }; SLOTS],
            rest: Mutex::default(),
        }
    }

    /// Counts a finished request. Neither locks nor allocates, but for the first request of a method and status, and
    /// for combinations beyond the first [`SLOTS`].
    pub(crate) fn observe(&self, method: MethodLabel, status: u16, seconds: f64) {
        self.duration.get_or_init(|| self.resolve_duration()).observe(seconds);
        let key = (method, status);
        for slot in &self.slots {
            // Two threads may meet at an empty slot: one fills it, the other sees by the key whether it is its own.
            let series = slot.get_or_init(|| self.resolve(key));
            if series.key == key {
                return series.count.inc();
            }
        }
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        rest.entry(key).or_insert_with(|| self.resolve(key)).count.inc();
    }

    fn resolve(&self, key: (MethodLabel, u16)) -> Series {
        self.with_values(key, |values| Series { key, count: self.vecs.count.with_label_values(values) })
    }

    fn resolve_duration(&self) -> Histogram {
        self.vecs.duration.with_label_values(&self.duration_values())
    }

    fn duration_values(&self) -> [&str; 4] {
        let RuleLabels { namespace, ingress, service, path } = &self.labels;
        [namespace, ingress, service, path]
    }

    fn with_values<T>(&self, (method, status): (MethodLabel, u16), then: impl FnOnce(&[&str; 6]) -> T) -> T {
        let RuleLabels { namespace, ingress, service, path } = &self.labels;
        then(&[namespace, ingress, service, path, method.text(), &status_label(status)])
    }

    /// Removes every series that it made.
    fn remove(&self) {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = self.slots.iter().filter_map(OnceLock::get);
        for series in slots.chain(rest.values()) {
            self.with_values(series.key, |values| {
                // Unregistered statuses share a series, so it may be gone already: that is what is wanted.
                drop(self.vecs.count.remove_label_values(values));
            });
        }
        if self.duration.get().is_some() {
            drop(self.vecs.duration.remove_label_values(&self.duration_values()));
        }
    }
}

/// The handles of all rules.
pub(super) struct Rules {
    vecs: Vecs,
    /// `--metrics-per-path`.
    per_path: bool,
    handles: Mutex<HashMap<RuleLabels, Handle>>,
}

struct Handle {
    metrics: Arc<RuleMetrics>,
    /// When a sweep found for the first time that nobody else holds it.
    unheld: Option<Instant>,
}

/// How long series outlive their rule. A rule that was only changed takes its handle again with its next request, and must
/// not have lost its counts by then.
const RETENTION: Duration = Duration::from_secs(600);

impl Rules {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, prometheus::Error> {
        let count = register.counters("requests_total", "Finished requests.", LABELS)?;
        let duration = register.histograms(
            "request_duration_seconds",
            "Time from a request's head to the end of its response.",
            DURATION_LABELS,
            DURATION_BUCKETS,
        )?;
        Ok(Self { vecs: Vecs { count, duration }, per_path: true, handles: Mutex::default() })
    }

    /// Must be called before the first [`Rules::get`].
    pub(super) fn per_path(&mut self, per_path: bool) {
        self.per_path = per_path;
    }

    /// Are requests counted by path?
    pub(super) fn is_per_path(&self) -> bool {
        self.per_path
    }

    pub(super) fn get(&self, labels: &Labels) -> Arc<RuleMetrics> {
        let mut labels = RuleLabels::from(labels);
        if !self.per_path {
            labels.path = "".into();
        }
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = handles.entry(labels).or_insert_with_key(|labels| Handle {
            metrics: Arc::new(RuleMetrics::new(labels.clone(), self.vecs.clone())),
            unheld: None,
        });
        handle.unheld = None;
        handle.metrics.clone()
    }

    /// Removes the series of handles that only this map has held for [`RETENTION`]. The lock keeps [`Rules::get`] from
    /// handing one out meanwhile.
    pub(super) fn sweep(&self, now: Instant) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|_, handle| {
            if Arc::strong_count(&handle.metrics) > 1 {
                handle.unheld = None;
                return true;
            }
            let kept = now.duration_since(*handle.unheld.get_or_insert(now)) < RETENTION;
            if !kept {
                handle.metrics.remove();
            }
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::metrics::tests::lines;

    fn labels(path: &str, host: &str) -> Arc<Labels> {
        Arc::new(Labels {
            namespace: "shop".into(),
            ingress: "web".into(),
            service: "cart".into(),
            service_port: "80".into(),
            host: host.into(),
            path: path.into(),
        })
    }

    #[test]
    fn a_request_is_counted_and_timed_under_the_rules_labels() {
        let metrics = Metrics::new().unwrap();
        metrics.rule(&labels("/cart", "a.com")).observe(MethodLabel::Get, 200, 0.02);
        assert_eq!(
            lines(&metrics, "ingora_requests_total"),
            [
                r#"ingora_requests_total{ingress="web",method="GET",namespace="shop",path="/cart",service="cart",status="200"} 1"#
            ]
        );
        let buckets = lines(&metrics, "request_duration_seconds_bucket");
        assert_eq!(buckets.len(), DURATION_BUCKETS.len() + 1);
        assert!(buckets.iter().any(|line| line.contains(r#"le="0.005"} 0"#)), "{buckets:?}");
        assert!(buckets.iter().any(|line| line.contains(r#"le="0.025"} 1"#)), "{buckets:?}");
    }

    #[test]
    fn combinations_beyond_the_slots_are_counted() {
        let metrics = Metrics::new().unwrap();
        let rule = metrics.rule(&labels("/", "a.com"));
        for status in 400..=u16::try_from(400 + SLOTS).unwrap() {
            rule.observe(MethodLabel::Get, status, 0.001);
        }
        let last = 400 + SLOTS;
        rule.observe(MethodLabel::Get, u16::try_from(last).unwrap(), 0.001);
        let counted = lines(&metrics, "ingora_requests_total");
        assert_eq!(counted.len(), SLOTS + 1);
        assert!(counted.iter().any(|line| line.ends_with(&format!("status=\"{last}\"}} 2"))), "{counted:?}");
    }

    #[test]
    fn threads_that_meet_at_an_empty_slot_lose_nothing() {
        let metrics = Metrics::new().unwrap();
        let rule = metrics.rule(&labels("/", "a.com"));
        std::thread::scope(|scope| {
            for start in 0..4_u16 {
                let rule = &rule;
                scope.spawn(move || {
                    for turn in 0..400 {
                        rule.observe(MethodLabel::Get, 200 + (start + turn) % 8, 0.001);
                    }
                });
            }
        });
        let sum: f64 = rule.slots.iter().filter_map(OnceLock::get).map(|series| series.count.get() as f64).sum();
        assert_eq!(rule.slots.iter().filter_map(OnceLock::get).count(), 8);
        assert!((sum - 1600.0).abs() < f64::EPSILON, "{sum}");
    }

    #[test]
    fn the_series_of_a_rule_that_nobody_holds_are_swept() {
        let metrics = Metrics::new().unwrap();
        let kept = metrics.rule(&labels("/kept", "a.com"));
        let dropped = metrics.rule(&labels("/dropped", "a.com"));
        for status in 400..420 {
            kept.observe(MethodLabel::Get, status, 0.001);
            dropped.observe(MethodLabel::Get, status, 0.001);
        }
        let now = Instant::now();
        metrics.sweep(now);
        drop(dropped);
        metrics.sweep(now);
        metrics.sweep(now + RETENTION - Duration::from_secs(1));
        assert!(!lines(&metrics, "/dropped").is_empty());
        metrics.sweep(now + RETENTION);
        assert_eq!(lines(&metrics, "/dropped"), [""; 0]);
        assert!(!lines(&metrics, "/kept").is_empty());
    }

    #[test]
    fn rules_that_differ_in_host_only_share_their_series() {
        let metrics = Metrics::new().unwrap();
        let (one, other) = (metrics.rule(&labels("/", "a.com")), metrics.rule(&labels("/", "b.com")));
        one.observe(MethodLabel::Get, 200, 0.001);
        drop(one);
        metrics.sweep(Instant::now());
        other.observe(MethodLabel::Get, 200, 0.001);
        assert!(lines(&metrics, "ingora_requests_total").iter().all(|line| line.ends_with(" 2")));
        assert_eq!(lines(&metrics, "ingora_requests_total").len(), 1);
    }

    #[test]
    fn without_paths_the_rules_of_an_ingress_share_their_series() {
        let metrics = Metrics::new().unwrap().per_path(false);
        for path in ["/a", "/b"] {
            metrics.rule(&labels(path, "a.com")).observe(MethodLabel::Get, 200, 0.001);
        }
        let counted = lines(&metrics, "ingora_requests_total");
        assert_eq!(counted.len(), 1);
        assert!(counted[0].contains(r#"path="""#) && counted[0].ends_with(" 2"), "{counted:?}");
    }

    /// 500 Services, each in an Ingress of its own with ten paths; every path answers 200, every tenth 404 as well.
    fn series_of_5_000_routes(metrics: &Metrics) -> usize {
        let mut held = Vec::new();
        for number in 0..5_000 {
            let name: Arc<str> = format!("app-{}", number / 10).into();
            let labels = Labels { ingress: name.clone(), service: name.clone(), ..(*labels("/", "a.com")).clone() };
            let rule = metrics.rule(&Arc::new(Labels { path: format!("/{number}").into(), ..labels }));
            rule.observe(MethodLabel::Get, 200, 0.001);
            if number % 10 == 0 {
                rule.observe(MethodLabel::Get, 404, 0.001);
                metrics.cluster(&table::ClusterId::new("shop", &name, table::ServicePort::Number(80)));
            }
            held.push(rule);
        }
        lines(metrics, "").len()
    }

    #[test]
    fn five_thousand_routes_stay_under_sixty_thousand_series() {
        let all = series_of_5_000_routes(&Metrics::new().unwrap());
        assert!((50_000..60_000).contains(&all), "{all}");
        let fewer = series_of_5_000_routes(&Metrics::new().unwrap().per_path(false));
        assert!(fewer < 15_000, "{fewer}");
    }

    #[test]
    fn strangers_cannot_invent_series() {
        assert_eq!(MethodLabel::from(&Method::from_bytes(b"BREW").unwrap()).text(), "_other");
        assert_eq!(MethodLabel::from(&Method::PATCH).text(), "PATCH");
        let labels = [(200, "200"), (499, "499"), (288, "2xx"), (599, "5xx"), (0, "_other"), (999, "_other")];
        for (status, label) in labels {
            assert_eq!(status_label(status), label);
        }
    }
}
