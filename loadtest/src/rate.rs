//! A fixed rate of requests. A request that has to wait, because the gateway holds up those before it, counts with its
//! wait: without that a slow gateway would slow its own clients down and look quick ("coordinated omission").
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::Target;
use crate::client::{get, h1};
use crate::latency::Latencies;

/// Flags of `rate`.
#[derive(Args, Debug)]
pub(crate) struct RateArgs {
    #[command(flatten)]
    target: Target,
    /// Requests a second
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Seconds before a request counts as failed
    #[arg(long, default_value_t = 5.0)]
    timeout: f64,
}

/// What is shared by all requests.
struct Run {
    target: Target,
    timeout: Duration,
    /// Connections that wait for a request; the one that was used last is used next.
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    seen: Mutex<Seen>,
    began: Instant,
}

#[derive(Default)]
struct Seen {
    good: Latencies,
    /// Statuses of 400 and above, and what else went wrong.
    failed: BTreeMap<String, u64>,
    /// When each failure was seen, in seconds since the begin.
    failed_at: Vec<f64>,
}

/// Sends at the rate, then waits for what is still on its way.
pub(crate) async fn run(args: RateArgs) -> io::Result<Value> {
    let run = Arc::new(Run {
        timeout: Duration::from_secs_f64(args.timeout),
        target: args.target,
        idle: Mutex::default(),
        seen: Mutex::default(),
        began: Instant::now(),
    });
    let mut due = pace(args.rate, run.target.duration());
    let mut tasks = tokio::task::JoinSet::new();
    let mut number = 0_usize;
    while let Some(due) = due.recv().await {
        number += 1;
        let run = run.clone();
        tasks.spawn(async move { run.one(number, due).await });
    }
    while tasks.join_next().await.is_some() {}
    let seen = run.seen.lock().unwrap_or_else(PoisonError::into_inner);
    let failed: u64 = seen.failed.values().sum();
    Ok(json!({
        "requests": seen.good.count() + failed, "failed": failed, "failures": seen.failed, "latency": seen.good.json(),
        "failed_at": seen.failed_at,
    }))
}

/// When each request is due. A thread of its own, because the runtime's clock ticks in milliseconds only.
fn pace(rate: f64, duration: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let start = Instant::now();
    std::thread::spawn(move || {
        for number in 0_u32.. {
            let due = Duration::from_secs_f64(f64::from(number) / rate);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            if due > duration || sender.send(start + due).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Run {
    async fn one(&self, number: usize, due: Instant) {
        let outcome = match tokio::time::timeout(self.timeout, self.send(number)).await {
            Ok(Ok(status)) if status < 400 => Ok(()),
            Ok(Ok(status)) => Err(status.to_string()),
            Ok(Err(_)) => Err("connection".to_owned()),
            Err(_) => Err("timeout".to_owned()),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => seen.good.record(due.elapsed()),
            Err(why) => {
                *seen.failed.entry(why).or_default() += 1;
                seen.failed_at.push(self.began.elapsed().as_secs_f64());
            }
        }
    }

    async fn send(&self, number: usize) -> io::Result<u16> {
        let request = get(&self.target.host(number), &self.target.path)?;
        let mut connection = self.connection().await?;
        let answer = connection.send_request(request).await.map_err(io::Error::other)?;
        let status = answer.status().as_u16();
        answer.into_body().collect().await.map_err(io::Error::other)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(status)
    }

    async fn connection(&self) -> io::Result<SendRequest<Full<Bytes>>> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(mut connection) => {
                    // One that the gateway closed is no failure of a request.
                    if connection.ready().await.is_ok() {
                        return Ok(connection);
                    }
                }
                None => return h1(self.target.address).await,
            }
        }
    }
}
