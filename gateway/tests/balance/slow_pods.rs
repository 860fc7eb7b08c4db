//! What slow pods cost clients: clusters simulated in virtual time, with seeded arrivals, around the real choice.
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::AtomicUsize;

use features::Balance;
use gateway::balance::{Ask, Member};

use crate::cluster::{choice, members, place};

/// How long a request takes a pod.
#[derive(Clone, Copy, Debug)]
enum Work {
    Same,
    Exponential,
}

#[derive(Clone, Copy, Debug)]
struct Scene {
    pods: usize,
    /// Every so-manieth pod is ten times slower; 0 for none.
    slow: usize,
    work: Work,
    seed: u64,
}

/// Microseconds that a request takes a pod in the mean.
const MEAN: f64 = 20_000.0;

/// A slow pod takes so many times longer.
const SLOWER: f64 = 10.0;

/// The share of what healthy pods could do that is asked of them.
const LOAD: f64 = 0.4;

/// Requests of each pod in the mean, and how many of them only bring the cluster to its usual state.
const REQUESTS: usize = 200;
const WARM_UP: usize = 50;

/// One pod: one request at a time, the others wait in their order.
#[derive(Default)]
struct Pod {
    /// When the requests began that wait or are worked on.
    begun: VecDeque<u64>,
}

/// The 99th percentile of the latency in milliseconds.
fn p99(scene: Scene, balance: Balance) -> f64 {
    let mut latencies = run(scene, balance);
    let place = latencies.len() * 99 / 100;
    let (_, latency, _) = latencies.select_nth_unstable(place);
    f64::from(u32::try_from(*latency).unwrap()) / 1_000.0
}

fn run(scene: Scene, balance: Balance) -> Vec<u64> {
    let members = members(vec![1; scene.pods]);
    let (choice, turn) = (choice(&members), AtomicUsize::new(0));
    let mut random = fastrand::Rng::with_seed(scene.seed);
    let mut pods: Vec<Pod> = (0..scene.pods).map(|_| Pod::default()).collect();
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let (mut now, mut latencies) = (0, Vec::new());
    let pause = MEAN / LOAD / f64::from(u32::try_from(scene.pods).unwrap());
    for number in 0..REQUESTS * scene.pods {
        now += micros(-pause * (1.0 - random.f64()).ln());
        while let Some(Reverse((end, pod))) = ends.peek().copied().filter(|Reverse((end, _))| *end <= now) {
            ends.pop();
            let begun = pods[pod].begun.pop_front().unwrap();
            answer(&members[pod], end - begun, end);
            if number > WARM_UP * scene.pods {
                latencies.push(end - begun);
            }
            if !pods[pod].begun.is_empty() {
                ends.push(Reverse((end + takes(scene, pod, &mut random), pod)));
            }
        }
        let ask = Ask { now: now / 1_000, random: random.u64(..), tried: &[], key: None };
        let endpoint = choice.pick(balance, &turn, &ask).unwrap();
        endpoint.begin(ask.now);
        let pod = place(endpoint);
        pods[pod].begun.push_back(now);
        if pods[pod].begun.len() == 1 {
            ends.push(Reverse((now + takes(scene, pod, &mut random), pod)));
        }
    }
    latencies
}

#[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^24 milliseconds")]
fn answer(member: &Member, latency: u64, now: u64) {
    member.endpoint.answered(latency as f32, now / 1_000);
    member.endpoint.end();
}

fn takes(scene: Scene, pod: usize, random: &mut fastrand::Rng) -> u64 {
    let mean = if scene.slow > 0 && pod.is_multiple_of(scene.slow) { MEAN * SLOWER } else { MEAN };
    match scene.work {
        Work::Same => micros(mean),
        Work::Exponential => micros(-mean * (1.0 - random.f64()).ln()),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times are positive and short")]
fn micros(time: f64) -> u64 {
    time as u64
}

#[test]
fn one_slow_pod_of_eight_raises_the_99th_percentile_by_less_than_a_third_with_peak_ewma() {
    for (pods, seeds) in [(1_000, 1..=1), (64, 1..=2), (8, 1..=3)] {
        for seed in seeds {
            for work in [Work::Same, Work::Exponential] {
                let healthy = Scene { pods, slow: 0, work, seed };
                let scene = Scene { slow: 8, ..healthy };
                let usual = p99(healthy, Balance::PeakEwma);
                let (ewma, turns) = (p99(scene, Balance::PeakEwma), p99(scene, Balance::RoundRobin));
                let least = p99(scene, Balance::LeastRequests);
                println!(
                    "{pods} pods, {work:?}, seed {seed}: healthy {usual:.0} ms; one of eight slow: \
                     ewma {ewma:.0} ms, least requests {least:.0} ms, round robin {turns:.0} ms"
                );
                assert!(ewma <= usual * 1.3, "{scene:?}: {ewma} ms, healthy {usual} ms");
                assert!(turns > usual * 3.0, "{scene:?}: round robin has {turns} ms");
            }
        }
    }
}

#[test]
fn a_simulation_repeats_exactly() {
    let scene = Scene { pods: 8, slow: 8, work: Work::Exponential, seed: 3 };
    assert_eq!(run(scene, Balance::PeakEwma), run(scene, Balance::PeakEwma));
}
