//! Who leads, decided from a Lease: pure rules, with the time as an argument.
//!
//! A candidate may take a lease over only after it has seen it unchanged for its whole duration, by its own steady clock.
//! A holder stops to write well before that could happen to it, counted from before it asked for the renewal. So two never
//! write at a time, whatever their wall clocks say, and however long one of them was paused.
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

/// A moment by both clocks: the steady one stands still while a machine is suspended, the other one can be set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) steady: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    /// Now.
    pub(crate) fn now() -> Self {
        Self { steady: Instant::now(), wall: SystemTime::now() }
    }
}

/// For how long one may write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    /// Before the lease was asked for.
    asked: Moment,
    /// Less than the lease lasts.
    lasts: Duration,
}

impl Term {
    /// What is left of it; nothing once either clock says that it is over.
    pub(crate) fn left(&self, now: Moment) -> Option<Duration> {
        let steady = now.steady.saturating_duration_since(self.asked.steady);
        // A wall clock that was set back tells nothing; the other one counts then.
        let wall = now.wall.duration_since(self.asked.wall).unwrap_or_default();
        self.lasts.checked_sub(steady.max(wall)).filter(|left| !left.is_zero())
    }
}

/// The lease as it was when it last changed.
#[derive(Debug)]
struct Seen {
    version: Option<String>,
    since: Instant,
}

/// What to ask the API server for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Somebody else holds the lease.
    Wait,
    /// There is none.
    Create(Lease),
    /// Take it, or keep it: only if it has not changed meanwhile.
    Replace(Lease),
}

/// One who would lead.
#[derive(Debug)]
pub(crate) struct Candidate {
    identity: String,
    name: String,
    ttl: Duration,
    seen: Option<Seen>,
}

impl Candidate {
    /// Has seen nothing yet. `ttl` is how long the lease lasts.
    pub(crate) fn new(identity: String, name: String, ttl: Duration) -> Self {
        Self { identity, name, ttl, seen: None }
    }

    /// How often to look.
    pub(crate) fn pause(&self) -> Duration {
        self.ttl / 4
    }

    /// The term that a lease asked for at a moment gives. A third of it is for requests that are still on their way when
    /// it ends, and for clocks that do not run alike.
    pub(crate) fn term(&self, asked: Moment) -> Term {
        Term { asked, lasts: self.ttl * 2 / 3 }
    }

    /// Is it ours?
    pub(crate) fn holds(&self, lease: &Lease) -> bool {
        holder(lease) == Some(&self.identity)
    }

    /// What to do about the lease as it is now.
    pub(crate) fn step(&mut self, lease: Option<Lease>, now: Moment) -> Step {
        let Some(mut lease) = lease else {
            self.seen = None;
            return Step::Create(self.fresh(now));
        };
        let version = lease.metadata.resource_version.clone();
        if self.seen.as_ref().is_none_or(|seen| seen.version != version) {
            self.seen = Some(Seen { version, since: now.steady });
        }
        let free = holder(&lease).is_none();
        if !self.holds(&lease) && !free && !self.is_over(&lease, now) {
            return Step::Wait;
        }
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.acquire_time = time(now);
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = Some(seconds(self.ttl));
        spec.renew_time = time(now);
        Step::Replace(lease)
    }

    /// The lease without a holder, for whoever comes next.
    pub(crate) fn released(&self, mut lease: Lease, now: Moment) -> Lease {
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = time(now);
        lease
    }

    fn is_over(&self, lease: &Lease, now: Moment) -> bool {
        let told = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        let told = told.and_then(|seconds| u64::try_from(seconds).ok()).map_or(self.ttl, Duration::from_secs);
        let since = self.seen.as_ref().map(|seen| now.steady.saturating_duration_since(seen.since));
        since.is_some_and(|unchanged| unchanged > told)
    }

    fn fresh(&self, now: Moment) -> Lease {
        let mut lease = Lease::default();
        lease.metadata.name = Some(self.name.clone());
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(seconds(self.ttl)),
            acquire_time: time(now),
            renew_time: time(now),
            lease_transitions: Some(0),
            ..LeaseSpec::default()
        });
        lease
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref().filter(|holder| !holder.is_empty())
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs().max(1)).unwrap_or(i32::MAX)
}

/// For people to read: no decision depends on it.
fn time(now: Moment) -> Option<MicroTime> {
    Timestamp::try_from(now.wall).ok().map(MicroTime)
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
