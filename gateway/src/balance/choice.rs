//! What requests of a cluster choose from: an immutable list that is made anew when an endpoint comes, goes or changes sides.
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use features::Balance;

use super::group::has_room;
use super::hash::{self, below, mix};
use super::{Ask, Endpoint, Group, Ring};

/// Requests in flight below which nobody is considered busy: stickiness and closeness are worth more.
const QUIET: u32 = 8;

/// While the endpoints of the own zone that work are at least 1 / 1.4 of all of them, they take everything.
const HEADROOM: f32 = 1.4;

/// An endpoint as a cluster has it.
#[derive(Clone, Debug)]
pub struct Member {
    /// The endpoint, shared with other clusters.
    pub endpoint: Arc<Endpoint>,
    /// Its share of the requests, relative to the others.
    pub weight: u16,
    /// It gets requests only when all others drain as well.
    pub draining: bool,
    /// It should serve the gateway's own zone.
    pub near: bool,
}

/// What hashing chooses from.
#[derive(Debug)]
struct Circle {
    /// Ordered by identity, so that the neighbours of an endpoint are the same in every replica and others than its
    /// neighbours by address, which may run on the same node.
    endpoints: Box<[Arc<Endpoint>]>,
    ring: Ring,
}

impl Circle {
    fn new(members: &[Arc<Endpoint>]) -> Self {
        let mut endpoints: Box<[_]> = members.into();
        endpoints.sort_by_cached_key(|endpoint| hash::endpoint(endpoint.address()));
        let ring = Ring::new(&endpoints);
        Self { endpoints, ring }
    }
}

/// The endpoints of a cluster that may get requests: the ready ones, or else those that drain.
#[derive(Debug, Default)]
pub struct Members {
    list: Box<[Member]>,
    endpoints: Box<[Arc<Endpoint>]>,
    /// Made when a rule first asks for it.
    circle: OnceLock<Circle>,
    /// Identities and indices, sorted; made when a rule first asks for it.
    identities: OnceLock<Box<[(u64, u32)]>>,
}

impl Members {
    /// Leaves those out that drain, unless all do. What hashing needs is made here when `before` had it, so that no
    /// request waits for it.
    #[must_use]
    pub fn new(all: &[Member], before: &Self) -> Self {
        let wanted = all.iter().all(|member| member.draining);
        let list: Box<[Member]> = all.iter().filter(|member| member.draining == wanted).cloned().collect();
        let endpoints = list.iter().map(|member| member.endpoint.clone()).collect();
        let this = Self { list, endpoints, circle: OnceLock::new(), identities: OnceLock::new() };
        if before.circle.get().is_some() {
            this.circle();
        }
        if before.identities.get().is_some() {
            this.identities();
        }
        this
    }

    /// The members.
    #[must_use]
    pub fn list(&self) -> &[Member] {
        &self.list
    }

    fn circle(&self) -> &Circle {
        self.circle.get_or_init(|| Circle::new(&self.endpoints))
    }

    fn identities(&self) -> &[(u64, u32)] {
        self.identities.get_or_init(|| {
            let identity = |(index, endpoint): (u32, &Arc<Endpoint>)| (hash::endpoint(endpoint.address()), index);
            let mut list: Box<[_]> = (0..).zip(&self.endpoints).map(identity).collect();
            list.sort_unstable();
            list
        })
    }
}

/// The members and which of them are in the rotation.
#[derive(Debug, Default)]
pub struct Choice {
    members: Arc<Members>,
    near: Group,
    /// Endpoints that should serve other zones.
    far: Group,
    /// The share of requests that stays in the own zone.
    near_share: f32,
    panic: bool,
    /// Requests in flight with which an endpoint gets no more; 0 for no limit.
    most: u32,
}

impl Choice {
    /// Leaves out what is ejected, unless that is more than `max_percent` of the members, or all of them: then all are used.
    #[must_use]
    pub fn new(members: Arc<Members>, now: u64, max_percent: u8) -> Self {
        let list = members.list();
        let out = list.iter().filter(|member| member.endpoint.is_out()).count();
        let panic = out * 100 > list.len() * usize::from(max_percent.min(99));
        let group = |near: bool| {
            let takes = |member: &&Member| member.near == near && (panic || !member.endpoint.is_out());
            let chosen: Vec<_> = list.iter().filter(takes).map(|m| (m.endpoint.clone(), m.weight)).collect();
            Group::new(&chosen, now, panic)
        };
        let (near, far) = (group(true), group(false));
        let all_near = list.iter().filter(|member| member.near).count();
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let near_share = match (near.is_empty(), far.is_empty()) {
            (true, _) => 0.0,
            (_, true) => 1.0,
            _ => HEADROOM * near.iter().count() as f32 / all_near as f32,
        };
        Self { members, near, far, near_share, panic, most: 0 }
    }

    /// Endpoints with so many requests in flight are not chosen; 0 for no limit.
    #[must_use]
    pub fn limited(self, most: u32) -> Self {
        Self { near: self.near.limited(most), far: self.far.limited(most), most, ..self }
    }

    /// Requests in flight with which an endpoint gets no more; 0 for no limit.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.most
    }

    /// The endpoints of the own zone, or those of others.
    pub(super) fn group(&self, near: bool) -> &Group {
        if near { &self.near } else { &self.far }
    }

    /// The members it was made from.
    #[must_use]
    pub fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// Are more endpoints ejected than may be, so that all are used?
    #[must_use]
    pub fn panics(&self) -> bool {
        self.panic
    }

    /// Chooses an endpoint that was not tried; rather one in the rotation than none. `turn` counts the turns of all.
    pub fn pick(&self, balance: Balance, turn: &AtomicUsize, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        match balance {
            Balance::Hash { bound, subset } => self.hashed(bound, usize::from(subset), turn, ask),
            Balance::Sticky { persistent } => self.sticky(persistent, turn, ask),
            Balance::RoundRobin => self.by_zone(ask, |group| group.in_turn(turn.fetch_add(1, Relaxed), ask)),
            Balance::Random => self.by_zone(ask, |group| group.at_random(ask)),
            Balance::LeastRequests => self.by_zone(ask, |group| group.least_requests(ask)),
            Balance::PeakEwma => self.by_zone(ask, |group| group.peak_ewma(ask)),
        }
    }

    /// Is there an endpoint that was not tried?
    #[must_use]
    pub fn has_untried(&self, tried: &[std::net::SocketAddr]) -> bool {
        self.members.endpoints.iter().any(|endpoint| !tried.contains(&endpoint.address()))
    }

    fn by_zone<'s>(
        &'s self,
        ask: &Ask<'_>,
        choose: impl Fn(&'s Group) -> Option<&'s Arc<Endpoint>>,
    ) -> Option<&'s Arc<Endpoint>> {
        if self.far.is_empty() {
            return choose(&self.near);
        }
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let chance = (mix(ask.random) >> 40) as f32 / (1u32 << 24) as f32;
        let (first, other) = if chance < self.near_share { (&self.near, &self.far) } else { (&self.far, &self.near) };
        let chosen = choose(first).or_else(|| choose(other))?;
        Some(self.spill(chosen, ask).unwrap_or(chosen))
    }

    /// Another zone's endpoint takes over when the chosen one has more than twice as many requests in flight.
    fn spill(&self, chosen: &Endpoint, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        let load = chosen.in_flight();
        if load <= QUIET {
            return None;
        }
        let ask = Ask { random: mix(ask.random ^ 1), ..*ask };
        self.far.at_random(&ask).filter(|other| load > other.in_flight().saturating_mul(2).saturating_add(QUIET))
    }

    fn hashed(&self, bound: Option<u16>, size: usize, turn: &AtomicUsize, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        let Some(key) = ask.key else { return self.pick(Balance::RoundRobin, turn, ask) };
        if size > 1 {
            return self.subset(key, size, ask).or_else(|| self.untried(key, ask));
        }
        let mut usable = self.from(key).filter(|endpoint| self.may(endpoint, ask));
        let Some(first) = usable.next() else { return self.untried(key, ask) };
        let Some(bound) = bound.filter(|_| first.in_flight() >= QUIET) else { return Some(first) };
        let limit = self.most_load(bound, ask);
        let fits = |endpoint: &&Arc<Endpoint>| u64::from(endpoint.in_flight()) < limit;
        if fits(&first) { Some(first) } else { usable.find(fits).or(Some(first)) }
    }

    fn sticky(&self, persistent: bool, turn: &AtomicUsize, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        let Some(key) = ask.key else { return self.pick(Balance::RoundRobin, turn, ask) };
        if !persistent {
            let usable = self.from(key).find(|endpoint| self.may(endpoint, ask));
            return usable.or_else(|| self.untried(key, ask));
        }
        let bound = self.named(key).filter(|endpoint| self.may(endpoint, ask));
        bound.or_else(|| self.pick(Balance::RoundRobin, turn, ask))
    }

    /// The endpoint of an identity ([`hash::endpoint`]).
    #[must_use]
    pub fn named(&self, identity: u64) -> Option<&Arc<Endpoint>> {
        let identities = self.members.identities();
        let place = identities.binary_search_by_key(&identity, |(identity, _)| *identity).ok()?;
        let (_, index) = identities.get(place)?;
        self.members.endpoints.get(*index as usize)
    }

    fn from(&self, key: u64) -> impl Iterator<Item = &Arc<Endpoint>> {
        let circle = self.members.circle();
        circle.ring.from(key).filter_map(|index| circle.endpoints.get(index))
    }

    /// A random one of a key's endpoint and those that follow it on the circle.
    fn subset(&self, key: u64, size: usize, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        let circle = self.members.circle();
        let all = &*circle.endpoints;
        let start = circle.ring.from(key).next()?;
        #[expect(clippy::cast_possible_truncation, reason = "half of the number is what is wanted")]
        let random = ask.random as u32;
        let at = start + below(random, size.min(all.len()));
        let chosen = all.get(at).or_else(|| all.get(at.checked_sub(all.len())?))?;
        if self.may(chosen, ask) { Some(chosen) } else { self.subset_of_usable(all, start, size, ask) }
    }

    /// Those that follow take the places of those that cannot be used.
    #[cold]
    fn subset_of_usable<'e>(
        &self,
        all: &'e [Arc<Endpoint>],
        start: usize,
        size: usize,
        ask: &Ask<'_>,
    ) -> Option<&'e Arc<Endpoint>> {
        let (before, after) = all.split_at_checked(start)?;
        let usable = || after.iter().chain(before).filter(|endpoint| self.may(endpoint, ask)).take(size);
        #[expect(clippy::cast_possible_truncation, reason = "half of the number is what is wanted")]
        let index = below(mix(ask.random) as u32, usable().count());
        usable().nth(index)
    }

    fn may(&self, endpoint: &Endpoint, ask: &Ask<'_>) -> bool {
        ((self.panic && ask.tried.is_empty()) || !endpoint.is_out())
            && !ask.tried.contains(&endpoint.address())
            && has_room(endpoint, self.most)
    }

    #[cold]
    fn untried(&self, key: u64, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        // While the others merely have enough to do, an endpoint that is out stays out.
        let last = |endpoint: &Endpoint| self.most == 0 || (self.panic && has_room(endpoint, self.most));
        self.from(key).find(|endpoint| !ask.tried.contains(&endpoint.address()) && last(endpoint))
    }

    /// A bound in percent of what each endpoint would have in flight if all had the same, this request included; of many
    /// endpoints, some are looked at.
    fn most_load(&self, bound: u16, ask: &Ask<'_>) -> u64 {
        let all = &self.members.endpoints;
        let (number, step) = if all.len() <= 64 { (all.len(), 1) } else { (32, all.len() / 32) };
        #[expect(clippy::cast_possible_truncation, reason = "half of the number is what is wanted")]
        let start = below(ask.random as u32, all.len());
        let load = |at: usize| all.get((start + at * step) % all.len().max(1)).map_or(0, |e| u64::from(e.in_flight()));
        let sum: u64 = (0..number).map(load).sum();
        ((sum + 1) * u64::from(bound)).div_ceil(100 * number.max(1) as u64)
    }
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
