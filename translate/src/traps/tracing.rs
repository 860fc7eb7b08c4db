//! Requests that are traced while nobody collects their spans.
use super::{Scene, boolean};
use crate::report::Note;

const REASON: &str = "SpansGoNowhere";
const ENABLE: &str = "enable-opentelemetry";

pub(super) fn find(scene: &Scene<'_>) -> Vec<Note> {
    if scene.config.contains_key("otlp-collector-host") {
        return Vec::new();
    }
    let what = "requests are traced, but their spans go nowhere: the controller's ConfigMap names no collector; \
                set its otlp-collector-host, or leave tracing out";
    if scene.config_is_true(ENABLE) {
        // Told once, not for every Ingress.
        return scene.config_notes().map_or_else(Vec::new, |mut notes| {
            notes.warning(REASON, "data[otlp-collector-host]".to_owned(), what.to_owned());
            notes.list
        });
    }
    let mut all = Vec::new();
    for seen in &scene.ingresses {
        if seen.annotations.get(ENABLE).is_some_and(|value| boolean(value) == Some(true)) {
            let mut notes = seen.notes();
            notes.warning(REASON, seen.field(ENABLE), what.to_owned());
            all.extend(notes.list);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, ingress};
    use super::*;

    fn found(config: &[(&str, &str)], enabled: &str) -> Vec<String> {
        let mut cluster = Cluster::default();
        cluster.configure(config);
        let annotation = [("nginx.ingress.kubernetes.io/enable-opentelemetry", enabled)];
        cluster.add(ingress("web", "a.test", &["/"], &annotation));
        cluster.traps(REASON).into_iter().map(|(object, _)| object).collect()
    }

    #[test]
    fn spans_without_a_collector_are_told_where_tracing_is_switched_on() {
        assert_eq!(found(&[("enable-opentelemetry", "true")], "true"), ["config"]);
        assert_eq!(found(&[], "true"), ["web"]);
    }

    #[test]
    fn a_collector_and_no_tracing_at_all_are_fine() {
        assert_eq!(found(&[("otlp-collector-host", "otel")], "true"), [""; 0]);
        assert_eq!(found(&[], "false"), [""; 0]);
    }
}
