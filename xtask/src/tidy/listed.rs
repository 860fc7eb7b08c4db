//! A feature's file that `features/src/lib.rs` does not name would be dead without anyone noticing.
use super::Tree;

const FOLDER: &str = "features/src/";

/// Complains about each file that is not declared.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let lib = tree.0.get("features/src/lib.rs").map(String::as_str).unwrap_or_default();
    let modules = tree.rust().filter_map(|(path, _)| path.strip_prefix(FOLDER)?.strip_suffix(".rs"));
    modules
        .filter(|module| !module.contains('/') && *module != "lib" && !module.ends_with("_tests"))
        .filter(|module| !declares(lib, module))
        .map(|module| format!("{FOLDER}{module}.rs: is not declared; add it to `features!` in {FOLDER}lib.rs"))
        .collect()
}

/// Holds `mod name;` or, in the list of features, `Name = name,`.
fn declares(lib: &str, module: &str) -> bool {
    lib.lines().map(str::trim).filter(|line| !line.starts_with("//")).any(|line| {
        let declared = line.strip_suffix(';').and_then(|line| line.split_once("mod ")).map(|(_, name)| name);
        let listed = line.split_once(" = ").map(|(_, name)| name.trim_end_matches(','));
        declared == Some(module) || listed == Some(module)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::tree;

    #[test]
    fn declared_and_listed_files_pass() {
        let lib = "//! F.\npub mod annotation;\nmod request;\nfeatures! {\n    Cors = cors,\n}\n";
        let files = ["annotation", "request", "cors", "cors_tests", "cors/origin", "lib"]
            .map(|name| format!("{FOLDER}{name}.rs"));
        let files: Vec<_> = files.iter().map(|path| (path.as_str(), lib)).collect();
        assert_eq!(check(&tree(&files)), [""; 0]);
    }

    #[test]
    fn a_forgotten_file_is_named() {
        let lib = "//! F.\n// mod cors;\nmod core;\n";
        let findings = check(&tree(&[("features/src/lib.rs", lib), ("features/src/cors.rs", "//! C.\n")]));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("features/src/cors.rs: "), "{findings:?}");
    }
}
