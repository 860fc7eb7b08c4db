//! How long finding the rule of a request takes, by size of the table and kind of request.
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use table::{HostPattern, PathMatch, Policy, RequestHost, RequestPath, Rule, Rules, Table};

/// Rules of each host, as an Ingress of a larger application has.
const RULES_OF_HOST: usize = 10;

/// Requests that are sent in turn: many enough that a large table does not stay in the processor's caches.
const REQUESTS: usize = 16_384;

/// Hosts that get most of the requests in real life, so that what the table keeps for them stays in the caches.
const HOT: usize = 100;

fn host(number: usize) -> String {
    format!("shop-{number}.tenant-{}.example.com", number % 97)
}

fn rule_path(number: usize) -> String {
    format!("/api/v{}/service-{number}", number % 3)
}

struct Number(usize);

impl Policy for Number {
    type Global = ();
    type Host = ();
    type Cluster = ();
}

fn rules(count: usize) -> Arc<Rules<Number>> {
    Arc::new(Rules::new((0..count).map(|number| {
        let text = rule_path(number);
        let path = if number % 4 == 0 { PathMatch::exact(&text) } else { PathMatch::prefix(&text) };
        Arc::new(Rule { path: path.unwrap_or(PathMatch::Prefix("".into())), policy: Number(number) })
    })))
}

/// A tenth of the hosts are wildcards.
fn table(hosts: usize, rules_of_host: usize) -> Table<Number> {
    let mut table = Table::default();
    for number in 0..hosts {
        let name = host(number);
        let pattern = match name.split_once('.') {
            Some((_, parent)) if number.is_multiple_of(10) => format!("*.wild-{number}.{parent}"),
            _ => name,
        };
        if let Ok(pattern) = HostPattern::parse(&pattern) {
            table.hosts.set(&pattern, Some(rules(rules_of_host)));
        }
    }
    table
}

/// The same numbers on every run, in no order that a cache could foresee (a linear congruential generator).
fn numbers() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(42_u64), |seed| {
        Some(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    })
    .map(|seed| usize::try_from(seed >> 33).unwrap_or_default())
}

/// Requests one after the other in memory, as they come from a connection's buffer: what is measured is the table's
/// share of cache misses, not theirs.
#[derive(Default)]
struct Requests {
    text: String,
    /// Where the host begins, where the path, and where it ends.
    cuts: Vec<(usize, usize, usize)>,
}

impl Requests {
    fn new(hosts: usize, rules_of_host: usize, make: impl Fn(usize, usize) -> (String, String)) -> Self {
        let mut numbers = numbers();
        let mut next = move |below: usize| numbers.next().unwrap_or_default() % below;
        let mut this = Self::default();
        for _ in 0..REQUESTS {
            let (host, path) = make(next(hosts), next(rules_of_host));
            let start = this.text.len();
            this.text.push_str(&host);
            let middle = this.text.len();
            this.text.push_str(&path);
            this.cuts.push((start, middle, this.text.len()));
        }
        this
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let get = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
        self.cuts.iter().map(move |(start, middle, end)| (get(*start, *middle), get(*middle, *end)))
    }
}

fn kinds(hosts: usize, rules_of_host: usize) -> Vec<(&'static str, Requests)> {
    let all = |make: fn(usize, usize) -> (String, String)| Requests::new(hosts, rules_of_host, make);
    vec![
        ("hit", all(|number, rule| (served(number), format!("{}/items/{number}", rule_path(rule | 1))))),
        ("wildcard", all(|number, rule| (wildcard(number), format!("{}/items", rule_path(rule | 1))))),
        ("path-miss", all(|number, rule| (served(number), format!("/other/{rule}")))),
        ("host-miss", all(|number, rule| (format!("unknown-{number}.org"), rule_path(rule)))),
        ("hot-hit", all(|number, rule| (served(number % HOT), format!("{}/items/{number}", rule_path(rule | 1))))),
        (
            "long-path",
            all(|number, rule| (served(number), format!("{}/{}", rule_path(rule | 1), "element/".repeat(100)))),
        ),
    ]
}

/// A host with a name of its own.
fn served(number: usize) -> String {
    host(if number.is_multiple_of(10) { number + 1 } else { number })
}

/// A host that a wildcard covers.
fn wildcard(number: usize) -> String {
    let number = number / 10 * 10;
    format!("x.wild-{number}.tenant-{}.example.com", number % 97)
}

fn find(criterion: &mut Criterion) {
    for (hosts, rules_of_host) in [(1, 10), (100, RULES_OF_HOST), (10_000, RULES_OF_HOST), (10, 10_000)] {
        let table = table(hosts.max(2), rules_of_host);
        let mut group = criterion.benchmark_group(format!("find/{}-rules-{hosts}-hosts", hosts * rules_of_host));
        for (kind, requests) in kinds(hosts, rules_of_host) {
            let mut turn = requests.iter().cycle();
            group.bench_function(BenchmarkId::from_parameter(kind), |bencher| {
                bencher.iter(|| {
                    let (host, path) = turn.next()?;
                    table.find(black_box(host), black_box(path)).rule().map(|rule| rule.policy.0)
                });
            });
        }
        group.finish();
    }
}

fn canonicalise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("canonicalise");
    group.bench_function("host", |bencher| {
        bencher.iter(|| RequestHost::parse(black_box(b"shop-1.tenant-1.example.com:8443")).is_ok());
    });
    for (kind, path) in [("plain-path", "/api/v1/service-7/items/42"), ("escaped-path", "/api/v1/caf%C3%A9/../x//y")] {
        group.bench_function(kind, |bencher| bencher.iter(|| RequestPath::parse(black_box(path)).is_ok()));
    }
    group.finish();
}

criterion_group!(benches, find, canonicalise);
criterion_main!(benches);
