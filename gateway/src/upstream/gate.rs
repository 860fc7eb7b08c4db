//! How many requests of a cluster are in flight, and who waits for them to end: shared by all workers.
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Counts the requests of a cluster that has limits, and keeps those that wait in their order.
///
/// A request that finds nobody waiting and a place free takes no lock. What is in flight when the first limit is set does not
/// count; it ends by itself.
#[derive(Default)]
pub(crate) struct Gate {
    /// The only thing that requests of a cluster without limits look at.
    on: AtomicBool,
    /// Requests that may be in flight; 0 for no limit.
    most: AtomicU32,
    in_flight: AtomicU32,
    waiting: AtomicUsize,
    queue: Mutex<VecDeque<Arc<Notify>>>,
}

impl Gate {
    /// Takes new limits: whether there are any, and that of all requests together (0 for none).
    pub(super) fn set(&self, on: bool, most: u32) {
        self.most.store(most, Ordering::Relaxed);
        self.on.store(on, Ordering::Relaxed);
        self.wake();
    }

    /// Are there limits?
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// The limit of all requests together; 0 for none.
    pub(crate) fn most(&self) -> u32 {
        self.most.load(Ordering::Relaxed)
    }

    /// Requests that hold a place.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Requests that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Takes a place, if one is free.
    pub(super) fn enter(&self) -> bool {
        let most = self.most();
        let more = |now: u32| (most == 0 || now < most).then(|| now + 1);
        self.in_flight.fetch_update(Ordering::SeqCst, Ordering::Relaxed, more).is_ok()
    }

    /// Gives a place back that was not used. The first of those that wait has looked itself, or is told by `wake`.
    pub(super) fn give_back(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// A request has ended: the next one may try.
    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.wake();
    }

    /// The first of those that wait tries again.
    pub(super) fn wake(&self) {
        // Whoever joins the queue looks once more after it: one of both sees the other.
        fence(Ordering::SeqCst);
        if self.waiting() > 0
            && let Some(first) = self.queue().front()
        {
            first.notify_one();
        }
    }

    /// Waits behind the others, unless so many wait already.
    pub(super) fn join(&self, most: u32) -> Option<Turn<'_>> {
        let mut queue = self.queue();
        if queue.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
            return None;
        }
        let told = Arc::new(Notify::new());
        queue.push_back(told.clone());
        self.waiting.store(queue.len(), Ordering::SeqCst);
        drop(queue);
        fence(Ordering::SeqCst);
        Some(Turn { gate: self, told })
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Arc<Notify>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's place in the queue; given up when dropped.
pub(super) struct Turn<'g> {
    gate: &'g Gate,
    told: Arc<Notify>,
}

impl Turn<'_> {
    /// Is nobody before it?
    pub(super) fn is_first(&self) -> bool {
        self.gate.queue().front().is_some_and(|first| Arc::ptr_eq(first, &self.told))
    }

    /// Resolves when it is worth trying again.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queue = self.gate.queue();
        if let Some(place) = queue.iter().position(|one| Arc::ptr_eq(one, &self.told)) {
            queue.remove(place);
        }
        self.gate.waiting.store(queue.len(), Ordering::SeqCst);
        drop(queue);
        // It may have been told what the next one has to know, and there may be more room than it has taken.
        self.gate.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn gate(most: u32) -> Gate {
        let gate = Gate::default();
        gate.set(true, most);
        gate
    }

    fn is_told(turn: &Turn<'_>) -> bool {
        turn.told().now_or_never().is_some()
    }

    #[test]
    fn no_more_pass_than_may() {
        let gate = gate(2);
        assert!(gate.enter() && gate.enter() && !gate.enter());
        gate.leave();
        assert!(gate.enter() && gate.in_flight() == 2);
        gate.set(true, 0);
        assert!(gate.enter());
    }

    #[test]
    fn those_that_wait_are_told_in_their_order() {
        let gate = gate(1);
        assert!(gate.enter());
        let (first, second) = (gate.join(2).unwrap(), gate.join(2).unwrap());
        assert!(gate.join(2).is_none(), "the queue is full");
        assert!(first.is_first() && !second.is_first());
        gate.leave();
        assert!(is_told(&first) && !is_told(&second));
        drop(first);
        assert!(second.is_first() && is_told(&second));
    }

    #[test]
    fn whoever_stops_waiting_frees_the_place_and_passes_on_what_it_was_told() {
        let gate = gate(1);
        assert!(gate.enter());
        let (first, second) = (gate.join(2).unwrap(), gate.join(2).unwrap());
        gate.leave();
        drop(first);
        assert!(is_told(&second) && gate.waiting() == 1);
        assert!(gate.join(2).is_some());
        drop(second);
        assert_eq!(gate.waiting(), 0);
    }

    #[test]
    fn many_threads_never_exceed_the_limit() {
        let gate = gate(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if gate.enter() {
                            assert!(gate.in_flight() <= 3);
                            gate.leave();
                        }
                    }
                });
            }
        });
        assert_eq!(gate.in_flight(), 0);
    }
}
