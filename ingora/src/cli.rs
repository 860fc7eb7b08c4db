//! The command line: which commands there are, and how they end.
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::demo::{self, DemoArgs};
use crate::docs::{self, DocsArgs};
use crate::explain::{self, ExplainArgs};
use crate::failure::Failure;
use crate::lint::{self, LintArgs};
use crate::run::{self, RunArgs};
use crate::variables;

/// An ingress gateway for Kubernetes that never reloads.
#[derive(Debug, Parser)]
#[command(name = "ingora", version, max_term_width = 100, after_help = EXAMPLES, subcommand_required = true)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  ingora demo                                  a gateway with example services on this machine
  ingora run --manifests ./manifests           serve a folder of YAML files, live
  ingora run                                   serve the cluster this pod runs in
  ingora explain --manifests ./manifests https://shop.example.com/cart
  ingora lint ./manifests                      what is wrong, with file and line

Every flag can also be set in the environment: --http-port is INGORA_HTTP_PORT.";

const RUN_EXAMPLES: &str = "\
Examples:
  ingora run --manifests ./manifests --http-port 8080 --https-port 8443
  ingora run --kubeconfig ~/.kube/config --watch-namespace shop
  ingora run --default-backend-service web/not-found --default-ssl-certificate web/fallback-tls

Every flag can also be set in the environment: --http-port is INGORA_HTTP_PORT.
SIGTERM ends gracefully: not ready, grace period, drain. SIGINT ends at once.
Exit code: 0 ended by a signal, 1 could not start, 2 wrong usage.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  ingora explain --manifests ./manifests https://shop.example.com/cart
  ingora explain --manifests ./manifests -H 'Host: shop.example.com' http://127.0.0.1:8080/cart
  ingora explain --kubeconfig ~/.kube/config -X POST https://shop.example.com/cart

Exit code: 0 the request would be proxied or redirected, 1 it would be answered with an error, or the
source cannot be read, 2 wrong usage.";

const LINT_EXAMPLES: &str = "\
Examples:
  ingora lint ./manifests
  ingora lint --kubeconfig ~/.kube/config --controller-class k8s.io/ingress-nginx \\
    --configmap ingress-nginx/ingress-nginx-controller --format markdown
  ingora lint ./manifests --format sarif --fail-on error

Exit code: 0 nothing or only infos, 1 warnings or refused annotations, 2 errors, 64 wrong usage or
nothing to read. --fail-on says what counts.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the Ingresses of a cluster or of a folder
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Start a gateway with example services on this machine, to play with
    Demo(DemoArgs),
    /// Tell what would happen to a request, and why
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Tell what is wrong with the objects
    #[command(after_help = LINT_EXAMPLES)]
    Lint(LintArgs),
    /// Print the reference documentation
    Docs(DocsArgs),
}

/// What lint ends with when it has nothing to judge: 1 and 2 are its findings.
const LINT_USAGE: u8 = 64;

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let command_line = variables::without_beaten(command(), &words);
    let cli = match command_line.try_get_matches_from(words).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let lints = matches!(cli.command, Command::Lint(_));
    let result = match cli.command {
        Command::Run(args) => run::run(&args).map(|()| 0),
        Command::Demo(args) => demo::run(&args).map(|()| 0),
        Command::Explain(args) => explain::run(&args).and_then(|printed| print(&printed)),
        Command::Lint(args) => lint::run(&args).and_then(|printed| print(&printed)),
        Command::Docs(args) => docs::run(&args, &command()).and_then(|printed| print(&printed)),
    };
    match result {
        Ok(code) => code.into(),
        Err(Failure { message, code }) => {
            // Nobody is left to tell when standard error is gone.
            drop(writeln!(std::io::stderr(), "error: {message}"));
            if lints { LINT_USAGE } else { code }.into()
        }
    }
}

/// The whole command line as data. That each flag has a variable is said once, not at every flag.
fn command() -> clap::Command {
    Cli::command().mut_subcommands(|command| command.mut_args(|arg| arg.hide_env(true)))
}

/// Prints clap's message: help and version to standard output with 0, all else to standard error.
fn usage(error: &clap::Error) -> ExitCode {
    let lints = std::env::args_os().nth(1).is_some_and(|first| first == "lint");
    drop(error.print());
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if lints => LINT_USAGE.into(),
        _ => 2.into(),
    }
}

/// What a command prints, and its exit code.
#[derive(Debug)]
pub(crate) struct Printed {
    /// To standard output.
    pub(crate) text: String,
    /// The exit code.
    pub(crate) code: u8,
}

/// A closed pipe is no failure: `ingora lint | head` has seen enough.
fn print(printed: &Printed) -> Result<u8, Failure> {
    match std::io::stdout().write_all(printed.text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::runtime(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(printed.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_run_has_its_environment_variable() {
        let run = Cli::command().find_subcommand("run").cloned().unwrap();
        let ours = run.get_arguments().filter(|arg| !arg.is_hide_set());
        for arg in ours.filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")) {
            let want = format!("INGORA_{}", arg.get_long().unwrap().to_uppercase().replace('-', "_"));
            assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(want.as_str()));
        }
    }

    #[test]
    fn the_arguments_of_ingress_nginx_start_ingora() {
        let line = [
            "ingora",
            "run",
            "--default-backend-service=ingress/default",
            "--controller-class=k8s.io/ingress-nginx",
            "--ingress-class=nginx",
            "--ingress-class-by-name=true",
            "--configmap=ingress/controller",
            "--tcp-services-configmap=ingress/tcp",
            "--enable-metrics=true",
            "--watch-ingress-without-class=true",
            "--http-port=80",
            "--https-port=443",
            "--default-ssl-certificate=ingress/default-tls",
            "--metrics-per-host=false",
            "--annotations-prefix=nginx.ingress.kubernetes.io",
            "--shutdown-grace-period=0",
            "--v=2",
        ];
        assert!(Cli::try_parse_from(line).is_ok());
    }

    #[test]
    fn defaults_parse() {
        for line in [&["ingora", "run"][..], &["ingora", "demo"], &["ingora", "lint", "x"]] {
            assert!(Cli::try_parse_from(line).is_ok(), "{line:?}");
        }
    }
}
