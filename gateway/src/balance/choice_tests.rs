//! Tests of zones, panic, hashing and affinity.
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

fn member(port: u16) -> Member {
    let endpoint = Arc::new(Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port))));
    Member { endpoint, weight: 1, draining: false, near: true }
}

fn all(number: u16) -> Vec<Member> {
    (1..=number).map(member).collect()
}

fn choice(members: &[Member]) -> Choice {
    Choice::new(Arc::new(Members::new(members, &Members::default())), 0, 50)
}

fn counts(choice: &Choice, balance: Balance, requests: u64, key: impl Fn(u64) -> Option<u64>) -> BTreeMap<u16, usize> {
    let turn = AtomicUsize::new(0);
    let mut counts = BTreeMap::new();
    for number in 0..requests {
        let ask = Ask { now: 0, random: mix(number), tried: &[], key: key(number) };
        let chosen = choice.pick(balance, &turn, &ask).unwrap();
        *counts.entry(chosen.address().port()).or_insert(0) += 1;
    }
    counts
}

fn hash(bound: Option<u16>, subset: u16) -> Balance {
    Balance::Hash { bound, subset }
}

#[test]
fn draining_members_serve_only_alone() {
    let mut members = all(2);
    members[0].draining = true;
    assert_eq!(counts(&choice(&members), Balance::RoundRobin, 10, |_| None), [(2, 10)].into());
    assert_eq!(counts(&choice(&members[..1]), Balance::RoundRobin, 10, |_| None), [(1, 10)].into());
}

#[test]
fn what_is_out_gets_nothing_until_too_much_is_out() {
    let members = all(4);
    members[0].endpoint.eject();
    members[1].endpoint.eject();
    let half = choice(&members);
    assert!(!half.panics());
    for balance in [Balance::RoundRobin, Balance::Random, Balance::LeastRequests, Balance::PeakEwma, hash(None, 1)] {
        let seen: BTreeSet<_> = counts(&half, balance, 100, Some).into_keys().collect();
        assert_eq!(seen, [3, 4].into(), "{balance:?}");
    }
    members[2].endpoint.eject();
    let most = choice(&members);
    assert!(most.panics());
    for balance in [Balance::RoundRobin, Balance::Random, Balance::LeastRequests, Balance::PeakEwma, hash(None, 1)] {
        assert_eq!(counts(&most, balance, 100, Some).len(), 4, "{balance:?}");
    }
}

#[test]
fn what_was_just_ejected_is_passed_over_before_the_list_is_made_anew() {
    let members = all(3);
    let choice = choice(&members);
    members[1].endpoint.eject();
    for balance in [Balance::RoundRobin, Balance::Random, Balance::LeastRequests, Balance::PeakEwma, hash(None, 1)] {
        assert!(!counts(&choice, balance, 60, Some).contains_key(&2), "{balance:?}");
    }
}

#[test]
fn the_own_zone_serves_until_it_lost_more_than_its_headroom() {
    let mut members = all(6);
    members[3..].iter_mut().for_each(|member| member.near = false);
    let near = |choice: &Choice| -> usize {
        let counts = counts(choice, Balance::RoundRobin, 3_000, |_| None);
        (1..=3).filter_map(|port| counts.get(&port)).sum()
    };
    assert_eq!(near(&choice(&members)), 3_000);
    members[0].endpoint.eject();
    let two_of_three = near(&choice(&members));
    assert!((2_650..2_950).contains(&two_of_three), "about 93 %: {two_of_three}");
    members[1].endpoint.eject();
    let one_of_three = near(&choice(&members));
    assert!((1_250..1_550).contains(&one_of_three), "about 47 %: {one_of_three}");
}

fn busy(member: &Member, requests: usize) {
    for _ in 0..requests {
        member.endpoint.begin(0);
    }
}

#[test]
fn a_busy_zone_spills_over() {
    let mut members = all(2);
    members[1].near = false;
    let choice = choice(&members);
    busy(&members[0], 8);
    assert_eq!(counts(&choice, Balance::RoundRobin, 10, |_| None), [(1, 10)].into());
    busy(&members[0], 3);
    assert_eq!(counts(&choice, Balance::LeastRequests, 10, |_| None), [(2, 10)].into());
}

#[test]
fn a_key_stays_and_comes_back_to_its_endpoint() {
    let members = all(5);
    let choice = choice(&members);
    let home = *counts(&choice, hash(None, 1), 50, |_| Some(7)).first_key_value().unwrap().0;
    assert_eq!(counts(&choice, hash(None, 1), 50, |_| Some(7)).len(), 1);
    let at_home = &members[usize::from(home) - 1].endpoint;
    at_home.eject();
    assert!(!counts(&choice, hash(None, 1), 50, |_| Some(7)).contains_key(&home));
    at_home.restore(0, std::time::Duration::ZERO);
    assert_eq!(counts(&choice, hash(None, 1), 50, |_| Some(7)), [(home, 50)].into());
}

#[test]
fn without_a_key_endpoints_take_turns() {
    assert_eq!(counts(&choice(&all(3)), hash(None, 1), 30, |_| None), [(1, 10), (2, 10), (3, 10)].into());
}

#[test]
fn a_bound_sends_the_surplus_of_a_hot_key_on() {
    let members = all(4);
    let choice = choice(&members);
    let turn = AtomicUsize::new(0);
    for number in 0..400 {
        let ask = Ask { now: 0, random: mix(number), tried: &[], key: Some(1) };
        choice.pick(hash(Some(125), 1), &turn, &ask).unwrap().begin(0);
    }
    let most = members.iter().map(|member| member.endpoint.in_flight()).max().unwrap();
    assert!((100..=126).contains(&most), "at most 125 % of 100: {most}");
}

#[test]
fn a_subset_has_its_size() {
    let choice = choice(&all(10));
    for key in 0..20 {
        let counts = counts(&choice, hash(None, 3), 300, |_| Some(key));
        assert_eq!(counts.len(), 3);
        assert!(counts.values().all(|count| *count > 50), "{counts:?}");
    }
    assert!(counts(&self::choice(&all(2)), hash(None, 3), 50, |_| Some(1)).len() == 2);
    assert_eq!(counts(&self::choice(&all(40)), hash(None, 30), 3_000, |_| Some(1)).len(), 30);
}

#[test]
fn a_subset_keeps_its_size_when_one_of_it_is_out() {
    let members = all(10);
    let before = counts(&choice(&members), hash(None, 3), 300, |_| Some(7));
    let gone = *before.keys().next().unwrap();
    let tried = members.iter().map(|member| member.endpoint.address()).find(|address| address.port() == gone).unwrap();
    let choice = choice(&members);
    let turn = AtomicUsize::new(0);
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..300 {
        let ask = Ask { now: 0, random: mix(number), tried: &[tried], key: Some(7) };
        seen.insert(choice.pick(hash(None, 3), &turn, &ask).unwrap().address().port());
    }
    assert!(seen.len() == 3 && !seen.contains(&gone), "{seen:?}");
    assert!(before.keys().filter(|port| seen.contains(port)).count() == 2, "the others stay: {before:?} {seen:?}");
}

fn sticky(persistent: bool) -> Balance {
    Balance::Sticky { persistent }
}

#[test]
fn a_persistent_session_stays_when_endpoints_come() {
    let few = all(3);
    let mut more = few.clone();
    more.extend((4..40).map(member));
    for port in 1..=3 {
        let identity = hash::endpoint(few[port - 1].endpoint.address());
        for members in [&few, &more] {
            let counts = counts(&choice(members), sticky(true), 20, |_| Some(identity));
            assert_eq!(counts, [(u16::try_from(port).unwrap(), 20)].into());
        }
    }
    assert_eq!(counts(&choice(&few), sticky(true), 30, |_| Some(1)).len(), 3, "an unknown identity is bound anew");
}

#[test]
fn a_balanced_session_stays_while_nothing_changes() {
    let choice = choice(&all(5));
    for key in 0..50 {
        assert_eq!(counts(&choice, sticky(false), 10, |_| Some(key)).len(), 1);
    }
}

#[test]
fn nothing_chooses_from_nothing() {
    let choice = choice(&[]);
    for balance in [Balance::RoundRobin, Balance::PeakEwma, hash(Some(125), 3), hash(None, 1), sticky(true)] {
        let ask = Ask { now: 0, random: 0, tried: &[], key: Some(1) };
        assert!(choice.pick(balance, &AtomicUsize::new(0), &ask).is_none());
    }
}
