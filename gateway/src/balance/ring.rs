//! Consistent hashing on a ring: an endpoint that leaves gives away its keys only, one that comes takes its share only.
use super::Endpoint;
use super::hash::{self, mix};
use std::sync::Arc;

/// Points of one endpoint; the spread of their shares is about its root in percent.
const POINTS: u64 = 128;

/// From so many endpoints on, fewer points: the ring of 10,000 endpoints then has 320,000.
const MANY: usize = 1_024;
const FEW_POINTS: u64 = 32;

/// Endpoints by index at points of a circle. A key belongs to the next point from its own hash on.
#[derive(Debug)]
pub struct Ring {
    points: Box<[Point]>,
    /// For each value of a hash's upper bits the first point that is not before it.
    starts: Box<[u32]>,
    shift: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    hash: u32,
    index: u32,
}

impl Ring {
    /// The ring of these endpoints, each by its index. Takes milliseconds for thousands of them.
    #[must_use]
    pub fn new(endpoints: &[Arc<Endpoint>]) -> Self {
        let each = if endpoints.len() < MANY { POINTS } else { FEW_POINTS };
        let mut points: Vec<Point> = (0u32..)
            .zip(endpoints)
            .flat_map(|(index, endpoint)| {
                let identity = hash::endpoint(endpoint.address());
                (0..each).map(move |number| Point { hash: upper(mix(identity ^ (number << 48))), index })
            })
            .collect();
        points.sort_unstable();
        let bits = usize::BITS - points.len().leading_zeros();
        let shift = 32u32.saturating_sub(bits.clamp(1, 24));
        let mut starts = Vec::with_capacity(1 << (32 - shift));
        let mut start = 0;
        for bucket in 0..1u64 << (32 - shift) {
            let before = |point: &Point| u64::from(point.hash) < bucket << shift;
            while points.get(start).is_some_and(before) {
                start += 1;
            }
            starts.push(u32::try_from(start).unwrap_or(u32::MAX));
        }
        Self { points: points.into(), starts: starts.into(), shift }
    }

    /// The indices from a key's place on, each as often as it has points.
    pub fn from(&self, key: u64) -> impl Iterator<Item = usize> {
        let hash = upper(mix(key));
        let start = self.starts.get((hash >> self.shift) as usize).map_or(0, |start| *start as usize);
        let skip = self.points.get(start..).unwrap_or_default().iter().take_while(|point| point.hash < hash).count();
        let (before, after) = self.points.split_at_checked(start + skip).unwrap_or_default();
        after.iter().chain(before).map(|point| point.index as usize)
    }
}

const fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn endpoints(number: u16) -> Vec<Arc<Endpoint>> {
        (1..=number).map(|port| Arc::new(Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port))))).collect()
    }

    fn owner(ring: &Ring, endpoints: &[Arc<Endpoint>], key: u64) -> u16 {
        endpoints[ring.from(hash::bytes(&key.to_le_bytes())).next().unwrap()].address().port()
    }

    #[test]
    fn only_the_keys_of_an_endpoint_that_leaves_move() {
        let all = endpoints(20);
        let fewer: Vec<_> = all.iter().filter(|endpoint| endpoint.address().port() != 7).cloned().collect();
        let (before, after) = (Ring::new(&all), Ring::new(&fewer));
        let mut moved = 0;
        for key in 0..20_000 {
            let (old, new) = (owner(&before, &all, key), owner(&after, &fewer, key));
            assert!(old == new || old == 7, "{key} moved from {old} to {new}");
            moved += usize::from(old != new);
        }
        assert!((500..1_700).contains(&moved), "about a twentieth moves: {moved}");
    }

    #[test]
    fn shares_are_about_equal() {
        let all = endpoints(10);
        let ring = Ring::new(&all);
        let mut counts = [0; 11];
        (0..100_000).for_each(|key| counts[usize::from(owner(&ring, &all, key))] += 1);
        assert!(counts[1..].iter().all(|count| (7_000..13_500).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_walk_passes_every_endpoint() {
        let all = endpoints(9);
        let seen: std::collections::BTreeSet<_> = Ring::new(&all).from(5).collect();
        assert_eq!(seen.len(), 9);
        assert_eq!(Ring::new(&[]).from(5).count(), 0);
    }

    #[test]
    fn the_first_point_from_a_hash_on_is_found_by_looking_at_all() {
        let all = endpoints(50);
        let ring = Ring::new(&all);
        for key in 0..5_000u64 {
            let hash = upper(mix(key));
            let linear = ring.points.iter().find(|point| point.hash >= hash).or(ring.points.first()).unwrap();
            assert_eq!(ring.from(key).next(), Some(linear.index as usize));
        }
    }
}
