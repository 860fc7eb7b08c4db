//! *Overview*: traffic, errors, latency, saturation.
use super::Dashboard;
use super::panel::{Panel, Row};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "ingora-overview",
        title: "Ingora / Overview",
        about: "Traffic, errors, latency and saturation by namespace, Ingress and Service.",
        rows: vec![now(), traffic(), latency(), saturation()],
    }
}

fn now() -> Row {
    Row {
        title: "Now",
        panels: vec![
            Panel::figure("Requests", "reqps", "Finished requests a second.")
                .query("", "sum(rate(ingora_requests_total{%rule}[%window]))"),
            Panel::figure("Errors", "percentunit", "Share of requests that were answered with 5xx.")
                .query(
                    "",
                    r#"(sum(rate(ingora_requests_total{%rule,status=~"5.."}[%window])) or vector(0))
                       / sum(rate(ingora_requests_total{%rule}[%window]))"#,
                )
                .limits(0.01, 0.05),
            Panel::figure(
                "99 of 100 within",
                "s",
                "99th percentile of the time from a request's head to its answer's end.",
            )
            .query(
                "",
                "histogram_quantile(0.99, sum by (le) (rate(ingora_request_duration_seconds_bucket{%rule}[%window])))",
            )
            .limits(1.0, 5.0),
            Panel::figure("Open connections", "short", "Open client connections.")
                .query("", "sum(ingora_connections{%gateway})"),
            Panel::figure("Gateways that serve", "short", "Gateways whose first full table has been live.")
                .query("", "sum(ingora_synced{%gateway})")
                .limits(2.0, 1.0),
            Panel::figure(
                "Errors in objects",
                "short",
                "Notes on objects that keep something from being served; `ingora lint` tells which.",
            )
            .query("", r#"max(ingora_notes{%gateway,severity="error"})"#)
            .limits(1.0, 10.0),
        ],
    }
}

fn traffic() -> Row {
    Row {
        title: "Traffic and errors",
        panels: vec![
            Panel::stack("Requests by status", "reqps", "499: the client left before the answer.").query(
                "{{class}}",
                r#"sum by (class) (label_replace(rate(ingora_requests_total{%rule}[%window]), "class", "${1}xx", "status", "(.).*"))"#,
            ),
            Panel::stack("Requests by namespace", "reqps", "The ten busiest namespaces.").query(
                "{{namespace}}",
                "topk(10, sum by (namespace) (rate(ingora_requests_total{%rule}[%window])))",
            ),
            Panel::stack("Requests by Ingress", "reqps", "The ten busiest Ingresses.").query(
                "{{namespace}}/{{ingress}}",
                "topk(10, sum by (namespace, ingress) (rate(ingora_requests_total{%rule}[%window])))",
            ),
            Panel::stack("Requests by Service", "reqps", "The ten busiest Services.").query(
                "{{namespace}}/{{service}}",
                "topk(10, sum by (namespace, service) (rate(ingora_requests_total{%rule}[%window])))",
            ),
            Panel::stack("Requests by method", "reqps", "Methods that no standard names are `_other`.")
                .query("{{method}}", "sum by (method) (rate(ingora_requests_total{%rule}[%window]))"),
            Panel::lines("Errors by Ingress", "percentunit", "Share of 5xx; the ten worst.").query(
                "{{namespace}}/{{ingress}}",
                r#"topk(10, sum by (namespace, ingress) (rate(ingora_requests_total{%rule,status=~"5.."}[%window]))
                   / sum by (namespace, ingress) (rate(ingora_requests_total{%rule}[%window])))"#,
            ),
            Panel::lines("Errors by status", "reqps", "Answers of 400 and above.").query(
                "{{status}}",
                r#"sum by (status) (rate(ingora_requests_total{%rule,status=~"[45].."}[%window]))"#,
            ),
            Panel::lines("Requests without a rule", "reqps", "Hosts and paths that no Ingress names.")
                .query("{{status}}", r#"sum by (status) (rate(ingora_requests_total{%gateway,ingress=""}[%window]))"#),
            Panel::lines("Clients that left", "reqps", "Requests whose client went away before the answer (499).").query(
                "{{namespace}}/{{ingress}}",
                r#"sum by (namespace, ingress) (rate(ingora_requests_total{%rule,status="499"}[%window]))"#,
            ),
        ],
    }
}

fn latency() -> Row {
    Row {
        title: "Latency",
        panels: vec![
            Panel::heatmap("Latency", "Requests by time from head to the end of the answer.").query(
                "{{le}}",
                "sum by (le) (increase(ingora_request_duration_seconds_bucket{%rule}[%window]))",
            ),
            Panel::table("Slowest paths", "s", "99th percentile by path.").query(
                "",
                "topk(20, histogram_quantile(0.99, sum by (le, namespace, ingress, path) (rate(ingora_request_duration_seconds_bucket{%rule}[%window]))))",
            ),
            quantile("Half within", "0.5"),
            quantile("90 of 100 within, by Ingress", "0.9"),
            quantile("99 of 100 within, by Ingress", "0.99"),
        ],
    }
}

fn quantile(title: &'static str, quantile: &str) -> Panel {
    Panel::lines(title, "s", "By Ingress; the ten slowest.").query(
        "{{namespace}}/{{ingress}}",
        &format!(
            "topk(10, histogram_quantile({quantile}, sum by (le, namespace, ingress) (rate(ingora_request_duration_seconds_bucket{{%rule}}[%window]))))"
        ),
    )
}

fn saturation() -> Row {
    Row {
        title: "Saturation",
        panels: vec![
            Panel::lines("Processor", "short", "Processors in use by gateway.")
                .query("{{instance}}", "rate(process_cpu_seconds_total[%window]) * %process"),
            Panel::lines("Memory", "bytes", "Resident memory by gateway.")
                .query("{{instance}}", "process_resident_memory_bytes * %process"),
            Panel::lines("File descriptors", "percentunit", "Share of the descriptors that a gateway may open.")
                .query("{{instance}}", "process_open_fds / process_max_fds * %process"),
        ],
    }
}
