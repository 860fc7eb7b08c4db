//! Wakes the thread that reads the folder: remembers that something happened, never how often.
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What happened since the thread looked last.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// When the first and the last event came.
    pub(crate) events: Option<(Instant, Instant)>,
    /// The folder itself was replaced, or events were lost: watch anew.
    pub(crate) rewatch: bool,
    /// The thread is to end.
    pub(crate) stop: bool,
}

/// Shared by whoever sees events and the thread that acts on them. Bounded by nature.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    news: Mutex<News>,
    changed: Condvar,
}

impl Wake {
    /// Tells of an event below the folder.
    pub(crate) fn event(&self, at: Instant, rewatch: bool) {
        let mut news = self.lock();
        let (first, last) = news.events.unwrap_or((at, at));
        news.events = Some((first.min(at), last.max(at)));
        news.rewatch |= rewatch;
        self.changed.notify_one();
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_one();
    }

    /// Waits for news, or until `deadline`.
    pub(crate) fn wait(&self, deadline: Instant) -> News {
        let mut news = self.lock();
        while news.events.is_none() && !news.stop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            news = self.changed.wait_timeout(news, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let stop = news.stop;
        News { stop, ..std::mem::take(&mut *news) }
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn events_are_kept_until_asked_for_and_told_once() {
        let (wake, start) = (Wake::default(), Instant::now());
        wake.event(start + Duration::from_millis(1), false);
        wake.event(start, true);
        let news = wake.wait(start);
        assert_eq!(news.events, Some((start, start + Duration::from_millis(1))));
        assert!(news.rewatch && !news.stop);
        let news = wake.wait(start);
        assert!(news.events.is_none() && !news.rewatch);
    }

    #[test]
    fn an_event_ends_the_wait() {
        let (wake, start) = (Wake::default(), Instant::now());
        std::thread::scope(|scope| {
            scope.spawn(|| wake.stop());
            assert!(wake.wait(start + Duration::from_secs(60)).stop);
        });
    }
}
