//! Which kinds are out of date because their watch fails; told to the publishing loop, which passes it on as facts.
use std::time::Instant;

use table::WatchFacts;
use tokio::sync::watch;

/// Where the watches tell how they are doing.
#[derive(Clone, Debug)]
pub(crate) struct Staleness(watch::Sender<Vec<WatchFacts>>);

impl Staleness {
    /// Nothing is watched yet.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }

    /// For whoever passes it on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Vec<WatchFacts>> {
        self.0.subscribe()
    }

    /// Has the kind been told about?
    pub(crate) fn knows(&self, kind: &'static str) -> bool {
        self.0.borrow().iter().any(|watch| watch.kind == kind)
    }

    /// The watch of a kind works.
    pub(crate) fn fresh(&self, kind: &'static str) {
        self.set(kind, |_| None);
    }

    /// The watch of a kind fails; what counts is since when.
    pub(crate) fn stale(&self, kind: &'static str, now: Instant) {
        self.set(kind, |since| since.or(Some(now)));
    }

    fn set(&self, kind: &'static str, next: impl FnOnce(Option<Instant>) -> Option<Instant>) {
        self.0.send_if_modified(|watches| match watches.iter_mut().find(|watch| watch.kind == kind) {
            Some(watch) => {
                let stale_since = next(watch.stale_since);
                std::mem::replace(&mut watch.stale_since, stale_since) != stale_since
            }
            None => {
                watches.push(WatchFacts { kind, stale_since: next(None) });
                watches.sort_by_key(|watch| watch.kind);
                true
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_counts_from_the_first_failure() {
        let staleness = Staleness::new();
        let watches = staleness.subscribe();
        let now = Instant::now();
        staleness.fresh("Service");
        staleness.stale("Ingress", now);
        staleness.stale("Ingress", now + Duration::from_secs(9));
        let fact = |kind, stale_since| WatchFacts { kind, stale_since };
        assert_eq!(*watches.borrow(), [fact("Ingress", Some(now)), fact("Service", None)]);
        staleness.fresh("Ingress");
        assert_eq!(*watches.borrow(), [fact("Ingress", None), fact("Service", None)]);
    }
}
