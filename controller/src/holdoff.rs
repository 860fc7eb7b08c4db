//! When to act on a burst of changes: after a quiet period, but no later than a maximum delay.
use std::time::{Duration, Instant};

/// Collects the times of changes and says when they are due. Has no clock of its own.
#[derive(Debug)]
pub(crate) struct Holdoff {
    quiet: Duration,
    maximum: Duration,
    /// Times of the oldest and the newest change that wait.
    waiting: Option<(Instant, Instant)>,
}

impl Holdoff {
    /// Changes are due once none has followed for `quiet`, or the oldest has waited for `maximum`.
    pub(crate) fn new(quiet: Duration, maximum: Duration) -> Self {
        Self { quiet, maximum, waiting: None }
    }

    /// Takes note of a change.
    pub(crate) fn changed(&mut self, at: Instant) {
        let (oldest, newest) = self.waiting.unwrap_or((at, at));
        self.waiting = Some((oldest.min(at), newest.max(at)));
    }

    /// When what waits is due; `None` when nothing waits.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (oldest, newest) = self.waiting?;
        Some((newest + self.quiet).min(oldest + self.maximum))
    }

    /// Is something due?
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    /// Starts over; returns the time of the oldest change that waited.
    pub(crate) fn take(&mut self) -> Option<Instant> {
        self.waiting.take().map(|(oldest, _)| oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(2);
    const MAXIMUM: Duration = Duration::from_millis(20);

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn nothing_is_due_without_a_change() {
        let holdoff = Holdoff::new(QUIET, MAXIMUM);
        assert_eq!(holdoff.due(), None);
        assert!(!holdoff.is_due(Instant::now()));
    }

    #[test]
    fn a_single_change_is_due_after_the_quiet_period() {
        let start = Instant::now();
        let mut holdoff = Holdoff::new(QUIET, MAXIMUM);
        holdoff.changed(start);
        assert!(!holdoff.is_due(at(start, 1)));
        assert!(holdoff.is_due(at(start, 2)));
    }

    #[test]
    fn every_change_restarts_the_quiet_period() {
        let start = Instant::now();
        let mut holdoff = Holdoff::new(QUIET, MAXIMUM);
        holdoff.changed(start);
        holdoff.changed(at(start, 1));
        assert_eq!(holdoff.due(), Some(at(start, 3)));
    }

    #[test]
    fn changes_without_end_are_due_after_the_maximum_delay() {
        let start = Instant::now();
        let mut holdoff = Holdoff::new(QUIET, MAXIMUM);
        for millis in 0..20 {
            holdoff.changed(at(start, millis));
        }
        assert_eq!(holdoff.due(), Some(at(start, 20)));
    }

    #[test]
    fn taking_starts_over_and_tells_the_oldest() {
        let start = Instant::now();
        let mut holdoff = Holdoff::new(QUIET, MAXIMUM);
        holdoff.changed(at(start, 5));
        holdoff.changed(start);
        assert_eq!(holdoff.take(), Some(start));
        assert_eq!(holdoff.due(), None);
        holdoff.changed(at(start, 100));
        assert_eq!(holdoff.due(), Some(at(start, 102)));
    }
}
