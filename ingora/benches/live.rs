//! How long a change of endpoints takes from the file on disk to the first request that an endpoint of it serves, under
//! load. Not a criterion benchmark: one change is one sample.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark tells what it measured")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::{Folder, Gateway, backends, client};
use tokio::sync::mpsc;

const CHANGES: usize = 300;
const CLIENTS: usize = 4;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let backends = backends::start(2).await;
        let folder = Folder::new();
        folder.ingress("main", "web.test", 1);
        folder.endpoints(backends.get(..1).unwrap());
        let gateway = Gateway::start(folder.path());
        gateway.ready().await;
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, mut served) = mpsc::unbounded_channel();
        for _ in 0..CLIENTS {
            tokio::spawn(load(gateway.http(), stop.clone(), seen.clone()));
        }
        let mut samples = Vec::new();
        for change in 0..CHANGES {
            let next = backends.get((change + 1) % 2).copied().unwrap();
            let begun = Instant::now();
            folder.endpoints(&[next]);
            while served.recv().await.unwrap() != next.ip() {}
            samples.push(begun.elapsed());
            // Changes that come one by one, not a burst.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.store(true, Ordering::Relaxed);
        samples.sort();
        let at = |percent: usize| samples.get(samples.len() * percent / 100).copied().unwrap();
        println!(
            "endpoint change to first request, {CHANGES} changes: median {:?}, p90 {:?}, p99 {:?}",
            at(50),
            at(90),
            at(99)
        );
    });
}

/// Tells of each response which backend gave it.
async fn load(address: SocketAddr, stop: Arc<AtomicBool>, seen: mpsc::UnboundedSender<IpAddr>) {
    let mut client = client::connect(address).await;
    while !stop.load(Ordering::Relaxed) {
        let (_, body) = client.get("web.test", "/").await.unwrap();
        let backend: SocketAddr = body.trim_start_matches("backend ").parse().unwrap();
        if seen.send(backend.ip()).is_err() {
            return;
        }
    }
}
