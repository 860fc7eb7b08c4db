//! Nonces of digest authentication: sealed, so that every worker knows the gateway's own without keeping them, and which uses
//! of them there were.
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::hmac;
use lru::LruCache;

use crate::remember::bounded;

/// Workers seldom meet in one of so many parts.
const PARTS: usize = 16;

/// Nonces in use that are remembered in one part; in all 65,536, about 6 MB when full. Only who has proven to know a password
/// takes a place.
const NONCES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// When a nonce was made, in seconds since the process started, and its random number.
type Nonce = (u64, u64);

/// What is known of nonces.
pub(crate) struct Nonces {
    key: hmac::Key,
    parts: [Mutex<Part>; PARTS],
}

struct Part {
    used: LruCache<Nonce, Used>,
    /// The youngest one that was forgotten. No older one is taken for new.
    forgotten: Option<u64>,
}

/// Which uses of a nonce there were: the highest, and of the 64 up to it those whose bit is set.
struct Used {
    highest: u32,
    seen: u64,
}

impl Used {
    /// Takes note of a use; false when there was such a one, or one so much later that it is not known any more.
    fn take(&mut self, count: u32) -> bool {
        if let Some(ahead) = count.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let Some(bit) = 1_u64.checked_shl(self.highest - count) else { return false };
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

impl Nonces {
    /// No nonce is known yet.
    pub(crate) fn new(key: hmac::Key) -> Self {
        let part = |_| Mutex::new(Part { used: bounded(NONCES), forgotten: None });
        Self { key, parts: std::array::from_fn(part) }
    }

    /// What nobody outside of this process can compute of a text.
    pub(crate) fn seal(&self, text: &[u8]) -> [u8; 16] {
        let signed = hmac::sign(&self.key, text);
        signed.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// Takes note of a use; false when there may have been one before.
    pub(crate) fn take(&self, nonce: Nonce, count: u32) -> bool {
        let part = usize::try_from(nonce.1 % PARTS as u64).ok().and_then(|index| self.parts.get(index));
        let Some(part) = part else { return false };
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = part.used.get_mut(&nonce) {
            return used.take(count);
        }
        if part.forgotten.is_some_and(|forgotten| nonce.0 <= forgotten) {
            return false;
        }
        if let Some((old, _)) = part.used.push(nonce, Used { highest: count, seen: 1 }) {
            part.forgotten = part.forgotten.max(Some(old.0));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces() -> Nonces {
        Nonces::new(hmac::Key::new(hmac::HMAC_SHA256, b"key"))
    }

    #[test]
    fn each_use_counts_once_in_whatever_order() {
        let nonces = nonces();
        for (count, want) in [
            (2, true),
            (2, false),
            (1, true),
            (1, false),
            (70, true),
            (7, true),
            (7, false),
            (6, false),
            (u32::MAX, true),
            (u32::MAX, false),
            (70, false),
        ] {
            assert_eq!(nonces.take((0, 1), count), want, "{count}");
        }
        assert!(nonces.take((0, 2), 1));
    }

    #[test]
    fn what_was_forgotten_is_not_taken_for_new() {
        let nonces = nonces();
        let parts = PARTS as u64;
        for number in 0..=NONCES.get() as u64 {
            assert!(nonces.take((number, number * parts), 1));
        }
        assert!(!nonces.take((0, 0), 1));
        assert!(!nonces.take((0, parts * parts), 1));
        assert!(nonces.take((1, 1), 1) && nonces.take((1 << 20, 0), 1));
    }

    #[test]
    fn a_seal_belongs_to_its_text_and_key() {
        let other = Nonces::new(hmac::Key::new(hmac::HMAC_SHA256, b"other"));
        assert_eq!(nonces().seal(b"a"), nonces().seal(b"a"));
        assert!(nonces().seal(b"a") != nonces().seal(b"b") && nonces().seal(b"a") != other.seal(b"a"));
    }
}
