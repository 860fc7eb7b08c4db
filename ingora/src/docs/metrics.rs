//! The page of metrics, from the code that makes them.
use gateway::{Kind, MetricDoc};

use super::{Document, Entry};
use crate::failure::Failure;

const OPENING: &str = "\
On `--healthz-port` (10254): `/metrics` in Prometheus' text format, `/healthz` (200 while the process lives), `/readyz` (200 \
while it
should get traffic: after the first full table is live, until SIGTERM). Dashboards and alerts: [dashboards](../dashboards).

`namespace`, `ingress`, `service` and `path` are those of the rule, never the request's: a stranger cannot make series. Methods
that no standard names count as `_other`, unusual statuses as their class; 499 means that the client left before the answer.
Requests that matched no rule have empty labels. Let Prometheus keep these labels (`honor_labels: true`, in a ServiceMonitor
`honorLabels: true`), or it renames `namespace` to `exported_namespace`.

Series of a rule appear with its first request and go ten minutes after the rule; those of a Service come and go with it. 5,000
busy paths behind 500 Services make about 60,000 series; `--metrics-per-path=false` counts by Ingress and Service only and makes
a tenth of them.
";

const CLOSING: &str = "\
## Process

`process_cpu_seconds_total`, `process_max_fds`, `process_open_fds`, `process_resident_memory_bytes`, `process_start_time_seconds`,
`process_threads`, `process_virtual_memory_bytes`: on Linux.

## Names of ingress-nginx

`--metrics-compat nginx` publishes `nginx_ingress_controller_*` beside all of this, with the labels that dashboards and alerts for
ingress-nginx ask for: `requests`, `request_duration_seconds`, `response_duration_seconds`, `header_duration_seconds`,
`connect_duration_seconds`, `request_size`, `response_size`, `bytes_sent`, `nginx_process_*`, `success`, `errors`,
`config_hash`, `config_last_reload_successful` and its timestamp, `ssl_expire_time_seconds`, `ssl_certificate_info`,
`orphan_ingress`, `leader_election_status`, `build_info`, `check_success`, `check_errors` and `admission_*`. The expressions of both well-known dashboards (grafana.com 9614 and
12680) are run against a real Prometheus by `scripts/dashboards.sh`; do not set `honor_labels` for them.

`controller_namespace` and `controller_pod` come from POD_NAMESPACE and POD_NAME. What reloads were are tables that became live:
`success` counts them, `config_hash` is the generation. `host` is the rule's as written, `_` without one.
Of several tries the last one is timed. `check_*` and `admission_*` tell of the validating webhook, up to a second later, of up to 10,000
Ingresses by name; `admission_config_size` is always 0.

These names cost up to 93 series for each path, method and status. Fewer: `--metrics-per-path=false`, `--metrics-per-host=false`,
`--report-status-classes`, `--exclude-socket-metrics bytes_sent,header_duration_seconds`, and fewer buckets (`--time-buckets`,
`--length-buckets`, `--size-buckets`). Without the switch nothing of it is made or counted.
";

/// Every metric as a page.
pub(super) fn document() -> Result<Document, Failure> {
    let catalogue = gateway::metrics_catalogue().map_err(|error| Failure::runtime(error.to_string()))?;
    Ok(Document {
        title: "Metrics",
        opening: OPENING.to_owned(),
        columns: ["Metric", "What it tells", "Type", "Labels"],
        entries: catalogue.iter().map(entry).collect(),
        closing: CLOSING.to_owned(),
    })
}

fn entry(metric: &MetricDoc) -> Entry {
    let labels = metric.labels.iter().map(|(name, values)| match values.as_slice() {
        [] => name.clone(),
        values => format!("{name} ({})", values.join(" ")),
    });
    let buckets: Vec<String> = metric.buckets.iter().map(f64::to_string).collect();
    Entry {
        group: metric.group.to_owned(),
        name: metric.name.clone(),
        environment: None,
        default: match metric.kind {
            Kind::Histogram => format!("histogram: {}", buckets.join(" ")),
            kind => kind.as_str().to_owned(),
        },
        example: labels.collect::<Vec<_>>().join(", "),
        sentence: metric.help.clone(),
        verdict: None,
        how: None,
    }
}
