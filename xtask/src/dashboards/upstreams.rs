//! *Upstreams*: endpoints, connections to them, retries.
use super::Dashboard;
use super::panel::{Panel, Row};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "ingora-upstreams",
        title: "Ingora / Upstreams",
        about: "Endpoints of Services: how many there are, how connecting to them goes, what is retried.",
        rows: vec![endpoints(), connections(), limits(), answers()],
    }
}

fn endpoints() -> Row {
    Row {
        title: "Endpoints",
        panels: vec![
            Panel::stack(
                "Endpoints by state",
                "short",
                "As one gateway sees them; draining ones get requests only when no other is ready.",
            )
            .query(
                "{{state}}",
                "sum by (state) (max by (namespace, service, port, state) (ingora_upstream_endpoints{%service}))",
            ),
            Panel::lines("Services with few endpoints", "short", "The ten Services with the fewest ready endpoints.")
                .query(
                    "{{namespace}}/{{service}}",
                    r#"bottomk(10, max by (namespace, service) (ingora_upstream_endpoints{%service,state="ready"}))"#,
                ),
            Panel::lines("Ejections by Service", "ops", "Endpoints that left the rotation because requests to them failed.").query(
                "{{namespace}}/{{service}} {{reason}}",
                "topk(10, sum by (namespace, service, reason) (rate(ingora_upstream_ejections_total{%service}[%window])))",
            ),
            Panel::lines("Returns by Service", "ops", "Ejected endpoints that passed a probe.").query(
                "{{namespace}}/{{service}}",
                "topk(10, sum by (namespace, service) (rate(ingora_upstream_returns_total{%service}[%window])))",
            ),
            Panel::lines("Services in panic", "short", "1 while so many endpoints are ejected that all are used.").query(
                "{{namespace}}/{{service}}",
                "topk(10, max by (namespace, service) (ingora_upstream_panic{%service}))",
            ),
            Panel::table("Services without an endpoint", "short", "Their requests are answered with 503.").query(
                "",
                r#"max by (namespace, service, port) (ingora_upstream_endpoints{%service,state="ready"}) == 0"#,
            ),
        ],
    }
}

fn connections() -> Row {
    Row {
        title: "Connections",
        panels: vec![
            Panel::stack("Connects by result", "cps", "New connections to endpoints.")
                .query("{{result}}", "sum by (result) (rate(ingora_upstream_connects_total{%service}[%window]))"),
            Panel::lines("Failed connects by Service", "percentunit", "Share of the attempts; the ten worst.").query(
                "{{namespace}}/{{service}}",
                r#"topk(10, sum by (namespace, service) (rate(ingora_upstream_connects_total{%service,result!="ok"}[%window]))
                   / sum by (namespace, service) (rate(ingora_upstream_connects_total{%service}[%window])) > 0)"#,
            ),
            Panel::lines("Pool reuse", "percentunit", "Share of tries that found an open connection; the ten lowest.").query(
                "{{namespace}}/{{service}}",
                r#"bottomk(10, sum by (namespace, service) (rate(ingora_upstream_reused_connections_total{%service}[%window]))
                   / (sum by (namespace, service) (rate(ingora_upstream_reused_connections_total{%service}[%window]))
                   + sum by (namespace, service) (rate(ingora_upstream_connects_total{%service}[%window]))))"#,
            ),
        ],
    }
}

fn limits() -> Row {
    Row {
        title: "Load and limits",
        panels: vec![
            Panel::lines("Requests in flight", "short", "At the endpoints of a Service; the ten busiest.").query(
                "{{namespace}}/{{service}}",
                "topk(10, sum by (namespace, service) (ingora_upstream_requests_in_flight{%service}))",
            ),
            Panel::lines("Latency of endpoints", "s", "Median of a Service's endpoints until the head of an answer; the ten slowest.").query(
                "{{namespace}}/{{service}}",
                "topk(10, max by (namespace, service) (ingora_upstream_latency_seconds{%service}))",
            ),
            Panel::lines("Limits on requests", "short", "Of Services that have one for each gateway; adaptive concurrency moves it.").query(
                "{{namespace}}/{{service}}",
                "topk(10, min by (namespace, service) (ingora_upstream_request_limit{%service}) > 0)",
            ),
            Panel::lines("Requests that wait", "short", "For room within the limits of a Service; the ten longest queues.").query(
                "{{namespace}}/{{service}}",
                "topk(10, sum by (namespace, service) (ingora_upstream_queue_length{%service}))",
            ),
            Panel::lines("95 of 100 waits within", "s", "Of requests that got room after a wait; the ten longest.").query(
                "{{namespace}}/{{service}}",
                "topk(10, histogram_quantile(0.95, sum by (le, namespace, service) (rate(ingora_upstream_queue_wait_seconds_bucket{%service}[%window]))))",
            ),
            Panel::lines("Turned away", "reqps", "Requests that got no room within the limits of a Service.").query(
                "{{namespace}}/{{service}} {{reason}}",
                "topk(10, sum by (namespace, service, reason) (rate(ingora_upstream_rejections_total{%service}[%window])))",
            ),
            Panel::lines("Retry budget", "short", "Retries that a Service allows now; the ten smallest.").query(
                "{{namespace}}/{{service}}",
                "bottomk(10, min by (namespace, service) (ingora_upstream_retry_budget{%service}))",
            ),
            Panel::lines("Busiest endpoints", "short", "Requests in flight, with --metrics-per-endpoint.").query(
                "{{service}} {{endpoint}}",
                "topk(10, sum by (namespace, service, endpoint) (ingora_endpoint_requests_in_flight{%service}))",
            ),
            Panel::lines("Slowest endpoints", "s", "Moving average of the latency, with --metrics-per-endpoint.").query(
                "{{service}} {{endpoint}}",
                "topk(10, max by (namespace, service, endpoint) (ingora_endpoint_latency_seconds{%service}))",
            ),
            Panel::lines("Ejected endpoints", "short", "With --metrics-per-endpoint.").query(
                "{{service}} {{endpoint}}",
                "topk(10, max by (namespace, service, endpoint) (ingora_endpoint_ejected{%service}) > 0)",
            ),
            Panel::lines("Shed by the gateway", "reqps", "503 because the gateway itself had too much to do.")
                .query("{{reason}}", "sum by (reason) (rate(ingora_requests_shed_total[%window]))"),
            Panel::lines("Bodies not read whole", "reqps", "They passed on as they came, for want of memory or room on the disk.")
                .query("{{reason}}", "sum by (reason) (rate(ingora_bodies_passed_unread_total[%window]))"),
            Panel::lines("Lag of workers", "s", "How late event loops are; the ten worst.")
                .query("{{worker}}", "topk(10, max by (worker) (ingora_worker_lag_seconds))"),
            Panel::lines("Memory in use", "percentunit", "Share of the memory limit; nothing without one.")
                .query("memory", "max(ingora_memory_used_ratio) > 0"),
        ],
    }
}

fn answers() -> Row {
    Row {
        title: "Answers",
        panels: vec![
            Panel::lines("Retries by Service", "reqps", "Requests that were tried on another endpoint; the ten busiest.").query(
                "{{namespace}}/{{service}}",
                "topk(10, sum by (namespace, service) (rate(ingora_upstream_retries_total{%service}[%window])))",
            ),
            Panel::lines("Retries by reason", "reqps", "Why requests were tried again.")
                .query("{{reason}}", "sum by (reason) (rate(ingora_upstream_retries_total{%service}[%window]))"),
            Panel::lines("Denied retries", "reqps", "Retries that the budget of a Service did not allow; the ten busiest.").query(
                "{{namespace}}/{{service}}",
                "topk(10, sum by (namespace, service) (rate(ingora_upstream_retries_denied_total{%service}[%window])))",
            ),
            Panel::lines("Retries of requests", "percentunit", "Share of a Service's requests that were tried again.").query(
                "{{namespace}}/{{service}}",
                "topk(10, sum by (namespace, service) (rate(ingora_upstream_retries_total{%service}[%window]))
                 / sum by (namespace, service) (rate(ingora_requests_total{%service}[%window])))",
            ),
            Panel::lines("Gateway errors by Service", "reqps", "502, 503 and 504.").query(
                "{{namespace}}/{{service}} {{status}}",
                r#"topk(10, sum by (namespace, service, status) (rate(ingora_requests_total{%service,status=~"502|503|504"}[%window])))"#,
            ),
            Panel::lines("99 of 100 within, by Service", "s", "The ten slowest.").query(
                "{{namespace}}/{{service}}",
                "topk(10, histogram_quantile(0.99, sum by (le, namespace, service) (rate(ingora_request_duration_seconds_bucket{%service}[%window]))))",
            ),
        ],
    }
}
