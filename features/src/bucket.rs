//! nginx's leaky bucket: what runs out of it at a constant rate, counted in thousandths of a request.
use std::time::Duration;

/// A limit of requests over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Thousandths of a request in a second.
    pub per_second: u64,
    /// Requests that may come at once, besides the first.
    pub burst: u64,
}

/// How full a bucket is, and when that was.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket(Option<(u64, u64)>);

impl Bucket {
    /// How full it would be after one more request; nothing when it would run over.
    fn filled(self, rate: Rate, now: u64) -> Option<(u64, u64)> {
        let Some((excess, last)) = self.0 else { return Some((0, now)) };
        let passed = now.saturating_sub(last);
        let run_out = rate.per_second.saturating_mul(passed) / 1000;
        let excess = (excess + 1000).saturating_sub(run_out);
        let last = if passed > 0 { now } else { last };
        (excess <= rate.burst.saturating_mul(1000)).then_some((excess, last))
    }
}

/// The buckets of one client for the rules of one Ingress: by the second and by the minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Buckets([Bucket; 2]);

impl Buckets {
    /// May a request pass all limits? Only then it counts.
    pub fn admit(&mut self, rates: [Option<Rate>; 2], now: Duration) -> bool {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut filled = self.0;
        for (bucket, rate) in filled.iter_mut().zip(rates) {
            let Some(rate) = rate else { continue };
            match bucket.filled(rate, now) {
                Some(full) => bucket.0 = Some(full),
                None => return false,
            }
        }
        self.0 = filled;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(buckets: &mut Buckets, rates: [Option<Rate>; 2], now: u64) -> bool {
        buckets.admit(rates, Duration::from_millis(now))
    }

    const FIVE: [Option<Rate>; 2] = [Some(Rate { per_second: 5000, burst: 25 }), None];

    #[test]
    fn one_and_the_burst_pass_at_once() {
        let mut buckets = Buckets::default();
        let passed = (0..100).filter(|_| admitted(&mut buckets, FIVE, 0)).count();
        assert_eq!(passed, 26);
    }

    #[test]
    fn what_runs_out_makes_room() {
        let mut buckets = Buckets::default();
        while admitted(&mut buckets, FIVE, 0) {}
        assert!(!admitted(&mut buckets, FIVE, 199));
        assert!(admitted(&mut buckets, FIVE, 200));
        assert!(!admitted(&mut buckets, FIVE, 200));
        assert_eq!((0..100).filter(|_| admitted(&mut buckets, FIVE, 1200)).count(), 5);
    }

    #[test]
    fn in_the_long_run_the_rate_holds() {
        let mut buckets = Buckets::default();
        let passed = (0..60_000).step_by(10).filter(|now| admitted(&mut buckets, FIVE, *now)).count();
        assert_eq!(passed, 26 + 5 * 60 - 1);
    }

    #[test]
    fn a_request_that_one_limit_refuses_counts_for_none() {
        let rates = [Some(Rate { per_second: 1_000_000, burst: 2 }), Some(Rate { per_second: 16, burst: 0 })];
        let mut buckets = Buckets::default();
        assert!(admitted(&mut buckets, rates, 0));
        for _ in 0..10 {
            assert!(!admitted(&mut buckets, rates, 0));
        }
        let only_seconds = [rates[0], None];
        assert_eq!((0..10).filter(|_| admitted(&mut buckets, only_seconds, 0)).count(), 2);
    }
}
