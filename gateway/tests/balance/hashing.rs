//! Consistent hashing: few keys move, they come back, and no endpoint gets more than its bound.
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use features::Balance;
use gateway::balance::{Ask, Choice, Member};

use crate::cluster::{choice, members, place};

const PLAIN: Balance = Balance::Hash { bound: None, subset: 1 };

/// Requests in flight below which no bound holds.
const QUIET: u32 = 8;

fn owner(choice: &Choice, key: u64) -> usize {
    let ask = Ask { now: 0, random: 0, tried: &[], key: Some(key) };
    place(choice.pick(PLAIN, &AtomicUsize::new(0), &ask).unwrap())
}

fn owners(members: &[Member], keys: u64) -> Vec<usize> {
    let choice = choice(members);
    let mut random = fastrand::Rng::with_seed(7);
    (0..keys).map(|_| owner(&choice, random.u64(..))).collect()
}

#[test]
fn a_new_endpoint_takes_its_share_and_nothing_else_moves() {
    const KEYS: u64 = 20_000;
    for number in [1, 2, 3, 10, 100, 1_000] {
        let all = members(vec![1; number + 1]);
        let (before, after) = (owners(&all[..number], KEYS), owners(&all, KEYS));
        let moved: Vec<_> = before.iter().zip(&after).filter(|(old, new)| old != new).collect();
        assert!(moved.iter().all(|(_, new)| **new == number), "keys move to the new one only");
        let (moved, fair) =
            (f64::from(u32::try_from(moved.len()).unwrap()), 20_000.0 / f64::from(u32::try_from(number + 1).unwrap()));
        assert!(moved < fair * 1.6 && moved > fair * 0.4, "{moved} of a fair {fair:.0} at {number}");
    }
}

#[test]
fn the_keys_of_an_ejected_endpoint_spread_and_come_back() {
    let all = members(vec![1; 20]);
    let before = owners(&all, 20_000);
    all[7].endpoint.eject();
    let without = owners(&all, 20_000);
    assert!(before.iter().zip(&without).all(|(old, new)| if *old == 7 { *new != 7 } else { old == new }));
    let heirs: std::collections::BTreeSet<_> =
        before.iter().zip(&without).filter(|(old, _)| **old == 7).map(|(_, new)| *new).collect();
    assert!(heirs.len() > 12, "not all go to one neighbour: {heirs:?}");
    all[7].endpoint.restore(0, Duration::ZERO);
    assert_eq!(owners(&all, 20_000), before);
}

/// A tenth of the keys makes nine tenths of the requests; requests end in the order of their begin.
#[test]
fn no_endpoint_exceeds_its_bound_however_uneven_the_keys() {
    for (bound, endpoints, flying) in [(101, 5, 400), (125, 10, 1_000), (150, 40, 2_000), (200, 64, 900), (125, 3, 20)]
    {
        let balance = Balance::Hash { bound: Some(bound), subset: 1 };
        let (members, mut random) = (members(vec![1; endpoints]), fastrand::Rng::with_seed(bound.into()));
        let (choice, turn) = (choice(&members), AtomicUsize::new(0));
        let mut in_flight = std::collections::VecDeque::new();
        for _ in 0..5_000 {
            let key = if random.u8(..10) == 0 { random.u64(..) } else { random.u64(..5) };
            let ask = Ask { now: 0, random: random.u64(..), tried: &[], key: Some(key) };
            let endpoint = choice.pick(balance, &turn, &ask).unwrap();
            in_flight.push_back(endpoint);
            endpoint.begin(0);
            let number = u64::try_from(in_flight.len()).unwrap();
            let most = (number * u64::from(bound)).div_ceil(100 * u64::try_from(endpoints).unwrap());
            let has = u64::from(endpoint.in_flight());
            assert!(has <= most.max(QUIET.into()), "{has} of {number} in flight, {bound} % of {endpoints}");
            if in_flight.len() >= flying {
                in_flight.pop_front().unwrap().end();
            }
        }
    }
}
