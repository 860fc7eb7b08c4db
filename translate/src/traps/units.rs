//! Times with a unit where ingress-nginx reads a bare number of seconds: it ignored them without a word.
use super::Scene;
use crate::report::Note;
use crate::text::Quoted;

/// Annotations that are whole numbers of seconds.
const ANNOTATIONS: &[&str] = &[
    "auth-keepalive-timeout",
    "proxy-connect-timeout",
    "proxy-next-upstream-timeout",
    "proxy-read-timeout",
    "proxy-send-timeout",
    "session-cookie-expires",
    "session-cookie-max-age",
];

/// Keys of the ConfigMap that are.
const KEYS: &[&str] = &[
    "client-body-timeout",
    "client-header-timeout",
    "keep-alive",
    "proxy-connect-timeout",
    "proxy-next-upstream-timeout",
    "proxy-read-timeout",
    "proxy-send-timeout",
    "upstream-keepalive-timeout",
];

pub(super) fn find(scene: &Scene<'_>) -> Vec<Note> {
    let mut found = Vec::new();
    for seen in &scene.ingresses {
        let mut notes = seen.notes();
        for name in ANNOTATIONS {
            let value = seen.annotations.get(name).and_then(|value| message(name, value));
            if let Some(message) = value {
                notes.warning("TimeWithUnit", seen.field(name), message);
            }
        }
        found.append(&mut notes.list);
    }
    if let Some(mut notes) = scene.config_notes() {
        for name in KEYS {
            if let Some(message) = scene.config.get(name).and_then(|value| message(name, value)) {
                notes.warning("TimeWithUnit", format!("data[{name}]"), message);
            }
        }
        found.append(&mut notes.list);
    }
    found
}

fn message(name: &str, value: &str) -> Option<String> {
    let seconds = seconds(value)?;
    let instead = match seconds {
        0 => "a whole number of seconds".to_owned(),
        seconds => seconds.to_string(),
    };
    let value = Quoted(value);
    Some(format!(
        "{name} is a number of seconds without a unit: ingress-nginx, too, ignored {value} and used the default; write {instead}"
    ))
}

/// What a number with a unit of nginx means, in seconds; 0 for less than one. `None` when it is not such a time.
fn seconds(value: &str) -> Option<u64> {
    let end = value.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = value.split_at_checked(end)?;
    let number: u64 = number.parse().ok()?;
    match unit.trim() {
        "ms" => Some(number / 1_000),
        "s" | "sec" => Some(number),
        "m" | "min" => number.checked_mul(60),
        "h" => number.checked_mul(3_600),
        "d" => number.checked_mul(86_400),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, ingress, traps_of};
    use super::*;

    #[test]
    fn a_unit_is_told_with_the_number_to_write() {
        for (value, want) in
            [("60s", "write 60"), ("2m", "write 120"), ("1 h", "write 3600"), ("500ms", "whole number")]
        {
            assert!(message("proxy-read-timeout", value).unwrap().ends_with(want) || value == "500ms", "{value}");
            assert!(message("proxy-read-timeout", value).unwrap().contains(want), "{value}");
        }
        for value in ["60", "", "s", "-1s", "60x", "99999999999999999999s"] {
            assert_eq!(message("proxy-read-timeout", value), None, "{value}");
        }
    }

    #[test]
    fn only_keys_without_unit_are_looked_at() {
        assert_eq!(
            traps_of("TimeWithUnit", &["/"], &[("proxy-read-timeout", "60s"), ("auth-cache-duration", "200 5m")]),
            1
        );
    }

    #[test]
    fn the_config_map_is_looked_at_too() {
        let mut cluster = Cluster::default();
        cluster.add(ingress("a", "a.test", &["/"], &[]));
        cluster.configure(&[("proxy-send-timeout", "30s"), ("proxy-protocol-header-timeout", "5s")]);
        let traps = cluster.traps("TimeWithUnit");
        assert_eq!(traps.len(), 1);
        assert_eq!(traps[0].0, "config");
    }
}
