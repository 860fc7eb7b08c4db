//! Endpoints to choose from, and all ways to choose.
use std::net::SocketAddr;
use std::sync::Arc;

use features::Balance;
use gateway::balance::{Choice, Endpoint, Member, Members};

/// Every algorithm.
pub(crate) const ALL: [Balance; 8] = [
    Balance::RoundRobin,
    Balance::Random,
    Balance::LeastRequests,
    Balance::PeakEwma,
    Balance::Hash { bound: None, subset: 1 },
    Balance::Hash { bound: Some(125), subset: 1 },
    Balance::Hash { bound: None, subset: 3 },
    Balance::Sticky { persistent: true },
];

/// One ready endpoint for each weight, at 10.0.0.0 and the addresses after it.
pub(crate) fn members(weights: impl IntoIterator<Item = u16>) -> Vec<Member> {
    let endpoint = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        Arc::new(Endpoint::new(SocketAddr::from(([10, a, b, c], 80))))
    };
    let member = |(number, weight)| Member { endpoint: endpoint(number), weight, draining: false, near: true };
    (0..).zip(weights).map(member).collect()
}

/// What requests choose from.
pub(crate) fn choice(members: &[Member]) -> Choice {
    Choice::new(Arc::new(Members::new(members, &Members::default())), 0, 50)
}

/// The place of an endpoint among the members.
pub(crate) fn place(endpoint: &Endpoint) -> usize {
    let std::net::IpAddr::V4(address) = endpoint.address().ip() else { panic!("an address of this file") };
    usize::try_from(u32::from(address) & 0x00ff_ffff).unwrap()
}
