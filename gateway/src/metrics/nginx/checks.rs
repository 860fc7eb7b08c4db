//! What ingress-nginx says of its admission webhook.
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Gauge, IntCounterVec};
use table::Checks;

use super::{Made, Make};

const INGRESS: [&str; 2] = ["namespace", "ingress"];

/// Its series, as they are published.
pub(super) struct Published {
    passed: IntCounterVec,
    failed: IntCounterVec,
    ingresses: [Gauge; 2],
    translation: [Gauge; 2],
    whole: Gauge,
    published: Mutex<Arc<Checks>>,
}

impl Published {
    pub(super) fn new(make: &Make<'_>) -> Made<Self> {
        make.gauge("admission_config_size", "Always 0: there is no configuration that would be written.")?;
        Ok(Self {
            passed: make.counters("check_success", "Changes of an Ingress that the webhook let in.", &INGRESS)?,
            failed: make.counters("check_errors", "Changes of an Ingress that the webhook refused.", &INGRESS)?,
            ingresses: [
                make.gauge("admission_tested_ingresses", "Ingresses that there were at the webhook's last check.")?,
                make.gauge("admission_render_ingresses", "Ingresses that there were at the webhook's last check.")?,
            ],
            translation: [
                make.gauge("admission_tested_duration", "Seconds that the last check took to translate them.")?,
                make.gauge("admission_render_duration", "Seconds that the last check took to translate them.")?,
            ],
            whole: make.gauge("admission_roundtrip_duration", "Seconds that the webhook's last answer took.")?,
            published: Mutex::default(),
        })
    }

    /// Publishes these, which only grow while an Ingress is there.
    pub(super) fn publish(&self, checks: &Arc<Checks>) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&published, checks) {
            return;
        }
        for (namespace, ingress) in published.by_name.keys().filter(|name| !checks.by_name.contains_key(*name)) {
            drop(self.passed.remove_label_values(&[namespace, ingress]));
            drop(self.failed.remove_label_values(&[namespace, ingress]));
        }
        for ((namespace, ingress), (passed, failed)) in &checks.by_name {
            for (series, number) in [(&self.passed, passed), (&self.failed, failed)] {
                let series = series.with_label_values(&[namespace, ingress]);
                series.inc_by(number.saturating_sub(series.get()));
            }
        }
        self.ingresses.iter().for_each(|gauge| gauge.set(checks.ingresses as f64));
        self.translation.iter().for_each(|gauge| gauge.set(checks.translation.as_secs_f64()));
        self.whole.set(checks.whole.as_secs_f64());
        published.clone_from(checks);
    }
}
