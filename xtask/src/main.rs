//! Checks over the workspace itself and the dashboards: `cargo run -p xtask -- tidy`.
mod dashboards;
mod tidy;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo run -p xtask -- tidy | dashboards

tidy        checks what the compiler does not: module docs, layering, unlisted feature files, private paths;
            shows long files and functions
dashboards  writes the Grafana dashboards, then checks that they, the rules and the runbooks fit the metrics
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => run_tidy(&mut io::stdout().lock()),
        ["dashboards"] => run_dashboards(&mut io::stdout().lock()),
        ["--help" | "-h" | "help"] => io::stdout().write_all(USAGE.as_bytes()).map(|()| true),
        _ => io::stderr().write_all(USAGE.as_bytes()).map(|()| false),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // There is nobody to tell when standard error is gone too.
            drop(writeln!(io::stderr(), "xtask: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints what is found; tells whether the tree is tidy.
fn run_tidy(out: &mut impl Write) -> io::Result<bool> {
    let findings = tidy::check(&tidy::Tree::read(root())?);
    for notice in &findings.notices {
        writeln!(out, "notice: {notice}")?;
    }
    for failure in &findings.failures {
        writeln!(out, "error: {failure}")?;
    }
    writeln!(out, "tidy: {} errors, {} notices", findings.failures.len(), findings.notices.len())?;
    Ok(findings.failures.is_empty())
}

/// Writes the dashboards, prints what does not fit together; tells whether all does.
fn run_dashboards(out: &mut impl Write) -> io::Result<bool> {
    dashboards::write(root())?;
    let failures = dashboards::check(root())?;
    for failure in &failures {
        writeln!(out, "error: {failure}")?;
    }
    Ok(failures.is_empty())
}

/// The workspace is the folder above this crate.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}
