//! Wakes the thread that reads the folder: remembers where something happened, never how often.
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Paths that are remembered. Where more happens, all is looked at.
const PATHS: usize = 256;

/// Where something happened.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// There may be more than the paths tell.
    pub(crate) all: bool,
    /// Absolute paths.
    pub(crate) paths: BTreeSet<PathBuf>,
}

impl Touched {
    /// Both.
    pub(crate) fn merge(&mut self, other: Self) {
        self.paths.extend(other.paths);
        self.all |= other.all || self.paths.len() > PATHS;
        if self.all {
            self.paths.clear();
        }
    }
}

/// What happened since the thread looked last.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// When the first and the last event came.
    pub(crate) events: Option<(Instant, Instant)>,
    /// Where they happened.
    pub(crate) touched: Touched,
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
    pub(crate) fn event(&self, at: Instant, touched: Touched, rewatch: bool) {
        let mut news = self.lock();
        news.touched.merge(touched);
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
        let at = |path: &str| Touched { all: false, paths: [PathBuf::from(path)].into() };
        wake.event(start + Duration::from_millis(1), at("/b"), false);
        wake.event(start, at("/a"), true);
        let news = wake.wait(start);
        assert_eq!(news.events, Some((start, start + Duration::from_millis(1))));
        assert!(!news.touched.all && news.touched.paths == ["/a", "/b"].map(PathBuf::from).into());
        assert!(news.rewatch && !news.stop);
        let news = wake.wait(start);
        assert!(news.events.is_none() && !news.rewatch);
    }

    #[test]
    fn more_paths_than_are_remembered_stand_for_all() {
        let (wake, now) = (Wake::default(), Instant::now());
        for number in 0..=PATHS {
            wake.event(now, Touched { all: false, paths: [number.to_string().into()].into() }, false);
        }
        let touched = wake.wait(now).touched;
        assert!(touched.all && touched.paths.is_empty());
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
