//! How a watch is doing: says when to try again, and tells of each change for the worse or the better, once.
use std::borrow::Cow;
use std::time::{Duration, Instant};

use backon::ExponentialBuilder;
use kube::Resource;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::ExponentialBackoff;

use crate::fault::Fault;
use crate::staleness::Staleness;

/// The first wait after a failure, and the longest before jitter, which adds up to as much again. The longest is what a
/// change waits at most when the API server is back after a long outage.
const WAITS: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(5));
/// What worked for so long has recovered: a later failure has nothing to do with the ones before.
const STEADY: Duration = Duration::from_secs(10);
/// Longest time that an API server may ask to wait.
const LONGEST: Duration = Duration::from_secs(60);

/// How a watch is doing.
pub(crate) struct Health {
    kind: &'static str,
    remedy: String,
    staleness: Staleness,
    backoff: ExponentialBackoff,
    /// Since when nothing has failed.
    works_since: Option<Instant>,
    /// When the API server last told that it no longer knows what was watched from.
    last_gone: Option<Instant>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    Failing,
    Forbidden,
}

impl Health {
    /// Nothing has failed yet.
    pub(crate) fn new<K: Resource<DynamicType = ()>>(staleness: Staleness) -> Self {
        Self {
            kind: name::<K>(),
            remedy: forbidden::<K>(),
            staleness,
            backoff: ExponentialBuilder::new()
                .with_min_delay(WAITS.0)
                .with_max_delay(WAITS.1)
                .without_max_times()
                .with_jitter()
                .into(),
            works_since: None,
            last_gone: None,
            state: State::Good,
        }
    }

    /// A list is complete, or a watch has begun.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        self.works_since.get_or_insert(now);
        if self.state != State::Good {
            tracing::info!(kind = self.kind, "the watch works again");
            self.state = State::Good;
        }
        self.staleness.fresh(self.kind);
    }

    /// The watch failed; returns how long to wait.
    pub(crate) fn failed(&mut self, fault: &Fault, now: Instant) -> Duration {
        let long = |since: Instant| now.saturating_duration_since(since) > STEADY;
        if self.works_since.take().is_some_and(long) {
            self.backoff.reset();
        }
        if fault.is_gone() && self.last_gone.replace(now).is_none_or(long) {
            // Usual after an outage or a long pause of the API server's cache: list again at once.
            tracing::debug!(kind = self.kind, "the watch is too old; listing again");
            return Duration::ZERO;
        }
        self.tell(fault);
        // What may not be read is not stale: there is nothing to be known about it.
        let never_known = fault.is_forbidden() && !self.staleness.knows(self.kind);
        if !matches!(fault, Fault::Short) && !never_known {
            self.staleness.stale(self.kind, now);
        }
        let wait = self.backoff.next().unwrap_or(WAITS.1);
        fault.retry_after().map_or(wait, |asked| wait.max(asked.min(LONGEST)))
    }

    fn tell(&mut self, fault: &Fault) {
        let state = if fault.is_forbidden() { State::Forbidden } else { State::Failing };
        if state == self.state || matches!(fault, Fault::Short) {
            return;
        }
        self.state = state;
        let kind = self.kind;
        match state {
            State::Forbidden => tracing::error!(kind, "{}; what was read before serves on", self.remedy),
            State::Failing | State::Good => {
                tracing::warn!(kind, error = %fault, "the watch fails and is tried again; everything stays as it was");
            }
        }
    }
}

/// The name of a kind that is known when this is compiled.
fn name<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()) {
        Cow::Borrowed(name) => name,
        Cow::Owned(_) => "object",
    }
}

/// The remedy for a kind that may not be read.
pub(crate) fn forbidden<K: Resource<DynamicType = ()>>() -> String {
    let (resource, group) = (K::plural(&()), K::group(&()));
    format!(
        "reading {resource} is forbidden; grant the verbs list and watch on {resource} of apiGroup \"{group}\" in the ClusterRole"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;
    use kube::core::Status;

    fn fault(code: u16) -> Fault {
        Fault::Status(Status { code, ..Status::default() }.boxed())
    }

    fn health() -> Health {
        Health::new::<Service>(Staleness::new())
    }

    #[test]
    fn a_watch_that_is_too_old_lists_again_at_once_but_not_in_a_loop() {
        let (mut health, now) = (health(), Instant::now());
        health.failed(&fault(500), now);
        health.succeeded(now);
        assert_eq!(health.failed(&fault(410), now), Duration::ZERO, "as after every outage");
        assert!(health.failed(&fault(410), now) >= WAITS.0);
        assert_eq!(health.failed(&fault(410), now + 2 * STEADY), Duration::ZERO);
    }

    #[test]
    fn failures_in_a_row_wait_longer_and_longer_up_to_a_limit() {
        let (mut health, now) = (health(), Instant::now());
        let waits: Vec<_> = (0..20)
            .map(|_| {
                health.succeeded(now);
                health.failed(&fault(500), now)
            })
            .collect();
        assert!(waits[0] < 2 * WAITS.0 && waits[19] >= WAITS.1, "{waits:?}");
        assert!(waits.iter().all(|&wait| wait <= 2 * WAITS.1), "{waits:?}");
        health.succeeded(now);
        let later = health.failed(&fault(500), now + 2 * STEADY);
        assert!(later <= 2 * WAITS.0, "{later:?} after it had worked again");
    }

    #[test]
    fn the_api_server_may_ask_for_a_pause() {
        let status = r#"{"code": 429, "details": {"retryAfterSeconds": 20}}"#;
        let busy = Fault::Status(serde_json::from_str::<Status>(status).unwrap().boxed());
        assert!(health().failed(&busy, Instant::now()) >= Duration::from_secs(20));
    }

    #[test]
    fn the_remedy_names_resource_and_group() {
        assert!(fault(403).is_forbidden() && !fault(410).is_forbidden());
        let want = "grant the verbs list and watch on services of apiGroup \"\" in the ClusterRole";
        assert!(forbidden::<Service>().ends_with(want));
    }

    #[test]
    fn a_kind_that_fails_is_stale_until_it_works_again() {
        let staleness = Staleness::new();
        let mut health = Health::new::<Service>(staleness.clone());
        let since = || staleness.subscribe().borrow().first().and_then(|watch| watch.stale_since);
        let now = Instant::now();
        health.succeeded(now);
        health.failed(&fault(500), now);
        assert_eq!(since(), Some(now));
        health.succeeded(now);
        assert_eq!(since(), None);
        health.failed(&fault(403), now);
        assert_eq!(since(), Some(now), "rights that are lost later leave what is known stale");
    }

    #[test]
    fn a_kind_that_could_never_be_read_is_not_stale() {
        let staleness = Staleness::new();
        let mut health = Health::new::<Service>(staleness.clone());
        health.failed(&fault(403), Instant::now());
        assert!(staleness.subscribe().borrow().is_empty());
    }
}
