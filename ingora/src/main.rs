//! The binary: reads the command line and joins the two planes; holds no logic of its own.

mod accepted;
mod cli;
mod demo;
mod docs;
mod duties;
mod explain;
mod failure;
mod lint;
mod logging;
mod metrics;
mod options;
mod overload;
mod run;
mod state;
mod value;
mod variables;
mod webhook;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
