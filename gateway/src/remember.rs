//! A bounded memory with expiry, shared by all workers: what was longest not asked for leaves first.
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lru::LruCache;

/// Workers seldom meet in one of so many parts.
const PARTS: usize = 16;

/// A list of at most so many entries that takes memory for those that it has, not for those that it may have.
pub(crate) fn bounded<K: Hash + Eq, V>(most: NonZeroUsize) -> LruCache<K, V> {
    let mut cache = LruCache::unbounded();
    cache.resize(most);
    cache
}

/// A digest that stands for what is remembered: nobody can choose in which part it falls.
pub(crate) type Digest = [u8; 32];

type Part<V> = Mutex<LruCache<Digest, (Instant, V)>>;

/// Remembers values until they expire.
pub(crate) struct Memory<V>([Part<V>; PARTS]);

impl<V: Clone> Memory<V> {
    /// Remembers so many values at most, in all parts together.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity / PARTS).unwrap_or(NonZeroUsize::MIN);
        Self(std::array::from_fn(|_| Mutex::new(bounded(capacity))))
    }

    fn part(&self, digest: &Digest) -> Option<&Part<V>> {
        self.0.get(usize::from(*digest.first()?) % PARTS)
    }

    /// What is remembered and has not expired.
    pub(crate) fn get(&self, digest: &Digest, now: Instant) -> Option<V> {
        let mut part = self.part(digest)?.lock().unwrap_or_else(PoisonError::into_inner);
        match part.get(digest) {
            Some((expires, value)) if *expires > now => Some(value.clone()),
            Some(_) => {
                part.pop(digest);
                None
            }
            None => None,
        }
    }

    /// Remembers a value.
    pub(crate) fn put(&self, digest: Digest, value: V, expires: Instant) {
        if let Some(part) = self.part(&digest) {
            part.lock().unwrap_or_else(PoisonError::into_inner).put(digest, (expires, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_value_lasts_until_it_expires() {
        let (memory, now) = (Memory::new(64), Instant::now());
        memory.put([1; 32], "one", now + Duration::from_secs(2));
        assert_eq!(memory.get(&[1; 32], now + Duration::from_secs(1)), Some("one"));
        assert_eq!(memory.get(&[1; 32], now + Duration::from_secs(2)), None);
        assert_eq!(memory.get(&[2; 32], now), None);
    }

    #[test]
    fn what_was_longest_not_asked_for_leaves_first() {
        let (memory, now) = (Memory::new(2 * PARTS), Instant::now());
        let later = now + Duration::from_secs(1);
        let digest = |last| [[0; 31].as_slice(), &[last]].concat().try_into().unwrap();
        memory.put(digest(1), 1, later);
        memory.put(digest(2), 2, later);
        assert_eq!(memory.get(&digest(1), now), Some(1));
        memory.put(digest(3), 3, later);
        assert_eq!([1, 2, 3].map(|last| memory.get(&digest(last), now)), [Some(1), None, Some(3)]);
    }
}
