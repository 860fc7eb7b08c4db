//! Redirects to HTTPS that never end: a balancer terminates TLS and sends plain HTTP, which is redirected again.
use table::HostPattern;

use super::{Scene, boolean};
use crate::report::Note;

pub(super) fn find(scene: &Scene<'_>) -> Vec<Note> {
    // Both tell which scheme the client has used.
    if scene.config_is_true("use-forwarded-headers") || scene.config_is_true("use-proxy-protocol") {
        return Vec::new();
    }
    let for_all = scene.config_is_true("force-ssl-redirect");
    let mut found = Vec::new();
    for seen in &scene.ingresses {
        let annotation = seen.annotations.get("force-ssl-redirect").and_then(|value| boolean(value));
        if !annotation.unwrap_or(for_all) {
            continue;
        }
        let hosts = seen.state.rules.hosts.keys().filter(|host| **host != HostPattern::Any && !scene.has_tls(host));
        let hosts: Vec<String> = hosts.map(ToString::to_string).collect();
        let Some(first) = hosts.first() else { continue };
        let more = if hosts.len() > 1 { format!(" and {} more hosts", hosts.len() - 1) } else { String::new() };
        let (field, who) = match annotation {
            Some(_) => (seen.field("force-ssl-redirect"), "force-ssl-redirect"),
            None => ("spec.tls".to_owned(), "the ConfigMap's force-ssl-redirect"),
        };
        let message = format!(
            "{who} redirects {first}{more} to HTTPS, but there is no TLS entry for it; if a balancer in front terminates TLS, \
             clients are redirected without end: set use-forwarded-headers in the controller's ConfigMap, with \
             proxy-real-ip-cidr for the balancer, or use PROXY protocol; otherwise add the TLS entry"
        );
        let mut notes = seen.notes();
        notes.warning("RedirectLoop", field, message);
        found.append(&mut notes.list);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, ingress, traps_of};
    use k8s_openapi::api::networking::v1::IngressTLS;

    #[test]
    fn a_forced_redirect_without_tls_here_is_told() {
        assert_eq!(traps_of("RedirectLoop", &["/"], &[("force-ssl-redirect", "true")]), 1);
        assert_eq!(traps_of("RedirectLoop", &["/"], &[("force-ssl-redirect", "false")]), 0);
        assert_eq!(traps_of("RedirectLoop", &["/"], &[("ssl-redirect", "true")]), 0);
    }

    fn with(config: &[(&str, &str)], tls: bool) -> usize {
        let mut cluster = Cluster::default();
        let mut forced = ingress("a", "a.test", &["/"], &[("nginx.ingress.kubernetes.io/force-ssl-redirect", "true")]);
        if tls {
            let entry =
                IngressTLS { hosts: Some(vec!["*.test".to_owned(), "a.test".to_owned()]), ..IngressTLS::default() };
            forced.spec.get_or_insert_default().tls = Some(vec![entry]);
        }
        cluster.add(forced);
        cluster.add(ingress("b", "b.example", &["/"], &[]));
        cluster.configure(config);
        cluster.traps("RedirectLoop").len()
    }

    #[test]
    fn who_knows_the_clients_scheme_does_not_loop() {
        assert_eq!(with(&[], false), 1);
        assert_eq!(with(&[], true), 0);
        assert_eq!(with(&[("use-forwarded-headers", "true")], false), 0);
        assert_eq!(with(&[("use-proxy-protocol", "true")], false), 0);
    }

    #[test]
    fn the_config_map_may_force_it_for_all() {
        assert_eq!(with(&[("force-ssl-redirect", "true")], false), 2);
    }
}
