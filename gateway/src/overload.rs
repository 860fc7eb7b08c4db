//! Answers a share of the requests with 503 while the process has more to do than it can: before latency collapses, and
//! before its memory is gone.
//!
//! Each worker looks at itself, the process at its memory. A request compares two numbers.
mod memory;
mod ramp;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::metrics::{Metrics, ShedReason};
use memory::Memory;
use ramp::Ramp;

/// When requests are answered with 503 because the process has too much to do.
#[derive(Clone, Copy, Debug)]
pub struct Overload {
    /// `--overload-lag`: how late the event loop of a worker has to be; zero never sheds.
    pub lag: Duration,
    /// `--overload-memory`: the share of the memory limit in percent that has to be in use; 0 never sheds.
    pub memory_percent: u8,
    /// `--overload-memory-limit`: the memory limit in bytes; without it that of the cgroup, if it has one.
    pub memory_limit: Option<u64>,
}

impl Default for Overload {
    fn default() -> Self {
        Self { lag: Duration::from_millis(250), memory_percent: 90, memory_limit: None }
    }
}

/// Between two looks at a worker that has requests, and at one that has none.
const LOOK: Duration = Duration::from_millis(100);
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// Between two looks at the memory.
const MEMORY_LOOK: Duration = Duration::from_secs(1);

/// Looks in a row of which the best counts: a single hiccup sheds nothing.
const LOOKS: usize = 3;

/// A share of the requests; all of them are `u32::MAX`.
type Share = AtomicU32;

/// What a worker has to know. Its clones share the share of memory only.
#[derive(Debug)]
pub(crate) struct Shedder {
    config: Overload,
    lag: Share,
    memory: Arc<Share>,
    /// There were requests since the last look.
    busy: AtomicBool,
}

impl Shedder {
    /// Sheds nothing yet.
    pub(crate) fn new(config: Overload) -> Self {
        Self { config, lag: Share::new(0), memory: Arc::default(), busy: AtomicBool::new(false) }
    }

    /// One of a worker's own.
    pub(crate) fn of_worker(&self) -> Self {
        let memory = self.memory.clone();
        Self { config: self.config, lag: Share::new(0), memory, busy: AtomicBool::new(false) }
    }

    /// Is a request to be answered with 503, and why?
    pub(crate) fn sheds(&self) -> Option<ShedReason> {
        if !self.busy.load(Relaxed) {
            self.busy.store(true, Relaxed);
        }
        let (lag, memory) = (self.lag.load(Relaxed), self.memory.load(Relaxed));
        if lag | memory == 0 { None } else { draw(lag, memory, fastrand::u32(..)) }
    }

    /// Watches the worker that this runs on, for as long as it runs.
    pub(crate) async fn watch_lag(self: Arc<Self>, metrics: Arc<Metrics>) {
        let Some(ramp) = Ramp::of_lag(self.config.lag) else { return };
        let worker = std::thread::current().name().unwrap_or_default().to_owned();
        let (mut last, mut next) = ([0.0; LOOKS], 0);
        let mut sheds = false;
        loop {
            let pause = if self.busy.swap(false, Relaxed) || sheds { LOOK } else { IDLE_LOOK };
            let due = Instant::now() + pause;
            tokio::time::sleep(pause).await;
            let late = due.elapsed().as_secs_f64();
            if let Some(place) = last.get_mut(next % LOOKS) {
                *place = late;
            }
            next = next.wrapping_add(1);
            let lag = last.iter().copied().fold(f64::INFINITY, f64::min);
            metrics.overload.lag(&worker, lag);
            let share = ramp.share(lag, sheds);
            self.lag.store(part(share), Relaxed);
            if (share > 0.0) != sheds {
                sheds = share > 0.0;
                tell(sheds, &format!("the event loop of {worker} is {:.0} ms late", lag * 1_000.0));
            }
        }
    }

    /// Watches the memory of the process, for as long as it runs.
    pub(crate) async fn watch_memory(self: Arc<Self>, metrics: Arc<Metrics>) {
        let Some(ramp) = Ramp::of_memory(self.config.memory_percent) else { return };
        let Some(memory) = Memory::find(self.config.memory_limit) else { return };
        let mut sheds = false;
        loop {
            let used = memory.used(ramp.end());
            metrics.overload.memory(used);
            let share = ramp.share(used, sheds);
            self.memory.store(part(share), Relaxed);
            if (share > 0.0) != sheds {
                sheds = share > 0.0;
                tell(sheds, &format!("{:.0} % of the memory limit are in use", used * 100.0));
            }
            tokio::time::sleep(MEMORY_LOOK).await;
        }
    }
}

/// By chance, so that each of the shares is met.
fn draw(lag: u32, memory: u32, random: u32) -> Option<ShedReason> {
    let hits = |share: u32| share > 0 && random <= share;
    if hits(memory) {
        Some(ShedReason::Memory)
    } else if hits(lag) {
        Some(ShedReason::Lag)
    } else {
        None
    }
}

fn part(share: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0 and 1")]
    let part = (share * f64::from(u32::MAX)) as u32;
    part
}

fn tell(sheds: bool, why: &str) {
    if sheds {
        tracing::warn!("overload: {why}; a share of the requests is answered with 503 until that has passed");
    } else {
        tracing::info!("overload has passed: {why}; all requests are served again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_share_nothing_is_shed() {
        let shedder = Shedder::new(Overload::default());
        assert!((0..1_000).all(|_| shedder.sheds().is_none()));
        assert!(shedder.busy.load(Relaxed));
    }

    #[test]
    fn the_share_is_met_by_chance() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut count = |lag: f64, memory: f64| {
            (0..10_000).filter(|_| draw(part(lag), part(memory), random.u32(..)).is_some()).count()
        };
        assert_eq!((count(0.0, 0.0), count(1.0, 0.0), count(0.0, 1.0)), (0, 10_000, 10_000));
        let third = count(0.3, 0.1);
        assert!((2_800..3_200).contains(&third), "{third}: the larger of both shares");
    }

    #[test]
    fn workers_share_what_the_memory_says_and_nothing_else() {
        let all = Shedder::new(Overload::default());
        let (one, other) = (all.of_worker(), all.of_worker());
        one.lag.store(u32::MAX, Relaxed);
        assert!(one.sheds().is_some_and(|reason| reason == ShedReason::Lag) && other.sheds().is_none());
        all.memory.store(u32::MAX, Relaxed);
        assert!(other.sheds().is_some_and(|reason| reason == ShedReason::Memory));
    }
}
