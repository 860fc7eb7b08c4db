//! `ingora lint`: what is wrong with the objects, with file and line.
use std::cmp::Reverse;
use std::path::PathBuf;

use clap::Args;
use controller::{BrokenDocument, Loaded, Source};
use serde::Serialize;
use translate::Severity;

use crate::cli::Printed;
use crate::explain::Format;
use crate::failure::Failure;
use crate::options::{ClassArgs, SourceArgs};

/// Flags of `ingora lint`.
#[derive(Args, Debug)]
pub(crate) struct LintArgs {
    /// The folder of YAML files to check; the same as --manifests
    #[arg(value_name = "DIR", conflicts_with_all = ["manifests", "kubeconfig", "watch_namespace"])]
    dir: Option<PathBuf>,

    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    classes: ClassArgs,
}

/// All findings.
#[derive(Debug, Serialize)]
struct Findings {
    findings: Vec<Finding>,
    errors: usize,
    warnings: usize,
    infos: usize,
}

/// A broken document or a note; sorted as they are printed.
#[derive(Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// Broken documents come first.
    #[serde(skip)]
    is_note: bool,
    file: Option<String>,
    line: Option<usize>,
    /// The worst first.
    #[serde(skip)]
    rank: Reverse<Severity>,
    severity: &'static str,
    /// `Kind namespace/name`; none for a document that cannot be read.
    object: Option<String>,
    field: String,
    reason: &'static str,
    message: String,
}

/// Reads the source once and prints what is wrong.
pub(crate) fn run(args: &LintArgs) -> Result<Printed, Failure> {
    let source = args.dir.clone().map_or_else(|| args.source.source(), Source::Folder);
    let loaded = controller::load(&source, args.classes.options(&source))?;
    let findings = judge(&loaded);
    let text = match args.format {
        Format::Text => render(&findings),
        Format::Json => json(&findings)?,
    };
    Ok(Printed { text, code: findings.code() })
}

/// Pretty JSON with a final newline.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n")
        .map_err(|error| Failure::runtime(format!("the answer cannot be written as JSON: {error}")))
}

fn judge(loaded: &Loaded) -> Findings {
    let broken = loaded.broken.iter().map(|found| of_document(found, Severity::Error, "BrokenDocument"));
    let unknown = loaded.warnings.iter().map(|found| of_document(found, Severity::Warning, "UnknownField"));
    let notes = loaded.notes.iter().map(|note| {
        let origin = loaded.origins.get(&note.object);
        Finding {
            is_note: true,
            rank: Reverse(note.severity),
            file: origin.map(|origin| origin.file.display().to_string()),
            line: origin.map(|origin| origin.line),
            severity: name(note.severity),
            object: Some(note.object.to_string()),
            field: note.field.clone(),
            reason: note.reason,
            message: note.message.clone(),
        }
    });
    let mut findings: Vec<Finding> = broken.chain(unknown).chain(notes).collect();
    findings.sort();
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings, infos) = (count("error"), count("warning"), count("info"));
    Findings { findings, errors, warnings, infos }
}

fn of_document(found: &BrokenDocument, severity: Severity, reason: &'static str) -> Finding {
    Finding {
        is_note: severity < Severity::Error,
        rank: Reverse(severity),
        file: Some(found.origin.file.display().to_string()),
        line: Some(found.origin.line),
        severity: name(severity),
        object: None,
        field: String::new(),
        reason,
        message: found.message.clone(),
    }
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

impl Findings {
    fn code(&self) -> u8 {
        match (self.errors, self.warnings) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 2,
        }
    }
}

fn render(findings: &Findings) -> String {
    let mut out = String::new();
    for finding in &findings.findings {
        if let (Some(file), Some(line)) = (&finding.file, finding.line) {
            out.push_str(&format!("{file}:{line}: "));
        }
        out.push_str(finding.severity);
        out.push_str(": ");
        if let Some(object) = &finding.object {
            out.push_str(object);
            out.push_str(": ");
        }
        if !finding.field.is_empty() {
            out.push_str(&finding.field);
            out.push_str(": ");
        }
        out.push_str(&format!("{} ({})\n", finding.message, finding.reason));
    }
    out.push_str(&summary(findings));
    out.push('\n');
    out
}

fn summary(findings: &Findings) -> String {
    let counted = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let Findings { errors, warnings, infos, .. } = findings;
    match (errors, warnings, infos) {
        (0, 0, 0) => "nothing wrong".to_owned(),
        _ => [counted(*errors, "error"), counted(*warnings, "warning"), counted(*infos, "info")].join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(errors: usize, warnings: usize, infos: usize) -> Findings {
        Findings { findings: Vec::new(), errors, warnings, infos }
    }

    #[test]
    fn the_exit_code_is_the_worst_finding() {
        for (errors, warnings, infos, want) in [(0, 0, 0, 0), (0, 0, 3, 0), (0, 2, 1, 1), (1, 2, 0, 2)] {
            assert_eq!(findings(errors, warnings, infos).code(), want);
        }
    }

    #[test]
    fn the_summary_counts() {
        assert_eq!(summary(&findings(0, 0, 0)), "nothing wrong");
        assert_eq!(summary(&findings(1, 2, 0)), "1 error, 2 warnings, 0 infos");
    }
}
