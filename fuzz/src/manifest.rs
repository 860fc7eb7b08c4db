//! Manifests: any bytes in a folder give a table, say the same each time, and take nothing else down.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use controller::{Loaded, Source};
use translate::Options;

/// An Ingress of a neighbour, which must be served whatever the input is.
const NEIGHBOUR: &str = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: fuzz-neighbour
  namespace: fuzz-neighbour
  annotations: {kubernetes.io/ingress.class: ingora}
spec:
  rules:
  - host: fuzz-neighbour.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
";

/// Checks every promise about a folder that holds these bytes as a YAML and as a JSON file.
pub fn check(data: &[u8]) {
    let folder = folder();
    write(&folder.join("input.yaml"), data);
    write(&folder.join("input.json"), data);
    let loaded = load(folder);
    assert_eq!(told(&loaded), told(&load(folder)), "the same folder means two things");

    // YAML ends lines with a lone carriage return, too.
    let lines = data.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    for broken in &loaded.broken {
        assert!(!broken.message.is_empty());
        assert!((1..=lines).contains(&broken.origin.line), "line {} of {lines}", broken.origin.line);
    }
    for note in &loaded.notes {
        assert!(!note.message.is_empty() && !note.field.is_empty(), "{note}");
    }
    // The input may also have learned to name the neighbour.
    if !data.windows(4).any(|word| word.eq_ignore_ascii_case(b"fuzz")) {
        let found = loaded.table.find("fuzz-neighbour.example", "/x");
        let rule = found.rule().map(|rule| rule.policy.labels.ingress.clone());
        assert_eq!(rule.as_deref(), Some("fuzz-neighbour"), "the neighbour is not served");
    }
}

/// One folder for each process: libFuzzer's never returns, so whoever starts it sets `TMPDIR` and removes it.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("ingora-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        write(&folder.join("neighbour.yaml"), NEIGHBOUR.as_bytes());
        folder
    })
}

/// Removes what [`check`] wrote.
pub fn remove_folder() {
    // What the system's temporary folder loses earlier is gone as well.
    drop(fs::remove_dir_all(folder()));
}

fn write(path: &Path, data: &[u8]) {
    fs::write(path, data).unwrap();
}

fn load(folder: &Path) -> Loaded {
    controller::load(&Source::Folder(folder.to_owned()), Options::default()).unwrap()
}

/// What is said about a folder, and what is served from it.
fn told(loaded: &Loaded) -> String {
    let Loaded { endpoints, notes, origins, broken, .. } = loaded;
    let mut hosts: Vec<_> = loaded.table.hosts.iter().map(|(pattern, rules)| (pattern, rules.iter().count())).collect();
    hosts.sort();
    format!("{endpoints:?} {notes:?} {origins:?} {broken:?} {hosts:?}")
}
