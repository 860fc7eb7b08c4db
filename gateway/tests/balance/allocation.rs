//! Choosing an endpoint allocates nothing: the counting allocator of this binary proves it.
use std::hint::black_box;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use allocation_counter::measure;
use gateway::balance::{Ask, Choice};

use crate::cluster::{ALL, choice, members};

/// Allocations while each algorithm chooses a few hundred times; what hashing needs is made before.
fn allocations(choice: &Choice, tried: &[std::net::SocketAddr]) -> Vec<u64> {
    let turn = AtomicUsize::new(0);
    let pick = |balance, number: u64| {
        let random = features::hash::mix(number);
        let ask = Ask { now: number, random, tried, key: Some(number % 50) };
        black_box(choice.pick(balance, &turn, &ask).is_some());
    };
    ALL.iter()
        .map(|balance| {
            pick(*balance, 0);
            measure(|| (0..300).for_each(|number| pick(*balance, number))).count_total
        })
        .collect()
}

#[test]
fn choosing_does_not_allocate() {
    for number in [1, 2, 10, 1_000] {
        let members = members((0..number).map(|weight| 1 + weight % 3));
        assert_eq!(allocations(&choice(&members), &[]), [0; ALL.len()]);
        // Neither while some are out, have been tried or start slowly.
        members[0].endpoint.eject();
        let last = &members.last().unwrap().endpoint;
        last.start_slowly(0, Duration::from_secs(10));
        let tried = members[usize::from(number) / 2].endpoint.address();
        assert_eq!(allocations(&choice(&members), &[tried]), [0; ALL.len()]);
    }
}
