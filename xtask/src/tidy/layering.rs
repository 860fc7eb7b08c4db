//! Who may depend on whom, read from the manifests. Tests and benches may use more.

/// What a crate may be built of.
struct Layer {
    member: &'static str,
    /// The crates of the workspace that it may see.
    sees: &'static [&'static str],
    /// Packages, with everything that begins with their name and a dash, that it may not see.
    never: &'static [&'static [&'static str]],
}

const WORKSPACE: &[&str] =
    &["table", "features", "translate", "controller", "spool", "gateway", "ingora", "loadtest", "xtask"];

/// Clocks, sockets, threads, logs.
const IMPURE: &[&str] = &["tokio", "tracing", "log", "reqwest", "async-std", "mio", "socket2", "rand", "chrono"];
const CLIENT: &[&str] = &["kube"];
const KUBERNETES: &[&str] = &["kube", "k8s-openapi"];
const PINGORA: &[&str] = &["pingora"];

const LAYERS: &[Layer] = &[
    Layer { member: "table", sees: &[], never: &[IMPURE, KUBERNETES, PINGORA] },
    Layer { member: "features", sees: &["table"], never: &[IMPURE, KUBERNETES, PINGORA] },
    Layer { member: "translate", sees: &["table", "features"], never: &[IMPURE, CLIENT, PINGORA] },
    Layer { member: "controller", sees: &["table", "features", "translate"], never: &[PINGORA] },
    Layer { member: "gateway", sees: &["table", "features", "spool"], never: &[KUBERNETES] },
    Layer { member: "spool", sees: &[], never: &[IMPURE, KUBERNETES, PINGORA] },
];

/// Complains about each dependency that a crate may not have.
pub(super) fn check(member: &str, manifest: &str) -> Vec<String> {
    let Some(layer) = LAYERS.iter().find(|layer| layer.member == member) else { return Vec::new() };
    let forbidden = |name: &str| {
        let ours = WORKSPACE.contains(&name) && !layer.sees.contains(&name);
        ours || layer.never.iter().copied().flatten().any(|package| is_of(name, package))
    };
    dependencies(manifest)
        .filter(|name| forbidden(name))
        .map(|name| format!("{member}/Cargo.toml: {member} must not depend on {name}"))
        .collect()
}

fn is_of(name: &str, package: &str) -> bool {
    name.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The packages that a manifest names outside of its dev-dependencies.
///
/// Reads the forms that occur in a tidy manifest: `name = …`, `name.workspace = …`, `[dependencies.name]`, each also for
/// a target, and a `package = "…"` that renames.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let mut listing = false;
    manifest.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            listing = names_dependencies(section);
            return section.rsplit_once('.').filter(|(table, _)| names_dependencies(table)).map(|(_, name)| name);
        }
        let (key, value) = line.split_once('=').filter(|_| listing && !line.starts_with('#'))?;
        let renamed = value.split_once("package = \"").and_then(|(_, rest)| rest.split('"').next());
        Some(renamed.unwrap_or_else(|| key.split('.').next().unwrap_or(key).trim().trim_matches('"')))
    })
}

fn names_dependencies(section: &str) -> bool {
    let last = section.rsplit('.').next().unwrap_or(section);
    matches!(last, "dependencies" | "build-dependencies")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_dependency_is_read() {
        let manifest = r#"
[package]
name = "x"
[dependencies]
# comment = "1"
a = "1"
b.workspace = true
c = { package = "real-c", version = "1" }
[target.'cfg(unix)'.dependencies]
d = { workspace = true }
[dependencies.e]
version = "1"
[build-dependencies]
f = "1"
[dev-dependencies]
g = "1"
[dev-dependencies.h]
version = "1"
[features]
i = []
"#;
        assert_eq!(dependencies(manifest).collect::<Vec<_>>(), ["a", "b", "real-c", "d", "e", "f"]);
    }

    #[test]
    fn each_layer_sees_only_what_is_below() {
        for (member, name) in [
            ("table", "features"),
            ("features", "translate"),
            ("features", "http-body-tokio"),
            ("translate", "controller"),
            ("controller", "gateway"),
            ("gateway", "translate"),
            ("gateway", "controller"),
        ] {
            let manifest = format!("[dependencies]\n{name} = {{ workspace = true }}\n");
            let allowed = name == "http-body-tokio";
            assert_eq!(check(member, &manifest).is_empty(), allowed, "{member} {name}");
        }
    }

    #[test]
    fn io_stays_out_of_pure_crates_and_kubernetes_out_of_the_gateway() {
        for (member, name) in [
            ("table", "tokio"),
            ("features", "tokio-util"),
            ("translate", "tracing"),
            ("translate", "kube-client"),
            ("table", "log"),
            ("features", "pingora-http"),
            ("controller", "pingora-core"),
            ("gateway", "k8s-openapi"),
        ] {
            let manifest = format!("[dependencies]\n{name} = \"1\"\n");
            let sentence = format!("{member}/Cargo.toml: {member} must not depend on {name}");
            assert_eq!(check(member, &manifest), [sentence]);
        }
        assert_eq!(check("translate", "[dependencies]\nk8s-openapi = \"1\"\nlogos = \"1\"\n"), [""; 0]);
        assert_eq!(check("ingora", "[dependencies]\ngateway = \"1\"\npingora = \"1\"\n"), [""; 0]);
    }
}
