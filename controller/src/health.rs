//! How a watch is doing: says when to try again, and what to log, once for each change for the worse or the better.
use std::time::{Duration, Instant};

use kube::Resource;
use kube::core::Status;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{DefaultBackoff, Error};

/// Failures further apart than this have nothing to do with each other. Longer than the longest backoff.
const APART: Duration = Duration::from_secs(90);

/// How a watch is doing.
pub(crate) struct Health {
    backoff: DefaultBackoff,
    last_failure: Option<Instant>,
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
    pub(crate) fn new() -> Self {
        Self { backoff: DefaultBackoff::default(), last_failure: None, state: State::Good }
    }

    /// The watch told something.
    pub(crate) fn succeeded<K: Resource<DynamicType = ()>>(&mut self) {
        if self.state != State::Good {
            tracing::info!(kind = %K::kind(&()), "the watch works again");
            self.state = State::Good;
        }
    }

    /// The watch failed; returns how long to wait.
    pub(crate) fn failed<K: Resource<DynamicType = ()>>(&mut self, error: &Error, now: Instant) -> Duration {
        let alone = self.last_failure.is_none_or(|last| now.duration_since(last) > APART);
        self.last_failure = Some(now);
        if alone {
            self.backoff.reset();
            if is_gone(error) {
                // Usual after a long pause of the API server's cache: list again at once.
                tracing::debug!(kind = %K::kind(&()), "the watch is too old; listing again");
                return Duration::ZERO;
            }
            self.state = State::Good;
        }
        let state = if is_forbidden(error) { State::Forbidden } else { State::Failing };
        if state != self.state {
            self.state = state;
            let kind = K::kind(&());
            match state {
                State::Forbidden => tracing::error!(%kind, "{}", forbidden::<K>()),
                State::Failing | State::Good => {
                    tracing::warn!(%kind, %error, "the watch fails and is tried again; everything stays as it was");
                }
            }
        }
        self.backoff.next().unwrap_or(APART)
    }
}

/// The remedy for a kind that may not be read.
pub(crate) fn forbidden<K: Resource<DynamicType = ()>>() -> String {
    let (resource, group) = (K::plural(&()), K::group(&()));
    format!(
        "reading {resource} is forbidden; grant the verbs list and watch on {resource} of apiGroup \"{group}\" in the ClusterRole"
    )
}

/// May the kind not be read?
pub(crate) fn is_forbidden(error: &Error) -> bool {
    status(error).is_some_and(forbids)
}

/// Is it an answer that says so?
pub(crate) fn forbids(status: &Status) -> bool {
    // `is_forbidden` alone overlooks answers without a reason, as proxies give them.
    status.code == 403 || status.is_forbidden()
}

/// Is the place from which to watch on too old?
pub(crate) fn is_gone(error: &Error) -> bool {
    status(error).is_some_and(|status| status.code == 410)
}

fn status(error: &Error) -> Option<&Status> {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
        | Error::WatchError(status) => Some(status),
        Error::InitialListFailed(_) | Error::WatchStartFailed(_) | Error::WatchFailed(_) | Error::NoResourceVersion => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;

    fn error(code: u16) -> Error {
        Error::WatchError(Status { code, ..Status::default() }.boxed())
    }

    #[test]
    fn a_watch_that_is_too_old_lists_again_at_once() {
        let (mut health, now) = (Health::new(), Instant::now());
        assert_eq!(health.failed::<Service>(&error(410), now), Duration::ZERO);
        assert_eq!(health.failed::<Service>(&error(410), now + 2 * APART), Duration::ZERO);
    }

    #[test]
    fn failures_in_a_row_wait_longer_and_longer() {
        let (mut health, now) = (Health::new(), Instant::now());
        let waits: Vec<_> = (0..8).map(|_| health.failed::<Service>(&error(410), now)).collect();
        assert!(waits[1] >= Duration::from_millis(500), "{waits:?}");
        assert!(waits[7] >= Duration::from_secs(15), "{waits:?}");
        assert!(health.failed::<Service>(&error(500), now + 2 * APART) < Duration::from_secs(5));
    }

    #[test]
    fn the_remedy_names_resource_and_group() {
        assert!(is_forbidden(&error(403)) && !is_forbidden(&error(410)));
        let want = "grant the verbs list and watch on services of apiGroup \"\" in the ClusterRole";
        assert!(forbidden::<Service>().ends_with(want));
    }
}
