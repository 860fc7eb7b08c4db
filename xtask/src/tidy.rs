//! What the compiler does not check: pure functions from the texts of the tree to sentences.
mod header;
mod layering;
mod length;
mod listed;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// What holds nothing of ours. In a linked worktree `.git` is a file.
const SKIPPED: &[&str] = &[".git", "target", "corpus", "artifacts", "node_modules"];

/// Bytes. What is larger is data.
const LARGEST: u64 = 1 << 20;

/// Every text file of the workspace: path from the root, with `/`, to content.
#[derive(Debug, Default)]
pub(crate) struct Tree(BTreeMap<String, String>);

impl Tree {
    /// Reads the files below a folder, without what cannot be text.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let (kind, path) = (entry.file_type()?, format!("{prefix}{name}"));
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                self.read_folder(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() && !SKIPPED.contains(&name.as_str()) && entry.metadata()?.len() <= LARGEST {
                let Ok(text) = String::from_utf8(fs::read(entry.path())?) else { continue };
                self.0.insert(path, text);
            }
        }
        Ok(())
    }

    fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }
}

/// What the checks have to say, each a sentence that begins with a path.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What must be mended.
    pub(crate) failures: Vec<String>,
    /// What someone should look at.
    pub(crate) notices: Vec<String>,
}

/// Runs every check.
pub(crate) fn check(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    findings.failures.extend(tree.rust().filter_map(|(path, text)| header::check(path, text)));
    for (path, manifest) in tree.files() {
        if let Some(member) = path.strip_suffix("/Cargo.toml") {
            findings.failures.extend(layering::check(member, manifest));
        }
    }
    findings.failures.extend(listed::check(tree));
    findings.failures.extend(tree.files().flat_map(|(path, text)| words::check(path, text)));
    findings.notices.extend(tree.rust().flat_map(|(path, text)| length::check(path, text)));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
        Tree(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn every_check_runs() {
        let long = format!("//! Long.\n{}", "\n".repeat(500));
        let findings = check(&tree(&[
            ("table/Cargo.toml", "[dependencies]\ntokio = \"1\"\n"),
            ("table/src/lib.rs", "mod x;\n"),
            ("table/src/long.rs", &long),
            ("features/src/lib.rs", "//! Features.\n"),
            ("features/src/lost.rs", "//! Lost.\n"),
            ("README.md", concat!("see /ro", "ot/x\n")),
        ]));
        assert_eq!(findings.failures.len(), 4, "{findings:?}");
        assert_eq!(findings.notices.len(), 1, "{findings:?}");
    }

    #[test]
    fn a_tree_is_read_without_what_is_built() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tree = Tree::read(root).unwrap();
        assert!(tree.rust().any(|(path, _)| path == "src/tidy/header.rs"));
        assert!(tree.files().all(|(path, _)| !path.starts_with("target/")));
    }
}
