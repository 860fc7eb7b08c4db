//! One try of a request at an endpoint: counted while it lasts, judged by how it ends.
use std::sync::Arc;
use std::time::{Duration, Instant};

use features::Route;
use table::Rule;

use super::cluster::Cluster;
use super::health::{Suspect, Why};
use super::room::Room;
use crate::balance::{Endpoint, hash};

/// Requests without an answer from which on an endpoint may count as silent.
const SILENT_REQUESTS: u32 = 16;

/// How long nothing must have been answered, at least, and as a multiple of the usual latency.
const SILENT_FOR: Duration = Duration::from_secs(1);
const SILENT_FACTOR: u32 = 20;

/// A request at an endpoint. Ends when dropped.
pub(crate) struct Lease {
    room: Room,
    began: Instant,
    answered: bool,
}

impl Lease {
    /// A request begins.
    pub(crate) fn new(room: Room, cluster: &Cluster, rule: &Arc<Rule<Route>>, began: Instant) -> Self {
        let now = cluster.health().at(began);
        let unanswered = room.endpoint().asked(now);
        let this = Self { room, began, answered: false };
        if unanswered >= SILENT_REQUESTS {
            this.suspect_silence(cluster, rule, now);
        }
        this
    }

    /// What names the endpoint in a cookie.
    pub(crate) fn identity(&self) -> u64 {
        hash::endpoint(self.room.endpoint().address())
    }

    /// The head of the answer has come.
    pub(crate) fn answered(&mut self, cluster: &Cluster, rule: &Arc<Rule<Route>>, status: u16, now: Instant) {
        let micros = now.saturating_duration_since(self.began).as_secs_f32() * 1_000_000.0;
        let at = cluster.health().at(now);
        self.room.endpoint().answered(micros, at);
        self.answered = true;
        self.room.answered(cluster, micros, at, status < 500);
        if matches!(status, 502..=504) {
            self.count_failure(cluster, rule, Why::Errors);
        } else {
            self.room.endpoint().succeeded();
        }
    }

    /// The connection could not be made.
    pub(crate) fn not_connected(&self, cluster: &Cluster, rule: &Arc<Rule<Route>>, why: Why) {
        match why {
            // Somebody listens, so it is not known to be dead.
            Why::Tls => self.count_failure(cluster, rule, why),
            _ if cluster.policy().ejection.on_connect => self.eject(cluster, rule, why),
            _ => {}
        }
    }

    /// It failed in another way before the head of the answer came; after it, the endpoint is not blamed.
    pub(crate) fn failed(&self, cluster: &Cluster, rule: &Arc<Rule<Route>>, why: Why) {
        if !self.answered {
            self.count_failure(cluster, rule, why);
        }
    }

    #[cold]
    fn count_failure(&self, cluster: &Cluster, rule: &Arc<Rule<Route>>, why: Why) {
        let limit = u32::from(cluster.policy().ejection.failures);
        if self.room.endpoint().failed() >= limit && limit > 0 {
            self.eject(cluster, rule, why);
        }
    }

    /// Hangs while others answer?
    #[cold]
    fn suspect_silence(&self, cluster: &Cluster, rule: &Arc<Rule<Route>>, now: u64) {
        let limit = cluster.typical().map_or(SILENT_FOR, |typical| SILENT_FOR.max(typical * SILENT_FACTOR));
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        if self.room.endpoint().silence(now) < limit || cluster.policy().ejection.failures == 0 {
            return;
        }
        let members = cluster.members();
        let answers = |endpoint: &Endpoint| now.saturating_sub(endpoint.answered_at()) < limit / 2;
        if members.list().iter().any(|member| answers(&member.endpoint)) {
            self.eject(cluster, rule, Why::Silent);
        }
    }

    fn eject(&self, cluster: &Cluster, rule: &Arc<Rule<Route>>, why: Why) {
        cluster.health().eject(Suspect { endpoint: self.room.endpoint().clone(), why, rule: Some(rule.clone()) });
    }
}
