//! Promises that hold for every table and every request: the index agrees with a naive reading of the Ingress
//! specification, the order of rules does not matter, and canonical forms are canonical.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use table::{Found, HostPattern, PathMatch, PathRegex, Policy, Rank, RequestHost, RequestPath, Rule, Rules, Table};

/// The same cases on every run.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2_000,
        rng_seed: RngSeed::Fixed(20_260_102),
        failure_persistence: None,
        ..Default::default()
    }
}

/// Few elements, so that paths often share a beginning; some sort before or after `/` at the place where they differ.
const ELEMENTS: &[&str] = &["a", "b", "ab", "a-b", "a.b", "a0", "A", "é", "..a", "~"];

const LABELS: &[&str] = &["a", "b", "a-b", "com"];

fn path() -> impl Strategy<Value = String> {
    (vec(select(ELEMENTS), 0..5), any::<bool>()).prop_map(|(elements, slash)| {
        let mut path: String = elements.iter().flat_map(|element| ["/", element]).collect();
        if slash || path.is_empty() {
            path.push('/');
        }
        path
    })
}

fn predicate() -> impl Strategy<Value = PathMatch> {
    (any::<bool>(), path()).prop_map(|(exact, path)| {
        let predicate = if exact { PathMatch::exact(&path) } else { PathMatch::prefix(&path) };
        predicate.unwrap()
    })
}

fn host() -> impl Strategy<Value = String> {
    vec(select(LABELS), 0..4).prop_map(|labels| labels.join("."))
}

fn pattern() -> impl Strategy<Value = HostPattern> {
    (any::<bool>(), host()).prop_map(|(wildcard, host)| {
        let text = if wildcard && !host.is_empty() { format!("*.{host}") } else { host };
        HostPattern::parse(&text).unwrap()
    })
}

/// Rules by host: what a cluster's Ingresses amount to.
type Written = Vec<(HostPattern, Vec<PathMatch>)>;

fn written() -> impl Strategy<Value = Written> {
    vec((pattern(), vec(predicate(), 1..8)), 0..8).prop_map(|mut hosts: Written| {
        hosts.sort();
        hosts.dedup_by(|later, first| later.0 == first.0);
        hosts
    })
}

#[derive(Clone, Debug, PartialEq)]
struct Label(String, PathMatch);

impl Policy for Label {
    type Global = ();
    type Host = ();
    type Cluster = ();
}

fn table(written: &Written, default_backend: bool) -> Table<Label> {
    let mut table = Table::default();
    for (pattern, predicates) in written {
        let rules = predicates
            .iter()
            .map(|path| Arc::new(Rule { path: path.clone(), policy: Label(pattern.to_string(), path.clone()) }));
        table.hosts.set(pattern, Some(Arc::new(Rules::new(rules))));
    }
    table.default_backend = default_backend.then(|| {
        let path = PathMatch::prefix("/").unwrap();
        Arc::new(Rule { path: path.clone(), policy: Label("default".to_owned(), path) })
    });
    table
}

/// The specification's words, element by element, without any index.
fn covers(predicate: &PathMatch, path: &str) -> bool {
    let elements = |path: &str| -> Vec<String> {
        path.split('/').filter(|element| !element.is_empty()).map(str::to_owned).collect()
    };
    match predicate {
        PathMatch::Exact(text) => **text == *path,
        PathMatch::Prefix(text) => elements(path).starts_with(&elements(text)),
    }
}

/// The greatest rank among all that match; of equals the first.
fn naive_rule<'w>(predicates: &'w [PathMatch], path: &str) -> Option<&'w PathMatch> {
    let matching = predicates.iter().filter(|predicate| covers(predicate, path));
    matching.reduce(|best, next| if Rank::of(next) > Rank::of(best) { next } else { best })
}

/// An exact host, else the wildcard over exactly one label, else the rules without a host.
fn naive_host<'w>(written: &'w Written, host: &str) -> Option<&'w (HostPattern, Vec<PathMatch>)> {
    let labels: Vec<&str> = host.split('.').collect();
    let place = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => (**name == *host).then_some(2),
        HostPattern::Wildcard(suffix) => {
            (labels.len() > 1 && labels.get(1..).is_some_and(|rest| rest.join(".") == **suffix)).then_some(1)
        }
        HostPattern::Any => Some(0),
        // Only aliases are these, which the oracle does not know.
        HostPattern::Below(_) | HostPattern::Regex(_) => None,
    };
    written.iter().filter(|(pattern, _)| place(pattern).is_some()).max_by_key(|(pattern, _)| place(pattern))
}

fn policy(found: &Found<'_, Label>) -> Option<Label> {
    found.rule().map(|rule| rule.policy.clone())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_index_finds_the_greatest_rank_that_matches(predicates in vec(predicate(), 0..24), path in path()) {
        let rules = Rules::new(
            predicates.iter().enumerate().map(|(policy, path)| Arc::new(Rule { path: path.clone(), policy })),
        );
        let found = rules.find(&path).map(|rule| &predicates[rule.policy]);
        prop_assert_eq!(found, naive_rule(&predicates, &path));
        // Of equal predicates the first stays.
        let first = found.and_then(|found| predicates.iter().position(|predicate| predicate == found));
        prop_assert_eq!(rules.find(&path).map(|rule| rule.policy), first);
    }

    #[test]
    fn the_naive_reading_of_a_predicate_is_by_element(predicate in predicate(), path in path()) {
        prop_assert_eq!(predicate.matches(&path), covers(&predicate, &path));
    }

    #[test]
    fn a_table_finds_what_a_naive_walk_finds(
        written in written(), default in any::<bool>(), host in host(), path in path(),
    ) {
        let table = table(&written, default);
        let rule = naive_host(&written, &host)
            .and_then(|(pattern, predicates)| Some((pattern, naive_rule(predicates, &path)?)))
            .map(|(pattern, path)| Label(pattern.to_string(), path.clone()));
        let expected = rule.or_else(|| default.then(|| Label("default".to_owned(), PathMatch::prefix("/").unwrap())));
        prop_assert_eq!(policy(&table.find(&host, &path)), expected);
    }

    #[test]
    fn a_trace_agrees_with_find(written in written(), host in host(), path in path()) {
        let table = table(&written, false);
        let trace = table.trace(&host, &path);
        prop_assert_eq!(&trace.host, &naive_host(&written, &host).map(|(pattern, _)| pattern.clone()));
        let winner = trace.rules.first().filter(|candidate| candidate.matches).map(|best| best.rule.policy.clone());
        prop_assert_eq!(winner, policy(&table.find(&host, &path)));
    }

    #[test]
    fn the_order_of_hosts_and_rules_does_not_matter(
        (written, shuffled) in written().prop_flat_map(|mut written| {
            for (_, predicates) in &mut written {
                predicates.sort();
                predicates.dedup();
            }
            let rules: Vec<_> = written
                .iter()
                .map(|(pattern, predicates)| (Just(pattern.clone()), Just(predicates.clone()).prop_shuffle()))
                .collect();
            (Just(written), rules.prop_shuffle())
        }),
        host in host(),
        path in path(),
    ) {
        let (one, other) = (table(&written, true), table(&shuffled, true));
        prop_assert_eq!(policy(&one.find(&host, &path)), policy(&other.find(&host, &path)));
    }

    #[test]
    fn a_removed_host_is_as_if_it_had_never_been(written in written(), gone in pattern(), host in host(), path in path()) {
        let mut changed = table(&written, true);
        changed.hosts.set(&gone, None);
        let without: Written = written.into_iter().filter(|(pattern, _)| *pattern != gone).collect();
        let never = table(&without, true);
        prop_assert_eq!(policy(&changed.find(&host, &path)), policy(&never.find(&host, &path)));
        prop_assert_eq!(changed.hosts.len(), never.hosts.len());
    }
}

/// The place of a rule in its list.
#[derive(Debug)]
struct Place(usize);

impl Policy for Place {
    type Global = ();
    type Host = ();
    type Cluster = ();
}

/// Paths of rules in regex mode.
fn expression() -> impl Strategy<Value = String> {
    const PARTS: &[&str] = &[
        "/", "/", "a", "b", "A", "(/|$)", "(.*)", ".", "?", "+", "[^/]+", r"\d", r"\.", "|", "(a|b)", "é", "{2}",
        "{a}", "$", "-",
    ];
    vec(select(PARTS), 0..6).prop_map(|parts| format!("/{}", parts.concat()))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn in_regex_mode_the_first_expression_that_matches_serves(written in vec(expression(), 0..12), path in path()) {
        let usable: Vec<PathRegex> = written.iter().filter_map(|text| PathRegex::new(text).ok()).collect();
        let rule = |(policy, regex): (usize, &PathRegex)| {
            (regex.clone(), Arc::new(Rule { path: PathMatch::exact("/never").unwrap(), policy: Place(policy) }))
        };
        let mut table = Table::default();
        let rules = Rules::regexes(usable.iter().enumerate().map(rule));
        table.hosts.set(&HostPattern::Any, Some(Arc::new(rules)));
        // No literal begin, no shortcuts: the words of nginx's documentation.
        let naive = usable.iter().position(|regex| {
            let text = format!("^{}", regex.as_str().replace("{a}", r"\{a}"));
            let plain = regex::bytes::RegexBuilder::new(&text).case_insensitive(true).unicode(false).build();
            plain.unwrap().is_match(path.as_bytes())
        });
        prop_assert_eq!(table.find("", &path).rule().map(|rule| rule.policy.0), naive);
        let trace = table.trace("", &path);
        let winner = trace.rules.first().filter(|candidate| candidate.matches).map(|best| best.rule.policy.0);
        prop_assert_eq!(winner, naive);
    }

    #[test]
    fn the_wider_expression_matches_wherever_the_expression_does(text in expression(), path in path()) {
        if let Ok(regex) = PathRegex::new(&text) {
            prop_assert!(!regex.matches(&path) || PathRegex::wider(&text).matches(&path));
        }
    }
}

/// Raw paths that are likely to be read in more than one way.
fn raw_path() -> impl Strategy<Value = String> {
    const PARTS: &[&str] = &[
        "/", "/", "/", ".", "..", "a", "b", "%2e", "%2E", "%2f", "%25", "%252e", ";", "..;", "é", "%c3%a9", "%00", "%",
        "%zz", "%5c", "\\", "?", "%3f", "+", "~", "\u{1}",
    ];
    prop_oneof![vec(select(PARTS), 0..12).prop_map(|parts| format!("/{}", parts.concat())), any::<String>()]
}

fn authority() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: &[&str] =
        &["a", "B", "é", "-", "_", ".", ".", ":", ":80", "[", "]", "::1", "com", "%", "@", " ", "\0", "xn--", "1"];
    prop_oneof![vec(select(PARTS), 0..8).prop_map(|parts| parts.concat().into_bytes()), vec(any::<u8>(), 0..300)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_000, ..config() })]

    #[test]
    fn a_canonical_path_has_one_reading(raw in raw_path()) {
        let Ok(path) = RequestPath::parse(&raw) else { return Ok(()) };
        let canonical = path.as_str();
        prop_assert!(canonical.starts_with('/'));
        prop_assert!(!canonical.contains("//"), "{canonical}");
        prop_assert!(!canonical.contains('\0'));
        prop_assert!(canonical.split('/').all(|segment| segment != "." && segment != ".."), "{canonical}");
        // Escapes are decoded exactly once, so a `%` that is left stands for itself.
        let escaped = canonical.replace('%', "%25");
        let again = RequestPath::parse(&escaped);
        prop_assert_eq!(again.as_ref().map(|path| (path.as_str(), path.unresolved())), Ok((canonical, None)));
    }

    #[test]
    fn a_path_that_differs_between_readings_is_told(raw in raw_path()) {
        let Ok(path) = RequestPath::parse(&raw) else { return Ok(()) };
        if let Some(literal) = path.unresolved() {
            prop_assert!(literal.split('/').any(|segment| segment == "." || segment == ".."), "{literal}");
        }
    }

    #[test]
    fn a_canonical_host_is_its_own_canonical_form(authority in authority()) {
        let Ok(host) = RequestHost::parse(&authority) else { return Ok(()) };
        let canonical = host.as_str();
        prop_assert!(!canonical.bytes().any(|byte| byte.is_ascii_uppercase() || byte <= b' ' || byte >= 0x7f));
        prop_assert!(!canonical.ends_with('.') && !canonical.starts_with('.') && !canonical.contains(".."), "{canonical}");
        let again = RequestHost::parse(canonical.as_bytes());
        prop_assert_eq!(again.as_ref().map(RequestHost::as_str), Ok(canonical));
    }

    #[test]
    fn case_port_and_final_dot_never_change_the_host(
        name in host().prop_filter("a final dot needs a name", |name| !name.is_empty()),
        port in any::<u16>(),
    ) {
        let plain = RequestHost::parse(name.as_bytes()).unwrap();
        for written in [name.to_ascii_uppercase(), format!("{name}:{port}"), format!("{name}."), format!("{name}.:{port}")] {
            let host = RequestHost::parse(written.as_bytes()).unwrap();
            prop_assert_eq!(host.as_str(), plain.as_str());
        }
    }
}

#[test]
fn an_empty_last_label_is_refused() {
    for authority in ["a..", "a..:80"] {
        assert!(RequestHost::parse(authority.as_bytes()).is_err(), "{authority}");
    }
}
