//! Annotations: any names and values give settings, protection is never lost, and what they do to any request is safe.
//!
//! The input has up to three parts, each ended by a line `--`: annotations, `name=value` a line; a request, first
//! `method host target client`, then its fields, `name: value`; and data, `name=value`, which is the controller's ConfigMap
//! and what every Secret and ConfigMap holds that an annotation names.
use std::collections::BTreeMap;
use std::net::IpAddr;

use features::annotation::{Config, OnError, Problem};
use features::{Data, Edits, Input, Labels, Objects, Protocol, Reply, Request, RuleFacts, StillWorld, Verdict};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use table::{ClusterId, RequestHost, RequestPath, ServicePort};

/// Longest timeout that an annotation can ask for, in seconds.
const LONGEST: u64 = 86_400;

/// Most questions that a plan may have about one request: one for each feature.
const QUESTIONS: usize = 32;

/// Checks every promise about annotations.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split("\n--\n");
    let annotations = pairs(parts.next().unwrap_or_default());
    let request = Asked::parse(parts.next().unwrap_or_default());
    let objects = Everything(pairs(parts.next().unwrap_or_default()));
    let config = Config::new(objects.0.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    drop(features::check_config(&config));
    drop(features::Global::read(&config, &objects));
    for host_has_tls in [false, true] {
        let input = Input {
            config: &config,
            objects: &objects,
            facts: RuleFacts { host_has_tls },
            protocol: Protocol::Http,
            balance: None,
            translate_snippets: true,
        };
        let settings = features::read(annotations.iter().map(|(name, value)| (*name, *value)), &input);
        let firewall = annotations.get("enable-modsecurity").map_or("", |value| value.trim());
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
        for path in ["/", "/x(/|$)(.*)"] {
            let plan: Vec<_> = settings.plan.iter().filter_map(|feature| feature.clone().bind(path)).collect();
            runs_safely(&plan, &request);
        }
    }
}

/// `name=value`, a line each; a line without `=` is a name without value.
fn pairs(text: &str) -> BTreeMap<&str, &str> {
    text.split('\n').map(|line| line.split_once('=').unwrap_or((line, ""))).collect()
}

/// The request of the input; what is missing or cannot be one is `GET /x/?y=z` of `a.com`.
struct Asked<'a> {
    method: Method,
    authority: &'a str,
    target: &'a str,
    client: Option<IpAddr>,
    headers: HeaderMap,
}

impl<'a> Asked<'a> {
    fn parse(text: &'a str) -> Self {
        let (line, fields) = text.split_once('\n').unwrap_or((text, ""));
        let mut words = line.split(' ');
        let mut word = || words.next().filter(|word| !word.is_empty());
        let method = word().and_then(|word| word.parse().ok()).unwrap_or(Method::GET);
        let authority = word().filter(|word| RequestHost::parse(word.as_bytes()).is_ok()).unwrap_or("a.com:80");
        // What no parser of requests lets through.
        let is_plain = |word: &&str| !word.contains(|char: char| char.is_ascii_control());
        let is_target = |word: &&str| RequestPath::parse(word.split('?').next().unwrap_or_default()).is_ok();
        let target = word().filter(is_plain).filter(is_target).unwrap_or("/x/?y=z");
        let client = word().and_then(|word| word.parse().ok());
        let field = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields.split('\n').filter_map(field).take(256) {
            headers.append(name, value);
        }
        Self { method, authority, target, client, headers }
    }
}

/// Every object that an annotation names is there, with the same data.
struct Everything<'a>(BTreeMap<&'a str, &'a str>);

impl Objects for Everything<'_> {
    fn secret(&self, _: &str) -> Result<Data, String> {
        Ok(self.0.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect())
    }

    fn config_map(&self, reference: &str) -> Result<Data, String> {
        self.secret(reference)
    }

    fn service(&self, name: &str) -> Result<ClusterId, String> {
        Ok(ClusterId::new("ns", name, ServicePort::Number(80)))
    }
}

/// What a plan decides is safe whatever it is told, and explaining sees what serving does.
fn runs_safely(plan: &[features::Configured], asked: &Asked<'_>) {
    let labels = Labels::default();
    let (Ok(host), Ok(path)) = (
        RequestHost::parse(asked.authority.as_bytes()),
        RequestPath::parse(asked.target.split('?').next().unwrap_or_default()),
    ) else {
        panic!("the request was checked when it was read");
    };
    let replies = [
        Reply::Password(true),
        Reply::Password(false),
        Reply::Response(200, asked.headers.clone()),
        Reply::Response(401, asked.headers.clone()),
        Reply::Nothing,
    ];
    for (tls, reply) in replies.iter().flat_map(|reply| [(false, reply), (true, reply)]) {
        let request = Request {
            method: &asked.method,
            tls,
            authority: asked.authority,
            host: host.as_str(),
            path: path.as_str(),
            target: asked.target,
            headers: &asked.headers,
            client: asked.client,
            port: if tls { 443 } else { 80 },
            request_id: "0",
            labels: &labels,
            world: &StillWorld,
        };
        let (mut last, mut edits) = (None, Edits::default());
        let mut seen = |_: &features::Configured, verdict: &Verdict, _: &Edits| last = Some(verdict.clone());
        let mut verdict = features::run(plan, &request, &mut edits, &mut seen);
        let mut questions = 0;
        while let Verdict::Ask(_) = verdict {
            questions += 1;
            assert!(questions <= QUESTIONS, "the plan asks without end");
            verdict = features::resume(plan, &request, &mut edits, reply, &mut seen);
        }
        assert_eq!(last.unwrap_or(Verdict::Continue), verdict);
        let mut response = http::Response::new(());
        if let Verdict::Answer(answer) = &verdict {
            assert!((200..600).contains(&answer.status), "{}", answer.status);
            response.headers_mut().extend(answer.fields.iter().cloned());
        }
        if let Some(target) = &edits.target {
            assert!(!target.contains(|char: char| char.is_ascii_control() || char == ' '), "{target:?}");
        }
        features::respond(plan, &request, &edits, &mut response);
        // Another reply changes nothing for who asks nothing; whether he does may depend on TLS.
        if questions == 0 && tls {
            return;
        }
    }
}
