//! What the choice of an endpoint came to, and why each other one lost: for the operator, by the code that chooses.
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use features::Balance;

use super::group::has_room;
use super::hash::mix;
use super::{Ask, Choice, Endpoint, Group, Member};

/// Choices that tell how requests are spread.
const SAMPLES: u32 = 1_000;

/// What became of one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// It was chosen.
    pub chosen: bool,
    /// Why, or why not.
    pub why: String,
    /// Its share of a thousand such requests, 0 to 1, as things are now.
    pub share: f64,
}

impl Choice {
    /// Chooses as for a request, and tells for each of `all` members of the cluster what became of it, in their order.
    #[must_use]
    pub fn explain(&self, balance: Balance, all: &[Member], ask: &Ask<'_>) -> Vec<Outcome> {
        let turn = AtomicUsize::new(0);
        let chosen = self.pick(balance, &turn, ask);
        let mut counts = vec![0_u32; all.len()];
        for number in 0..SAMPLES {
            let ask = Ask { random: mix(ask.random ^ u64::from(number)), ..*ask };
            let picked = self.pick(balance, &turn, &ask);
            let place = all.iter().position(|member| is(picked, &member.endpoint));
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count += 1;
            }
        }
        let tell = |(member, count): (&Member, u32)| {
            let wins = is(chosen, &member.endpoint);
            let why = if wins { self.why_chosen(balance, ask) } else { self.why_not(balance, member, chosen, ask) };
            Outcome { chosen: wins, why, share: f64::from(count) / f64::from(SAMPLES) }
        };
        all.iter().zip(counts).map(tell).collect()
    }

    fn why_chosen(&self, balance: Balance, ask: &Ask<'_>) -> String {
        let may = self.members().list().iter().filter(|member| self.obstacle(member, ask).is_none()).count();
        if may <= 1 {
            return "no other one may get it".to_owned();
        }
        match balance {
            Balance::RoundRobin => "its turn",
            Balance::Random => "drawn at random",
            Balance::LeastRequests => "of two that were drawn, none has fewer requests in flight",
            Balance::PeakEwma => "of three that were drawn, none costs less",
            Balance::Hash { .. } | Balance::Sticky { .. } if ask.key.is_none() => {
                "the request has no key, so it takes its turn"
            }
            Balance::Hash { .. } => "the key of the request belongs to it",
            Balance::Sticky { .. } => "the session belongs to it",
        }
        .to_owned()
    }

    fn why_not(&self, balance: Balance, member: &Member, chosen: Option<&Arc<Endpoint>>, ask: &Ask<'_>) -> String {
        if let Some(obstacle) = self.obstacle(member, ask) {
            return obstacle;
        }
        let share = member.endpoint.share(ask.now);
        let slow = if share < 1.0 { format!(", and in slow start at {:.0} %", share * 100.0) } else { String::new() };
        let winner = chosen.and_then(|chosen| self.members().list().iter().find(|one| is(Some(chosen), &one.endpoint)));
        if winner.is_some_and(|winner| winner.near && !member.near) {
            return format!("serves other zones{slow}");
        }
        let group = self.group(winner.is_none_or(|winner| winner.near));
        let lost = match balance {
            Balance::RoundRobin => "not its turn".to_owned(),
            Balance::Random => "not drawn".to_owned(),
            Balance::LeastRequests | Balance::PeakEwma => drawn(balance, group, member, chosen, ask),
            Balance::Hash { .. } | Balance::Sticky { .. } if ask.key.is_none() => "not its turn".to_owned(),
            Balance::Hash { .. } => "the key of the request belongs to another one".to_owned(),
            Balance::Sticky { .. } => "the session belongs to another one".to_owned(),
        };
        format!("{lost}{slow}")
    }

    /// Why an endpoint cannot be chosen, whatever the algorithm.
    fn obstacle(&self, member: &Member, ask: &Ask<'_>) -> Option<String> {
        let endpoint = &member.endpoint;
        let members = self.members().list();
        if !members.iter().any(|one| is(Some(endpoint), &one.endpoint)) {
            return Some("terminating, and others are ready".to_owned());
        }
        if ask.tried.contains(&endpoint.address()) {
            return Some("was tried already".to_owned());
        }
        if endpoint.is_out() && !self.panics() {
            return Some("ejected: it gets probes only, until one passes".to_owned());
        }
        if !has_room(endpoint, self.most()) {
            return Some(format!("at its limit of {} requests in flight", self.most()));
        }
        let weighs = members.iter().any(|member| member.weight > 0);
        (member.weight == 0 && weighs).then(|| "its weight is 0".to_owned())
    }
}

/// How an endpoint did among those that were drawn at random.
fn drawn(balance: Balance, group: &Group, member: &Member, chosen: Option<&Arc<Endpoint>>, ask: &Ask<'_>) -> String {
    let endpoint = &member.endpoint;
    let number = if balance == Balance::PeakEwma { 3 } else { 2 };
    let drawn = group.drawn(ask, number).any(|one| is(Some(one), endpoint));
    let Some(chosen) = chosen.filter(|_| drawn) else {
        return "not one of those that were drawn".to_owned();
    };
    match (balance, cost(endpoint, ask.now), cost(chosen, ask.now)) {
        (Balance::PeakEwma, Some(own), Some(other)) => {
            format!("was drawn, but costs {own} and {} {other}", chosen.address())
        }
        _ => {
            let (own, other) = (endpoint.in_flight(), chosen.in_flight());
            format!("was drawn, but has {own} requests in flight and {} {other}", chosen.address())
        }
    }
}

fn cost(endpoint: &Endpoint, now: u64) -> Option<String> {
    endpoint.cost(now).map(|micros| format!("{:.1} ms", micros / 1_000.0))
}

fn is(chosen: Option<&Arc<Endpoint>>, endpoint: &Arc<Endpoint>) -> bool {
    chosen.is_some_and(|chosen| Arc::ptr_eq(chosen, endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Members;
    use std::net::SocketAddr;

    fn member(port: u16) -> Member {
        let endpoint = Arc::new(Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port))));
        Member { endpoint, weight: 1, draining: false, near: true }
    }

    fn explain(balance: Balance, all: &[Member], most: u32) -> Vec<Outcome> {
        let choice = Choice::new(Arc::new(Members::new(all, &Members::default())), 0, 50).limited(most);
        choice.explain(balance, all, &Ask { now: 0, random: mix(1), tried: &[], key: None })
    }

    #[test]
    fn each_obstacle_is_named() {
        let all: Vec<_> = (1..=6).map(member).collect();
        all[0].endpoint.eject();
        all[1].endpoint.enter();
        let all: Vec<_> = all
            .into_iter()
            .enumerate()
            .map(|(index, one)| Member { draining: index == 2, weight: u16::from(index != 3), ..one })
            .collect();
        let told = explain(Balance::RoundRobin, &all, 1);
        for (index, part) in [(0, "ejected"), (1, "limit of 1"), (2, "terminating"), (3, "weight")] {
            assert!(told[index].why.contains(part) && told[index].share <= 0.0, "{:?}", told[index]);
        }
        assert_eq!(told.iter().filter(|one| one.chosen).count(), 1);
        assert!(told[4].share > 0.3 && told[5].share > 0.3);
    }

    #[test]
    fn of_those_that_were_drawn_the_loser_is_told_why() {
        let all: Vec<_> = (1..=2).map(member).collect();
        all[0].endpoint.assume_latency(50_000.0, 0);
        all[1].endpoint.assume_latency(2_000.0, 0);
        let told = explain(Balance::PeakEwma, &all, 0);
        assert_eq!(told[0].why, "was drawn, but costs 50.0 ms and 10.0.0.1:2 2.0 ms");
        assert!(told[1].chosen && told[1].share >= 0.9);
        let told = explain(Balance::LeastRequests, &all[..1], 0);
        assert_eq!(told[0].why, "no other one may get it");
    }
}
