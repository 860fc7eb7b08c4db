//! The retry budget of a cluster: retries are a share of its requests, so that they cannot multiply an outage.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use features::Retry;

/// Requests count for so long, in seconds.
const WINDOW: f64 = 10.0;

/// Counts the requests of a cluster and says whether a retry is within its share.
///
/// A request costs one addition. Everything else happens when a request has failed.
pub(crate) struct Budget {
    requests: AtomicU64,
    account: Mutex<Account>,
}

#[derive(Clone, Copy)]
struct Account {
    /// Retries that may be made now.
    balance: f64,
    /// Requests that were counted into the balance.
    counted: u64,
    updated: Option<Instant>,
    /// What the last retry's rule says.
    percent: u16,
    min: u16,
}

impl Default for Budget {
    fn default() -> Self {
        let Retry { budget_percent: percent, budget_min: min, .. } = Retry::default();
        let account = Account { balance: 0.0, counted: 0, updated: None, percent, min };
        Self { requests: AtomicU64::new(0), account: Mutex::new(account) }
    }
}

impl Budget {
    /// Counts a request.
    pub(crate) fn deposit(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Takes a retry from the budget; false when there is none left. While so few requests are `live` that their retries can
    /// drown nobody, none is turned down (Envoy's `min_retry_concurrency` is the same).
    pub(crate) fn withdraw(&self, retry: &Retry, live: u32, now: Instant) -> bool {
        let requests = self.requests.load(Relaxed);
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.update(requests, retry, now);
        if account.balance < 1.0 {
            return live.max(1) <= retry.budget_min.into();
        }
        account.balance -= 1.0;
        true
    }

    /// Retries that may be made now, by the share that the last one was allowed by; `None` before there was one.
    pub(crate) fn left(&self, now: Instant) -> Option<f64> {
        let requests = self.requests.load(Relaxed);
        let mut account = *self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let retry = Retry { budget_percent: account.percent, budget_min: account.min, ..Retry::default() };
        account.updated?;
        account.update(requests, &retry, now);
        Some(account.balance)
    }
}

impl Account {
    /// Adds the share of new requests and what is always allowed; what is older than the window fades.
    fn update(&mut self, requests: u64, retry: &Retry, now: Instant) {
        let share = f64::from(retry.budget_percent) / 100.0;
        let always = f64::from(retry.budget_min);
        let passed = self.updated.map_or(WINDOW, |updated| now.saturating_duration_since(updated).as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "differences of counts are small")]
        let new = requests.wrapping_sub(self.counted) as f64;
        // Requests are taken to have come evenly.
        let recent = if passed > WINDOW { new * WINDOW / passed } else { new };
        let kept = self.balance * (1.0 - passed / WINDOW).max(0.0);
        self.balance = kept + recent * share + always * passed.min(WINDOW);
        (self.percent, self.min) = (retry.budget_percent, retry.budget_min);
        self.counted = requests;
        self.updated = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MANY: u32 = 1_000;

    fn drain(budget: &Budget, retry: &Retry, now: Instant) -> usize {
        (0..100_000).take_while(|_| budget.withdraw(retry, MANY, now)).count()
    }

    fn deposits(budget: &Budget, number: usize) {
        (0..number).for_each(|_| budget.deposit());
    }

    #[test]
    fn a_quiet_cluster_may_retry_what_is_always_allowed() {
        let (budget, retry, now) = (Budget::default(), Retry::default(), Instant::now());
        assert_eq!(drain(&budget, &retry, now), 30);
        assert_eq!(drain(&budget, &retry, now + Duration::from_secs(1)), 3);
        assert_eq!(drain(&budget, &retry, now + Duration::from_secs(1)), 0);
    }

    #[test]
    fn retries_are_a_share_of_the_requests() {
        let retry = Retry { budget_min: 0, ..Retry::default() };
        let (budget, now) = (Budget::default(), Instant::now());
        deposits(&budget, 1000);
        assert_eq!(drain(&budget, &retry, now), 200);
        deposits(&budget, 100);
        assert_eq!(drain(&budget, &retry, now + Duration::from_secs(1)), 20);
    }

    #[test]
    fn looking_takes_nothing() {
        let (budget, now) = (Budget::default(), Instant::now());
        assert_eq!(budget.left(now), None);
        deposits(&budget, 100);
        assert!(budget.withdraw(&Retry::default(), MANY, now));
        for _ in 0..2 {
            assert!(budget.left(now).is_some_and(|left| (left - 49.0).abs() < 1e-6));
        }
        assert_eq!(drain(&budget, &Retry::default(), now), 49);
    }

    #[test]
    fn what_was_saved_up_fades() {
        let retry = Retry { budget_min: 0, ..Retry::default() };
        let (budget, now) = (Budget::default(), Instant::now());
        deposits(&budget, 100);
        assert!(budget.withdraw(&retry, MANY, now));
        // An hour at the same rate is worth no more than the window.
        deposits(&budget, 36_000);
        assert_eq!(drain(&budget, &retry, now + Duration::from_secs(3600)), 20);
    }

    #[test]
    fn nothing_is_allowed_when_nothing_is() {
        let retry = Retry { budget_min: 0, budget_percent: 0, ..Retry::default() };
        let budget = Budget::default();
        deposits(&budget, 1000);
        for live in [0, 1, MANY] {
            assert!(!budget.withdraw(&retry, live, Instant::now()));
        }
    }

    #[test]
    fn few_requests_get_all_their_tries() {
        let (budget, retry, now) = (Budget::default(), Retry::default(), Instant::now());
        drain(&budget, &retry, now);
        assert!((0..1_000).all(|_| budget.withdraw(&retry, 3, now)));
        assert!(!budget.withdraw(&retry, 4, now));
    }
}
