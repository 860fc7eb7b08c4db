//! Clusters that no one would make on purpose: nothing divides by zero, nothing starves.
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use features::Balance;
use gateway::balance::{Ask, Choice, Member, Members};

use crate::cluster::{ALL, choice, members, place};

/// How often each of so many endpoints is chosen, with a new key each time.
fn counts(choice: &Choice, balance: Balance, endpoints: usize, requests: u64) -> Vec<u64> {
    let (mut counts, turn) = (vec![0; endpoints], AtomicUsize::new(0));
    for number in 0..requests {
        let random = features::hash::mix(number);
        let ask = Ask { now: 0, random, tried: &[], key: Some(random) };
        counts[place(choice.pick(balance, &turn, &ask).unwrap())] += 1;
    }
    counts
}

/// Sessions that name no endpoint are bound in turn; everybody else chooses by itself.
fn all_get_something(members: &[Member], max_percent: u8) {
    let choice = Choice::new(Arc::new(Members::new(members, &Members::default())), 0, max_percent);
    for balance in ALL {
        let number = members.len();
        let counts = counts(&choice, balance, number, 40 * u64::try_from(number).unwrap());
        assert!(counts.iter().all(|count| *count > 0), "{balance:?}: {counts:?}");
    }
}

#[test]
fn weights_of_0_everywhere_count_the_same() {
    for number in [1, 2, 7] {
        all_get_something(&members(vec![0; number]), 50);
        let choice = choice(&members(vec![0; number]));
        let shares = counts(&choice, Balance::RoundRobin, number, 7 * u64::try_from(number).unwrap());
        assert_eq!(shares, vec![7; number]);
    }
}

#[test]
fn when_all_are_ejected_all_are_used_whatever_the_share_that_may_be() {
    for max_percent in [0, 1, 50, 90, 100, u8::MAX] {
        let members = members(vec![1; 5]);
        assert!(members.iter().all(|member| member.endpoint.eject()));
        all_get_something(&members, max_percent);
    }
}

#[test]
fn when_all_start_slowly_all_requests_are_served() {
    let members = members(vec![1; 5]);
    members.iter().for_each(|member| member.endpoint.start_slowly(0, Duration::from_secs(900)));
    all_get_something(&members, 50);
}

#[test]
fn the_heaviest_beside_the_lightest_leaves_it_something() {
    let choice = choice(&members([u16::MAX, 1]));
    for balance in ALL {
        assert!(counts(&choice, balance, 2, 40_000)[1] > 0, "{balance:?}");
    }
}

#[test]
fn nothing_starves_among_ten_thousand() {
    let members = members(vec![1; 10_000]);
    let choice = choice(&members);
    assert_eq!(counts(&choice, Balance::RoundRobin, 10_000, 20_000), vec![2; 10_000]);
    for balance in [Balance::Random, Balance::LeastRequests, Balance::PeakEwma] {
        let counts = counts(&choice, balance, 10_000, 200_000);
        assert!(counts.iter().all(|count| *count > 0), "{balance:?}");
    }
    for balance in [Balance::Hash { bound: Some(125), subset: 1 }, Balance::Hash { bound: None, subset: 16 }] {
        let used = counts(&choice, balance, 10_000, 200_000).iter().filter(|count| **count > 0).count();
        assert!(used > 9_900, "{balance:?}: {used}");
    }
}
