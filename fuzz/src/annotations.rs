//! Annotations: any names and values give settings, protection is never lost, and what they do to a request is safe.
use std::collections::BTreeMap;

use features::annotation::{Config, OnError, Problem};
use features::{Edits, Input, Labels, NoObjects, Protocol, Request, RuleFacts, StillWorld, Verdict};
use http::{HeaderMap, Method};

/// Longest timeout that an annotation can ask for, in seconds.
const LONGEST: u64 = 86_400;

/// Checks every promise about annotations, one `name=value` a line; a line without `=` is a name without value.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pairs: BTreeMap<&str, &str> = text.split('\n').map(|line| line.split_once('=').unwrap_or((line, ""))).collect();
    for host_has_tls in [false, true] {
        let config = Config::default();
        let input = Input {
            config: &config,
            objects: &NoObjects,
            facts: RuleFacts { host_has_tls },
            protocol: Protocol::Http,
            balance: None,
            translate_snippets: true,
        };
        let settings = features::read(pairs.iter().map(|(name, value)| (*name, *value)), &input);
        let firewall = pairs.get("enable-modsecurity").map_or("", |value| value.trim());
        let asked = !["", "0", "f", "F", "FALSE", "false", "False"].contains(&firewall);
        let closes = |problem: &Problem| problem.name == "enable-modsecurity" && problem.effect == OnError::Close;
        assert_eq!(asked, settings.problems.iter().any(closes), "{firewall:?}");
        for problem in &settings.problems {
            assert!(!problem.message.is_empty());
        }
        let upstream = settings.upstream;
        for timeout in [upstream.connect_timeout, upstream.read_timeout, upstream.send_timeout] {
            assert!((1..=LONGEST).contains(&timeout.as_secs()), "{timeout:?}");
        }
        runs_safely(&settings.plan);
    }
}

/// What a plan decides is safe, and explaining sees what serving does.
fn runs_safely(plan: &[features::Configured]) {
    let (headers, labels) = (HeaderMap::new(), Labels::default());
    for tls in [false, true] {
        let request = Request {
            method: &Method::GET,
            tls,
            authority: "a.com:80",
            host: "a.com",
            path: "/x/",
            target: "/x/?y=z",
            headers: &headers,
            client: None,
            port: 80,
            request_id: "0",
            labels: &labels,
            world: &StillWorld,
        };
        let (mut last, mut edits) = (None, Edits::default());
        let verdict = features::run(plan, &request, &mut edits, |_, verdict, _| last = Some(verdict.clone()));
        assert_eq!(last.unwrap_or(Verdict::Continue), verdict);
        let mut response = http::Response::new(());
        if let Verdict::Answer(answer) = &verdict {
            assert!((200..600).contains(&answer.status), "{}", answer.status);
        }
        features::respond(plan, &request, &edits, &mut response);
    }
}
