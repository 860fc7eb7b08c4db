//! Each endpoint gets its share, also when several workers choose at the same time.
use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;

use features::Balance;
use gateway::balance::{Ask, Choice, Endpoint};

use crate::cluster::{choice, members, place};

const WORKERS: u64 = 4;

/// Requests of each worker.
const REQUESTS: usize = 40_000;

/// Requests that each worker has in flight.
const IN_FLIGHT: usize = 8;

/// Threads choose with seeds of their own, at the same time; returns the requests of each endpoint.
fn of_threads(choice: &Choice, balance: Balance, endpoints: usize) -> Vec<f64> {
    let (mut sums, turn) = (vec![0.0; endpoints], &AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let worker = |seed| {
            scope.spawn(move || {
                let (mut random, mut counts) = (fastrand::Rng::with_seed(seed), vec![0.0; endpoints]);
                (0..REQUESTS).for_each(|_| counts[place(pick(choice, balance, turn, &mut random))] += 1.0);
                counts
            })
        };
        let workers: Vec<_> = (1..=WORKERS).map(worker).collect();
        for worker in workers {
            sums.iter_mut().zip(worker.join().unwrap()).for_each(|(sum, count)| *sum += count);
        }
    });
    sums
}

fn pick<'c>(choice: &'c Choice, balance: Balance, turn: &AtomicUsize, random: &mut fastrand::Rng) -> &'c Endpoint {
    choice.pick(balance, turn, &Ask { now: 0, random: random.u64(..), tried: &[], key: None }).unwrap()
}

/// A worker that has chosen but has not begun yet, and its requests in flight.
#[derive(Default)]
struct Worker<'c> {
    chosen: Option<&'c Endpoint>,
    flying: VecDeque<&'c Endpoint>,
}

/// Workers whose steps are interleaved by chance, with a seed: between a choice and the begin of its request others choose
/// too. Unlike threads, none is stopped for a while with requests in flight, which would rightly move the others' choices.
fn interleaved(choice: &Choice, balance: Balance, endpoints: usize) -> Vec<f64> {
    let (mut random, turn, mut counts) = (fastrand::Rng::with_seed(5), AtomicUsize::new(0), vec![0.0; endpoints]);
    let mut workers: Vec<Worker<'_>> = (0..WORKERS).map(|_| Worker::default()).collect();
    for _ in 0..2 * REQUESTS {
        let worker = random.choice(&mut workers).unwrap();
        let Some(endpoint) = worker.chosen.take() else {
            worker.chosen = Some(pick(choice, balance, &turn, &mut random));
            continue;
        };
        endpoint.begin(0);
        counts[place(endpoint)] += 1.0;
        worker.flying.push_back(endpoint);
        if worker.flying.len() > IN_FLIGHT {
            // All are equally fast.
            let done = worker.flying.pop_front().unwrap();
            done.answered(1_000.0, 0);
            done.end();
        }
    }
    counts
}

/// Pearson's statistic of counts against weights.
fn chi_square(counts: &[f64], weights: &[u16]) -> f64 {
    let (all, sum): (f64, f64) = (counts.iter().sum(), weights.iter().map(|weight| f64::from(*weight)).sum());
    let expected = weights.iter().map(|weight| f64::from(*weight) * all / sum);
    counts.iter().zip(expected).map(|(count, expected)| (count - expected).powi(2) / expected).sum()
}

/// What the statistic exceeds by chance once in a million times (Wilson and Hilferty's approximation).
fn limit(endpoints: usize) -> f64 {
    let freedom = f64::from(u32::try_from(endpoints - 1).unwrap());
    let share = 2.0 / (9.0 * freedom);
    freedom * (1.0 - share + 4.753 * share.sqrt()).powi(3)
}

/// Asserts that counts fit the weights; returns the statistic.
fn fits(counts: &[f64], weights: &[u16], what: impl std::fmt::Debug) -> f64 {
    let (found, limit) = (chi_square(counts, weights), limit(weights.len()));
    assert!(found < limit, "{what:?}: {found:.1}, and by chance not above {limit:.1}: {counts:?}");
    found
}

#[test]
fn the_statistic_tells_shares_that_are_off() {
    let mut skewed = vec![3_200.0; 50];
    skewed[0] += 800.0;
    assert!(chi_square(&skewed, &[1; 50]) > limit(50));
    assert!(chi_square(&[3_200.0; 50], &[1; 50]) < 0.001);
}

#[test]
fn equal_endpoints_get_equal_shares_from_interleaved_workers() {
    for balance in [Balance::RoundRobin, Balance::Random, Balance::LeastRequests, Balance::PeakEwma] {
        for endpoints in [2, 3, 10, 100] {
            let (members, weights) = (members(vec![1; endpoints]), vec![1; endpoints]);
            fits(&interleaved(&choice(&members), balance, endpoints), &weights, (balance, endpoints));
        }
    }
}

#[test]
fn weights_are_met_by_threads_that_choose_at_the_same_time() {
    let weighted: [&[u16]; 5] = [&[1; 10], &[1; 100], &[1, 2, 3, 5, 8, 13, 21, 34], &[100, 1, 100, 1], &[1_000, 1, 37]];
    for weights in weighted {
        let members = members(weights.iter().copied());
        let counts = |balance| of_threads(&choice(&members), balance, weights.len());
        // Turns are exact but for a round that is cut short; chance is chance.
        assert!(fits(&counts(Balance::RoundRobin), weights, Balance::RoundRobin) < 0.5);
        fits(&counts(Balance::Random), weights, Balance::Random);
    }
}
