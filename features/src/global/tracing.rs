//! Tracing: what the ConfigMap says of the collector and of the sampler, as ingress-nginx names it.
use std::sync::Arc;

use crate::Keys;
use crate::annotation::{Config, Key, OnError, Row, Support, boolean};

const KEPT: Support = Support::Approximated("It is read and kept; no spans are exported.");
const SAMPLED: Support =
    Support::Approximated("It decides the sampled flag of trace contexts that are made here; no spans are exported.");

const fn key<T>(
    (name, sentence, default, example): (&'static str, &'static str, &'static str, &'static str),
    support: Support,
    parse: fn(&str) -> Result<T, String>,
) -> Key<T> {
    Key { row: Row { name, sentence, default, example, support }, parse, on_error: OnError::Default }
}

const HOST: Key<Arc<str>> =
    key(("otlp-collector-host", "Host of the collector.", "none", "otel-collector.monitoring"), KEPT, host);
const PORT: Key<u16> = key(("otlp-collector-port", "Port of the collector.", "4317", "4317"), KEPT, port);
const SERVICE: Key<Arc<str>> =
    key(("otel-service-name", "Name of the service in traces.", "nginx", "ingress"), KEPT, operation_name);
const SAMPLER: Key<Sampler> = key(
    ("otel-sampler", "Which requests are traced: AlwaysOn, AlwaysOff or TraceIdRatioBased.", "AlwaysOn", "AlwaysOn"),
    SAMPLED,
    sampler,
);
const RATIO: Key<Ratio> =
    key(("otel-sampler-ratio", "Share of requests that are traced, 0 to 1.", "0.01", "0.1"), SAMPLED, Ratio::parse);
const PARENT: Key<bool> = key(
    ("otel-sampler-parent-based", "The client's trace context decides whether a request is traced.", "true", "false"),
    Support::Approximated("A trace context that came with the request keeps its flag whatever this says."),
    boolean,
);
const QUEUE: Key<u32> = key(("otel-max-queuesize", "Spans that may wait.", "2048", "2048"), KEPT, number);
const DELAY: Key<u32> =
    key(("otel-schedule-delay-millis", "Milliseconds between exports.", "5000", "5000"), KEPT, number);
const BATCH: Key<u32> = key(("otel-max-export-batch-size", "Spans of one export.", "512", "512"), KEPT, number);

/// The keys that [`Tracing::read`] takes.
pub(crate) const CONFIG: Keys = &[&HOST, &PORT, &SERVICE, &SAMPLER, &RATIO, &PARENT, &QUEUE, &DELAY, &BATCH];

/// What the ConfigMap says about tracing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// Host and port of the collector, if one is named.
    pub collector: Option<(Arc<str>, u16)>,
    /// Name of the service in traces.
    pub service: Arc<str>,
    /// Of a million traces that begin here, how many are sampled.
    pub sampled: u32,
    /// The trace context of a request decides whether it is sampled.
    pub parent_based: bool,
    /// Spans that may wait, milliseconds between exports, and spans of one export.
    pub batch: (u32, u32, u32),
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            collector: None,
            service: "nginx".into(),
            sampled: MILLION,
            parent_based: true,
            batch: (2048, 5000, 512),
        }
    }
}

impl Tracing {
    pub(super) fn read(config: &Config) -> Self {
        let default = Self::default();
        let port = config.get(&PORT).unwrap_or(4317);
        let ratio = config.get(&RATIO).unwrap_or(Ratio(MILLION / 100));
        let (queue, delay, batch) = default.batch;
        Self {
            collector: config.get(&HOST).map(|host| (host, port)),
            service: config.get(&SERVICE).unwrap_or(default.service),
            sampled: match config.get(&SAMPLER) {
                None | Some(Sampler::On) => MILLION,
                Some(Sampler::Off) => 0,
                Some(Sampler::Ratio) => ratio.0,
            },
            parent_based: config.get(&PARENT).unwrap_or(default.parent_based),
            batch: (
                config.get(&QUEUE).unwrap_or(queue),
                config.get(&DELAY).unwrap_or(delay),
                config.get(&BATCH).unwrap_or(batch),
            ),
        }
    }
}

const MILLION: u32 = 1_000_000;

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
    let sound = text.len() <= 253 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    if sound { Ok(text.into()) } else { Err("is not the name or address of a host".to_owned()) }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| "is not a port from 1 to 65535".to_owned())
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "is not a whole number from 1".to_owned())
}

/// A name in traces: a short text without control characters.
pub(crate) fn operation_name(text: &str) -> Result<Arc<str>, String> {
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

    #[test]
    fn the_sampler_decides_how_many_are_sampled() {
        for (sampler, ratio, want) in [
            ("AlwaysOn", "0.5", 1_000_000),
            ("AlwaysOff", "0.5", 0),
            ("TraceIdRatioBased", "0.5", 500_000),
            ("TraceIdRatioBased", "7", 10_000),
            ("nonsense", "0.5", 1_000_000),
        ] {
            assert_eq!(read(&[("otel-sampler", sampler), ("otel-sampler-ratio", ratio)]).sampled, want, "{sampler}");
        }
    }

    #[test]
    fn the_collector_is_kept() {
        let tracing =
            read(&[("otlp-collector-host", "otel.ns"), ("otlp-collector-port", "70000"), ("otel-max-queuesize", "9")]);
        assert_eq!(tracing.collector, Some(("otel.ns".into(), 4317)));
        assert_eq!(tracing.batch, (9, 5000, 512));
        assert_eq!(read(&[("otlp-collector-host", "a b")]), Tracing::default());
    }
}
