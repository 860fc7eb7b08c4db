//! What is known of one endpoint: counters that all clusters, rules and workers share.
use std::f32::consts::{LN_2, LOG2_E};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use table::Resolved;

/// Within this time the average forgets all but 1/e of a sample, in milliseconds (ingress-nginx's EWMA has the same 10 s).
const DECAY: f32 = 10_000.0;

/// More leave nothing that a float could hold.
const MOST_HALVINGS: f32 = 126.0;

/// One answer in [`Endpoint`]'s window, and the longest latency that is added to it: a minute.
const ANSWER: u64 = 1 << 44;
const LONGEST: u64 = 60_000_000;

/// The share of its requests that an endpoint gets when slow start begins.
pub const SLOWEST: f32 = 0.1;

/// One endpoint. Aligned so that two of them never share a line of the processor's cache.
///
/// Each figure is read and written by itself: two requests that end in the same moment may count as one in the latency,
/// which moves the average by one sample less.
#[derive(Debug)]
#[repr(align(128))]
pub struct Endpoint {
    address: SocketAddr,
    /// Tells it from an earlier endpoint of the same address.
    incarnation: u64,
    resolved: Resolved,
    out: AtomicBool,
    in_flight: AtomicU32,
    unanswered: AtomicU32,
    failures: AtomicU32,
    /// It has answered well since it came into the rotation.
    proved: AtomicBool,
    /// When the first of the unanswered requests began.
    unanswered_since: AtomicU64,
    /// Answers since the last look (upper 20 bits) and the sum of their latencies in microseconds (lower 44 bits).
    window: AtomicU64,
    /// Microseconds as the bits of an `f32`; 0 without a sample.
    latency: AtomicU32,
    /// When an answer came last.
    answered: AtomicU64,
    ramp_from: AtomicU64,
    /// Milliseconds; 0 without slow start.
    ramp_for: AtomicU32,
}

/// Endpoints that were made so far.
static INCARNATIONS: AtomicU64 = AtomicU64::new(1);

impl Endpoint {
    /// A number that no other endpoint of this process has: kept connections to an endpoint that left are not used for
    /// another one that got its address.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// An endpoint of which nothing is known.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            incarnation: INCARNATIONS.fetch_add(1, Relaxed),
            resolved: Resolved::default(),
            out: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            proved: AtomicBool::new(false),
            unanswered_since: AtomicU64::new(0),
            window: AtomicU64::new(0),
            latency: AtomicU32::new(0),
            answered: AtomicU64::new(0),
            ramp_from: AtomicU64::new(0),
            ramp_for: AtomicU32::new(0),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the caller keeps for it; goes with it.
    #[must_use]
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// A request goes to it. Returns the requests since its last answer, this one included.
    pub fn begin(&self, now: u64) -> u32 {
        self.enter();
        self.asked(now)
    }

    /// A request is about to go to it; it is in flight from here on.
    pub fn enter(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// As [`Endpoint::enter`], unless so many are in flight already.
    pub fn try_enter(&self, most: u32) -> bool {
        let more = |now: u32| (now < most).then(|| now + 1);
        self.in_flight.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// A request that has entered is sent. Returns the requests since its last answer, this one included.
    pub fn asked(&self, now: u64) -> u32 {
        let before = self.unanswered.fetch_add(1, Relaxed);
        if before == 0 {
            self.unanswered_since.store(now, Relaxed);
        }
        before.saturating_add(1)
    }

    /// How long requests have been waiting without any answer, in milliseconds.
    #[must_use]
    pub fn silence(&self, now: u64) -> u64 {
        if self.unanswered.load(Relaxed) == 0 { 0 } else { now.saturating_sub(self.unanswered_since.load(Relaxed)) }
    }

    /// A request that began has ended, in whatever way.
    pub fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Requests that began and have not ended.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// It answered: the head of a response came `micros` microseconds after the request began.
    pub fn answered(&self, micros: f32, now: u64) {
        self.unanswered.store(0, Relaxed);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "latencies are positive and short"
        )]
        self.window.fetch_add(ANSWER + (micros as u64).min(LONGEST), Relaxed);
        let age = now.saturating_sub(self.answered.swap(now, Relaxed));
        let old = f32::from_bits(self.latency.load(Relaxed));
        // A rise counts at once: the next request must not wait for the average to follow.
        let new = if old <= 0.0 || micros > old { micros } else { micros + (old - micros) * decay(age) };
        self.latency.store(new.max(1.0).to_bits(), Relaxed);
    }

    /// Answers since the last call, and their mean latency in microseconds.
    pub fn take_window(&self) -> (u32, f32) {
        let window = self.window.swap(0, Relaxed);
        let (count, sum) = (window / ANSWER, window % ANSWER);
        #[expect(clippy::cast_precision_loss, reason = "a mean need not be exact")]
        let mean = sum as f32 / count.max(1) as f32;
        (u32::try_from(count).unwrap_or(u32::MAX), mean)
    }

    /// When it answered last, in milliseconds since the epoch.
    #[must_use]
    pub fn answered_at(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// Requests since its last answer.
    #[must_use]
    pub fn unanswered(&self) -> u32 {
        self.unanswered.load(Relaxed)
    }

    /// The average latency in microseconds as of its last answer, if there was one.
    #[must_use]
    pub fn latency(&self) -> Option<f32> {
        let latency = f32::from_bits(self.latency.load(Relaxed));
        (latency > 0.0).then_some(latency)
    }

    /// Sets the latency that it is assumed to have until it answers.
    pub fn assume_latency(&self, micros: f32, now: u64) {
        self.answered.store(now, Relaxed);
        self.latency.store(micros.max(1.0).to_bits(), Relaxed);
    }

    /// What one more request would cost: latency times load. What was seen long ago counts less, so that an endpoint that
    /// was slow gets another chance. `None` when nothing is known.
    pub(super) fn cost(&self, now: u64) -> Option<f32> {
        let latency = self.latency()?;
        let age = now.saturating_sub(self.answered.load(Relaxed));
        #[expect(clippy::cast_precision_loss, reason = "requests in flight are far fewer than 2^24")]
        let load = self.in_flight() as f32 + 1.0;
        Some(latency * decay(age) * load)
    }

    /// A request failed in a way that is the endpoint's fault. Returns how many did in a row.
    pub fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// A request was answered well: the row of failures ends. Returns how many there were.
    pub fn succeeded(&self) -> u32 {
        if !self.proved.load(Relaxed) {
            self.proved.store(true, Relaxed);
        }
        // Mostly there is nothing to write, and then no other processor needs to hear of it.
        if self.failures.load(Relaxed) == 0 { 0 } else { self.failures.swap(0, Relaxed) }
    }

    /// Has it answered well since it came into the rotation?
    #[must_use]
    pub fn has_proved(&self) -> bool {
        self.proved.load(Relaxed)
    }

    /// Takes it out of the rotation; tells whether it was in it.
    pub fn eject(&self) -> bool {
        !self.out.swap(true, Relaxed)
    }

    /// Puts it back into the rotation, with a slow start over this time.
    pub fn restore(&self, now: u64, slow_start: Duration) {
        self.failures.store(0, Relaxed);
        self.unanswered.store(0, Relaxed);
        self.proved.store(false, Relaxed);
        self.start_slowly(now, slow_start);
        self.out.store(false, Relaxed);
    }

    /// Is it out of the rotation?
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.out.load(Relaxed)
    }

    /// From now on its share grows from a tenth to the whole over this time.
    pub fn start_slowly(&self, now: u64, slow_start: Duration) {
        self.ramp_from.store(now, Relaxed);
        self.ramp_for.store(u32::try_from(slow_start.as_millis()).unwrap_or(u32::MAX), Relaxed);
    }

    /// The share of its requests that it gets now: 1 but in slow start.
    #[must_use]
    pub fn share(&self, now: u64) -> f32 {
        let length = self.ramp_for.load(Relaxed);
        let age = now.saturating_sub(self.ramp_from.load(Relaxed));
        if age >= u64::from(length) {
            return 1.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let share = age as f32 / length as f32;
        share.max(SLOWEST)
    }
}

/// e to the power of -age / [`DECAY`], within a thousandth: several are needed for each choice, and this takes a fraction of
/// the time of the library's.
fn decay(age: u64) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "an average need not be exact")]
    let halvings = (age as f32 * (LOG2_E / DECAY)).min(MOST_HALVINGS);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 126")]
    let whole = halvings as u32;
    let part = halvings - halvings.trunc();
    // The whole halvings are the exponent of a float; for the rest, the series of 2 to the power of -part, its end bent so that
    // nothing rises from one whole to the next.
    let rest = 1.0 - part * (LN_2 - part * (0.240_23 - part * (0.055_5 - part * (0.009_62 - part * 0.001_19))));
    f32::from_bits((127 - whole) << 23) * rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new("10.0.0.1:80".parse().unwrap())
    }

    #[test]
    fn latency_rises_at_once_and_falls_slowly() {
        let endpoint = endpoint();
        assert_eq!(endpoint.latency(), None);
        endpoint.answered(1_000.0, 0);
        endpoint.answered(9_000.0, 10);
        assert_eq!(endpoint.latency(), Some(9_000.0));
        endpoint.answered(1_000.0, 20);
        assert!(endpoint.latency().unwrap() > 8_900.0);
        endpoint.answered(1_000.0, 60_000);
        assert!(endpoint.latency().unwrap() < 1_100.0);
    }

    #[test]
    fn decay_is_the_exponential_within_a_thousandth() {
        for age in (0..100_000).step_by(7) {
            #[expect(clippy::cast_precision_loss, reason = "exact below 2^24")]
            let exact = (-(age as f32) / DECAY).exp();
            assert!((decay(age) / exact - 1.0).abs() < 0.001, "{age}: {} is not {exact}", decay(age));
            assert!(decay(age + 1) <= decay(age), "{age}: it never rises");
        }
        assert!(decay(u64::MAX) < 1e-30);
    }

    #[test]
    fn what_was_slow_long_ago_costs_little() {
        let endpoint = endpoint();
        endpoint.answered(10_000.0, 0);
        assert!(endpoint.cost(0).unwrap() > 9_999.0);
        assert!(endpoint.cost(30_000).unwrap() < 1_000.0);
        endpoint.begin(0);
        assert!(endpoint.cost(0).unwrap() > 19_999.0);
        endpoint.end();
        assert_eq!(endpoint.in_flight(), 0);
    }

    #[test]
    fn no_more_enter_than_may() {
        let endpoint = endpoint();
        assert!(endpoint.try_enter(2) && endpoint.try_enter(2) && !endpoint.try_enter(2));
        endpoint.end();
        assert!(endpoint.try_enter(2) && endpoint.in_flight() == 2);
    }

    #[test]
    fn the_window_counts_answers_and_their_mean() {
        let endpoint = endpoint();
        [100.0, 300.0].iter().for_each(|micros| endpoint.answered(*micros, 0));
        assert_eq!(endpoint.take_window(), (2, 200.0));
        assert_eq!(endpoint.take_window(), (0, 0.0));
    }

    #[test]
    fn silence_begins_with_the_first_request_without_an_answer() {
        let endpoint = endpoint();
        assert_eq!(endpoint.silence(50), 0);
        assert_eq!((endpoint.begin(100), endpoint.begin(200)), (1, 2));
        assert_eq!(endpoint.silence(300), 200);
        endpoint.answered(1.0, 300);
        assert_eq!((endpoint.silence(400), endpoint.begin(500), endpoint.silence(500)), (0, 1, 0));
    }

    #[test]
    fn slow_start_goes_from_a_tenth_to_the_whole() {
        let endpoint = endpoint();
        assert!(endpoint.share(0) >= 1.0);
        endpoint.restore(1_000, Duration::from_secs(10));
        let shares = [1_000, 6_000, 11_000].map(|now| (endpoint.share(now) * 10.0).round());
        assert_eq!(shares, [1.0, 5.0, 10.0]);
    }

    #[test]
    fn only_the_first_of_many_ejects() {
        let endpoint = endpoint();
        assert!(endpoint.eject());
        assert!(!endpoint.eject());
        endpoint.restore(0, Duration::ZERO);
        assert!(!endpoint.is_out() && endpoint.share(0) >= 1.0);
    }

    #[test]
    fn a_good_answer_ends_the_row_of_failures() {
        let endpoint = endpoint();
        assert_eq!((endpoint.failed(), endpoint.failed()), (1, 2));
        assert_eq!((endpoint.succeeded(), endpoint.succeeded()), (2, 0));
        assert_eq!(endpoint.failed(), 1);
    }
}
