//! How many requests a cluster can work on at a time, found out from its latency (adaptive concurrency).
//!
//! The limit of the next period is that of the last one times the ratio of the latency without load to that of the period,
//! plus some headroom: while requests are answered as fast as without load, the limit grows; when they begin to queue at the
//! endpoints, it falls. What the latency is without load is measured anew from time to time, with fewer
//! requests in flight.

/// Answers that say something, unless fewer may be in flight.
const ANSWERS: u32 = 10;

/// Answers that a measurement needs.
const MEASURED: u32 = 25;

/// Between two measurements in milliseconds, and up to a fifth more by chance, so that replicas and clusters do not measure
/// at the same time.
const REMEASURE: u64 = 60_000;
const JITTER: u64 = 12_000;

/// The longest that a step of a measurement lasts in milliseconds: then what there is must do.
const PATIENCE: u64 = 1_000;

/// A latency below this share of that with twice as many in flight was still one under load.
const LESS: f64 = 0.9;

/// Periods in a row in which the latency is out of proportion before it is measured anew: not the load has changed then.
const ASTRAY: u8 = 10;

/// The least that one period leaves of the limit, before headroom.
const SHRINK: f64 = 0.5;

/// How much slower than without load is still as fast.
const TOLERANCE: f64 = 1.25;

/// Bounds of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least, at least 1.
    pub min: u32,
    /// The most.
    pub max: u32,
}

/// What was seen in a period.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Answers.
    pub answers: u32,
    /// Their median latency in microseconds.
    pub median: f64,
    /// Requests in flight when it ended.
    pub in_flight: u32,
}

/// The algorithm's memory.
#[derive(Clone, Debug)]
pub struct Gradient {
    bounds: Bounds,
    limit: f64,
    /// The latency without load in microseconds; 0 when it is not known.
    baseline: f64,
    /// When the next measurement begins, in milliseconds.
    next: u64,
    measuring: Option<Measuring>,
    /// Periods in a row that were out of proportion.
    astray: u8,
    /// Answers since the limit was set last, and the sum of their latencies.
    gathered: Gathered,
}

/// Answers and the sum of their latencies, each taken to be the median of its period.
#[derive(Clone, Copy, Debug, Default)]
struct Gathered {
    answers: u32,
    sum: f64,
}

impl Gathered {
    fn add(&mut self, sample: Sample) {
        self.sum += sample.median * f64::from(sample.answers);
        self.answers = self.answers.saturating_add(sample.answers);
    }

    /// The mean of the medians; `None` without answers.
    fn median(self) -> Option<f64> {
        (self.answers > 0).then(|| (self.sum / f64::from(self.answers)).max(1.0))
    }
}

/// A step of a measurement.
#[derive(Clone, Copy, Debug)]
struct Measuring {
    since: u64,
    /// Requests that may be in flight.
    limit: f64,
    /// The latency with twice as many.
    before: f64,
    gathered: Gathered,
}

impl Gradient {
    /// Begins with a measurement.
    #[must_use]
    pub fn new(bounds: Bounds, now: u64) -> Self {
        let min = bounds.min.max(1);
        let bounds = Bounds { min, max: bounds.max.max(min) };
        let limit = f64::from(min);
        let measuring = Some(Measuring { since: now, limit, before: 0.0, gathered: Gathered::default() });
        Self { bounds, limit, baseline: 0.0, next: 0, measuring, astray: 0, gathered: Gathered::default() }
    }

    /// Takes other bounds.
    pub fn rebound(&mut self, bounds: Bounds) {
        let min = bounds.min.max(1);
        self.bounds = Bounds { min, max: bounds.max.max(min) };
        self.limit = self.limit.clamp(f64::from(self.bounds.min), f64::from(self.bounds.max));
    }

    /// The bounds.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The latency without load in microseconds, once it is known.
    #[must_use]
    pub fn baseline(&self) -> Option<f64> {
        (self.baseline > 0.0).then_some(self.baseline)
    }

    /// Requests that may be in flight now.
    #[must_use]
    pub fn limit(&self) -> u32 {
        let limit = self.measuring.map_or(self.limit, |measuring| measuring.limit);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the bounds are numbers of 32 bits"
        )]
        let limit = limit as u32;
        limit.clamp(self.bounds.min, self.bounds.max)
    }

    /// Learns from a period that ended now. `random` is uniformly distributed.
    pub fn learn(&mut self, sample: Sample, now: u64, random: u64) {
        match self.measuring {
            Some(measuring) => self.measure(measuring, sample, now, random),
            None => self.follow(sample, now),
        }
    }

    /// Halves what may be in flight until that makes no answer faster.
    fn measure(&mut self, mut measuring: Measuring, sample: Sample, now: u64, random: u64) {
        let over = now.saturating_sub(measuring.since) >= PATIENCE;
        // While more are in flight than may be, they are from before, and so is their load.
        if sample.in_flight <= self.limit() || over {
            measuring.gathered.add(sample);
        }
        self.measuring = Some(measuring);
        let known = measuring.before > 0.0;
        if measuring.gathered.answers < MEASURED && !(over && (known || measuring.gathered.answers > 0)) {
            return;
        }
        let median = measuring.gathered.median().unwrap_or(measuring.before);
        if known && median < measuring.before * LESS && measuring.limit > f64::from(self.bounds.min) {
            self.measuring = Some(Measuring::half(measuring.limit, median, now));
            return;
        }
        self.baseline = if known { median.min(measuring.before) } else { median };
        self.measuring = None;
        self.next = now + REMEASURE + random % JITTER;
    }

    fn follow(&mut self, sample: Sample, now: u64) {
        self.gathered.add(sample);
        if self.gathered.answers < ANSWERS.min(self.limit()) {
            return;
        }
        let Some(median) = std::mem::take(&mut self.gathered).median() else { return };
        if now >= self.next || self.astray >= ASTRAY {
            self.astray = 0;
            self.measuring = Some(Measuring::half(self.limit, median, now));
            return;
        }
        if median < self.baseline / 2.0 {
            // It was measured while the cluster was slow.
            self.baseline = median;
        }
        let gradient = (self.baseline * TOLERANCE / median).clamp(SHRINK, 1.0);
        self.astray = if gradient > SHRINK { 0 } else { self.astray.saturating_add(1) };
        let next = self.limit * gradient + self.limit.sqrt();
        // A limit that is not used says nothing, so it does not grow.
        if next > self.limit && f64::from(sample.in_flight) < self.limit / 2.0 {
            return;
        }
        self.limit = next.clamp(f64::from(self.bounds.min), f64::from(self.bounds.max));
    }
}

impl Measuring {
    /// A step with half of what was in flight.
    fn half(limit: f64, before: f64, since: u64) -> Self {
        Self { since, limit: limit / 2.0, before, gathered: Gathered::default() }
    }
}

#[cfg(test)]
#[path = "gradient_tests.rs"]
mod tests;
