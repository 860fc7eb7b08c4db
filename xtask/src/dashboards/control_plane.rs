//! *Control plane*: tables, how fast changes get through, notes, certificates.
use super::Dashboard;
use super::panel::{Panel, Row};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "ingora-control-plane",
        title: "Ingora / Control plane",
        about: "From objects to the table that serves: changes, their time, notes, certificates.",
        rows: vec![tables(), objects()],
    }
}

fn tables() -> Row {
    Row {
        title: "Tables",
        panels: vec![
            Panel::lines("Gateways that serve", "short", "1 once everything there is to read has been live.")
                .query("{{instance}}", "ingora_synced{%gateway}"),
            Panel::lines("Generation", "short", "The table that serves. Each gateway counts its own.")
                .query("{{instance}}", "ingora_table_generation{%gateway}"),
            Panel::lines("Updates", "ops", "Changes of the table or its endpoints that became live.")
                .query("{{instance}}", "sum by (instance) (rate(ingora_update_live_seconds_count{%gateway}[%window]))"),
            Panel::heatmap("Propagation", "Time from the arrival of a changed object to the change being live.").query(
                "{{le}}",
                "sum by (le) (increase(ingora_update_live_seconds_bucket{%gateway}[%window]))",
            ),
            Panel::lines("Propagation time", "s", "From the arrival of a changed object to the change being live.")
                .query("99 of 100", "histogram_quantile(0.99, sum by (le) (rate(ingora_update_live_seconds_bucket{%gateway}[%window])))")
                .query("half", "histogram_quantile(0.5, sum by (le) (rate(ingora_update_live_seconds_bucket{%gateway}[%window])))"),
            Panel::lines("Build time", "s", "Building an update of the table or its endpoints.")
                .query("99 of 100", "histogram_quantile(0.99, sum by (le) (rate(ingora_table_build_seconds_bucket{%gateway}[%window])))")
                .query("half", "histogram_quantile(0.5, sum by (le) (rate(ingora_table_build_seconds_bucket{%gateway}[%window])))"),
        ],
    }
}

fn objects() -> Row {
    Row {
        title: "Objects",
        panels: vec![
            Panel::stack("Notes", "short", "What the gateway has to say about objects; `ingora lint` tells each.")
                .query("{{severity}}", "max by (severity) (ingora_notes{%gateway})"),
            Panel::table("Annotations with a difference", "short", "Ingresses that carry an annotation which is approximated or refused.").query(
                "",
                "max by (annotation, verdict) (ingora_annotations{%gateway})",
            ),
            Panel::table("Keys of the ConfigMap with a difference", "short", "Keys that are set and not honoured as in ingress-nginx.").query(
                "",
                "max by (key, verdict) (ingora_config_keys{%gateway})",
            ),
            Panel::lines("Certificates that end first", "s", "Time until a server certificate ends.").query(
                "{{namespace}}/{{name}}",
                "bottomk(10, min by (namespace, name) (ingora_certificate_expiry_timestamp_seconds{%service} - time()))",
            ),
            Panel::lines("Stale watches", "s", "Time since the watch of a kind of object failed; traffic does not depend on it.")
                .query("{{instance}} {{kind}}", "ingora_watch_stale_seconds{%gateway}"),
            Panel::lines("Leader", "short", "1 for the gateway that writes status and events; there is at most one.")
                .query("{{instance}}", "ingora_leader{%gateway}"),
            Panel::stack("Gateways by version", "short", "More than one while an update rolls out.")
                .query("{{version}}", "sum by (version) (ingora_build_info{%gateway})"),
            Panel::table("Certificates", "s", "Time until a server certificate ends.").query(
                "",
                "sort(min by (namespace, name, serial) (ingora_certificate_expiry_timestamp_seconds{%service} - time()))",
            ),
        ],
    }
}
