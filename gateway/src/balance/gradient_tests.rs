//! The algorithm on simulated servers: seeded, without a clock.
use super::*;

const BOUNDS: Bounds = Bounds { min: 3, max: 1_000 };

/// A period in milliseconds.
const PERIOD: u64 = 100;

/// Servers that work on so many requests at a time, each for so long; further ones wait there.
#[derive(Clone, Copy)]
struct Servers {
    capacity: f64,
    micros: f64,
}

impl Servers {
    /// A period in which clients always have more requests than may be in flight.
    fn period(self, limit: u32, demand: u32, random: &mut fastrand::Rng) -> Sample {
        let in_flight = f64::from(limit.min(demand));
        let latency = self.micros * (in_flight / self.capacity).max(1.0);
        let answers = in_flight * 1_000.0 * 100.0 / latency;
        let noise = 0.95 + 0.1 * random.f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small in every test")]
        let answers = answers as u32;
        Sample { answers, median: latency * noise, in_flight: limit.min(demand) }
    }
}

/// Runs for so many periods and returns the limits.
fn run(
    gradient: &mut Gradient,
    servers: Servers,
    demand: u32,
    periods: u64,
    now: &mut u64,
    random: &mut fastrand::Rng,
) -> Vec<u32> {
    (0..periods)
        .map(|_| {
            *now += PERIOD;
            let sample = servers.period(gradient.limit(), demand, random);
            gradient.learn(sample, *now, random.u64(..));
            gradient.limit()
        })
        .collect()
}

#[test]
fn the_limit_settles_between_the_capacity_and_twice_of_it() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let servers = Servers { capacity: f64::from(random.u32(6..400)), micros: f64::from(random.u32(500..50_000)) };
        let (mut gradient, mut now) = (Gradient::new(BOUNDS, 0), 0);
        run(&mut gradient, servers, 10_000, 600, &mut now, &mut random);
        // Two more minutes, with a measurement or two: never far away for long.
        let limits = run(&mut gradient, servers, 10_000, 1_200, &mut now, &mut random);
        let settled = limits.iter().filter(|limit| {
            let limit = f64::from(**limit);
            limit >= servers.capacity * 0.9 && limit <= servers.capacity * 2.0
        });
        let (settled, capacity) = (settled.count(), servers.capacity);
        assert!(settled >= 1_100, "seed {seed}: {settled} of 1200 at capacity {capacity}: {:?}", &limits[..50]);
    }
}

#[test]
fn it_recovers_after_a_slow_phase() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let servers = Servers { capacity: 40.0, micros: 10_000.0 };
        let (mut gradient, mut now) = (Gradient::new(BOUNDS, 0), 0);
        run(&mut gradient, servers, 10_000, 600, &mut now, &mut random);
        let before = gradient.limit();
        let slow = Servers { capacity: 4.0, micros: 40_000.0 };
        let limits = run(&mut gradient, slow, 10_000, 300, &mut now, &mut random);
        assert!(limits[20..].iter().all(|limit| *limit <= 16), "seed {seed}: {:?}", &limits[..30]);
        let limits = run(&mut gradient, servers, 10_000, 100, &mut now, &mut random);
        let back = limits.iter().position(|limit| f64::from(*limit) >= 0.9 * f64::from(before.min(40)));
        assert!(back.is_some_and(|periods| periods <= 60), "seed {seed}: {limits:?}");
    }
}

#[test]
fn it_stays_within_its_bounds_whatever_it_sees() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let bounds = Bounds { min: random.u32(0..10), max: random.u32(0..100) };
        let (mut gradient, mut now) = (Gradient::new(bounds, 0), 0);
        let min = bounds.min.max(1);
        for _ in 0..2_000 {
            now += random.u64(0..5_000);
            let median = if random.bool() { random.f64() * 1e7 } else { 0.0 };
            let sample = Sample { answers: random.u32(0..1_000), median, in_flight: random.u32(0..200) };
            gradient.learn(sample, now, random.u64(..));
            let limit = gradient.limit();
            assert!(limit >= min && limit <= bounds.max.max(min), "seed {seed}: {limit} outside of {bounds:?}");
        }
    }
}

#[test]
fn a_limit_that_is_not_used_does_not_grow() {
    let mut random = fastrand::Rng::with_seed(1);
    let servers = Servers { capacity: 100.0, micros: 1_000.0 };
    let (mut gradient, mut now) = (Gradient::new(BOUNDS, 0), 0);
    let limits = run(&mut gradient, servers, 2, 3_000, &mut now, &mut random);
    assert!(limits.iter().all(|limit| *limit <= 9), "{:?}", limits.iter().max());
}

#[test]
fn without_answers_a_measurement_ends_with_what_was_known() {
    let mut random = fastrand::Rng::with_seed(1);
    let servers = Servers { capacity: 50.0, micros: 1_000.0 };
    let (mut gradient, mut now) = (Gradient::new(BOUNDS, 0), 0);
    run(&mut gradient, servers, 1_000, 300, &mut now, &mut random);
    let (limit, baseline) = (gradient.limit(), gradient.baseline());
    let stuck = Sample { answers: 0, median: 0.0, in_flight: 500 };
    for _ in 0..1_000 {
        now += PERIOD;
        gradient.learn(stuck, now, 0);
    }
    assert_eq!((gradient.limit(), gradient.baseline()), (limit, baseline));
}
