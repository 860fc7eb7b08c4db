//! Routing a request allocates nothing: the counting allocator of this binary proves it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;

use allocation_counter::measure;
use table::{HostPattern, PathMatch, Policy, RequestHost, RequestPath, Rule, Rules, Table};

struct Number;

impl Policy for Number {
    type Global = ();
    type Host = ();
    type Cluster = ();
}

fn table() -> Table<Number> {
    let mut table = Table::default();
    for number in 0..200 {
        let rules = (0..20).map(|number| {
            let text = format!("/service-{number}/v1");
            let path = if number % 2 == 0 { PathMatch::exact(&text) } else { PathMatch::prefix(&text) };
            Arc::new(Rule { path: path.unwrap(), policy: Number })
        });
        let rules = Arc::new(Rules::new(rules));
        for host in [format!("h{number}.example.com"), format!("*.w{number}.example.com")] {
            table.hosts.set(&HostPattern::parse(&host).unwrap(), Some(rules.clone()));
        }
    }
    table
}

/// Allocations on this thread while the work runs.
fn allocations(work: impl FnOnce()) -> u64 {
    measure(work).count_total
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(Box::new(1_u64)))), 1);
}

#[test]
fn parsing_a_host_does_not_allocate() {
    let long = "a".repeat(255);
    for authority in ["H7.Example.COM:8443", "h7.example.com.", "[::1]:80", "", "not a host", &long] {
        let count = allocations(|| {
            black_box(RequestHost::parse(black_box(authority.as_bytes())).is_ok());
        });
        assert_eq!(count, 0, "{authority}");
    }
}

#[test]
fn parsing_a_plain_path_does_not_allocate() {
    let long = format!("/{}", "element/".repeat(500));
    for path in ["/", "/service-1/v1/items/7", "/a.b/c..d/@x:y;z=1/e~f", &long] {
        let count = allocations(|| {
            black_box(RequestPath::parse(black_box(path)).is_ok());
        });
        assert_eq!(count, 0, "{path}");
    }
}

#[test]
fn finding_a_rule_does_not_allocate() {
    let table = table();
    let long = format!("/service-1/v1/{}", "element/".repeat(500));
    let mut found = 0;
    for host in ["h7.example.com", "x.w7.example.com", "unknown.example.org", ""] {
        for path in ["/service-2/v1", "/service-3/v1/items", "/service-2/v1/", "/missing", "/", &long] {
            let count =
                allocations(|| found += usize::from(table.find(black_box(host), black_box(path)).rule().is_some()));
            assert_eq!(count, 0, "{host}{path}");
        }
    }
    // Hits as well as misses were measured: two hosts with three paths that match.
    assert_eq!(found, 6);
}

#[test]
fn the_whole_way_from_head_to_rule_does_not_allocate() {
    let table = table();
    let mut found = false;
    let count = allocations(|| {
        let host = RequestHost::parse(black_box(b"H7.example.com:443"));
        let path = RequestPath::parse(black_box("/service-3/v1/items"));
        if let (Ok(host), Ok(path)) = (host, path) {
            found = table.find_request(host.as_str(), &path).is_ok_and(|found| found.rule().is_some());
        }
    });
    assert_eq!((count, found), (0, true));
}
