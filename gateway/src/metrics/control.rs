//! What the control plane has to say about itself, and the certificates it found.
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{Histogram, IntGauge, IntGaugeVec};
use table::{Certificate, Facts, Generation, Verdicts, WatchFacts};

use super::label::{ByLabel, closed_label};
use super::register::Register;

/// Seconds.
const BUILD_BUCKETS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Seconds: fine, because one series in all is measured.
const LIVE_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75,
    1.0, 2.0, 5.0, 10.0,
];

closed_label! {
    /// How bad a note is.
    NoteSeverity {
        /// Something does not serve.
        Error = "error",
        /// Something is not as its owner may expect.
        Warning = "warning",
        /// Good to know.
        Info = "info",
    }
}

/// Verdicts by name, as they are published. The names are those of a catalogue.
struct Judged {
    series: IntGaugeVec,
    published: Mutex<Verdicts>,
}

impl Judged {
    fn new(series: IntGaugeVec) -> Self {
        Self { series, published: Mutex::default() }
    }

    /// Publishes exactly these.
    fn publish(&self, verdicts: &Verdicts) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if *published == *verdicts {
            return;
        }
        for (name, verdict) in published.keys().filter(|key| !verdicts.contains_key(*key)) {
            drop(self.series.remove_label_values(&[name, verdict]));
        }
        for ((name, verdict), number) in &**verdicts {
            let number = i64::try_from(*number).unwrap_or(i64::MAX);
            self.series.with_label_values(&[name, verdict]).set(number);
        }
        published.clone_from(verdicts);
    }
}

/// What the control plane has to say about itself.
pub(crate) struct ControlPlane {
    generation: IntGauge,
    build: Histogram,
    live: Histogram,
    notes: ByLabel<NoteSeverity, IntGauge>,
    synced: IntGauge,
    leader: IntGauge,
    stale: IntGaugeVec,
    annotations: Judged,
    config: Judged,
    watches: Mutex<Vec<WatchFacts>>,
    certificates: IntGaugeVec,
    published: Mutex<BTreeSet<[String; 3]>>,
}

impl ControlPlane {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, prometheus::Error> {
        let notes = register.gauges("notes", "Notes on objects that hold now.", &["severity"])?;
        Ok(Self {
            generation: register.gauge("table_generation", "Generation of the route table that serves.")?,
            build: register.histogram(
                "table_build_seconds",
                "Time that building an update of the route table or its endpoints took.",
                BUILD_BUCKETS,
            )?,
            live: register.histogram(
                "update_live_seconds",
                "Time from the arrival of a changed object to the change being live.",
                LIVE_BUCKETS,
            )?,
            notes: ByLabel::new(|severity| notes.with_label_values(&[severity])),
            synced: register.gauge("synced", "1 once everything there is to read has been live.")?,
            leader: register.gauge("leader", "1 while this replica is the one that writes to the API server.")?,
            stale: register.gauges(
                "watch_stale_seconds",
                "Seconds since the watch of a kind of object failed; 0 while it works.",
                &["kind"],
            )?,
            annotations: Judged::new(register.gauges(
                "annotations",
                "Ingresses that carry an annotation which is not honoured as in ingress-nginx.",
                &["annotation", "verdict"],
            )?),
            config: Judged::new(register.gauges(
                "config_keys",
                "Keys of the controller's ConfigMap that are not honoured as in ingress-nginx; always 1.",
                &["key", "verdict"],
            )?),
            watches: Mutex::default(),
            certificates: register.gauges(
                "certificate_expiry_timestamp_seconds",
                "End of a server certificate's validity, in seconds since the Unix epoch.",
                &["namespace", "name", "serial"],
            )?,
            published: Mutex::default(),
        })
    }

    /// Publishes which table serves.
    pub(crate) fn generation(&self, generation: Generation) {
        self.generation.set(i64::try_from(generation.0).unwrap_or(i64::MAX));
    }

    /// Publishes the notes that hold and how long building an update took.
    pub(crate) fn facts(&self, facts: &Facts) {
        let notes = [
            (NoteSeverity::Error, facts.errors),
            (NoteSeverity::Warning, facts.warnings),
            (NoteSeverity::Info, facts.infos),
        ];
        for (severity, number) in notes {
            if let Some(gauge) = self.notes.get(severity) {
                gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
            }
        }
        self.build.observe(facts.build.as_secs_f64());
        self.leader.set(i64::from(facts.leader == Some(true)));
        self.annotations.publish(&facts.verdicts);
        self.config.publish(&facts.config_verdicts);
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        if *watches != facts.watches {
            watches.clone_from(&facts.watches);
        }
    }

    /// Publishes how stale each kind is; returns those that are, in seconds.
    pub(crate) fn staleness(&self, now: Instant) -> Vec<(&'static str, u64)> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut stale = Vec::new();
        for WatchFacts { kind, stale_since } in watches {
            let seconds = stale_since.map(|since| now.saturating_duration_since(since).as_secs());
            self.stale.with_label_values(&[kind]).set(i64::try_from(seconds.unwrap_or(0)).unwrap_or(i64::MAX));
            stale.extend(seconds.map(|seconds| (kind, seconds)));
        }
        stale
    }

    /// An update became live this long after its oldest change arrived.
    pub(crate) fn live(&self, after: Duration) {
        self.live.observe(after.as_secs_f64());
    }

    /// Everything there is to read has been live.
    pub(crate) fn synced(&self) {
        self.synced.set(1);
    }

    /// Publishes the expiry of exactly these certificates. Costs what reading them all costs: call it when a table has
    /// other certificates than the one before.
    pub(crate) fn certificates<'c>(&self, certificates: impl Iterator<Item = &'c Certificate>) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeSet::new();
        for certificate in certificates {
            let (namespace, name) = certificate.source.split_once('/').unwrap_or(("", &certificate.source));
            let values = [namespace.to_owned(), name.to_owned(), certificate.serial.as_ref().to_owned()];
            self.certificates.with_label_values(&values).set(certificate.not_after);
            now.insert(values);
        }
        for stale in published.difference(&now) {
            // One that is gone already is what is wanted.
            drop(self.certificates.remove_label_values(stale));
        }
        *published = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::metrics::tests::lines;
    use rustls_pki_types::PrivateKeyDer;
    use std::sync::Arc;
    use table::Resolved;

    fn certificate(serial: &str, not_after: i64) -> Certificate {
        let key = PrivateKeyDer::Pkcs8(vec![1].into());
        Certificate {
            source: "shop/tls".into(),
            chain: vec![],
            key,
            not_after,
            serial: serial.into(),
            resolved: Resolved::default(),
        }
    }

    #[test]
    fn a_renewed_certificate_replaces_the_series_of_the_old_one() {
        let metrics = Metrics::new().unwrap();
        let (old, new) = (certificate("01", 1_000), certificate("02", 2_000));
        metrics.control.certificates([&old, &old].into_iter());
        let name = "ingora_certificate_expiry_timestamp_seconds";
        assert_eq!(lines(&metrics, name), [format!(r#"{name}{{name="tls",namespace="shop",serial="01"}} 1000"#)]);
        metrics.control.certificates([&new].into_iter());
        assert_eq!(lines(&metrics, name), [format!(r#"{name}{{name="tls",namespace="shop",serial="02"}} 2000"#)]);
        metrics.control.certificates(std::iter::empty());
        assert_eq!(lines(&metrics, name), [""; 0]);
    }

    #[test]
    fn facts_and_times_are_published() {
        let metrics = Metrics::new().unwrap();
        metrics.control.generation(Generation(7));
        let facts = Facts { errors: 1, warnings: 2, infos: 3, build: Duration::from_millis(2), ..Facts::default() };
        metrics.control.facts(&facts);
        metrics.control.live(Duration::from_millis(4));
        assert_eq!(lines(&metrics, "synced"), ["ingora_synced 0"]);
        metrics.control.synced();
        for line in [
            "ingora_table_generation 7",
            r#"ingora_notes{severity="error"} 1"#,
            r#"ingora_notes{severity="info"} 3"#,
            r#"ingora_table_build_seconds_bucket{le="0.001"} 0"#,
            r#"ingora_table_build_seconds_bucket{le="0.0025"} 1"#,
            r#"ingora_update_live_seconds_bucket{le="0.003"} 0"#,
            r#"ingora_update_live_seconds_bucket{le="0.005"} 1"#,
            "ingora_synced 1",
        ] {
            assert_eq!(lines(&metrics, line), [line]);
        }
    }

    #[test]
    fn a_watch_that_fails_is_stale_until_it_works_again() {
        let metrics = Metrics::new().unwrap();
        let now = Instant::now();
        let told =
            |stale_since| Facts { watches: vec![WatchFacts { kind: "Ingress", stale_since }], ..Facts::default() };
        metrics.control.facts(&told(Some(now)));
        assert_eq!(metrics.control.staleness(now + Duration::from_secs(7)), [("Ingress", 7)]);
        let name = "ingora_watch_stale_seconds";
        assert_eq!(lines(&metrics, name), [format!(r#"{name}{{kind="Ingress"}} 7"#)]);
        metrics.control.facts(&told(None));
        assert_eq!(metrics.control.staleness(now), []);
        assert_eq!(lines(&metrics, name), [format!(r#"{name}{{kind="Ingress"}} 0"#)]);
    }

    #[test]
    fn annotations_that_are_not_honoured_are_counted_while_somebody_has_them() {
        let metrics = Metrics::new().unwrap();
        let facts =
            |verdicts: &[_]| Facts { verdicts: Arc::new(verdicts.iter().copied().collect()), ..Facts::default() };
        metrics.control.facts(&facts(&[(("fastcgi-index", "refused"), 3)]));
        let name = "ingora_annotations";
        assert_eq!(lines(&metrics, name), [format!(r#"{name}{{annotation="fastcgi-index",verdict="refused"}} 3"#)]);
        metrics.control.facts(&facts(&[]));
        assert_eq!(lines(&metrics, name), [""; 0]);
    }

    #[test]
    fn keys_of_the_config_map_that_are_not_honoured_are_told() {
        let metrics = Metrics::new().unwrap();
        let config_verdicts = Arc::new([(("plugins", "refused"), 1)].into());
        metrics.control.facts(&Facts { config_verdicts, ..Facts::default() });
        let name = "ingora_config_keys";
        assert_eq!(lines(&metrics, name), [format!(r#"{name}{{key="plugins",verdict="refused"}} 1"#)]);
    }

    #[test]
    fn one_replica_says_that_it_leads() {
        let metrics = Metrics::new().unwrap();
        for (leader, line) in [(None, "0"), (Some(true), "1"), (Some(false), "0")] {
            metrics.control.facts(&Facts { leader, ..Facts::default() });
            assert_eq!(lines(&metrics, "leader"), [format!("ingora_leader {line}")]);
        }
    }
}
