//! Endpoints that are chosen from by turn or by chance.
use std::sync::Arc;

use super::hash::{below, mix};
use super::{Ask, Endpoint};

/// The most places of a weighted order; larger sums of weights are scaled down to about it.
const PLACES: u64 = 8_192;

/// Makes a third number of a random one.
const THIRD: u64 = 3;

/// Endpoints with weights, chosen from without looking at all of them.
#[derive(Debug, Default)]
pub struct Group {
    endpoints: Box<[Arc<Endpoint>]>,
    /// The order of turns as indices, when weights differ.
    order: Option<Box<[u32]>>,
    /// Some are in slow start.
    slow: bool,
    /// Endpoints that are out of the rotation are chosen as well.
    with_out: bool,
    /// Requests in flight with which an endpoint gets no more; 0 for no limit.
    most: u32,
}

impl Group {
    /// Endpoints with their weights. Those of weight 0 get nothing, unless all have 0: then all count the same.
    /// `with_out` also chooses endpoints that are out of the rotation.
    #[must_use]
    pub fn new(members: &[(Arc<Endpoint>, u16)], now: u64, with_out: bool) -> Self {
        let idle = members.iter().all(|(_, weight)| *weight == 0);
        let members: Vec<_> = members.iter().filter(|(_, weight)| idle || *weight > 0).collect();
        let weights: Vec<u16> = members.iter().map(|(_, weight)| if idle { 1 } else { *weight }).collect();
        Self {
            slow: members.iter().any(|(endpoint, _)| endpoint.share(now) < 1.0),
            order: order(&weights),
            endpoints: members.into_iter().map(|(endpoint, _)| endpoint.clone()).collect(),
            with_out,
            most: 0,
        }
    }

    /// Endpoints with so many requests in flight are not chosen; 0 for no limit.
    #[must_use]
    pub fn limited(self, most: u32) -> Self {
        Self { most, ..self }
    }

    /// Is there nothing to choose?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// The endpoints that can be chosen.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.iter()
    }

    /// The endpoint whose turn it is.
    pub fn in_turn(&self, turn: usize, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        let first = self.at(turn)?;
        if self.takes(first, ask, turn) { Some(first) } else { self.search(turn, ask) }
    }

    /// A random endpoint.
    pub fn at_random(&self, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        self.in_turn(below(low(ask.random), self.places()), ask)
    }

    /// Of two random endpoints the one with fewer requests in flight.
    pub fn least_requests(&self, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        self.better(ask, |one, other| one.in_flight() <= other.in_flight())
    }

    /// Of three random endpoints the one that costs least. An endpoint that never answered is as good as another one when
    /// it has no more requests in flight. With only two, one request of 64 would meet two slow ones where one endpoint of
    /// eight is slow: more than the hundredth that a 99th percentile forgives.
    pub fn peak_ewma(&self, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        let drawn = three(ask.random, self.places());
        let mut best: Option<(&Arc<Endpoint>, Cost)> = None;
        for place in drawn {
            let Some(endpoint) = self.at(place).filter(|endpoint| self.takes(endpoint, ask, place)) else { continue };
            let cost = Cost::of(endpoint, ask.now);
            if best.as_ref().is_none_or(|(_, best)| cost.is_less_than(best)) {
                best = Some((endpoint, cost));
            }
        }
        best.map(|(endpoint, _)| endpoint).or_else(|| self.search(drawn[0], ask))
    }

    fn better(&self, ask: &Ask<'_>, is_better: impl Fn(&Endpoint, &Endpoint) -> bool) -> Option<&Arc<Endpoint>> {
        let places = self.places();
        if places < 2 {
            return self.in_turn(0, ask);
        }
        let (first, second) = two(ask.random, places);
        let (one, other) = (self.at(first)?, self.at(second)?);
        match (self.takes(one, ask, first), self.takes(other, ask, second)) {
            (true, true) if is_better(one, other) => Some(one),
            (_, true) => Some(other),
            (true, false) => Some(one),
            (false, false) => self.search(first, ask),
        }
    }

    /// The first few that a choice of the best one looks at, three at most.
    pub(super) fn drawn(&self, ask: &Ask<'_>, number: usize) -> impl Iterator<Item = &Arc<Endpoint>> {
        let drawn = three(ask.random, self.places()).into_iter().take(number);
        drawn.filter_map(|place| self.at(place))
    }

    fn places(&self) -> usize {
        self.order.as_ref().map_or(self.endpoints.len(), |order| order.len())
    }

    fn at(&self, place: usize) -> Option<&Arc<Endpoint>> {
        let index = match &self.order {
            None => place.checked_rem(self.endpoints.len())?,
            Some(order) => *order.get(place.checked_rem(order.len())?)? as usize,
        };
        self.endpoints.get(index)
    }

    fn takes(&self, endpoint: &Endpoint, ask: &Ask<'_>, place: usize) -> bool {
        self.may(endpoint, ask) && (!self.slow || admits(endpoint, ask, place))
    }

    /// A request that has failed once goes to what is in the rotation, while there is something.
    fn may(&self, endpoint: &Endpoint, ask: &Ask<'_>) -> bool {
        ((self.with_out && ask.tried.is_empty()) || !endpoint.is_out())
            && !ask.tried.contains(&endpoint.address())
            && has_room(endpoint, self.most)
    }

    /// Any endpoint from a place on: rather one whose slow start admits the request, rather one in the rotation.
    #[cold]
    fn search(&self, from: usize, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        let places = self.places();
        let all = || (0..places).map(|step| from.wrapping_add(step)).filter_map(|place| Some((place, self.at(place)?)));
        let admitted = all().find(|(place, endpoint)| self.takes(endpoint, ask, *place));
        let usable = || all().find(|(_, endpoint)| self.may(endpoint, ask));
        // While the others merely have enough to do, an endpoint that is out stays out.
        let last = |endpoint: &Endpoint| self.most == 0 || (self.with_out && has_room(endpoint, self.most));
        let untried = || all().find(|(_, endpoint)| !ask.tried.contains(&endpoint.address()) && last(endpoint));
        admitted.or_else(usable).or_else(untried).map(|(_, endpoint)| endpoint)
    }
}

/// Has it fewer requests in flight than it may? 0 is no limit.
pub(super) fn has_room(endpoint: &Endpoint, most: u32) -> bool {
    most == 0 || endpoint.in_flight() < most
}

/// What one more request would cost at an endpoint.
struct Cost {
    cost: Option<f32>,
    in_flight: u32,
}

impl Cost {
    fn of(endpoint: &Endpoint, now: u64) -> Self {
        Self { cost: endpoint.cost(now), in_flight: endpoint.in_flight() }
    }

    fn is_less_than(&self, other: &Self) -> bool {
        match (self.cost, other.cost) {
            (Some(this), Some(other)) => this < other,
            _ => self.in_flight < other.in_flight,
        }
    }
}

/// Two different places; of one place, both.
fn two(random: u64, places: usize) -> (usize, usize) {
    let first = below(low(random), places);
    let second = below(high(random), places.saturating_sub(1));
    (first, second + usize::from(second >= first))
}

/// As [`two`], and a third place, which may be one of both.
fn three(random: u64, places: usize) -> [usize; 3] {
    let (first, second) = two(random, places);
    [first, second, below(low(mix(random ^ THIRD)), places)]
}

/// Does slow start let an endpoint have this request? By chance, so that its share is met.
fn admits(endpoint: &Endpoint, ask: &Ask<'_>, place: usize) -> bool {
    let share = endpoint.share(ask.now);
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
    let chance = (mix(ask.random ^ place as u64) >> 40) as f32 / (1u32 << 24) as f32;
    share >= 1.0 || chance < share
}

/// The lower half.
#[expect(clippy::cast_possible_truncation, reason = "half of the number is what is wanted")]
const fn low(random: u64) -> u32 {
    random as u32
}

/// The upper half.
const fn high(random: u64) -> u32 {
    low(random >> 32)
}

/// The order of turns in which each index stands as often as its weight says, spread as evenly as possible. `None` when all
/// weights are equal.
fn order(weights: &[u16]) -> Option<Box<[u32]>> {
    let first = weights.first()?;
    if weights.iter().all(|weight| weight == first) {
        return None;
    }
    let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, u64::from(*weight)));
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight) / divisor).sum();
    let scale = sum.div_ceil(PLACES.max(weights.len() as u64)).max(1);
    let mut turns = Vec::new();
    for (index, weight) in (0u32..).zip(weights) {
        // Scaled down, no weight becomes nothing.
        let times = (u64::from(*weight) / divisor / scale).max(1);
        // One place in each of its equal parts of the round; where in the part differs by endpoint (multiples of the golden
        // ratio), so that endpoints of equal weight do not stand together.
        let phase = u64::from(index.wrapping_mul(0x9e37_79b9));
        turns.extend((0..times).map(|time| (((time << 32) + phase) / times, index)));
    }
    turns.sort_unstable();
    Some(turns.into_iter().map(|(_, index)| index).collect())
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::time::Duration;

    pub(crate) fn members(weights: &[u16]) -> Vec<(Arc<Endpoint>, u16)> {
        let address = |port: usize| SocketAddr::from(([10, 0, 0, 1], u16::try_from(port + 1).unwrap()));
        let endpoint = |(index, weight): (usize, &u16)| (Arc::new(Endpoint::new(address(index))), *weight);
        weights.iter().enumerate().map(endpoint).collect()
    }

    fn ask(random: u64) -> Ask<'static> {
        Ask { now: 0, random, tried: &[], key: None }
    }

    fn turns(group: &Group, number: usize) -> Vec<u16> {
        (0..number).map(|turn| group.in_turn(turn, &ask(0)).unwrap().address().port()).collect()
    }

    #[test]
    fn equal_weights_take_turns() {
        let group = Group::new(&members(&[5, 5, 5]), 0, false);
        assert_eq!(turns(&group, 6), [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn weights_are_met_smoothly() {
        let group = Group::new(&members(&[5, 1, 1]), 0, false);
        let turns = turns(&group, 7);
        assert_eq!([1, 2, 3].map(|port| turns.iter().filter(|turn| **turn == port).count()), [5, 1, 1]);
        let longest = turns.chunk_by(|a, b| a == b).map(<[u16]>::len).max();
        assert!(longest <= Some(3), "{turns:?}");
    }

    #[test]
    fn weight_0_gets_nothing_unless_all_have_it() {
        assert_eq!(turns(&Group::new(&members(&[0, 1]), 0, false), 2), [2, 2]);
        assert_eq!(turns(&Group::new(&members(&[0, 0]), 0, false), 2), [1, 2]);
        assert!(Group::new(&[], 0, false).in_turn(0, &ask(0)).is_none());
    }

    #[test]
    fn huge_weights_make_no_huge_order() {
        let order = order(&[65_535, 65_534, 1]).unwrap();
        assert!(order.len() <= 8_194, "{}", order.len());
        assert!(order.contains(&2));
    }

    #[test]
    fn what_was_tried_or_is_out_is_passed_over() {
        let members = members(&[1, 1, 1]);
        let group = Group::new(&members, 0, false);
        members[0].0.eject();
        let tried = [members[1].0.address()];
        for random in 0..50 {
            let ask = Ask { tried: &tried, ..ask(mix(random)) };
            for chosen in [group.in_turn(0, &ask), group.least_requests(&ask), group.at_random(&ask)] {
                assert_eq!(chosen.unwrap().address().port(), 3);
            }
        }
    }

    #[test]
    fn an_ejected_endpoint_serves_rather_than_none() {
        let members = members(&[1, 1]);
        let group = Group::new(&members, 0, false);
        assert!(members.iter().all(|(endpoint, _)| endpoint.eject()));
        assert!(group.in_turn(0, &ask(0)).is_some() && group.peak_ewma(&ask(0)).is_some());
    }

    #[test]
    fn an_endpoint_at_its_limit_gets_nothing_and_one_that_is_out_does_not_help() {
        let members = members(&[1, 1, 1]);
        let group = Group::new(&members, 0, false).limited(1);
        members[0].0.enter();
        members[1].0.eject();
        for random in 0..50 {
            let ask = ask(mix(random));
            for chosen in [group.in_turn(0, &ask), group.least_requests(&ask), group.peak_ewma(&ask)] {
                assert_eq!(chosen.unwrap().address().port(), 3);
            }
        }
        members[2].0.enter();
        assert!(group.in_turn(0, &ask(0)).is_none() && group.at_random(&ask(1)).is_none());
        members[0].0.end();
        assert_eq!(group.in_turn(1, &ask(0)).unwrap().address().port(), 1);
    }

    #[test]
    fn slow_start_meets_its_share() {
        let members = members(&[1, 1]);
        members[1].0.start_slowly(0, Duration::from_secs(10));
        let group = Group::new(&members, 0, false);
        let choose = |turn: u64| {
            let ask = Ask { now: 5_000, ..ask(mix(turn)) };
            group.in_turn(usize::try_from(turn).unwrap(), &ask).unwrap().address().port()
        };
        let mut counts = BTreeMap::new();
        (0..10_000).for_each(|turn| *counts.entry(choose(turn)).or_insert(0) += 1);
        // Of its 5,000 turns it takes half.
        assert!((2_300..2_700).contains(&counts[&2]), "{counts:?}");
    }

    #[test]
    fn the_less_loaded_and_the_faster_are_preferred() {
        let members = members(&[1, 1]);
        let group = Group::new(&members, 0, false);
        members[0].0.begin(0);
        assert_eq!(group.least_requests(&ask(1)).unwrap().address().port(), 2);
        members[0].0.end();
        members[0].0.answered(100.0, 0);
        members[1].0.answered(1_000.0, 0);
        for random in 0..50 {
            assert_eq!(group.peak_ewma(&ask(mix(random))).unwrap().address().port(), 1);
        }
    }
}
