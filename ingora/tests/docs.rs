//! The generated pages of the docs folder are what the binary prints.
#![expect(clippy::unwrap_used, reason = "helpers of a test may fail")]

use std::path::Path;
use std::process::Command;

fn check(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/{page}.md"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingora"));
    let output = command.args(["docs", page, "--format", "markdown"]).output().unwrap();
    assert!(output.status.success());
    let got = String::from_utf8(output.stdout).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, got).unwrap();
    } else {
        let want = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(got, want, "docs/{page}.md is stale; UPDATE=1 cargo test -p ingora rewrites it");
    }
}

#[test]
fn the_annotations_page_is_current() {
    check("annotations");
}

#[test]
fn the_configmap_page_is_current() {
    check("configmap");
}

#[test]
fn the_configuration_page_is_current() {
    check("configuration");
}

#[test]
fn the_metrics_page_is_current() {
    check("metrics");
}

/// The chart renders only flags that are in this list: those that do something. Flags of ingress-nginx that are merely
/// taken are not in it: the chart leaves them out and says so, and makes no webhook that nothing would answer.
#[test]
fn the_charts_list_of_flags_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/ingora/files/flags.txt");
    let output = Command::new(env!("CARGO_BIN_EXE_ingora")).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let mut flags: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--").or_else(|| line.split(", --").nth(1)))
        .filter_map(|line| line.split([' ', '=', '[']).next())
        .filter(|flag| !matches!(*flag, "help" | "version"))
        .collect();
    flags.sort_unstable();
    let got = flags.join("\n") + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, got).unwrap();
    } else {
        let want = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(got, want, "charts/ingora/files/flags.txt is stale; UPDATE=1 cargo test -p ingora rewrites it");
    }
}
