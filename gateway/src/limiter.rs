//! Counts requests of clients for limits. The counts outlive tables and are shared by all workers.
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use features::{Buckets, Counted, Rate};
use lru::LruCache;

use crate::remember::bounded;

/// Workers seldom meet in one of so many parts.
const PARTS: usize = 64;

/// Clients of Ingresses that are remembered in one part: who was longest away is forgotten first. In all 262,144, about
/// 30 MB when full; nginx's zones hold 80,000 for each Ingress.
const CLIENTS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// What is counted, as a number that nobody can choose.
type Id = u64;

/// Counts requests.
pub(crate) struct Limiter {
    hasher: RandomState,
    parts: [Part; PARTS],
}

struct Part {
    buckets: Mutex<LruCache<Id, Buckets>>,
    open: Mutex<HashMap<Id, u32>>,
}

impl Default for Limiter {
    fn default() -> Self {
        let part = |_| Part { buckets: Mutex::new(bounded(CLIENTS)), open: Mutex::default() };
        Self { hasher: RandomState::new(), parts: std::array::from_fn(part) }
    }
}

impl Limiter {
    fn part(&self, id: Id) -> Option<&Part> {
        self.parts.get(usize::try_from(id % PARTS as u64).ok()?)
    }

    /// May a request pass the limits over time?
    pub(crate) fn admit(&self, counted: &Counted<'_>, rates: [Option<Rate>; 2], now: Duration) -> bool {
        let id = self.hasher.hash_one(counted);
        let Some(part) = self.part(id) else { return false };
        let mut buckets = part.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.get_or_insert_mut(id, Buckets::default).admit(rates, now)
    }

    /// A place among those that are served at the same time; nothing when all are taken.
    pub(crate) fn enter(self: &Arc<Self>, counted: &Counted<'_>, most: u32) -> Option<Entered> {
        let id = self.hasher.hash_one(counted);
        let mut open = self.part(id)?.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(id).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Entered { limiter: self.clone(), id })
    }

    fn leave(&self, id: Id) {
        let Some(part) = self.part(id) else { return };
        let mut open = part.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = open.entry(id) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// A request that is counted until this is dropped.
pub(crate) struct Entered {
    limiter: Arc<Limiter>,
    id: Id,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.limiter.leave(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> Counted<'static> {
        Counted { ingress: ("ns", "web"), client: "", address: Some([192, 0, 2, last].into()) }
    }

    const ONE: [Option<Rate>; 2] = [Some(Rate { per_second: 1000, burst: 0 }), None];

    #[test]
    fn each_client_of_each_ingress_counts_alone() {
        let limiter = Limiter::default();
        let admit = |counted: &Counted<'_>| limiter.admit(counted, ONE, Duration::ZERO);
        assert!(admit(&client(1)) && !admit(&client(1)) && admit(&client(2)));
        assert!(admit(&Counted { ingress: ("ns", "other"), ..client(1) }));
        assert!(limiter.admit(&client(1), ONE, Duration::from_secs(1)));
    }

    #[test]
    fn a_place_is_free_again_when_the_request_has_ended() {
        let limiter = Arc::new(Limiter::default());
        let first = limiter.enter(&client(1), 1);
        assert!(first.is_some() && limiter.enter(&client(1), 1).is_none());
        drop(first);
        assert!(limiter.enter(&client(1), 1).is_some());
        assert!(limiter.parts.iter().all(|part| part.open.lock().unwrap().is_empty()));
    }

    #[test]
    fn many_clients_are_forgotten_rather_than_kept_without_end() {
        let limiter = Limiter::default();
        for number in 0..u32::try_from(2 * PARTS * CLIENTS.get()).unwrap() {
            let address = Some(std::net::Ipv4Addr::from(number).into());
            assert!(limiter.admit(&Counted { address, ..client(0) }, ONE, Duration::ZERO));
        }
        let kept: usize = limiter.parts.iter().map(|part| part.buckets.lock().unwrap().len()).sum();
        assert!(kept <= PARTS * CLIENTS.get());
    }
}
