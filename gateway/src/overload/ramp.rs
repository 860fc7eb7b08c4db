//! Which share of the requests is shed, as a pure function of how bad it is.
use std::time::Duration;

/// The smallest share while anything is shed.
const LEAST: f64 = 0.05;

/// Where shedding begins, ends, and takes everything. It ends lower than it begins, so that it does not flap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ramp {
    begin: f64,
    end: f64,
    full: f64,
}

impl Ramp {
    /// For the lag of a worker in seconds: everything is shed at four times where it begins. `None` for zero, which never
    /// sheds.
    pub(super) fn of_lag(begin: Duration) -> Option<Self> {
        let begin = begin.as_secs_f64();
        (begin > 0.0).then_some(Self { begin, end: begin / 2.0, full: begin * 4.0 })
    }

    /// For the share of the memory that is in use: everything is shed half way to the limit. `None` for 0, which never
    /// sheds.
    pub(super) fn of_memory(percent: u8) -> Option<Self> {
        let begin = f64::from(percent.min(100)) / 100.0;
        (begin > 0.0).then_some(Self { begin, end: (begin - 0.05).max(0.0), full: (begin + 1.0) / 2.0 })
    }

    /// Below it nothing is shed, whatever was before.
    pub(super) fn end(&self) -> f64 {
        self.end
    }

    /// The share of the requests to shed, 0 to 1. `sheds` tells whether any was shed until now.
    pub(super) fn share(&self, signal: f64, sheds: bool) -> f64 {
        let from = if sheds { self.end } else { self.begin };
        if signal.is_nan() || signal < from {
            return 0.0;
        }
        let length = (self.full - self.end).max(f64::MIN_POSITIVE);
        ((signal - self.end) / length).clamp(LEAST, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag() -> Ramp {
        Ramp::of_lag(Duration::from_millis(200)).unwrap()
    }

    #[test]
    fn nothing_is_shed_below_the_begin_and_everything_at_four_times_of_it() {
        let shares = [0.0, 0.199, 0.8, 5.0].map(|signal| lag().share(signal, false));
        assert!(shares[0] <= 0.0 && shares[1] <= 0.0 && shares[2] >= 1.0 && shares[3] >= 1.0, "{shares:?}");
    }

    #[test]
    fn the_share_grows_with_the_signal() {
        let shares: Vec<_> = (0..100).map(|step| lag().share(f64::from(step) / 100.0, true)).collect();
        assert!(shares.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!((0.1..0.2).contains(&lag().share(0.2, false)));
    }

    #[test]
    fn what_has_begun_ends_only_at_half_of_it() {
        assert!(lag().share(0.15, false) <= 0.0 && lag().share(0.15, true) >= LEAST);
        assert!(lag().share(0.099, true) <= 0.0);
    }

    #[test]
    fn zero_turns_it_off_and_nonsense_sheds_nothing() {
        assert_eq!((Ramp::of_lag(Duration::ZERO), Ramp::of_memory(0)), (None, None));
        assert!(lag().share(f64::NAN, true) <= 0.0);
    }

    #[test]
    fn memory_sheds_everything_before_the_limit() {
        let memory = Ramp::of_memory(90).unwrap();
        assert!(memory.share(0.89, false) <= 0.0 && memory.share(0.86, true) > 0.0 && memory.share(0.84, true) <= 0.0);
        assert!(memory.share(0.95, false) >= 0.99);
        assert!(Ramp::of_memory(100).unwrap().share(0.999, false) <= 0.0);
    }
}
