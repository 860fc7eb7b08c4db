//! A pod that breaks and mends itself in turns, each time in another way.
use std::time::{Duration, Instant};

/// How a pod behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It answers.
    Healthy,
    /// Nothing listens; open connections are cut.
    Refuses,
    /// It takes requests and never answers.
    Hangs,
    /// It answers 503.
    Unavailable,
}

/// Which mode holds when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flips {
    start: Instant,
    /// How long each mode holds; none for a pod that stays healthy.
    every: Option<Duration>,
}

impl Flips {
    /// Begins healthy, now.
    pub(crate) fn new(every: Option<Duration>) -> Self {
        Self { start: Instant::now(), every }
    }

    /// The mode that holds now.
    pub(crate) fn mode(&self) -> Mode {
        self.every.map_or(Mode::Healthy, |every| mode(self.start.elapsed(), every))
    }
}

/// Healthy, then broken in one way, healthy, broken in the next.
fn mode(elapsed: Duration, every: Duration) -> Mode {
    let turn = elapsed.as_nanos() / every.as_nanos().max(1);
    match turn % 6 {
        1 => Mode::Refuses,
        3 => Mode::Hangs,
        5 => Mode::Unavailable,
        _ => Mode::Healthy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_healthy_between_its_troubles() {
        let every = Duration::from_secs(3);
        let modes: Vec<Mode> = (0..7).map(|turn| mode(every * turn + Duration::from_secs(1), every)).collect();
        use Mode::{Hangs, Healthy, Refuses, Unavailable};
        assert_eq!(modes, [Healthy, Refuses, Healthy, Hangs, Healthy, Unavailable, Healthy]);
    }
}
