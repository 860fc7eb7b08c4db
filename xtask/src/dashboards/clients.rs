//! *TLS and clients*: connections, handshakes, what was refused.
use super::Dashboard;
use super::panel::{Panel, Row};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "ingora-clients",
        title: "Ingora / TLS and clients",
        about: "Client connections, TLS handshakes and sessions, and what limits refused.",
        rows: vec![connections(), streams(), tls(), refused(), traces()],
    }
}

fn connections() -> Row {
    Row {
        title: "Connections",
        panels: vec![
            Panel::stack("Open connections", "short", "By listener.")
                .query("{{listener}}", "sum by (listener) (ingora_connections{%gateway})"),
            Panel::lines("New connections", "cps", "By listener.")
                .query("{{listener}}", "sum by (listener) (rate(ingora_connections_total{%gateway}[%window]))"),
            Panel::lines("Requests of a connection", "short", "Finished requests for each new connection.").query(
                "requests",
                "sum(rate(ingora_requests_total{%gateway}[%window])) / sum(rate(ingora_connections_total{%gateway}[%window]))",
            ),
        ],
    }
}

fn streams() -> Row {
    Row {
        title: "TCP, UDP and TLS passthrough",
        panels: vec![
            Panel::stack("Open streams", "short", "Connections that pass as bytes, and UDP sessions, by port.")
                .query("{{protocol}} {{port}}", "sum by (protocol, port) (ingora_stream_connections{%gateway})"),
            Panel::stack("New streams", "cps", "By what became of them.")
                .query("{{result}}", "sum by (result) (rate(ingora_stream_connections_total{%gateway}[%window]))"),
            Panel::lines("Bytes of streams", "Bps", "From clients (received) and to them (sent).")
                .query("{{direction}}", "sum by (direction) (rate(ingora_stream_bytes_total{%gateway}[%window]))"),
        ],
    }
}

fn tls() -> Row {
    Row {
        title: "TLS",
        panels: vec![
            Panel::stack("Handshakes", "cps", "By result.")
                .query("{{result}}", "sum by (result) (rate(ingora_tls_handshakes_total{%gateway}[%window]))"),
            Panel::lines("Failed handshakes", "percentunit", "Scanners and old clients fail; a sudden rise is a certificate.").query(
                "failed",
                r#"sum(rate(ingora_tls_handshakes_total{%gateway,result!="ok"}[%window]))
                   / sum(rate(ingora_tls_handshakes_total{%gateway}[%window]))"#,
            ),
            Panel::lines("Handshake time", "s", "Mostly the round trips of clients.")
                .query("99 of 100", "histogram_quantile(0.99, sum by (le) (rate(ingora_tls_handshake_duration_seconds_bucket{%gateway}[%window])))")
                .query("half", "histogram_quantile(0.5, sum by (le) (rate(ingora_tls_handshake_duration_seconds_bucket{%gateway}[%window])))"),
            Panel::stack("Versions", "cps", "New sessions by version of TLS.")
                .query("{{version}}", "sum by (version) (rate(ingora_tls_sessions_total{%gateway}[%window]))"),
            Panel::stack("Protocols", "cps", "New sessions by the protocol inside.")
                .query("{{alpn}}", "sum by (alpn) (rate(ingora_tls_sessions_total{%gateway}[%window]))"),
            Panel::lines("Resumed sessions", "percentunit", "Share of the sessions that needed no certificate.").query(
                "resumed",
                r#"sum(rate(ingora_tls_sessions_total{%gateway,resumed="true"}[%window]))
                   / sum(rate(ingora_tls_sessions_total{%gateway}[%window]))"#,
            ),
        ],
    }
}

fn refused() -> Row {
    Row {
        title: "Refused",
        panels: vec![
            Panel::lines("Refused connections", "cps", "By the limit that was reached.")
                .query("{{reason}}", "sum by (reason) (rate(ingora_connections_refused_total{%gateway}[%window]))"),
            Panel::lines("Bad requests", "reqps", "Refused before they had a rule.")
                .query("{{reason}}", "sum by (reason) (rate(ingora_bad_requests_total{%gateway}[%window]))"),
            Panel::lines("Lost lines of the access log", "ops", "Writing them could not keep up.")
                .query("{{instance}}", "sum by (instance) (rate(ingora_access_log_dropped_total{%gateway}[%window]))"),
        ],
    }
}

fn traces() -> Row {
    Row {
        title: "Traces",
        panels: vec![
            Panel::lines("Spans", "ops", "What the collector has taken.")
                .query("exported", "sum(rate(ingora_spans_exported_total{%gateway}[%window]))"),
            Panel::lines("Lost spans", "ops", "By why they never reached the collector.")
                .query("{{reason}}", "sum by (reason) (rate(ingora_spans_dropped_total{%gateway}[%window]))"),
            Panel::lines("Failed exports", "ops", "Most are tried again.").query(
                "{{instance}}",
                "sum by (instance) (rate(ingora_span_export_failures_total{%gateway}[%window]))",
            ),
        ],
    }
}
