//! Requests by rule, method and status, under ingress-nginx's names.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use features::Labels;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use table::ClusterId;

use super::{Make, NginxMetrics};
use crate::access_log::named;
use crate::metrics::MethodLabel;
use crate::metrics::label::ClosedLabel;
use crate::metrics::rule::status_label;
use crate::upstream::Attempt;

/// Combinations of method and status that a rule keeps handles for without a lock.
const SLOTS: usize = 16;

/// How long series outlive their rule.
const RETENTION: Duration = Duration::from_secs(600);

const LABELS: [&str; 8] = ["status", "method", "path", "namespace", "ingress", "service", "canary", "host"];

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished<'a> {
    pub(crate) method: MethodLabel,
    pub(crate) status: u16,
    /// From the head to the end.
    pub(crate) took: Duration,
    /// The try that served.
    pub(crate) attempt: Option<&'a Attempt>,
    /// Head and body.
    pub(crate) request_bytes: u64,
    /// Head and body.
    pub(crate) response_bytes: u64,
    /// The canary that it went to.
    pub(crate) canary: Option<&'a ClusterId>,
}

/// Histograms in the order of [`Finished::values`].
const NAMES: [(&str, &str, Unit); 7] = [
    ("request_duration_seconds", "Time from a request's head to the end of its response.", Unit::Time),
    ("response_duration_seconds", "Time until the endpoint's response had come.", Unit::Time),
    ("header_duration_seconds", "Time until the head of the endpoint's response had come.", Unit::Time),
    ("connect_duration_seconds", "Time until a connection to the endpoint was there.", Unit::Time),
    ("request_size", "Bytes of requests, head and body.", Unit::Length),
    ("response_size", "Bytes of responses, head and body.", Unit::Length),
    ("bytes_sent", "Bytes of responses, head and body.", Unit::Size),
];

#[derive(Clone, Copy)]
enum Unit {
    Time,
    Length,
    Size,
}

impl Finished<'_> {
    /// What is observed; what is not known is not.
    fn values(&self) -> [Option<f64>; 7] {
        let attempt = self.attempt;
        let seconds = |time: Duration| time.as_secs_f64();
        // A kept connection took no time.
        let connected = attempt.and_then(|one| one.connected.or_else(|| one.answered.map(|_| Duration::ZERO)));
        let sent = self.response_bytes as f64;
        [
            Some(seconds(self.took)),
            attempt.map(|one| seconds(one.took)),
            attempt.and_then(|one| one.answered).map(seconds),
            connected.map(seconds),
            Some(self.request_bytes as f64),
            Some(sent),
            Some(sent),
        ]
    }
}

#[derive(Clone)]
struct Vecs {
    count: Option<IntCounterVec>,
    histograms: [Option<HistogramVec>; 7],
    total: IntCounter,
    status_classes: bool,
    per_host: bool,
}

/// What is published of a rule's [`Labels`].
#[derive(Clone, PartialEq, Eq, Hash)]
struct RuleLabels {
    path: Arc<str>,
    namespace: Arc<str>,
    ingress: Arc<str>,
    service: Arc<str>,
    host: Arc<str>,
}

/// Method, status and canary.
type Key = (MethodLabel, u16, Option<ClusterId>);

struct Series {
    key: Key,
    count: Option<IntCounter>,
    /// Made with the first value.
    histograms: [OnceLock<Histogram>; 7],
}

/// The handle of one rule's metrics.
pub(crate) struct NginxRule {
    labels: RuleLabels,
    vecs: Vecs,
    slots: [OnceLock<Arc<Series>>; SLOTS],
    rest: Mutex<HashMap<Key, Arc<Series>>>,
}

impl NginxRule {
    /// Counts a finished request. Neither locks nor allocates, but for the first request of a method and status.
    pub(crate) fn observe(&self, finished: &Finished<'_>) {
        self.vecs.total.inc();
        let is = |key: &Key| (key.0, key.1, key.2.as_ref()) == (finished.method, finished.status, finished.canary);
        let key = || (finished.method, finished.status, finished.canary.cloned());
        for slot in &self.slots {
            let series = slot.get_or_init(|| self.resolve(key()));
            if is(&series.key) {
                return self.count(series, finished);
            }
        }
        let series = {
            let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
            rest.entry(key()).or_insert_with_key(|key| self.resolve(key.clone())).clone()
        };
        self.count(&series, finished);
    }

    fn count(&self, series: &Series, finished: &Finished<'_>) {
        series.count.iter().for_each(IntCounter::inc);
        for ((cell, vec), value) in series.histograms.iter().zip(&self.vecs.histograms).zip(finished.values()) {
            if let (Some(vec), Some(value)) = (vec, value) {
                cell.get_or_init(|| self.with_values(&series.key, |values| vec.with_label_values(values)))
                    .observe(value);
            }
        }
    }

    fn resolve(&self, key: Key) -> Arc<Series> {
        let count = self.vecs.count.as_ref();
        let count = count.map(|count| self.with_values(&key, |values| count.with_label_values(values)));
        Arc::new(Series { key, count, histograms: [const { OnceLock::new() }; 7] })
    }

    /// The values of all labels, in the order of [`LABELS`].
    fn with_values<T>(&self, (method, status, canary): &Key, then: impl FnOnce(&[&str]) -> T) -> T {
        let RuleLabels { path, namespace, ingress, service, host } = &self.labels;
        let class = self.vecs.status_classes && (100..600).contains(status);
        let status = if class { format!("{}xx", status / 100) } else { status_label(*status) };
        let canary = canary.as_ref().map(named).unwrap_or_default();
        let values = [&*status, method.text(), path, namespace, ingress, service, &*canary, host];
        let number = LABELS.len() - usize::from(!self.vecs.per_host);
        then(values.get(..number).unwrap_or(&values))
    }

    fn remove(&self) {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        for series in self.slots.iter().filter_map(OnceLock::get).chain(rest.values()) {
            self.with_values(&series.key, |values| {
                // Statuses of a class share their series, so it may be gone already.
                self.vecs.count.iter().for_each(|vec| drop(vec.remove_label_values(values)));
                self.vecs.histograms.iter().flatten().for_each(|vec| drop(vec.remove_label_values(values)));
            });
        }
    }
}

/// A handle, and when a sweep found for the first time that nobody else holds it.
type Held = (Arc<NginxRule>, Option<Instant>);

/// The handles of all rules.
pub(crate) struct Requests {
    vecs: Vecs,
    per_path: bool,
    undefined_hosts: bool,
    handles: Mutex<HashMap<RuleLabels, Held>>,
}

impl Requests {
    pub(super) fn new(make: &Make<'_>, options: &NginxMetrics, per_path: bool) -> Result<Self, prometheus::Error> {
        let labels = LABELS.get(..LABELS.len() - usize::from(!options.per_host)).unwrap_or(&LABELS);
        let wanted = |name: &str| !options.exclude.iter().any(|excluded| excluded == name);
        let count = wanted("requests").then(|| make.counters("requests", "Finished requests.", labels)).transpose()?;
        let mut histograms = [const { None }; 7];
        for (place, (name, help, unit)) in histograms.iter_mut().zip(NAMES) {
            let buckets = match unit {
                Unit::Time => &options.time_buckets,
                Unit::Length => &options.length_buckets,
                Unit::Size => &options.size_buckets,
            };
            *place = wanted(name).then(|| make.histograms(name, help, labels, buckets)).transpose()?;
        }
        let total = make.counter("nginx_process_requests_total", "Finished requests.")?;
        let vecs =
            Vecs { count, histograms, total, status_classes: options.status_classes, per_host: options.per_host };
        Ok(Self { vecs, per_path, undefined_hosts: options.undefined_hosts, handles: Mutex::default() })
    }

    /// The handle of a rule. Takes a lock: keep the result.
    pub(crate) fn get(&self, labels: &Labels) -> Arc<NginxRule> {
        let host = if labels.host.is_empty() { "_".into() } else { labels.host.clone() };
        self.handle(RuleLabels {
            path: if self.per_path { labels.path.clone() } else { "".into() },
            namespace: labels.namespace.clone(),
            ingress: labels.ingress.clone(),
            service: labels.service.clone(),
            host: if self.vecs.per_host { host } else { "".into() },
        })
    }

    /// The handle of requests that no rule matched, if they are counted. Their hosts are strangers' to choose, and are one.
    pub(crate) fn unmatched(&self) -> Option<Arc<NginxRule>> {
        let none: Arc<str> = "".into();
        let labels = RuleLabels {
            path: none.clone(),
            namespace: none.clone(),
            ingress: none.clone(),
            service: none,
            host: "_other".into(),
        };
        self.undefined_hosts.then(|| self.handle(labels))
    }

    fn handle(&self, labels: RuleLabels) -> Arc<NginxRule> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = handles.entry(labels).or_insert_with_key(|labels| {
            let rule = NginxRule {
                labels: labels.clone(),
                vecs: self.vecs.clone(),
                slots: [const { OnceLock::new() }; SLOTS],
                rest: Mutex::default(),
            };
            (Arc::new(rule), None)
        });
        handle.1 = None;
        handle.0.clone()
    }

    /// Removes the series of rules whose handle nobody has held for a while.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|_, (rule, unheld)| {
            if Arc::strong_count(rule) > 1 {
                *unheld = None;
                return true;
            }
            let kept = now.duration_since(*unheld.get_or_insert(now)) < RETENTION;
            if !kept {
                rule.remove();
            }
            kept
        });
    }
}
