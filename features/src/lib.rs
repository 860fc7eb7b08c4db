//! What a route can do: every feature in one file, its configuration, keys, behaviour, documentation and tests together.
//!
//! Pure: there is no clock, no I/O and no Pingora here.
#![warn(clippy::disallowed_methods)]

pub mod annotation;
mod ask;
mod balance;
mod body_size;
mod bucket;
mod canary;
mod ciphers;
mod client_auth;
mod cluster_policy;
mod cluster_settings;
mod digest_auth;
mod fallback;
mod firewall;
mod global;
pub mod hash;
mod host_settings;
mod log_format;
mod networks;
mod objects;
mod observe;
mod passing;
mod password;
mod pattern;
mod request;
mod request_body;
mod retry;
mod route;
mod server_alias;
mod template;
mod units;
mod upstream;
mod upstream_tls;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use annotation::{Config, Described, OnError, Problem, Reader, Row};
use table::HostPattern;

pub use ask::{Ask, Exchange, Keep, Lifetimes, Reply, Stored};
pub use balance::Balance;
pub use bandwidth::Bandwidth;
pub use bucket::{Buckets, Rate};
pub use canary::{Alternative, Decision, Offer, makes_canary};
pub use ciphers::{Suite, Suites};
pub use client_auth::{ClientAuth, Mode, Refusal, Valid};
pub use cluster_policy::{Breaker, Check, CheckKind, ClusterPolicy, Ejection};
pub use cluster_settings::{ClusterSettings, Kind as HealthCheck, check_field, host as check_host, path as check_path};
pub use fallback::Fallback;
pub use global::{
    Answers, Claims, Coding, Compressed, Compression, Connections, Escape, Export, Global, LogTarget, Logging,
    Requests, Sender, ServerField, Streams, Tls, Tracing, Versions,
};
pub use host_settings::{HostSettings, passes_to};
pub use log_format::{LogFormat, LogPart, LogVariable, Needs};
pub use mirror::Copy;
pub use networks::Networks;
pub use objects::{CROSS_NAMESPACE, Data, NoObjects, Objects, SECRET_ANNOTATIONS};
pub use observe::{Observe, Trace};
pub use password::{Hash, PasswordCheck};
pub use pattern::Pattern;
pub use rate_limit::Counted;
pub use request::{Answer, Edits, Head, Request, StillWorld, Verdict, World};
pub use request_body::LEAST as BODY_MEMORY;
pub use retry::{Conditions, Retry};
pub use rewrite::PathMode;
pub use route::{Backend, Labels, NO_SERVICE, Protocol, Route, Upstream};
pub use table::Resolved;
pub use template::{Template, Variable};
pub use upstream_tls::UpstreamTls;
pub use www_redirect::WwwRedirect;

/// What features may know about the rule they are configured for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleFacts {
    /// The host of the rule has a certificate entry.
    pub host_has_tls: bool,
}

/// Keys of any type.
pub type Keys = &'static [&'static dyn Described];

/// One feature: configuration, keys and behaviour.
pub trait Feature: Sized {
    /// Its annotation keys.
    const KEYS: Keys;
    /// Its keys in the controller's ConfigMap.
    const CONFIG: Keys = &[];

    /// Reads its configuration; `None` when the rule does not have the feature.
    fn read(reader: &mut Reader<'_>, facts: &RuleFacts) -> Option<Self>;

    /// Learns the path of the rule as it is written; `None` when there the rule does not have the feature.
    fn bind(self, path: &str) -> Option<Self> {
        let _ = path;
        Some(self)
    }

    /// Acts on a request before an endpoint is chosen.
    fn on_request(&self, request: &Request<'_>, edits: &mut Edits) -> Verdict {
        let _ = (request, edits);
        Verdict::Continue
    }

    /// Goes on with what was found out for it. A feature that asks without reading the reply lets nobody pass.
    fn on_reply(&self, request: &Request<'_>, edits: &mut Edits, reply: &Reply) -> Verdict {
        let _ = (request, edits, reply);
        Verdict::status(500, "reply_unread")
    }

    /// Acts on the head of the answer, the endpoint's or the gateway's own.
    fn on_response(&self, request: &Request<'_>, edits: &Edits, head: &mut dyn Head) {
        let _ = (request, edits, head);
    }
}

macro_rules! features {
    ($($variant:ident = $module:ident),* $(,)?) => {
        $(mod $module;)*

        /// A feature that a rule has. The order of the list is the order of execution and of the documentation.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Configured {
            $(#[doc = concat!("See the module `", stringify!($module), "`.")] $variant($module::$variant)),*
        }

        fn read_plan(reader: &mut Reader<'_>, facts: &RuleFacts) -> Box<[Configured]> {
            [$(<$module::$variant as Feature>::read(reader, facts).map(Configured::$variant)),*]
                .into_iter().flatten().collect()
        }

        const FEATURES: &[(&str, Keys, Keys)] = &[$((
            stringify!($module),
            <$module::$variant as Feature>::KEYS,
            <$module::$variant as Feature>::CONFIG,
        )),*];

        impl Configured {
            /// Learns the path of the rule as it is written; `None` when there the rule does not have the feature.
            #[must_use]
            pub fn bind(self, path: &str) -> Option<Self> {
                match self { $(Self::$variant(feature) => Feature::bind(feature, path).map(Self::$variant)),* }
            }

            /// Acts on a request.
            pub fn on_request(&self, request: &Request<'_>, edits: &mut Edits) -> Verdict {
                match self { $(Self::$variant(feature) => feature.on_request(request, edits)),* }
            }

            /// Goes on with what was found out for it.
            pub fn on_reply(&self, request: &Request<'_>, edits: &mut Edits, reply: &Reply) -> Verdict {
                match self { $(Self::$variant(feature) => feature.on_reply(request, edits, reply)),* }
            }

            /// Acts on the head of the answer.
            pub fn on_response(&self, request: &Request<'_>, edits: &Edits, head: &mut dyn Head) {
                match self { $(Self::$variant(feature) => feature.on_response(request, edits, head)),* }
            }

            /// The feature's name.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($module)),* }
            }
        }
    };
}

features! {
    Block = block,
    WwwRedirect = www_redirect,
    AppRoot = app_root,
    Redirect = redirect,
    TlsRedirect = tls_redirect,
    Cors = cors,
    Snippet = snippet,
    Rewrite = rewrite,
    LocationRewrite = location_rewrite,
    CookieRewrite = cookie_rewrite,
    CustomHeaders = custom_headers,
    RateLimit = rate_limit,
    IpAccess = ip_access,
    BasicAuth = basic_auth,
    ExternalAuth = external_auth,
    Satisfy = satisfy,
    Mirror = mirror,
    Bandwidth = bandwidth,
    UpstreamVhost = upstream_vhost,
    ConnectionHeader = connection_header,
    Affinity = affinity,
    HashKey = hash_key,
}

/// Everything that annotations say about a rule.
#[derive(Debug)]
pub struct Settings {
    /// How to talk to the endpoints.
    pub upstream: Arc<Upstream>,
    /// Which of them gets a request.
    pub balance: Balance,
    /// Who answers instead of them.
    pub fallback: Option<Arc<Fallback>>,
    /// What they say about the clusters of the Ingress.
    pub cluster: ClusterSettings,
    /// The features that act on a request, in order.
    pub plan: Box<[Configured]>,
    /// What is kept of requests.
    pub observe: Observe,
    /// What the paths of the host are.
    pub paths: PathMode,
    /// Further names of the hosts.
    pub aliases: Box<[HostPattern]>,
    /// Status with which the siblings of the hosts redirect ([`WwwRedirect::sibling`]), if they do.
    pub www_redirect: Option<u16>,
    /// What the Ingress offers instead of rules, as a canary.
    pub canary: Option<Offer>,
    /// What holds for the hosts of the rule.
    pub host: HostSettings,
    /// What is wrong with the annotations.
    pub problems: Vec<Problem>,
}

/// What the settings of a rule are read from.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The controller's ConfigMap.
    pub config: &'a Config,
    /// What annotations may refer to.
    pub objects: &'a dyn Objects,
    /// What is known of the rule.
    pub facts: RuleFacts,
    /// What the Service port asks for.
    pub protocol: Protocol,
    /// What the Service asks for.
    pub balance: Option<Balance>,
    /// `--translate-snippets`: snippets are translated instead of refused.
    pub translate_snippets: bool,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("facts", &self.facts).field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// Reads the annotations of an Ingress for one of its rules. Names have lost their prefix.
#[must_use]
pub fn read<'a>(annotations: impl IntoIterator<Item = (&'a str, &'a str)>, input: &Input<'a>) -> Settings {
    let mut reader =
        Reader::new(annotations, input.config, input.objects).translating_snippets(input.translate_snippets);
    firewall::read(&mut reader);
    // Features may imply annotations of the upstream.
    passing::read(&mut reader);
    let fallback = fallback::read(&mut reader);
    let plan = read_plan(&mut reader, &input.facts);
    // Twice read, so that a problem is told twice; whoever reports tells it once.
    let paths = PathMode::read(&mut reader);
    let host = host_settings::read(&mut reader);
    let upstream = Arc::new(upstream::read(&mut reader, input.protocol));
    let balance = balance::read(&mut reader, input.balance);
    let cluster = ClusterSettings::of_ingress(&mut reader);
    let (aliases, www_redirect) = (server_alias::read(&mut reader), www_redirect::read(&mut reader));
    let canary = canary::read(&mut reader, balance, &plan);
    let observe = Observe::read(&mut reader);
    Settings {
        upstream,
        balance,
        cluster,
        fallback,
        plan,
        observe,
        paths,
        aliases,
        www_redirect,
        canary,
        host,
        problems: reader.finish(),
    }
}

/// What the annotations of a Service say.
#[derive(Debug)]
pub struct ServiceSettings {
    /// How its endpoints are chosen by rules that do not say.
    pub balance: Option<Balance>,
    /// How they are watched.
    pub cluster: ClusterSettings,
    /// What is wrong with the annotations.
    pub problems: Vec<Problem>,
}

/// Reads the annotations of a Service, those whose names start with `ingora.io/`.
#[must_use]
pub fn read_service<'a>(annotations: impl IntoIterator<Item = (&'a str, &'a str)>) -> ServiceSettings {
    let mut reader = Reader::new(annotations, &annotation::NO_CONFIG, &NoObjects);
    let balance = balance::of_service(&mut reader);
    let cluster = ClusterSettings::read(&mut reader);
    ServiceSettings { balance, cluster, problems: reader.finish() }
}

/// Runs a plan until a feature answers or asks. `seen` learns each step, with all edits so far: serving drops it,
/// explaining prints it.
pub fn run(
    plan: &[Configured],
    request: &Request<'_>,
    edits: &mut Edits,
    seen: impl FnMut(&Configured, &Verdict, &Edits),
) -> Verdict {
    run_from(plan, 0, request, edits, seen)
}

/// Goes on with a plan that has asked: which feature did is in the edits.
pub fn resume(
    plan: &[Configured],
    request: &Request<'_>,
    edits: &mut Edits,
    reply: &Reply,
    mut seen: impl FnMut(&Configured, &Verdict, &Edits),
) -> Verdict {
    let asked = edits.asked;
    let Some(feature) = plan.get(asked) else { return Verdict::status(500, "reply_unread") };
    let verdict = feature.on_reply(request, edits, reply);
    seen(feature, &verdict, edits);
    if verdict == Verdict::Continue { run_from(plan, asked + 1, request, edits, seen) } else { verdict }
}

fn run_from(
    plan: &[Configured],
    first: usize,
    request: &Request<'_>,
    edits: &mut Edits,
    mut seen: impl FnMut(&Configured, &Verdict, &Edits),
) -> Verdict {
    for (index, feature) in plan.iter().enumerate().skip(first) {
        let verdict = feature.on_request(request, edits);
        seen(feature, &verdict, edits);
        if verdict != Verdict::Continue {
            edits.asked = index;
            return verdict;
        }
    }
    Verdict::Continue
}

/// Lets a plan act on the head of the answer, in the same order.
pub fn respond(plan: &[Configured], request: &Request<'_>, edits: &Edits, head: &mut dyn Head) {
    for (name, value) in &edits.response_fields {
        head.append(name.clone(), value.clone());
    }
    for feature in plan {
        feature.on_response(request, edits, head);
    }
}

/// Every annotation key with the module it belongs to: what the documentation is printed from.
pub fn catalogue() -> impl Iterator<Item = (&'static str, &'static dyn Described)> {
    let features = FEATURES.iter().map(|(module, keys, _)| (*module, *keys));
    let more = [
        ("upstream", upstream::KEYS),
        ("retry", retry::KEYS),
        ("fallback", fallback::KEYS),
        ("upstream_tls", upstream_tls::KEYS),
        ("passing", passing::KEYS),
        ("body_size", body_size::KEYS),
        ("request_body", request_body::KEYS),
        ("balance", balance::KEYS),
        ("canary", canary::KEYS),
        ("server_alias", server_alias::KEYS),
        ("cluster", cluster_settings::KEYS),
        ("cluster", cluster_settings::NGINX_KEYS),
        ("client_auth", client_auth::KEYS),
        ("host_settings", host_settings::KEYS),
        ("firewall", firewall::KEYS),
        ("observe", observe::KEYS),
    ];
    let read = features.chain(more).flat_map(|(module, keys)| keys.iter().map(move |key| (module, *key)));
    let read: Vec<_> = read.collect();
    let names: BTreeSet<_> = read.iter().map(|(_, key)| key.row().name).collect();
    let unread = verdicts::annotations().filter(|key| !names.contains(key.row().name)).collect::<Vec<_>>();
    read.into_iter().chain(unread.into_iter().map(|key| ("not read", key)))
}

/// Every key of the controller's ConfigMap with the module it belongs to. A key may stand in several modules.
pub fn config_catalogue() -> impl Iterator<Item = (&'static str, &'static dyn Described)> {
    let features = FEATURES.iter().map(|(module, _, keys)| (*module, *keys));
    let more = [
        ("upstream", upstream::CONFIG),
        ("upstream_tls", upstream_tls::CONFIG),
        ("retry", retry::CONFIG),
        ("fallback", fallback::CONFIG),
        ("passing", passing::CONFIG),
        ("body_size", body_size::CONFIG),
        ("request_body", request_body::KEYS),
        ("balance", balance::CONFIG),
        ("cluster", cluster_settings::CONFIG),
        ("objects", objects::CONFIG),
        ("observe", observe::CONFIG),
    ];
    let global = global::MODULES.iter().copied();
    let read: Vec<_> = features
        .chain(more)
        .chain(global)
        .flat_map(|(module, keys)| keys.iter().map(move |key| (module, *key)))
        .collect();
    let names: BTreeSet<_> = read.iter().map(|(_, key)| key.row().name).collect();
    let unread = verdicts::config().filter(|key| !names.contains(key.row().name)).collect::<Vec<_>>();
    read.into_iter().chain(unread.into_iter().map(|key| ("not read", key)))
}

/// The documentation of an annotation, by its name without prefix.
#[must_use]
pub fn annotation_row(name: &str) -> Option<&'static Row> {
    static ROWS: LazyLock<BTreeMap<&str, &Row>> =
        LazyLock::new(|| catalogue().map(|(_, key)| (key.row().name, key.row())).collect());
    ROWS.get(name).copied()
}

/// The documentation of a key of the controller's ConfigMap.
#[must_use]
pub fn config_row(name: &str) -> Option<&'static Row> {
    static ROWS: LazyLock<BTreeMap<&str, &Row>> =
        LazyLock::new(|| config_catalogue().map(|(_, key)| (key.row().name, key.row())).collect());
    ROWS.get(name).copied()
}

/// What is wrong with the controller's ConfigMap. A bad value keeps its default and never blocks the others.
#[must_use]
pub fn check_config(config: &Config) -> Vec<Problem> {
    let problem = |(name, value): (&str, &str)| {
        let known = config_catalogue().map(|(_, key)| key).find(|key| key.row().name == name);
        let message = match known {
            None => "is not known to this version and has no effect".to_owned(),
            Some(key) => {
                let wrong = key.check(value).err()?;
                match key.on_error() {
                    OnError::Differs | OnError::Default => {
                        format!("the value {wrong}; the default ({}) is used", key.row().default)
                    }
                    OnError::Close | OnError::Reject => {
                        format!("the value {wrong}; until it is corrected it lets nobody in")
                    }
                }
            }
        };
        Some(Problem { name: name.to_owned(), message, effect: OnError::Default })
    };
    config.iter().filter_map(problem).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings(annotations: &[(&'static str, &'static str)]) -> Settings {
        let input = Input {
            config: &Config::default(),
            objects: &NoObjects,
            facts: RuleFacts::default(),
            protocol: Protocol::Http,
            balance: None,
            translate_snippets: false,
        };
        read(annotations.iter().copied(), &input)
    }

    #[test]
    fn the_catalogue_is_sound() {
        let mut names = BTreeSet::new();
        for (module, key) in catalogue() {
            let row = key.row();
            assert!(names.insert(row.name), "{} stands twice", row.name);
            assert!(row.sentence.ends_with('.'), "{module}: {}", row.name);
            assert_eq!(key.check(row.example), Ok(()), "the example of {} parses", row.name);
        }
        for (module, key) in config_catalogue() {
            let row = key.row();
            assert!(row.sentence.ends_with('.'), "{module}: {}", row.name);
            assert_eq!(key.check(row.example), Ok(()), "the example of {} parses", row.name);
        }
    }

    #[test]
    fn serving_and_explaining_share_the_code() {
        let settings = settings(&[("force-ssl-redirect", "true")]);
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        let request = request::tests::plain(&headers, &labels);
        let mut steps = Vec::new();
        let verdict = run(&settings.plan, &request, &mut Edits::default(), |step, verdict, _| {
            steps.push((step.name(), verdict.clone()))
        });
        assert_eq!(steps, [("tls_redirect", verdict)]);
    }

    #[test]
    fn an_unknown_key_of_the_config_map_is_told() {
        let config = Config::new([("no-such-key".to_owned(), "1".to_owned())]);
        assert_eq!(check_config(&config)[0].name, "no-such-key");
    }
}
