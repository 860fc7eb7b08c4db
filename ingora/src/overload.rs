//! Flags of what is done when the gateway itself has too much to do: [`Overload`].
use clap::Args;
use gateway::Overload;

use crate::value::{Span, count};

/// When requests are answered with 503 before latency collapses or memory is gone.
#[derive(Args, Debug)]
#[command(next_help_heading = "Overload")]
pub(crate) struct OverloadArgs {
    /// How late the event loop of a worker has to be before a growing share of its requests is answered with 503; 0 never does
    #[arg(long, env = "INGORA_OVERLOAD_LAG", value_name = "TIME", default_value_t = Span(Overload::default().lag))]
    overload_lag: Span,

    /// Share of the memory limit in percent that has to be in use before a growing share of requests is answered with 503;
    /// 0 never does
    #[arg(long, env = "INGORA_OVERLOAD_MEMORY", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100),
          default_value_t = Overload::default().memory_percent)]
    overload_memory: u8,

    /// The memory limit in bytes; without it that of the container, if it has one
    #[arg(long, env = "INGORA_OVERLOAD_MEMORY_LIMIT", value_name = "BYTES", value_parser = count::<u64>)]
    overload_memory_limit: Option<u64>,
}

impl OverloadArgs {
    /// As the gateway takes them.
    pub(crate) fn overload(&self) -> Overload {
        Overload {
            lag: self.overload_lag.0,
            memory_percent: self.overload_memory,
            memory_limit: self.overload_memory_limit,
        }
    }
}
