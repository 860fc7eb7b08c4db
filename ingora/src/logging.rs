//! The log: to standard error, as text or JSON.
use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Flags of the log.
#[derive(Args, Debug)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogArgs {
    /// Form of the log on standard error: lines to read, or one JSON object a line
    #[arg(long, env = "INGORA_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// What to log: error, warn, info, debug, trace, or a filter such as info,gateway=debug; RUST_LOG is read without it
    #[arg(long, env = "INGORA_LOG_LEVEL", value_name = "FILTER")]
    log_level: Option<String>,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl LogArgs {
    /// Starts to log. `default` is the filter when neither flag nor environment names one.
    pub(crate) fn start(&self, default: &str) -> Result<(), Failure> {
        let filter = match &self.log_level {
            Some(filter) => filter.clone(),
            None => std::env::var("RUST_LOG").unwrap_or_else(|_| default.to_owned()),
        };
        let filter = EnvFilter::try_new(&filter).map_err(|error| {
            Failure::usage(format!("the log filter '{filter}' cannot be read ({error}); use one such as info"))
        })?;
        let log = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_env_filter(filter);
        let started = match self.log_format {
            LogFormat::Text => log.try_init(),
            LogFormat::Json => log.json().flatten_event(true).try_init(),
        };
        started.map_err(|error| Failure::runtime(format!("the log cannot be started: {error}")))
    }
}
