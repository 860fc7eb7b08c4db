//! Canaries without a main Ingress: a canary serves nothing by itself.
use std::collections::BTreeSet;

use super::Scene;
use crate::report::Note;
use crate::text::Quoted;

pub(super) fn find(scene: &Scene<'_>) -> Vec<Note> {
    let (canaries, mains): (Vec<_>, Vec<_>) = scene.ingresses.iter().partition(|seen| seen.is_true("canary"));
    let places = |seen: &super::Seen<'_>| -> BTreeSet<(String, String, String)> {
        let rules = seen.ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
        let paths = rules.flat_map(|rule| {
            let host = rule.host.clone().unwrap_or_default().to_ascii_lowercase();
            rule.http.iter().flat_map(|http| &http.paths).map(move |path| {
                let text = path.path.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "/".to_owned());
                (host.clone(), text, path.path_type.clone())
            })
        });
        paths.collect()
    };
    let taken: BTreeSet<_> = mains.into_iter().flat_map(places).collect();
    let mut found = Vec::new();
    for seen in canaries {
        for (host, path, path_type) in places(seen).difference(&taken) {
            let message = format!(
                "the canary has {path_type} path {} of host {}, which no main Ingress has, so it serves nothing there; create \
                 the main Ingress with the same host, path and path type, or remove canary",
                Quoted(path),
                if host.is_empty() { "*" } else { host }
            );
            let mut notes = seen.notes();
            notes.warning("CanaryWithoutMain", seen.field("canary"), message);
            found.append(&mut notes.list);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cluster, ingress};

    fn found(main: Option<(&str, &str)>) -> Vec<(String, String)> {
        let mut cluster = Cluster::default();
        cluster.add(ingress("canary", "a.test", &["/shop"], &[("nginx.ingress.kubernetes.io/canary", "true")]));
        if let Some((host, path)) = main {
            cluster.add(ingress("main", host, &[path], &[]));
        }
        cluster.traps("CanaryWithoutMain")
    }

    #[test]
    fn a_canary_needs_a_main_ingress_with_its_host_and_path() {
        assert!(found(Some(("a.test", "/shop"))).is_empty());
        for main in [None, Some(("a.test", "/")), Some(("b.test", "/shop"))] {
            let traps = found(main);
            assert_eq!(traps.len(), 1, "{main:?}");
            assert_eq!(traps[0].0, "canary");
        }
    }
}
