//! Tracing: where spans go and which requests have one, by the keys of ingress-nginx's ConfigMap.
use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::annotation::{Config, Key, OnError, Row, Support, boolean};
use crate::{Keys, Trace};

const fn key<T>(
    (name, sentence, default, example): (&'static str, &'static str, &'static str, &'static str),
    parse: fn(&str) -> Result<T, String>,
) -> Key<T> {
    let row = Row { name, sentence, default, example, support: Support::Honoured };
    Key { row, parse, on_error: OnError::Default }
}

const HOST: Key<Arc<str>> = key(
    (
        "otlp-collector-host",
        "Host of the collector that spans go to, by OTLP over gRPC without TLS.",
        "none",
        "otel-collector.monitoring",
    ),
    host,
);
const PORT: Key<u16> = key(("otlp-collector-port", "Port of the collector.", "4317", "4317"), port);
const SERVICE: Key<Arc<str>> =
    key(("otel-service-name", "Name of the service in traces.", "nginx", "ingress"), service_name);
const SAMPLER: Key<Sampler> = key(
    (
        "otel-sampler",
        "Which traces that begin here are sampled: AlwaysOn, AlwaysOff or TraceIdRatioBased.",
        "AlwaysOn",
        "AlwaysOn",
    ),
    sampler,
);
const RATIO: Key<Ratio> =
    key(("otel-sampler-ratio", "Share of traces that TraceIdRatioBased samples, 0 to 1.", "0.01", "0.1"), Ratio::parse);
const PARENT: Key<bool> = key(
    (
        "otel-sampler-parent-based",
        "A client's trace context that is gone on with decides whether its request is sampled; otherwise the sampler does.",
        "true",
        "false",
    ),
    boolean,
);
const QUEUE: Key<u32> = key(("otel-max-queuesize", "Spans that may wait to be exported.", "2048", "2048"), queue);
const DELAY: Key<u32> = key(
    ("otel-schedule-delay-millis", "Milliseconds that a span waits for others of its export.", "5000", "5000"),
    number,
);
const BATCH: Key<u32> = key(("otel-max-export-batch-size", "Spans of one export.", "512", "512"), number);

/// The keys that [`Tracing::read`] takes.
pub(crate) const CONFIG: Keys = &[&HOST, &PORT, &SERVICE, &SAMPLER, &RATIO, &PARENT, &QUEUE, &DELAY, &BATCH];

/// What the ConfigMap says about tracing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// Where spans go; without it there are none.
    pub export: Option<Arc<Export>>,
    /// Of a million traces that begin here, how many are sampled.
    sampled: u32,
    /// The trace context of a request decides whether it is sampled.
    parent_based: bool,
}

/// Where spans go, and in which portions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Host of the collector, an IPv6 address in brackets.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// Name of the service in traces.
    pub service: Arc<str>,
    /// Spans that may wait.
    pub queue: usize,
    /// How long a span waits for others.
    pub delay: Duration,
    /// Spans of one export, at most as many as may wait.
    pub batch: usize,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { export: None, sampled: MILLION, parent_based: true }
    }
}

impl Tracing {
    pub(super) fn read(config: &Config) -> Self {
        let ratio = config.get(&RATIO).unwrap_or(Ratio(MILLION / 100));
        Self {
            export: config.get(&HOST).map(|host| Arc::new(Export::read(host, config))),
            sampled: match config.get(&SAMPLER) {
                None | Some(Sampler::On) => MILLION,
                Some(Sampler::Off) => 0,
                Some(Sampler::Ratio) => ratio.0,
            },
            parent_based: config.get(&PARENT).unwrap_or(true),
        }
    }

    /// Is a request sampled? `parent` is what the trace context says that is gone on with, if there is one. All who sample
    /// a share by the id decide the same (OpenTelemetry's TraceIdRatioBased: the last 63 bits).
    #[must_use]
    pub fn samples(&self, parent: Option<bool>, trace: u128) -> bool {
        if let (Some(sampled), true) = (parent, self.parent_based) {
            return sampled;
        }
        let id = trace & u128::from(u64::MAX >> 1);
        (id * u128::from(MILLION)) >> 63 < u128::from(self.sampled)
    }

    /// What becomes of the requests of a rule, in words.
    #[must_use]
    pub fn describe(&self, trace: &Trace) -> String {
        let Some(export) = &self.export else {
            return "a trace context, but no span: the ConfigMap names no otlp-collector-host".to_owned();
        };
        let share = f64::from(self.sampled) / f64::from(MILLION / 100);
        let client = match (trace.trust, self.parent_based) {
            (true, true) => "the client's trace context decides, if there is one; of other traces ",
            (true, false) => "the client's trace goes on; of all traces ",
            (false, _) => "a new trace for each request; of them ",
        };
        format!("spans go to {export}; {client}{share} % are sampled")
    }
}

impl Export {
    fn read(host: Arc<str>, config: &Config) -> Self {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let queue = count(config.get(&QUEUE).unwrap_or(2048));
        Self {
            host,
            port: config.get(&PORT).unwrap_or(4317),
            service: config.get(&SERVICE).unwrap_or_else(|| "nginx".into()),
            queue,
            delay: Duration::from_millis(config.get(&DELAY).unwrap_or(5000).into()),
            batch: count(config.get(&BATCH).unwrap_or(512)).min(queue),
        }
    }
}

/// The collector's address.
impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

const MILLION: u32 = 1_000_000;

/// A span takes about 1 KiB, so that the longest queue takes 100 MiB.
const LONGEST_QUEUE: u32 = 100_000;

#[derive(Clone, Copy, Debug)]
enum Sampler {
    On,
    Off,
    Ratio,
}

fn sampler(text: &str) -> Result<Sampler, String> {
    match text {
        "AlwaysOn" => Ok(Sampler::On),
        "AlwaysOff" => Ok(Sampler::Off),
        "TraceIdRatioBased" => Ok(Sampler::Ratio),
        _ => Err("is none of AlwaysOn, AlwaysOff and TraceIdRatioBased".to_owned()),
    }
}

/// Millionths.
#[derive(Clone, Copy, Debug)]
struct Ratio(u32);

impl Ratio {
    fn parse(text: &str) -> Result<Self, String> {
        let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1,000,000")]
        share
            .map(|share| Self((share * f64::from(MILLION)) as u32))
            .ok_or_else(|| "is not a number from 0 to 1".to_owned())
    }
}

fn host(text: &str) -> Result<Arc<str>, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<Ipv6Addr>() {
        return Ok(format!("[{address}]").into());
    }
    let sound = text.len() <= 253 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if sound && !text.is_empty() {
        Ok(text.into())
    } else {
        Err("is not the name or address of a host, without scheme and port".to_owned())
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| "is not a port from 1 to 65535".to_owned())
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "is not a whole number from 1".to_owned())
}

fn queue(text: &str) -> Result<u32, String> {
    let length = number(text).ok().filter(|length| *length <= LONGEST_QUEUE);
    length.ok_or_else(|| format!("is not a whole number from 1 to {LONGEST_QUEUE}"))
}

fn service_name(text: &str) -> Result<Arc<str>, String> {
    if text.len() > 256 || text.chars().any(char::is_control) {
        return Err("is longer than 256 bytes or holds control characters".to_owned());
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Tracing {
        Tracing::read(&Config::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))))
    }

    /// How many of 1000 traces are sampled whose ids are spread evenly.
    fn sampled(tracing: &Tracing, parent: Option<bool>) -> usize {
        let ids = (0..1000).map(|number| (u128::from(u64::MAX) / 1000) * number);
        ids.filter(|id| tracing.samples(parent, *id)).count()
    }

    #[test]
    fn the_sampler_decides_how_many_are_sampled() {
        for (sampler, ratio, want) in [
            ("AlwaysOn", "0.5", 1000),
            ("AlwaysOff", "0.5", 0),
            ("TraceIdRatioBased", "0.5", 500),
            ("TraceIdRatioBased", "0", 0),
            ("TraceIdRatioBased", "1", 1000),
            ("TraceIdRatioBased", "7", 10),
            ("nonsense", "0.5", 1000),
        ] {
            let tracing = read(&[("otel-sampler", sampler), ("otel-sampler-ratio", ratio)]);
            let near = sampled(&tracing, None).abs_diff(want);
            assert!(near <= 1, "{sampler} {ratio}: off by {near}");
        }
    }

    #[test]
    fn the_first_half_of_an_id_does_not_count() {
        let half = read(&[("otel-sampler", "TraceIdRatioBased"), ("otel-sampler-ratio", "0.5")]);
        for high in [0, u128::MAX << 64] {
            assert!(half.samples(None, high | 1) && !half.samples(None, high | u128::from(u64::MAX)));
        }
    }

    #[test]
    fn the_parent_decides_unless_it_is_told_not_to() {
        let off = read(&[("otel-sampler", "AlwaysOff")]);
        assert_eq!((sampled(&off, Some(true)), sampled(&off, Some(false))), (1000, 0));
        let on = read(&[("otel-sampler-parent-based", "false")]);
        assert_eq!((sampled(&on, Some(true)), sampled(&on, Some(false))), (1000, 1000));
    }

    #[test]
    fn without_a_collector_nothing_is_exported() {
        assert_eq!(read(&[("otlp-collector-port", "4318"), ("otel-service-name", "x")]), Tracing::default());
        for wrong in ["a b", "http://otel", "otel:4317", "[::1", ""] {
            assert_eq!(read(&[("otlp-collector-host", wrong)]), Tracing::default(), "{wrong}");
        }
    }

    #[test]
    fn the_collector_and_its_portions_are_read() {
        let pairs = [("otlp-collector-host", "otel.ns"), ("otlp-collector-port", "70000"), ("otel-max-queuesize", "9")];
        let export = read(&pairs).export.unwrap();
        assert_eq!((export.to_string(), export.queue, export.batch), ("otel.ns:4317".to_owned(), 9, 9));
        assert_eq!((export.delay, &*export.service), (Duration::from_secs(5), "nginx"));
        for address in ["::1", "[::1]"] {
            let export = read(&[("otlp-collector-host", address), ("otlp-collector-port", "1")]).export.unwrap();
            assert_eq!(export.to_string(), "[::1]:1");
        }
    }

    #[test]
    fn what_becomes_of_requests_is_said() {
        let trust = |trust| Trace { trust, operation: None };
        assert!(read(&[]).describe(&trust(true)).contains("no span"));
        let pairs = [("otlp-collector-host", "otel"), ("otel-sampler", "TraceIdRatioBased")];
        let said = read(&pairs).describe(&trust(false));
        assert_eq!(said, "spans go to otel:4317; a new trace for each request; of them 1 % are sampled");
    }
}
