//! The form of the access log's lines as nginx's `log_format` writes it: parsed once into literal and variable parts.
//!
//! What a request holds is only ever looked up and escaped, never interpreted again.
use http::{HeaderName, header};

/// Largest form in bytes.
const MAX: usize = 16 * 1024;

/// ingress-nginx's default line.
const UPSTREAMINFO: &str = concat!(
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "#,
    "$request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr ",
    "$upstream_response_length $upstream_response_time $upstream_status $req_id"
);

/// The form of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormat {
    /// What a line consists of, in order.
    pub parts: Box<[LogPart]>,
    /// What must be kept of a request for it.
    pub needs: Needs,
    /// Variables that are not known, each once; they are written as absent ones are.
    pub unknown: Box<[Box<str>]>,
}

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPart {
    /// Written as it is.
    Text(Box<str>),
    /// Looked up and escaped.
    Variable(LogVariable),
}

/// Fields that the variables of a form read. Variables hold indexes into these lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Of the client's request.
    pub request: Vec<HeaderName>,
    /// Of the answer as the client gets it.
    pub response: Vec<HeaderName>,
    /// Of the endpoint's answer.
    pub upstream: Vec<HeaderName>,
    /// The sizes of the heads.
    pub sizes: bool,
}

/// An nginx variable that a line may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogVariable {
    /// `$remote_addr`, `$the_real_ip`.
    RemoteAddr,
    /// `$remote_port`.
    RemotePort,
    /// `$realip_remote_addr`: the peer, whatever it said.
    PeerAddr,
    /// `$remote_user`: the name in an Authorization field of the scheme Basic.
    RemoteUser(usize),
    /// `$time_local`, in UTC.
    TimeLocal,
    /// `$time_iso8601`.
    TimeIso8601,
    /// `$msec`: seconds since the Unix epoch.
    Msec,
    /// `$request`: method, target and protocol.
    Request,
    /// `$request_method`.
    RequestMethod,
    /// `$request_uri`: path and query as sent.
    RequestUri,
    /// `$uri`, `$document_uri`: the canonical path.
    Uri,
    /// `$args`, `$query_string`.
    Args,
    /// `$is_args`.
    IsArgs,
    /// `$arg_name`.
    Arg(Box<str>),
    /// `$cookie_name`.
    Cookie(usize, Box<str>),
    /// `$http_name`, `$content_type`, `$content_length`.
    Http(usize),
    /// `$sent_http_name`.
    SentHttp(usize),
    /// `$upstream_http_name`.
    UpstreamHttp(usize),
    /// `$http_host`, `$best_http_host`: as sent, with port.
    HttpHost,
    /// `$host`: canonical.
    Host,
    /// `$server_name`: the host of the rule, `_` without one.
    ServerName,
    /// `$server_port`, `$pass_server_port`, `$pass_port`.
    ServerPort,
    /// `$server_protocol`.
    ServerProtocol,
    /// `$scheme`, `$pass_access_scheme`.
    Scheme,
    /// `$https`.
    Https,
    /// `$status`.
    Status,
    /// `$body_bytes_sent`.
    BodyBytesSent,
    /// `$bytes_sent`: head and body.
    BytesSent,
    /// `$request_length`: head and body.
    RequestLength,
    /// `$request_time`: seconds.
    RequestTime,
    /// `$req_id`, `$request_id`.
    RequestId,
    /// `$request_completion`.
    RequestCompletion,
    /// `$proxy_upstream_name`.
    UpstreamName,
    /// `$proxy_alternative_upstream_name`.
    AlternativeUpstreamName,
    /// `$namespace`.
    Namespace,
    /// `$ingress_name`.
    IngressName,
    /// `$service_name`.
    ServiceName,
    /// `$service_port`.
    ServicePort,
    /// `$location_path`.
    LocationPath,
    /// `$upstream_addr`.
    UpstreamAddr,
    /// `$upstream_status`.
    UpstreamStatus,
    /// `$upstream_response_time`.
    UpstreamResponseTime,
    /// `$upstream_header_time`.
    UpstreamHeaderTime,
    /// `$upstream_connect_time`.
    UpstreamConnectTime,
    /// `$upstream_response_length`, `$upstream_bytes_received`.
    UpstreamResponseLength,
    /// `$ssl_protocol`.
    SslProtocol,
    /// `$ssl_cipher`.
    SslCipher,
    /// `$ssl_server_name`.
    SslServerName,
    /// `$ssl_session_reused`.
    SslSessionReused,
    /// `$ssl_client_verify`.
    SslClientVerify,
    /// `$ssl_client_s_dn`.
    SslClientSubject,
    /// `$ssl_client_i_dn`.
    SslClientIssuer,
    /// `$opentelemetry_trace_id`.
    TraceId,
    /// `$opentelemetry_span_id`: the gateway's own where it leaves a span, otherwise the caller's.
    SpanId,
    /// `$opentelemetry_context_traceparent`.
    Traceparent,
    /// `$hostname`.
    Hostname,
    /// `$pid`.
    Pid,
    /// `$pipe`: always `.`.
    Pipe,
    /// One that is not known.
    Unknown,
}

impl LogFormat {
    /// ingress-nginx's default, `upstreaminfo`.
    #[must_use]
    pub fn upstreaminfo() -> Self {
        let mut parser = Parser::default();
        parser.read(UPSTREAMINFO);
        parser.finish()
    }

    /// Reads a form. `$name` and `${name}` are variables; `\"`, `\'`, `\\`, `\t`, `\r` and `\n` are what nginx's
    /// configuration makes of them.
    ///
    /// # Errors
    /// When it is too long; completes "the value ...".
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX {
            return Err(format!("is longer than {MAX} bytes"));
        }
        let mut parser = Parser::default();
        parser.read(&unescaped(text));
        Ok(parser.finish())
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        let mut ahead = rest.clone();
        let plain = match (char, ahead.next()) {
            ('\\', Some(next @ ('"' | '\'' | '\\'))) => next,
            ('\\', Some('t')) => '\t',
            ('\\', Some('r')) => '\r',
            ('\\', Some('n')) => '\n',
            _ => {
                out.push(char);
                continue;
            }
        };
        out.push(plain);
        rest = ahead;
    }
    out
}

#[derive(Default)]
struct Parser {
    parts: Vec<LogPart>,
    needs: Needs,
    unknown: Vec<Box<str>>,
}

impl Parser {
    fn read(&mut self, text: &str) {
        let (mut rest, mut plain) = (text, String::new());
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            let (name, tail) = crate::template::variable_name(after);
            if name.is_empty() {
                plain.push('$');
            } else {
                if !plain.is_empty() {
                    self.parts.push(LogPart::Text(std::mem::take(&mut plain).into()));
                }
                let variable = self.variable(name).unwrap_or_else(|| {
                    if !self.unknown.iter().any(|known| **known == *name) {
                        self.unknown.push(name.into());
                    }
                    LogVariable::Unknown
                });
                self.parts.push(LogPart::Variable(variable));
            }
            rest = tail;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            self.parts.push(LogPart::Text(plain.into()));
        }
    }

    fn finish(self) -> LogFormat {
        LogFormat { parts: self.parts.into(), needs: self.needs, unknown: self.unknown.into() }
    }

    fn variable(&mut self, name: &str) -> Option<LogVariable> {
        use LogVariable as V;
        self.needs.sizes |= matches!(name, "bytes_sent" | "request_length");
        Some(match name {
            "remote_addr" | "the_real_ip" => V::RemoteAddr,
            "remote_port" => V::RemotePort,
            "realip_remote_addr" => V::PeerAddr,
            "remote_user" => V::RemoteUser(index_of(&mut self.needs.request, header::AUTHORIZATION)),
            "time_local" => V::TimeLocal,
            "time_iso8601" => V::TimeIso8601,
            "msec" => V::Msec,
            "request" => V::Request,
            "request_method" => V::RequestMethod,
            "request_uri" => V::RequestUri,
            "uri" | "document_uri" => V::Uri,
            "args" | "query_string" => V::Args,
            "is_args" => V::IsArgs,
            "http_host" | "best_http_host" => V::HttpHost,
            "host" => V::Host,
            "server_name" => V::ServerName,
            "server_port" | "pass_server_port" | "pass_port" => V::ServerPort,
            "server_protocol" => V::ServerProtocol,
            "scheme" | "pass_access_scheme" => V::Scheme,
            "https" => V::Https,
            "status" => V::Status,
            "body_bytes_sent" => V::BodyBytesSent,
            "bytes_sent" => V::BytesSent,
            "request_length" => V::RequestLength,
            "request_time" => V::RequestTime,
            "req_id" | "request_id" => V::RequestId,
            "request_completion" => V::RequestCompletion,
            "proxy_upstream_name" => V::UpstreamName,
            "proxy_alternative_upstream_name" => V::AlternativeUpstreamName,
            "namespace" => V::Namespace,
            "ingress_name" => V::IngressName,
            "service_name" => V::ServiceName,
            "service_port" => V::ServicePort,
            "location_path" => V::LocationPath,
            "content_type" => V::Http(index_of(&mut self.needs.request, header::CONTENT_TYPE)),
            "content_length" => V::Http(index_of(&mut self.needs.request, header::CONTENT_LENGTH)),
            "hostname" => V::Hostname,
            "pid" => V::Pid,
            "pipe" => V::Pipe,
            _ => return upstream(name).or_else(|| tls(name)).or_else(|| self.family(name)),
        })
    }

    /// Variables with a name of the request's in theirs.
    fn family(&mut self, name: &str) -> Option<LogVariable> {
        let of = |prefix| name.strip_prefix(prefix).filter(|rest: &&str| !rest.is_empty());
        let field = |rest: &str| HeaderName::try_from(rest.replace('_', "-")).ok();
        let needs = &mut self.needs;
        if let Some(rest) = of("arg_") {
            return Some(LogVariable::Arg(rest.into()));
        }
        if let Some(rest) = of("cookie_") {
            return Some(LogVariable::Cookie(index_of(&mut needs.request, header::COOKIE), rest.into()));
        }
        if let Some(rest) = of("http_") {
            return Some(LogVariable::Http(index_of(&mut needs.request, field(rest)?)));
        }
        if let Some(rest) = of("sent_http_") {
            return Some(LogVariable::SentHttp(index_of(&mut needs.response, field(rest)?)));
        }
        of("upstream_http_").and_then(field).map(|name| LogVariable::UpstreamHttp(index_of(&mut needs.upstream, name)))
    }
}

fn upstream(name: &str) -> Option<LogVariable> {
    Some(match name {
        "upstream_addr" => LogVariable::UpstreamAddr,
        "upstream_status" => LogVariable::UpstreamStatus,
        "upstream_response_time" => LogVariable::UpstreamResponseTime,
        "upstream_header_time" => LogVariable::UpstreamHeaderTime,
        "upstream_connect_time" => LogVariable::UpstreamConnectTime,
        "upstream_response_length" | "upstream_bytes_received" => LogVariable::UpstreamResponseLength,
        _ => return None,
    })
}

fn tls(name: &str) -> Option<LogVariable> {
    Some(match name {
        "ssl_protocol" => LogVariable::SslProtocol,
        "ssl_cipher" => LogVariable::SslCipher,
        "ssl_server_name" => LogVariable::SslServerName,
        "ssl_session_reused" => LogVariable::SslSessionReused,
        "ssl_client_verify" => LogVariable::SslClientVerify,
        "ssl_client_s_dn" => LogVariable::SslClientSubject,
        "ssl_client_i_dn" => LogVariable::SslClientIssuer,
        "opentelemetry_trace_id" => LogVariable::TraceId,
        "opentelemetry_span_id" => LogVariable::SpanId,
        "opentelemetry_context_traceparent" => LogVariable::Traceparent,
        _ => return None,
    })
}

fn index_of(list: &mut Vec<HeaderName>, name: HeaderName) -> usize {
    list.iter().position(|known| *known == name).unwrap_or_else(|| {
        list.push(name);
        list.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_line_knows_all_of_its_variables() {
        let format = LogFormat::upstreaminfo();
        assert_eq!(format.unknown, [].into());
        assert_eq!(format.needs.request, ["authorization", "referer", "user-agent"]);
        assert!(format.needs.sizes && format.needs.response.is_empty());
    }

    #[test]
    fn a_form_becomes_literal_and_variable_parts() {
        let format = LogFormat::parse(r#"{\"a\": "${status}", "$http_x_a$http_x_a"}$"#).unwrap();
        let text = |text: &str| LogPart::Text(text.into());
        assert_eq!(
            &*format.parts,
            [
                text("{\"a\": \""),
                LogPart::Variable(LogVariable::Status),
                text("\", \""),
                LogPart::Variable(LogVariable::Http(0)),
                LogPart::Variable(LogVariable::Http(0)),
                text("\"}$"),
            ]
        );
        assert_eq!(format.needs.request, ["x-a"]);
    }

    #[test]
    fn what_is_not_known_is_named_once() {
        let format = LogFormat::parse("$geoip2_city_country_code $status $connection $connection").unwrap();
        assert_eq!(format.unknown, ["geoip2_city_country_code".into(), "connection".into()].into());
        assert_eq!(format.parts.first(), Some(&LogPart::Variable(LogVariable::Unknown)));
    }

    #[test]
    fn any_text_is_read_and_a_huge_one_refused() {
        for text in ["", "$", "$$", "${", "${}", "\\", "\\x", "$é", "$1", "$http_", "$http_\u{7f}"] {
            assert!(LogFormat::parse(text).is_ok(), "{text:?}");
        }
        assert!(LogFormat::parse(&"x".repeat(MAX + 1)).is_err());
    }
}
