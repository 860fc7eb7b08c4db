//! What annotations of Services and Ingresses and the ConfigMap say about a cluster: each may leave fields open.
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, header};

use crate::annotation::{Config, Key, OnError, Reader, Row, Support, boolean};
use crate::units::{duration, number};
use crate::{Breaker, Check, CheckKind, ClusterPolicy, Ejection, Keys, Pattern};

/// The kind of an active check before its details are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No check.
    None,
    /// See [`CheckKind::Tcp`].
    Tcp,
    /// See [`CheckKind::Tls`].
    Tls,
    /// See [`CheckKind::Http`].
    Http {
        /// HTTP/2.
        http2: bool,
        /// Over TLS.
        tls: bool,
    },
    /// See [`CheckKind::Grpc`].
    Grpc {
        /// Over TLS.
        tls: bool,
    },
    /// As the pods' own readinessProbe; whoever reads pods fills it in. No check until then.
    ReadinessProbe,
}

/// What adaptive concurrency leaves unless something else is said (Envoy's `min_concurrency` is the same).
const ADAPTIVE_MIN: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// Ranges of statuses, both ends included.
pub(crate) type Statuses = Box<[(u16, u16)]>;

/// Fields of a request.
pub(crate) type Fields = Box<[(HeaderName, HeaderValue)]>;

/// Defines the fields, each with the annotation and the key of the ConfigMap that set it.
macro_rules! settings {
    ($($field:ident: $type:ty = $own:literal, $config:literal, $default:literal, $example:literal, $parse:expr, $sentence:literal;)+) => {
        /// Settings of a cluster; what is `None` others decide.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct ClusterSettings {
            $(#[doc = $sentence] pub $field: Option<$type>,)+
        }

        impl ClusterSettings {
            /// Reads annotations.
            pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
                Self { $($field: reader.take(&key::<$type>($own, $default, $example, $sentence, $parse)),)+ }
            }

            /// Reads the controller's ConfigMap.
            #[must_use]
            pub fn of_config(config: &Config) -> Self {
                Self { $($field: config.get(&key::<$type>($config, $default, $example, $sentence, $parse)),)+ }
            }

            /// What is open here is as in `other`.
            #[must_use]
            pub fn or(self, other: &Self) -> Self {
                Self { $($field: self.$field.or_else(|| other.$field.clone()),)+ }
            }
        }

        /// The annotations.
        pub(crate) const KEYS: Keys = &[$({
            const KEY: Key<$type> = key::<$type>($own, $default, $example, $sentence, $parse);
            &KEY
        }),+];

        /// The keys of the controller's ConfigMap.
        pub(crate) const CONFIG: Keys = &[$({
            const KEY: Key<$type> = key::<$type>($config, $default, $example, $sentence, $parse);
            &KEY
        }),+];
    };
}

settings! {
    check: Kind = "ingora.io/health-check", "health-check", "none", "http", kind,
        "Active check of each endpoint: none, tcp, tls, http, https, http2, h2 (HTTP/2 over TLS), grpc, grpcs, or readiness-probe for what the pods' readinessProbe says.";
    path: Box<str> = "ingora.io/health-check-path", "health-check-path", "/", "/healthz", path,
        "Path that an active check asks for.";
    host: Box<str> = "ingora.io/health-check-host", "health-check-host", "the endpoint's address", "shop.example.com", host,
        "Host field, :authority and server name of an active check.";
    service: Box<str> = "ingora.io/health-check-grpc-service", "health-check-grpc-service", "the server as a whole", "shop.Cart", host,
        "Service that a gRPC check asks for.";
    headers: Fields = "ingora.io/health-check-headers", "health-check-headers", "none", "X-Probe: gateway", headers,
        "Further fields of an HTTP check, one name and value a line.";
    statuses: Statuses = "ingora.io/health-check-statuses", "health-check-statuses", "200-399", "200,204,300-399", statuses,
        "Statuses and ranges of them that pass an active check.";
    body: Pattern = "ingora.io/health-check-body", "health-check-body", "any", "\"status\":\\s*\"up\"", |text| Pattern::new(text, false),
        "Regular expression that the first 64 KiB of the body must match to pass an active check.";
    port: u16 = "ingora.io/health-check-port", "health-check-port", "the port of requests", "9000", port,
        "Port of active checks.";
    interval: Duration = "ingora.io/health-check-interval", "health-check-interval", "10s", "5s", interval,
        "Time between two active checks of an endpoint, 100ms to 1h, plus up to a tenth by chance.";
    timeout: Duration = "ingora.io/health-check-timeout", "health-check-timeout", "1s", "500ms", interval,
        "Time that an active check may take, at most the interval.";
    rise: u16 = "ingora.io/health-check-rise", "health-check-rise", "1", "2", count,
        "Passed checks in a row that bring an endpoint back, 1 to 100.";
    fall: u16 = "ingora.io/health-check-fall", "health-check-fall", "3", "2", count,
        "Failed checks in a row that take an endpoint out, 1 to 100.";
    ejection: bool = "ingora.io/ejection", "ejection", "true", "false", boolean,
        "Leaves endpoints out whose requests fail, until a probe passes.";
    failures: u16 = "ingora.io/ejection-failures", "ejection-failures", "3", "5", limit,
        "Failures in a row that eject: 502, 503, 504, a reset or a timeout before the answer; 0 never ejects.";
    latency: u16 = "ingora.io/ejection-latency-factor", "ejection-latency-factor", "8", "0", limit,
        "Multiple of the cluster's median latency that ejects; 0 never ejects.";
    percent: u8 = "ingora.io/ejection-max-percent", "ejection-max-percent", "50", "30", percent,
        "Largest share of ejected endpoints, 1 to 90; when more are bad, all are used.";
    slow_start: Duration = "ingora.io/slow-start", "slow-start", "10s after an ejection, none for new endpoints", "30s", pause,
        "Time within which an endpoint that is new or returns gets its full share, at most 15m.";
    hold: Duration = "ingora.io/hold-while-empty", "hold-while-empty", "0s", "10s", pause,
        "Time that requests wait for the first endpoint of a Service that has none, at most 15m.";
    max_requests: u32 = "ingora.io/max-requests", "max-requests", "0", "500", requests,
        "Requests that are in flight to all endpoints of a Service at a time, up to 1000000; 0 for no limit.";
    max_requests_per_endpoint: u32 = "ingora.io/max-requests-per-endpoint", "max-requests-per-endpoint", "0", "50", requests,
        "Requests, and so HTTP/1 connections in use, that are in flight to each endpoint at a time, up to 1000000; 0 for no limit.";
    max_pending_requests: u32 = "ingora.io/max-pending-requests", "max-pending-requests", "1024", "100", requests,
        "Requests that wait, first come first served, while a limit on requests is reached, up to 1000000; further ones get 503.";
    pending_timeout: Duration = "ingora.io/pending-timeout", "pending-timeout", "1s", "250ms", pause,
        "Time that a request waits while a limit on requests is reached, at most 15m; then it gets 503.";
    adaptive: bool = "ingora.io/adaptive-concurrency", "adaptive-concurrency", "false", "true", boolean,
        "Lets the limit on requests to a Service follow its latency: it grows while answers are as fast as without load; max-requests bounds it.";
    adaptive_min: NonZeroU32 = "ingora.io/adaptive-concurrency-min", "adaptive-concurrency-min", "3", "10", at_least_one,
        "Requests that adaptive concurrency always leaves to a Service, 1 to 1000000.";
    service_upstream: bool = "ingora.io/service-upstream", "service-upstream", "false", "true", boolean,
        "Sends requests to the Service's cluster IP instead of its endpoints; without effect for headless Services.";
}

const fn key<T>(
    name: &'static str,
    default: &'static str,
    example: &'static str,
    sentence: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> Key<T> {
    Key { row: Row { name, sentence, default, example, support: Support::Honoured }, parse, on_error: OnError::Default }
}

const SERVICE_UPSTREAM: Key<bool> = Key {
    row: Row {
        name: "service-upstream",
        sentence: "Sends requests to the Service's cluster IP instead of its endpoints; without effect for headless \
                   Services.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

/// The annotations of ingress-nginx.
pub(crate) const NGINX_KEYS: Keys = &[&SERVICE_UPSTREAM];

impl ClusterSettings {
    /// Reads the annotations of an Ingress.
    pub(crate) fn of_ingress(reader: &mut Reader<'_>) -> Self {
        let nginx = reader.take(&SERVICE_UPSTREAM);
        let own = Self::read(reader);
        Self { service_upstream: own.service_upstream.or(nginx), ..own }
    }

    /// The policy that these settings make, with defaults for what is open, and what had to be adjusted.
    #[must_use]
    pub fn policy(&self) -> (ClusterPolicy, Option<String>) {
        let default = ClusterPolicy::default();
        let (check, adjusted) = self.active_check();
        let on = self.ejection.unwrap_or(true);
        let ejection = Ejection {
            on_connect: on,
            failures: if on { self.failures.unwrap_or(default.ejection.failures) } else { 0 },
            latency_factor: if on { self.latency.unwrap_or(default.ejection.latency_factor) } else { 0 },
            max_percent: self.percent.unwrap_or(default.ejection.max_percent),
        };
        let policy = ClusterPolicy {
            check: check.map(Arc::new),
            ejection,
            slow_start: self.slow_start.unwrap_or(default.slow_start),
            slow_start_new: self.slow_start.is_some(),
            service_upstream: self.service_upstream.unwrap_or_default(),
            hold: self.hold.unwrap_or_default(),
            breaker: self.breaker(),
            canary: None,
        };
        (policy, adjusted)
    }

    /// With the check that a pod's readinessProbe is; what is said here wins over its details.
    #[must_use]
    pub fn probing(self, mut probe: Self) -> Self {
        // The probe's own timeout is no mistake of whoever set another interval.
        probe.timeout =
            probe.timeout.zip(self.interval).map(|(timeout, interval)| timeout.min(interval)).or(probe.timeout);
        let check = probe.check;
        Self { check, ..self.or(&probe) }
    }

    fn breaker(&self) -> Breaker {
        let default = Breaker::default();
        Breaker {
            requests: self.max_requests.unwrap_or(default.requests),
            requests_per_endpoint: self.max_requests_per_endpoint.unwrap_or(default.requests_per_endpoint),
            pending: self.max_pending_requests.unwrap_or(default.pending),
            pending_timeout: self.pending_timeout.unwrap_or(default.pending_timeout),
            adaptive: self.adaptive.unwrap_or_default().then(|| self.adaptive_min.unwrap_or(ADAPTIVE_MIN)),
        }
    }

    fn active_check(&self) -> (Option<Check>, Option<String>) {
        let host = || self.host.clone().unwrap_or_default();
        let kind = match self.check.unwrap_or(Kind::None) {
            Kind::None | Kind::ReadinessProbe => return (None, None),
            Kind::Tcp => CheckKind::Tcp,
            Kind::Tls => CheckKind::Tls { server_name: host() },
            Kind::Http { http2, tls } => CheckKind::Http {
                http2,
                tls,
                path: self.path.clone().unwrap_or_else(|| "/".into()),
                host: host(),
                headers: self.headers.clone().unwrap_or_default(),
                statuses: self.statuses.clone().unwrap_or_else(|| [(200, 399)].into()),
                body: self.body.clone(),
            },
            Kind::Grpc { tls } => {
                CheckKind::Grpc { tls, service: self.service.clone().unwrap_or_default(), host: host() }
            }
        };
        let interval = self.interval.unwrap_or(Duration::from_secs(10));
        let wanted = self.timeout.unwrap_or(Duration::from_secs(1).min(interval));
        let adjusted = (wanted > interval).then(|| {
            format!("health-check-timeout is longer than the interval of {interval:?}; {interval:?} is used for it")
        });
        let (rise, fall) = (self.rise.unwrap_or(1), self.fall.unwrap_or(3));
        (Some(Check { kind, port: self.port, interval, timeout: wanted.min(interval), rise, fall }), adjusted)
    }
}

fn kind(text: &str) -> Result<Kind, String> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "none" => Kind::None,
        "tcp" => Kind::Tcp,
        "tls" => Kind::Tls,
        "http" => Kind::Http { http2: false, tls: false },
        "https" => Kind::Http { http2: false, tls: true },
        "http2" => Kind::Http { http2: true, tls: false },
        "h2" => Kind::Http { http2: true, tls: true },
        "grpc" => Kind::Grpc { tls: false },
        "grpcs" => Kind::Grpc { tls: true },
        "readiness-probe" => Kind::ReadinessProbe,
        _ => {
            return Err("is none of none, tcp, tls, http, https, http2, h2, grpc, grpcs and readiness-probe".to_owned());
        }
    })
}

/// The path of a check.
///
/// # Errors
/// What is wrong with it.
pub fn path(text: &str) -> Result<Box<str>, String> {
    let plain = |byte: u8| (0x21..0x7f).contains(&byte) && byte != b'#';
    let good = text.starts_with('/') && text.len() <= 2_048 && text.bytes().all(plain);
    if good { Ok(text.into()) } else { Err("is not a path that starts with a slash".to_owned()) }
}

/// The host of a check, or a name of gRPC.
///
/// # Errors
/// What is wrong with it.
pub fn host(text: &str) -> Result<Box<str>, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:[]".contains(&byte);
    let good = text.len() <= 253 && text.bytes().all(plain);
    if good { Ok(text.into()) } else { Err("is not a name".to_owned()) }
}

fn headers(text: &str) -> Result<Fields, String> {
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        check_field(name.trim(), value.trim())
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let fields: Option<Fields> = lines.take(50).map(field).collect();
    fields.ok_or_else(|| {
        "is not a list of fields such as X-Probe: gateway, or names Host or one that frames the request".to_owned()
    })
}

/// A field that a check may send. What frames the request is none, and the host has a setting of its own.
#[must_use]
pub fn check_field(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    const OTHERS: [HeaderName; 6] = [
        header::HOST,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::TE,
    ];
    let name: HeaderName = name.parse().ok()?;
    let value = value.parse().ok()?;
    (!OTHERS.contains(&name)).then_some((name, value))
}

fn statuses(text: &str) -> Result<Statuses, String> {
    let status = |text: &str| text.trim().parse().ok().filter(|status| (100..=599).contains(status));
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((status(first)?, status(last)?)).filter(|(first, last)| first <= last)
    };
    let ranges: Option<Statuses> = text.split(',').take(50).map(range).collect();
    ranges.ok_or_else(|| "is not a list of statuses such as 200,204,300-399".to_owned())
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err("is not a port from 1 to 65535".to_owned()),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    let good = (Duration::from_millis(100)..=Duration::from_secs(3_600)).contains(&time);
    if good { Ok(time) } else { Err("is not a time from 100ms to 1h".to_owned()) }
}

fn pause(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time <= Duration::from_secs(900) { Ok(time) } else { Err("is longer than 15m".to_owned()) }
}

fn count(text: &str) -> Result<u16, String> {
    match number(text).map(u16::try_from) {
        Ok(Ok(count @ 1..=100)) => Ok(count),
        _ => Err("is not a whole number from 1 to 100".to_owned()),
    }
}

fn limit(text: &str) -> Result<u16, String> {
    match number(text).map(u16::try_from) {
        Ok(Ok(limit @ 0..=1_000)) => Ok(limit),
        _ => Err("is not a whole number from 0 to 1000".to_owned()),
    }
}

fn requests(text: &str) -> Result<u32, String> {
    match number(text) {
        Ok(number @ 0..=1_000_000) => Ok(number),
        _ => Err("is not a whole number from 0 to 1000000".to_owned()),
    }
}

fn at_least_one(text: &str) -> Result<NonZeroU32, String> {
    let number = requests(text).ok().and_then(NonZeroU32::new);
    number.ok_or_else(|| "is not a whole number from 1 to 1000000".to_owned())
}

fn percent(text: &str) -> Result<u8, String> {
    match number(text).map(u8::try_from) {
        Ok(Ok(percent @ 1..=90)) => Ok(percent),
        _ => Err("is not a whole number from 1 to 90".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_service;

    fn policy(annotations: &[(&'static str, &'static str)]) -> ClusterPolicy {
        read_service(annotations.iter().copied()).cluster.policy().0
    }

    #[test]
    fn without_annotations_the_default_holds() {
        assert_eq!(policy(&[]), ClusterPolicy::default());
    }

    #[test]
    fn an_http_check_has_all_details() {
        let check = policy(&[
            ("ingora.io/health-check", "https"),
            ("ingora.io/health-check-path", "/up?full"),
            ("ingora.io/health-check-host", "a.com"),
            ("ingora.io/health-check-statuses", "200, 300-302"),
            ("ingora.io/health-check-interval", "2s"),
            ("ingora.io/health-check-port", "9000"),
            ("ingora.io/health-check-headers", "X-Probe: a: b\n\nX-Other:"),
        ]);
        let check = check.check.unwrap();
        assert_eq!((check.port, check.interval, check.rise, check.fall), (Some(9000), Duration::from_secs(2), 1, 3));
        let statuses = [(200, 200), (300, 302)].into();
        let (path, host) = ("/up?full".into(), "a.com".into());
        let headers = [("x-probe", "a: b"), ("x-other", "")];
        let headers =
            headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).into();
        assert_eq!(check.kind, CheckKind::Http { http2: false, tls: true, path, host, headers, statuses, body: None });
    }

    #[test]
    fn absurd_values_are_told_and_the_default_holds() {
        for (name, value) in [
            ("ingora.io/health-check-interval", "0"),
            ("ingora.io/health-check-rise", "0"),
            ("ingora.io/health-check-fall", "0"),
            ("ingora.io/health-check-statuses", "700"),
            ("ingora.io/health-check-statuses", "399-200"),
            ("ingora.io/health-check-path", "healthz"),
            ("ingora.io/health-check-body", "("),
            ("ingora.io/health-check-headers", "Host: a.com"),
            ("ingora.io/health-check-headers", "no field"),
            ("ingora.io/health-check-port", "0"),
            ("ingora.io/ejection-max-percent", "100"),
            ("ingora.io/ejection-max-percent", "0"),
            ("ingora.io/slow-start", "1d"),
            ("ingora.io/hold-while-empty", "-1"),
            ("ingora.io/max-requests", "many"),
            ("ingora.io/max-requests-per-endpoint", "1000001"),
            ("ingora.io/max-pending-requests", "-1"),
            ("ingora.io/pending-timeout", "1h"),
            ("ingora.io/adaptive-concurrency-min", "0"),
        ] {
            let settings = read_service([("ingora.io/health-check", "http"), (name, value)]);
            assert_eq!(settings.problems.len(), 1, "{name}: {value}");
            let message = &settings.problems[0].message;
            assert!(message.contains("; the default (") && message.ends_with(") is used"), "{message}");
            assert_eq!(settings.cluster.policy().0, policy(&[("ingora.io/health-check", "http")]), "{name}: {value}");
        }
    }

    #[test]
    fn limits_on_requests_are_off_until_one_is_set() {
        assert!(
            !policy(&[("ingora.io/max-pending-requests", "5"), ("ingora.io/pending-timeout", "2s")]).breaker.is_on()
        );
        let breaker =
            policy(&[("ingora.io/max-requests", "500"), ("ingora.io/max-requests-per-endpoint", "50")]).breaker;
        assert_eq!(breaker, Breaker { requests: 500, requests_per_endpoint: 50, ..Breaker::default() });
        assert!(breaker.is_on());
        let adaptive = policy(&[("ingora.io/adaptive-concurrency", "true")]).breaker;
        assert!(adaptive.is_on() && adaptive.adaptive == Some(ADAPTIVE_MIN));
    }

    #[test]
    fn a_timeout_longer_than_the_interval_is_cut_and_told() {
        let annotations = [
            ("ingora.io/health-check", "tcp"),
            ("ingora.io/health-check-interval", "1s"),
            ("ingora.io/health-check-timeout", "5s"),
        ];
        let (policy, adjusted) = read_service(annotations).cluster.policy();
        assert_eq!(policy.check.unwrap().timeout, Duration::from_secs(1));
        assert!(adjusted.unwrap().contains("1s is used"));
    }

    #[test]
    fn ejection_off_is_off() {
        let off = Ejection { on_connect: false, failures: 0, latency_factor: 0, max_percent: 50 };
        assert_eq!(policy(&[("ingora.io/ejection", "false"), ("ingora.io/ejection-failures", "5")]).ejection, off);
    }

    #[test]
    fn the_first_that_says_something_decides_each_field() {
        let settings = |name, value| read_service([(name, value)]).cluster;
        let first = settings("ingora.io/ejection-failures", "7");
        let second = settings("ingora.io/ejection-failures", "9").or(&settings("ingora.io/slow-start", "30s"));
        let both = first.or(&second).policy().0;
        assert_eq!((both.ejection.failures, both.slow_start), (7, Duration::from_secs(30)));
    }

    #[test]
    fn the_config_map_sets_defaults_for_all() {
        let config = Config::new([("health-check".to_owned(), "tcp".to_owned())]);
        assert_eq!(ClusterSettings::of_config(&config).policy().0.check.unwrap().kind, CheckKind::Tcp);
    }
}
