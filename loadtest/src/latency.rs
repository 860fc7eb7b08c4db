//! Latencies, counted in buckets that are 3 % apart.
use std::time::Duration;

use serde_json::{Value, json};

/// Buckets of each doubling.
const STEPS: f64 = 24.0;

/// One microsecond to about two minutes.
const BUCKETS: usize = 27 * 24;

/// A histogram of latencies, in memory that does not grow.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    longest: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, longest: Duration::ZERO }
    }
}

impl Latencies {
    /// Counts one.
    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = latency.as_secs_f64() * 1e6;
        #[expect(clippy::cast_possible_truncation, reason = "what does not fit is clamped")]
        let bucket = (micros.max(1.0).log2() * STEPS) as usize;
        if let Some(bucket) = self.buckets.get_mut(bucket.min(BUCKETS - 1)) {
            *bucket += 1;
        }
        self.count += 1;
        self.longest = self.longest.max(latency);
    }

    /// Adds what another counted.
    pub(crate) fn add(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
        self.longest = self.longest.max(other.longest);
    }

    /// How many were counted.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Microseconds that a share of all stayed below, to within 3 %.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let wanted = self.count as f64 * share;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if *count > 0 && seen as f64 >= wanted {
                return ((bucket + 1) as f64 / STEPS).exp2().min(self.longest.as_secs_f64() * 1e6);
            }
        }
        0.0
    }

    /// Microseconds by quantile.
    pub(crate) fn json(&self) -> Value {
        let round = |micros: f64| micros.round();
        json!({
            "p50": round(self.quantile(0.5)), "p90": round(self.quantile(0.9)), "p99": round(self.quantile(0.99)),
            "p99.9": round(self.quantile(0.999)), "max": round(self.longest.as_secs_f64() * 1e6),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_three_percent() {
        let (mut all, mut odd) = (Latencies::default(), Latencies::default());
        for micros in 1..=10_000 {
            let half = if micros % 2 == 0 { &mut all } else { &mut odd };
            half.record(Duration::from_micros(micros));
        }
        all.add(&odd);
        assert_eq!(all.count(), 10_000);
        for (share, micros) in [(0.5, 5_000.0), (0.99, 9_900.0), (1.0, 10_000.0)] {
            let error = (all.quantile(share) / micros - 1.0_f64).abs();
            assert!(error < 0.03, "{share}: {}", all.quantile(share));
        }
    }

    #[test]
    fn nothing_counted_is_zero() {
        assert!(Latencies::default().quantile(0.99).abs() < f64::EPSILON);
    }
}
