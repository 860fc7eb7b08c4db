//! What the load test needs beside wrk, h2load and k6: pods, and clients for what those cannot measure.
//!
//! Every client prints one line of JSON with what it counted.
mod client;
mod flip;
mod grpc;
mod handshakes;
mod idle;
mod latency;
mod pod;
mod rate;
mod websocket;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

/// Pods and clients of the load test.
#[derive(Debug, Parser)]
#[command(name = "loadtest", subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Threads
    #[arg(long, global = true, default_value_t = 1)]
    threads: usize,
}

/// Whom a client talks to, and for how long.
#[derive(Args, Clone, Debug)]
struct Target {
    /// Address and port of the gateway
    address: SocketAddr,
    /// Host of the requests; `#` stands for a number below --hosts
    #[arg(long, default_value = "h#.shop.test")]
    host: String,
    /// How many hosts there are
    #[arg(long, default_value_t = 1)]
    hosts: usize,
    /// Path of the requests
    #[arg(long, default_value = "/p1/item")]
    path: String,
    /// Seconds
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Open connections
    #[arg(long, default_value_t = 16)]
    connections: usize,
}

impl Target {
    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// The host of a request; every number comes in turn.
    fn host(&self, number: usize) -> String {
        self.host.replace('#', &(number % self.hosts.max(1)).to_string())
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves HTTP/1, HTTP/2, WebSockets and gRPC: everything that a pod answers
    Pod(pod::PodArgs),
    /// A fixed rate of requests; latencies count from when a request was due, whether or not it could be sent
    Rate(rate::RateArgs),
    /// New TLS connections with one request each
    Handshakes(handshakes::HandshakeArgs),
    /// Connections that do nothing, until standard input ends
    Idle(idle::IdleArgs),
    /// WebSocket messages, one after the other on each connection
    Websocket(Target),
    /// gRPC unary calls over TLS
    Grpc(Target),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cli.threads.max(1)).enable_all().build();
    let done = runtime.and_then(|runtime| runtime.block_on(run(cli.command)));
    let written = done.and_then(|value| match value {
        Value::Null => Ok(()),
        value => writeln!(io::stdout(), "{value}"),
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody to tell when standard error is gone too.
            drop(writeln!(io::stderr(), "loadtest: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> io::Result<Value> {
    match command {
        Command::Pod(args) => pod::run(args).await.map(|()| Value::Null),
        Command::Rate(args) => rate::run(args).await,
        Command::Handshakes(args) => handshakes::run(args).await,
        Command::Idle(args) => idle::run(args).await,
        Command::Websocket(target) => websocket::run(target).await,
        Command::Grpc(target) => grpc::run(target).await,
    }
}
