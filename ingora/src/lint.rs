//! `ingora lint`: what is wrong with the objects, with file and line, and how they carry over from ingress-nginx.
mod findings;
mod markdown;
mod report;
mod sarif;
mod text;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use controller::Source;
use serde::Serialize;

use crate::cli::Printed;
use crate::failure::Failure;
use crate::options::{ClassArgs, SourceArgs};
use report::Report;

/// Flags of `ingora lint`.
#[derive(Args, Debug)]
pub(crate) struct LintArgs {
    /// The folder of YAML files to check; the same as --manifests
    #[arg(value_name = "DIR", conflicts_with_all = ["manifests", "kubeconfig", "watch_namespace"])]
    dir: Option<PathBuf>,

    /// Form of the report; sarif is what code review tools read
    #[arg(long, value_enum, default_value_t = LintFormat::Text)]
    format: LintFormat,

    /// The least that ends with an exit code other than 0
    #[arg(long, value_enum, default_value_t = FailOn::Warning)]
    fail_on: FailOn,

    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    classes: ClassArgs,
}

/// Form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LintFormat {
    Text,
    Json,
    Markdown,
    Sarif,
}

/// What makes lint fail; each with all that is worse. Refused annotations and keys are warnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum FailOn {
    // No doc comments on them: clap would print each on a line of its own.
    Info,
    Warning,
    Refused,
    Error,
    Never,
}

/// Reads the source once and prints what is wrong.
pub(crate) fn run(args: &LintArgs) -> Result<Printed, Failure> {
    let source = args.dir.clone().map_or_else(|| args.source.source(), Source::Folder);
    let loaded = controller::load(&source, args.classes.options(&source))?;
    let report = Report::of(&loaded);
    let text = match args.format {
        LintFormat::Text => text::render(&report),
        LintFormat::Json => json(&report)?,
        LintFormat::Markdown => markdown::render(&report),
        LintFormat::Sarif => json(&sarif::log(&report))?,
    };
    Ok(Printed { text, code: code(&report, args.fail_on) })
}

/// Pretty JSON with a final newline.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n")
        .map_err(|error| Failure::runtime(format!("the answer cannot be written as JSON: {error}")))
}

/// 2 for errors, 1 for anything less that counts, else 0.
fn code(report: &Report, fail_on: FailOn) -> u8 {
    let Report { errors, warnings, infos, .. } = report;
    let counts = |number: usize, level: FailOn| number > 0 && fail_on <= level;
    if counts(*errors, FailOn::Error) {
        2
    } else {
        let refused = counts(report.refused(), FailOn::Refused);
        u8::from(refused || counts(*warnings, FailOn::Warning) || counts(*infos, FailOn::Info))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use report::testing::report;

    #[test]
    fn the_exit_code_is_the_worst_finding() {
        for (errors, warnings, infos, want) in [(0, 0, 0, 0), (0, 0, 3, 0), (0, 2, 1, 1), (1, 2, 0, 2)] {
            let report = Report { errors, warnings, infos, ..Report::default() };
            assert_eq!(code(&report, FailOn::Warning), want);
        }
    }

    #[test]
    fn fail_on_chooses_what_counts() {
        let all = Report { errors: 1, warnings: 1, infos: 1, ..Report::default() };
        let warned = Report { errors: 0, ..all };
        let info = Report { warnings: 0, infos: 1, ..Report::default() };
        for (fail_on, want) in [
            (FailOn::Info, [2, 1, 1]),
            (FailOn::Warning, [2, 1, 0]),
            (FailOn::Refused, [2, 0, 0]),
            (FailOn::Error, [2, 0, 0]),
            (FailOn::Never, [0, 0, 0]),
        ] {
            let all = Report { errors: 1, warnings: 1, infos: 1, ..Report::default() };
            assert_eq!([code(&all, fail_on), code(&warned, fail_on), code(&info, fail_on)], want, "{fail_on:?}");
        }
    }

    #[test]
    fn what_is_refused_fails_though_it_is_a_warning() {
        let report = report();
        let errorless = Report { errors: 0, ..report };
        assert_eq!(code(&errorless, FailOn::Refused), 1);
        assert_eq!(code(&errorless, FailOn::Error), 0);
    }
}
