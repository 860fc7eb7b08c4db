//! The controller's ConfigMap believing anybody who says who the client is.
use super::Scene;
use crate::report::Note;

pub(super) fn find(scene: &Scene<'_>) -> Vec<Note> {
    let Some(mut notes) = scene.config_notes() else { return Vec::new() };
    let believes = ["use-forwarded-headers", "enable-real-ip", "use-proxy-protocol"];
    let Some(key) = believes.iter().find(|key| scene.config_is_true(key)) else { return Vec::new() };
    let (ranges, written) = match scene.config.get("proxy-real-ip-cidr") {
        Some(ranges) => (*ranges, "lists"),
        None => ("0.0.0.0/0", "defaults to"),
    };
    if let Some(range) = ranges.split(',').map(str::trim).find(|range| range.ends_with("/0")) {
        let message = format!(
            "with {key}, whoever reaches the gateway can claim any client address, and pass IP lists and limits with it: \
             proxy-real-ip-cidr {written} {}; list the addresses of your balancers",
            crate::text::Plain(range)
        );
        notes.warning("TrustsEveryone", "data[proxy-real-ip-cidr]".to_owned(), message);
    }
    notes.list
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cluster;

    fn found(config: &[(&str, &str)]) -> usize {
        let mut cluster = Cluster::default();
        cluster.configure(config);
        cluster.traps("TrustsEveryone").len()
    }

    #[test]
    fn trust_in_everybody_is_told() {
        assert_eq!(found(&[("use-forwarded-headers", "true")]), 1);
        assert_eq!(found(&[("use-forwarded-headers", "true"), ("proxy-real-ip-cidr", "10.0.0.0/8, ::/0")]), 1);
        assert_eq!(found(&[("use-proxy-protocol", "true"), ("proxy-real-ip-cidr", "0.0.0.0/0")]), 1);
    }

    #[test]
    fn listed_balancers_and_no_trust_at_all_are_fine() {
        assert_eq!(found(&[("use-forwarded-headers", "true"), ("proxy-real-ip-cidr", "10.0.0.0/8")]), 0);
        assert_eq!(found(&[("proxy-real-ip-cidr", "0.0.0.0/0")]), 0);
        assert_eq!(found(&[]), 0);
    }
}
