//! How long choosing an endpoint takes, by algorithm and number of endpoints.
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use features::Balance;
use gateway::balance::{Ask, Choice, Endpoint, Member, Members};

const ALGORITHMS: [(&str, Balance); 8] = [
    ("round_robin", Balance::RoundRobin),
    ("random", Balance::Random),
    ("least_requests", Balance::LeastRequests),
    ("ewma", Balance::PeakEwma),
    ("hash", Balance::Hash { bound: None, subset: 1 }),
    ("hash_bounded", Balance::Hash { bound: Some(125), subset: 1 }),
    ("hash_subset", Balance::Hash { bound: None, subset: 3 }),
    ("sticky", Balance::Sticky { persistent: true }),
];

/// Endpoints that have answered, each with a few requests in flight.
fn choice(number: u16, weighted: bool) -> Choice {
    let member = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let endpoint = Arc::new(Endpoint::new(SocketAddr::from(([10, 0, high, low], 80))));
        endpoint.answered(f32::from(number % 40) * 100.0 + 1_000.0, 0);
        for _ in 0..number % 4 {
            endpoint.begin(0);
        }
        Member { endpoint, weight: if weighted { 1 + number % 3 } else { 1 }, draining: false, near: true }
    };
    let members: Vec<_> = (0..number).map(member).collect();
    Choice::new(Arc::new(Members::new(&members, &Members::default())), 0, 50)
}

fn choose(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("choose");
    for (name, balance) in ALGORITHMS {
        for number in [10, 1_000] {
            let (choice, turn) = (choice(number, false), AtomicUsize::new(0));
            let mut random = fastrand::Rng::with_seed(1);
            group.bench_function(BenchmarkId::new(name, number), |bencher| {
                bencher.iter(|| {
                    let number = random.u64(..);
                    let ask = Ask { now: 5_000, random: number, tried: &[], key: Some(number) };
                    black_box(choice.pick(balance, &turn, &ask).map(|endpoint| endpoint.address().port()))
                });
            });
        }
    }
    let (choice, turn) = (choice(1_000, true), AtomicUsize::new(0));
    group.bench_function("round_robin_weighted/1000", |bencher| {
        bencher.iter(|| {
            let ask = Ask { now: 5_000, random: 1, tried: &[], key: None };
            black_box(choice.pick(Balance::RoundRobin, &turn, &ask).map(|endpoint| endpoint.address().port()))
        });
    });
    group.finish();
}

criterion_group!(benches, choose);
criterion_main!(benches);
