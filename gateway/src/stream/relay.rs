//! Bytes in both directions until both sides have ended.
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;

use crate::metrics::StreamMetrics;

/// What is read at a time, in bytes. It lies on the stack, so that a silent connection holds no buffer.
const CHUNK: usize = 16 * 1024;

/// Passes bytes on until both sides have said their last, one of them breaks, or both are silent for too long. A side that
/// ends may still be told something.
pub(super) async fn relay(
    client: &mut TcpStream,
    endpoint: &mut TcpStream,
    idle: Duration,
    metrics: &StreamMetrics,
) -> io::Result<()> {
    let activity = Activity::new();
    let (from_client, to_client) = client.split();
    let (from_endpoint, to_endpoint) = endpoint.split();
    let up = pump(from_client, to_endpoint, &activity, |count| metrics.received(count));
    let down = pump(from_endpoint, to_client, &activity, |count| metrics.sent(count));
    tokio::select! {
        ended = async { tokio::try_join!(up, down) } => ended.map(drop),
        () = activity.silence(idle) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// When something was passed on last. One task uses it; it is atomic because the task may be any thread's.
pub(super) struct Activity {
    begun: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
}

impl Activity {
    /// Something was passed on just now.
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0) }
    }

    /// Something was passed on.
    pub(super) fn mark(&self) {
        self.last.store(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Ends when nothing has been passed on for so long.
    pub(super) async fn silence(&self, idle: Duration) {
        loop {
            let last = self.last.load(Relaxed);
            let end = self.begun.checked_add(Duration::from_millis(last).saturating_add(idle));
            let Some(end) = end else { return std::future::pending().await };
            tokio::time::sleep_until(end).await;
            if self.last.load(Relaxed) == last {
                return;
            }
        }
    }
}

/// What one step has come to.
enum Step {
    /// Everything that was read is on its way.
    Passed(usize),
    /// Of what was read, this could not be sent at once.
    Rest(usize, Vec<u8>),
    /// There was nothing to read after all.
    Nothing,
    /// The sender has said its last.
    Ended,
}

async fn pump(from: ReadHalf<'_>, mut to: WriteHalf<'_>, activity: &Activity, count: impl Fn(usize)) -> io::Result<()> {
    loop {
        from.readable().await?;
        let passed = match step(&from, &to)? {
            Step::Passed(passed) => passed,
            Step::Rest(passed, rest) => {
                // A receiver that takes nothing is as silent as a sender that says nothing.
                to.write_all(&rest).await?;
                passed
            }
            Step::Nothing => continue,
            Step::Ended => return to.shutdown().await,
        };
        count(passed);
        activity.mark();
        // Two sides that never pause must leave the thread to others.
        tokio::task::consume_budget().await;
    }
}

fn step(from: &ReadHalf<'_>, to: &WriteHalf<'_>) -> io::Result<Step> {
    let mut chunk = [0; CHUNK];
    let read = match from.try_read(&mut chunk) {
        Ok(0) => return Ok(Step::Ended),
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Nothing),
        Err(error) => return Err(error),
    };
    let bytes = chunk.get(..read).unwrap_or_default();
    let sent = match to.try_write(bytes) {
        Ok(sent) => sent,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    let rest = bytes.get(sent..).unwrap_or_default();
    Ok(if rest.is_empty() { Step::Passed(read) } else { Step::Rest(read, rest.to_vec()) })
}
