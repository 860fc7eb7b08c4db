//! Annotations: any names and values give settings, protection is never lost, and what they do to a request is safe.
use std::collections::BTreeMap;

use features::{Protocol, Request, RuleFacts, Verdict};
use http::{HeaderMap, HeaderValue, Method};

/// Longest timeout that an annotation can ask for, in seconds.
const LONGEST: u64 = 86_400;

/// Checks every promise about annotations, one `name=value` a line; a line without `=` is a name without value.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pairs: BTreeMap<&str, &str> = text.split('\n').map(|line| line.split_once('=').unwrap_or((line, ""))).collect();
    for host_has_tls in [false, true] {
        let facts = RuleFacts { host_has_tls };
        let settings = features::read(pairs.iter().map(|(name, value)| (*name, *value)), &facts, Protocol::Http);
        for name in features::closing_annotations() {
            let asked = pairs.get(name).is_some_and(|value| !value.trim().is_empty());
            let closed = settings.problems.iter().any(|problem| problem.name == *name && problem.closes);
            assert_eq!(asked, closed, "{name}");
        }
        for problem in &settings.problems {
            assert!(pairs.contains_key(problem.name.as_str()), "{} was not given", problem.name);
            assert!(!problem.message.is_empty());
        }
        let upstream = settings.upstream;
        for timeout in [upstream.connect_timeout, upstream.read_timeout, upstream.send_timeout] {
            assert!((1..=LONGEST).contains(&timeout.as_secs()), "{timeout:?}");
        }
        runs_safely(&settings.plan);
    }
}

/// What a plan answers can be sent, and explaining sees what serving does.
fn runs_safely(plan: &[features::Configured]) {
    let headers = HeaderMap::new();
    for tls in [false, true] {
        let request = Request {
            method: &Method::GET,
            tls,
            authority: "a.com:80",
            host: "a.com",
            path: "/x/",
            target: "/x/?y=z",
            headers: &headers,
        };
        let mut last = None;
        let verdict = features::run(plan, &request, |_, verdict| last = Some(verdict.clone()));
        assert_eq!(last.unwrap_or(Verdict::Continue), verdict);
        if let Verdict::Redirect { status, location } = &verdict {
            assert!((300..400).contains(status), "{status}");
            assert!(HeaderValue::from_str(location).is_ok(), "{location:?}");
        }
    }
}
