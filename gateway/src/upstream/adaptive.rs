//! Gathers the latencies of a cluster and sets its limit by them: [`Gradient`] with the clock and all workers' answers.
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::balance::{Bounds, Gradient, Sample};

/// A period lasts at least so long, and until there are enough answers, but no longer; in milliseconds.
const PERIOD: u64 = 100;
const LONGEST: u64 = 1_000;
const ANSWERS: u32 = 10;

/// Latencies are counted in classes that are a sixteenth of a power of two wide, from 16 µs to 19 hours.
const PARTS: u32 = 16;
const LOWEST: u32 = 4;
const HIGHEST: u32 = 36;
const CLASSES: usize = ((HIGHEST - LOWEST) * PARTS) as usize;

/// What a cluster with adaptive concurrency knows.
pub(super) struct Adaptive {
    counts: Box<[AtomicU32]>,
    answers: AtomicU32,
    /// When the period may end.
    ends: AtomicU64,
    /// Taken by whoever ends a period; all others go on.
    gradient: Mutex<Gradient>,
}

impl Adaptive {
    /// Nothing is known yet.
    pub(super) fn new(bounds: Bounds, now: u64) -> Self {
        Self {
            counts: (0..CLASSES).map(|_| AtomicU32::new(0)).collect(),
            answers: AtomicU32::new(0),
            ends: AtomicU64::new(now + PERIOD),
            gradient: Mutex::new(Gradient::new(bounds, now)),
        }
    }

    /// Takes other bounds; returns the limit.
    pub(super) fn rebound(&self, bounds: Bounds) -> u32 {
        let mut gradient = self.gradient.lock().unwrap_or_else(PoisonError::into_inner);
        gradient.rebound(bounds);
        gradient.limit()
    }

    /// Counts an answer. Returns the limit when a period has ended.
    pub(super) fn answered(&self, micros: u64, in_flight: u32, now: u64) -> Option<u32> {
        if let Some(count) = self.counts.get(class(micros)) {
            count.fetch_add(1, Relaxed);
        }
        self.answers.fetch_add(1, Relaxed);
        self.look(in_flight, now)
    }

    /// Ends the period if it is time to. Returns the limit then.
    pub(super) fn look(&self, in_flight: u32, now: u64) -> Option<u32> {
        let is_over = || {
            let ends = self.ends.load(Relaxed);
            now >= ends && (self.answers.load(Relaxed) >= ANSWERS || now >= ends + (LONGEST - PERIOD))
        };
        if !is_over() {
            return None;
        }
        let mut gradient = self.gradient.try_lock().ok().filter(|_| is_over())?;
        self.ends.store(now + PERIOD, Relaxed);
        let (answers, median) = self.take();
        gradient.learn(Sample { answers, median, in_flight }, now, fastrand::u64(..));
        Some(gradient.limit())
    }

    /// The number of answers in the period and their median latency in microseconds; begins the next period.
    fn take(&self) -> (u32, f64) {
        self.answers.store(0, Relaxed);
        let counts: Vec<u32> = self.counts.iter().map(|count| count.swap(0, Relaxed)).collect();
        let answers = counts.iter().fold(0, |sum: u32, count| sum.saturating_add(*count));
        let mut before = 0;
        let middle = counts.iter().position(|count| {
            before += count;
            before.saturating_mul(2) >= answers
        });
        (answers, middle.filter(|_| answers > 0).map_or(0.0, latency))
    }
}

/// The class of a latency.
fn class(micros: u64) -> usize {
    let micros = micros.clamp(1 << LOWEST, (1 << HIGHEST) - 1);
    let power = micros.ilog2() - LOWEST;
    let part = (micros >> power) % u64::from(PARTS);
    (power * PARTS) as usize + usize::try_from(part).unwrap_or_default()
}

/// The middle of a class.
fn latency(class: usize) -> f64 {
    let class = u32::try_from(class).unwrap_or(u32::MAX);
    let (power, part) = (class / PARTS, class % PARTS);
    (f64::from(part) + f64::from(PARTS) + 0.5) * f64::from(power).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_as_wide_as_a_sixteenth() {
        for micros in [16, 17, 100, 999, 12_345, 1_000_000, 60_000_000, (1 << 36) - 1] {
            let (want, have) = (micros as f64, latency(class(micros)));
            assert!((have / want - 1.0).abs() < 0.07, "{micros}: {have}");
        }
        assert_eq!((class(0), class(u64::MAX)), (0, CLASSES - 1));
    }

    #[test]
    fn a_period_ends_with_its_median_and_the_next_begins_empty() {
        let adaptive = Adaptive::new(Bounds { min: 3, max: 100 }, 0);
        for _ in 0..30 {
            assert_eq!(adaptive.answered(1_000, 3, 50), None, "it is not over yet");
        }
        assert_eq!(adaptive.take().0, 30);
        for micros in [100, 100, 1_000, 1_000, 1_000, 9_000, 9_000] {
            adaptive.answered(micros, 3, 60);
        }
        let (answers, median) = adaptive.take();
        assert!(answers == 7 && (median / 1_000.0 - 1.0).abs() < 0.07, "{median}");
        assert_eq!(adaptive.take(), (0, 0.0));
    }

    #[test]
    fn a_quiet_cluster_looks_once_a_second() {
        let adaptive = Adaptive::new(Bounds { min: 3, max: 100 }, 0);
        assert_eq!(adaptive.answered(1_000, 1, 500), None);
        assert_eq!(adaptive.look(1, 1_000), Some(3));
        assert_eq!(adaptive.look(1, 1_001), None);
    }
}
