//! A record as one line of JSON.
use std::borrow::Cow;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use http::{HeaderValue, Version};
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;
use table::ClusterId;

use super::Record;
use super::escape::Escaped;

/// Appends the line with its end. A line that fails leaves nothing behind.
pub(super) fn write(record: &Record, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let before = out.len();
    let written = Line::from(record).serialize(&mut serde_json::Serializer::with_formatter(&mut *out, OneLine));
    match written {
        Ok(()) => out.push(b'\n'),
        Err(_) => out.truncate(before),
    }
    written
}

/// The order of the fields is the order in the line. Absent values are empty, so that every line has every field.
#[derive(Serialize)]
struct Line<'r> {
    #[serde(serialize_with = "milliseconds")]
    time: jiff::Timestamp,
    method: &'r str,
    host: &'r str,
    path: &'r str,
    query: &'r str,
    protocol: &'static str,
    status: u16,
    request_bytes: u64,
    response_bytes: u64,
    /// Seconds.
    duration: f64,
    client: Option<IpAddr>,
    user_agent: Cow<'r, str>,
    referer: Cow<'r, str>,
    request_id: Cow<'r, str>,
    namespace: &'r str,
    ingress: &'r str,
    service: &'r str,
    service_port: &'r str,
    rule_path: &'r str,
    #[serde(serialize_with = "cluster")]
    canary: Option<&'r ClusterId>,
    upstream: Vec<SocketAddr>,
    upstream_status: Option<u16>,
    reason: &'static str,
    tls: Option<TlsField<'r>>,
    retries: u32,
    trace_id: &'r str,
}

#[derive(Serialize)]
struct TlsField<'r> {
    version: &'r str,
    sni: &'r str,
}

impl<'r> From<&'r Record> for Line<'r> {
    fn from(record: &'r Record) -> Self {
        let labels = &*record.labels;
        Self {
            time: record.time,
            method: record.method.as_str(),
            host: &record.host,
            path: record.target.path(),
            query: record.target.query().unwrap_or_default(),
            protocol: protocol(record.protocol),
            status: record.status,
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            duration: record.duration.as_secs_f64(),
            client: record.client,
            user_agent: text(record.user_agent.as_ref()),
            referer: text(record.referer.as_ref()),
            request_id: text(record.request_id.as_ref()),
            namespace: &labels.namespace,
            ingress: &labels.ingress,
            service: &labels.service,
            service_port: &labels.service_port,
            rule_path: &labels.path,
            canary: record.canary.as_ref(),
            upstream: record.attempts.iter().map(|attempt| attempt.address).collect(),
            upstream_status: record.attempts.last().map(|last| last.status).filter(|status| *status > 0),
            reason: record.reason,
            tls: record
                .tls
                .as_ref()
                .map(|tls| TlsField { version: &tls.version, sni: tls.sni.as_deref().unwrap_or_default() }),
            retries: record.retries,
            trace_id: record.trace().map_or("", |(trace, _)| trace),
        }
    }
}

fn milliseconds<S: Serializer>(time: &jiff::Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn cluster<S: Serializer>(cluster: &Option<&ClusterId>, serializer: S) -> Result<S::Ok, S::Error> {
    match cluster {
        Some(cluster) => serializer.collect_str(cluster),
        None => serializer.serialize_str(""),
    }
}

fn text(value: Option<&HeaderValue>) -> Cow<'_, str> {
    value.map_or(Cow::Borrowed(""), |value| String::from_utf8_lossy(value.as_bytes()))
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "",
    }
}

/// Compact JSON that also escapes what JSON leaves alone but terminals act on or readers take for the end of a line:
/// DEL, the C1 controls, and U+2028 and U+2029.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.is_ascii() && !fragment.contains('\u{7f}') {
            return writer.write_all(fragment.as_bytes());
        }
        write!(writer, "{}", Escaped(fragment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_log::Tls;
    use crate::access_log::tests::record;
    use crate::upstream::Attempts;
    use features::Labels;
    use http::Uri;
    use std::sync::Arc;
    use std::time::Instant;
    use table::ServicePort;

    fn line(record: &Record) -> String {
        let mut out = Vec::new();
        write(record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_tells_everything() {
        let labels = Labels {
            namespace: "shop".into(),
            ingress: "web".into(),
            service: "cart".into(),
            service_port: "http".into(),
            host: "*.com".into(),
            path: "/cart".into(),
        };
        let mut attempts = Attempts::default();
        for address in ["10.0.0.1:80", "[fd00::1]:80"] {
            attempts.begin(address.parse().unwrap(), Instant::now());
        }
        attempts.now().unwrap().status = 200;
        let record = Record {
            target: Uri::from_static("http://a.com/cart/a%20b?x=1&y"),
            user_agent: Some(HeaderValue::from_static("curl")),
            request_id: Some(HeaderValue::from_static("0af7")),
            labels: Arc::new(labels),
            canary: Some(ClusterId::new("shop", "cart-next", ServicePort::Number(80))),
            attempts: attempts.take(),
            tls: Some(Tls { version: "TLSv1.3".into(), sni: Some("a.com".into()), cipher: "", resumed: false }),
            traceparent: Some(HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
            retries: 1,
            ..record("/")
        };
        assert_eq!(
            line(&record),
            concat!(
                r#"{"time":"2026-01-02T03:04:05.006Z","method":"GET","host":"a.com","path":"/cart/a%20b","query":"x=1&y","#,
                r#""protocol":"HTTP/1.1","status":200,"request_bytes":0,"response_bytes":12,"duration":0.0015,"#,
                r#""client":"192.0.2.1","user_agent":"curl","referer":"","request_id":"0af7","#,
                r#""namespace":"shop","ingress":"web","service":"cart","service_port":"http","rule_path":"/cart","#,
                r#""canary":"shop/cart-next:80","#,
                r#""upstream":["10.0.0.1:80","[fd00::1]:80"],"upstream_status":200,"reason":"","#,
                r#""tls":{"version":"TLSv1.3","sni":"a.com"},"retries":1,"#,
                r#""trace_id":"0af7651916cd43dd8448eb211c80319c"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn milliseconds_are_always_there() {
        let record = Record { time: "2026-01-02T03:04:05Z".parse().unwrap(), ..record("/") };
        assert!(line(&record).starts_with(r#"{"time":"2026-01-02T03:04:05.000Z","#));
    }

    #[test]
    fn nothing_a_client_sends_ends_a_line() {
        let hostile = "a\r\nb\u{1b}[2J\"\u{7f}\u{9b}\u{2028}é";
        let record = Record { host: hostile.into(), ..record("/") };
        let line = line(&record);
        assert!(line.contains(r#""host":"a\r\nb\u001b[2J\"\u007f\u009b\u2028é""#), "{line}");
        assert_eq!(line.chars().filter(|char| char.is_control()).collect::<String>(), "\n");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["host"], hostile);
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_replaced() {
        let record = Record { referer: Some(HeaderValue::from_bytes(b"x\xff\tz").unwrap()), ..record("/") };
        assert!(line(&record).contains(r#""referer":"x�\tz""#));
    }
}
