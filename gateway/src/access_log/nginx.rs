//! A record as a line with nginx variables.
use std::borrow::Cow;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use features::{Escape, LogPart, LogVariable, Logging};
use http::{HeaderValue, Version};
use table::ClusterId;

use super::Record;
use super::escape::{put_json, put_printable, put_without_controls};
use crate::upstream::Attempt;

/// What only lines with nginx variables tell. The lists of fields go by the lists of [`features::Needs`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    /// Fields of the client's request.
    pub(crate) request: Vec<Option<HeaderValue>>,
    /// Fields of the answer.
    pub(crate) response: Vec<Option<HeaderValue>>,
    /// Fields of the endpoint's answer.
    pub(crate) upstream: Vec<Option<HeaderValue>>,
    /// The canonical path, if it is not as sent.
    pub(crate) path: Option<String>,
    /// The host as sent, with port.
    pub(crate) authority: Box<[u8]>,
    /// The peer of the connection.
    pub(crate) peer: Option<SocketAddr>,
    /// The port that the client connected to.
    pub(crate) port: u16,
    /// The client speaks HTTPS.
    pub(crate) https: bool,
    /// Bytes of the heads of request and answer, where they are asked for.
    pub(crate) heads: (u64, u64),
    /// Who answered instead of the rule's own endpoints.
    pub(crate) instead: Option<String>,
    /// What the client's certificate is worth, its subject and its issuer.
    pub(crate) certificate: [Option<HeaderValue>; 3],
}

/// Appends the line with its end.
pub(super) fn write(record: &Record, extra: &Extra, logging: &Logging, out: &mut Vec<u8>) {
    for part in &logging.nginx().parts {
        match part {
            LogPart::Text(text) => out.extend_from_slice(text.as_bytes()),
            LogPart::Variable(variable) => match look_up(variable, record, extra) {
                Some(value) => put(&value, logging.escape, out),
                None if logging.escape == Escape::Default => out.push(b'-'),
                None => {}
            },
        }
    }
    out.push(b'\n');
}

fn put(value: &[u8], escape: Escape, out: &mut Vec<u8>) {
    match escape {
        Escape::Default => put_printable(value, out),
        Escape::Json => put_json(value, out),
        Escape::None => put_without_controls(value, out),
    }
}

type Value<'a> = Option<Cow<'a, [u8]>>;

/// The value of a variable; `None` where there is none.
fn look_up<'a>(variable: &LogVariable, record: &'a Record, extra: &'a Extra) -> Value<'a> {
    use LogVariable as V;
    let labels = &record.labels;
    match variable {
        V::RemoteAddr => written(record.client?),
        V::RemotePort => written(extra.peer?.port()),
        V::PeerAddr => written(extra.peer?.ip().to_canonical()),
        V::RemoteUser(index) => user(field(&extra.request, *index)?).map(Cow::Owned),
        V::TimeLocal => written(ended(record).strftime("%d/%b/%Y:%H:%M:%S +0000")),
        V::TimeIso8601 => written(ended(record).strftime("%Y-%m-%dT%H:%M:%S+00:00")),
        V::Msec => {
            let millis = ended(record).as_millisecond();
            written(format_args!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000)))
        }
        V::Request => written(format_args!("{} {} {}", record.method, target(record), protocol(record.protocol))),
        V::RequestMethod => some(record.method.as_str()),
        V::RequestUri => some(target(record)),
        V::Uri => some(extra.path.as_deref().unwrap_or_else(|| record.target.path())),
        V::Args => present(record.target.query()?),
        V::IsArgs => some(if record.target.query().is_some() { "?" } else { "" }),
        V::Arg(name) => argument(record.target.query()?, name).map(|value| Cow::Borrowed(value.as_bytes())),
        V::Cookie(index, name) => cookie(field(&extra.request, *index)?, name).map(Cow::Borrowed),
        V::Http(index) => field(&extra.request, *index).map(Cow::Borrowed),
        V::SentHttp(index) => field(&extra.response, *index).map(Cow::Borrowed),
        V::UpstreamHttp(index) => field(&extra.upstream, *index).map(Cow::Borrowed),
        V::HttpHost => (!extra.authority.is_empty()).then_some(Cow::Borrowed(&*extra.authority)),
        V::Host => some(&record.host),
        V::ServerName => some(if labels.host.is_empty() { "_" } else { &labels.host }),
        V::ServerPort => written(extra.port),
        V::ServerProtocol => some(protocol(record.protocol)),
        V::Scheme => some(if extra.https { "https" } else { "http" }),
        V::Https => some(if extra.https { "on" } else { "" }),
        V::Status => written(format_args!("{:03}", record.status)),
        V::BodyBytesSent => written(record.response_bytes),
        V::BytesSent => written(record.response_bytes.saturating_add(extra.heads.1)),
        V::RequestLength => written(record.request_bytes.saturating_add(extra.heads.0)),
        V::RequestTime => Some(seconds(record.duration).into_bytes().into()),
        V::RequestId => record.request_id.as_ref().map(|id| Cow::Borrowed(id.as_bytes())),
        V::RequestCompletion => some(if record.status == 499 { "" } else { "OK" }),
        V::UpstreamName => Some(upstream_name(record, extra)),
        V::AlternativeUpstreamName => match &record.canary {
            Some(canary) => written(named(canary)),
            None => some(""),
        },
        V::Namespace => some(&labels.namespace),
        V::IngressName => some(&labels.ingress),
        V::ServiceName => some(&labels.service),
        V::ServicePort => some(&labels.service_port),
        V::LocationPath => some(&labels.path),
        V::Hostname => some(&HOSTNAME),
        V::Pid => written(std::process::id()),
        V::Pipe => some("."),
        V::Unknown => None,
        _ => of_connection(variable, record, extra).or_else(|| of_tries(variable, &record.attempts)),
    }
}

/// What is known of the client's connection and trace.
fn of_connection<'a>(variable: &LogVariable, record: &'a Record, extra: &'a Extra) -> Value<'a> {
    use LogVariable as V;
    let shown = |index: usize| field(&extra.certificate, index).map(Cow::Borrowed);
    match variable {
        V::SslProtocol => some(&record.tls.as_ref()?.version),
        V::SslCipher => some(record.tls.as_ref()?.cipher),
        V::SslServerName => some(record.tls.as_ref()?.sni.as_deref()?),
        V::SslSessionReused => some(if record.tls.as_ref()?.resumed { "r" } else { "." }),
        V::SslClientVerify => shown(0),
        V::SslClientSubject => shown(1),
        V::SslClientIssuer => shown(2),
        V::TraceId => some(record.trace()?.0),
        V::SpanId => some(record.trace()?.1),
        V::Traceparent => record.traceparent.as_ref().map(|value| Cow::Borrowed(value.as_bytes())),
        _ => None,
    }
}

/// Lists with a value for each try.
fn of_tries<'a>(variable: &LogVariable, attempts: &[Attempt]) -> Value<'a> {
    let value: fn(&Attempt) -> Option<String> = match variable {
        LogVariable::UpstreamAddr => |attempt| Some(attempt.address.to_string()),
        LogVariable::UpstreamStatus => |attempt| {
            let status = if attempt.status > 0 { attempt.status } else { attempt.failure };
            (status > 0).then(|| status.to_string())
        },
        LogVariable::UpstreamResponseTime => |attempt| Some(seconds(attempt.took)),
        LogVariable::UpstreamHeaderTime => |attempt| attempt.answered.map(seconds),
        LogVariable::UpstreamConnectTime => |attempt| {
            // A kept connection took no time.
            attempt.connected.or_else(|| attempt.answered.map(|_| Duration::ZERO)).map(seconds)
        },
        LogVariable::UpstreamResponseLength => |attempt| Some(attempt.received.to_string()),
        _ => return None,
    };
    if attempts.is_empty() {
        return None;
    }
    let values = attempts.iter().map(|attempt| value(attempt).unwrap_or_else(|| "-".to_owned()));
    Some(values.collect::<Vec<_>>().join(", ").into_bytes().into())
}

/// As ingress-nginx names what it turns to.
fn upstream_name<'a>(record: &'a Record, extra: &'a Extra) -> Cow<'a, [u8]> {
    let labels = &record.labels;
    match &extra.instead {
        Some(name) => Cow::Borrowed(name.as_bytes()),
        None if !labels.ingress.is_empty() => {
            format!("{}-{}-{}", labels.namespace, labels.service, labels.service_port).into_bytes().into()
        }
        None if !labels.service.is_empty() || record.reason == "no_rule" => Cow::Borrowed(b"upstream-default-backend"),
        None => Cow::Borrowed(b"-"),
    }
}

/// A cluster as ingress-nginx names an upstream.
pub(crate) fn named(cluster: &ClusterId) -> String {
    format!("{}-{}-{}", cluster.namespace(), cluster.service(), cluster.port())
}

fn target(record: &Record) -> &str {
    record.target.path_and_query().map_or("", http::uri::PathAndQuery::as_str)
}

/// When the line is due: nginx's times are of the end.
fn ended(record: &Record) -> jiff::Timestamp {
    record.time.checked_add(record.duration).unwrap_or(record.time)
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

fn some(text: &str) -> Value<'_> {
    Some(Cow::Borrowed(text.as_bytes()))
}

fn present(text: &str) -> Value<'_> {
    if text.is_empty() { None } else { some(text) }
}

fn written<'a>(value: impl std::fmt::Display) -> Value<'a> {
    let mut out = Vec::new();
    // Writing to a Vec cannot fail.
    write!(out, "{value}").ok()?;
    Some(Cow::Owned(out))
}

fn field(list: &[Option<HeaderValue>], index: usize) -> Option<&[u8]> {
    list.get(index)?.as_ref().map(HeaderValue::as_bytes)
}

fn argument<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn cookie<'a>(field: &'a [u8], name: &str) -> Option<&'a [u8]> {
    field.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).find_map(|pair| {
        let rest = pair.strip_prefix(name.as_bytes())?;
        rest.strip_prefix(b"=")
    })
}

/// The name in an Authorization field; the password is dropped here.
fn user(authorization: &[u8]) -> Option<Vec<u8>> {
    let (scheme, encoded) = authorization.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let end = decoded.iter().position(|byte| *byte == b':')?;
    decoded.truncate(end);
    (!decoded.is_empty()).then_some(decoded)
}

/// As nginx names it.
fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "",
    }
}

/// The name of this machine, which is the pod's.
pub(crate) static HOSTNAME: LazyLock<String> = LazyLock::new(|| {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map(|name| name.trim().to_owned()).unwrap_or_default()
});

#[cfg(test)]
#[path = "nginx_tests.rs"]
mod tests;
