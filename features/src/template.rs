//! Texts with nginx variables, `https://$host/auth?rd=$escaped_request_uri`: parsed once, expanded for each request.
//!
//! Variables are looked up, never interpreted again: what a client sends cannot become a variable.
use std::fmt::Write;

use crate::Request;

/// A text with variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Box<[Part]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Variable(Variable),
    /// A value that whoever expands the text keeps.
    Slot(usize),
}

/// An nginx variable that stands for something of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `$args` and `$query_string`: the query.
    Args,
    /// `$arg_name`: a parameter of the query, as sent.
    Arg(Box<str>),
    /// `$1` to `$9`: a capture of the path's regular expression.
    Capture(u8),
    /// `$cookie_name`.
    Cookie(Box<str>),
    /// `$escaped_request_uri`: path and query as sent, percent-encoded.
    EscapedRequestUri,
    /// `$host` and `$best_http_host`'s name without port.
    Host,
    /// `$http_name`: a field, its name with underscores for hyphens.
    Http(Box<str>),
    /// `$best_http_host`, `$http_host`: host with port, as sent.
    HttpHost,
    /// `$https`: `on` over TLS, else empty.
    Https,
    /// `$ingress_name`.
    IngressName,
    /// `$is_args`: `?` when there is a query.
    IsArgs,
    /// `$location_path`: path of the rule.
    LocationPath,
    /// `$namespace`.
    Namespace,
    /// `$remote_addr`, `$the_real_ip` and `$binary_remote_addr`: the client's address.
    RemoteAddr,
    /// `$request_id` and `$req_id`.
    RequestId,
    /// `$request_method`.
    RequestMethod,
    /// `$request_uri`: path and query as sent.
    RequestUri,
    /// `$scheme` and `$pass_access_scheme`.
    Scheme,
    /// `$server_port` and `$pass_server_port`, `$pass_port`.
    ServerPort,
    /// `$service_name`.
    ServiceName,
    /// `$service_port`.
    ServicePort,
    /// `$uri` and `$document_uri`: the canonical path.
    Uri,
}

impl Variable {
    /// The variable of a name without its dollar sign.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "args" | "query_string" => Self::Args,
            "escaped_request_uri" => Self::EscapedRequestUri,
            "host" | "server_name" => Self::Host,
            "http_host" | "best_http_host" => Self::HttpHost,
            "https" => Self::Https,
            "ingress_name" => Self::IngressName,
            "is_args" => Self::IsArgs,
            "location_path" => Self::LocationPath,
            "namespace" => Self::Namespace,
            "remote_addr" | "the_real_ip" | "binary_remote_addr" => Self::RemoteAddr,
            "request_id" | "req_id" => Self::RequestId,
            "request_method" => Self::RequestMethod,
            "request_uri" => Self::RequestUri,
            "scheme" | "pass_access_scheme" => Self::Scheme,
            "server_port" | "pass_server_port" | "pass_port" => Self::ServerPort,
            "service_name" => Self::ServiceName,
            "service_port" => Self::ServicePort,
            "uri" | "document_uri" => Self::Uri,
            _ => return Self::parse_family(name),
        })
    }

    fn parse_family(name: &str) -> Option<Self> {
        if let [digit @ b'1'..=b'9'] = name.as_bytes() {
            return Some(Self::Capture(digit - b'0'));
        }
        let family = |prefix| name.strip_prefix(prefix).filter(|rest: &&str| !rest.is_empty());
        if let Some(name) = family("arg_") {
            return Some(Self::Arg(name.into()));
        }
        if let Some(name) = family("cookie_") {
            return Some(Self::Cookie(name.into()));
        }
        family("http_").map(|name| Self::Http(name.replace('_', "-").into()))
    }
}

impl Template {
    /// Reads a text. `$name` and `${name}` are variables; a dollar sign before anything else stands for itself.
    ///
    /// # Errors
    /// Names a variable that is not known; completes "the value ...".
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_with_slots(text, |_| None)
    }

    /// Reads a text in which some names stand for values of their own; they hide nginx's variables.
    pub(crate) fn parse_with_slots(text: &str, slot: impl Fn(&str) -> Option<usize>) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        let mut plain = String::new();
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            let (name, tail) = variable_name(after);
            if name.is_empty() {
                plain.push('$');
            } else {
                let part = match slot(name) {
                    Some(slot) => Part::Slot(slot),
                    None => Part::Variable(
                        Variable::parse(name).ok_or_else(|| format!("has the variable ${name}, which is not known"))?,
                    ),
                };
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain).into()));
                }
                parts.push(part);
            }
            rest = tail;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Self(parts.into()))
    }

    /// The text, when it has no variables.
    #[must_use]
    pub fn fixed(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The variables, in order.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Text(_) | Part::Slot(_) => None,
        })
    }

    /// Expands for a request. `captures` holds what the path's regular expression captured, the whole match first.
    #[must_use]
    pub fn expand(&self, request: &Request<'_>, captures: &[&str]) -> String {
        self.expand_with_slots(request, captures, &[])
    }

    /// Expands with the values of slots; one that has none is empty.
    pub(crate) fn expand_with_slots(&self, request: &Request<'_>, captures: &[&str], slots: &[String]) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable(variable) => look_up(variable, request, captures, &mut out),
                Part::Slot(slot) => out.push_str(slots.get(*slot).map_or("", String::as_str)),
            }
        }
        out
    }
}

/// The name at the begin of a text, and what follows it.
pub(crate) fn variable_name(text: &str) -> (&str, &str) {
    if let Some((name, tail)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) {
        return (name, tail);
    }
    let captures = text.starts_with(|first: char| first.is_ascii_digit());
    let end = if captures {
        1
    } else {
        text.find(|byte: char| !(byte.is_ascii_alphanumeric() || byte == '_')).unwrap_or(text.len())
    };
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn look_up(variable: &Variable, request: &Request<'_>, captures: &[&str], out: &mut String) {
    match variable {
        Variable::Args => out.push_str(request.query()),
        Variable::Arg(name) => out.push_str(parameter(request.query(), name)),
        Variable::Capture(number) => {
            out.push_str(captures.get(usize::from(*number)).copied().unwrap_or_default());
        }
        Variable::Cookie(name) => out.push_str(request.cookie(name).unwrap_or_default()),
        Variable::EscapedRequestUri => escape(request.target, out),
        Variable::Host => out.push_str(request.host),
        Variable::Http(name) => out.push_str(request.field(name).unwrap_or_default()),
        Variable::HttpHost => out.push_str(request.authority),
        Variable::Https => out.push_str(if request.tls { "on" } else { "" }),
        Variable::IngressName => out.push_str(&request.labels.ingress),
        Variable::IsArgs => out.push_str(if request.target.contains('?') { "?" } else { "" }),
        Variable::LocationPath => out.push_str(&request.labels.path),
        Variable::Namespace => out.push_str(&request.labels.namespace),
        Variable::RemoteAddr => {
            if let Some(client) = request.client {
                // Writing to a String cannot fail.
                write!(out, "{client}").ok();
            }
        }
        Variable::RequestId => out.push_str(request.request_id),
        Variable::RequestMethod => out.push_str(request.method.as_str()),
        Variable::RequestUri => out.push_str(request.target),
        Variable::Scheme => out.push_str(request.scheme()),
        Variable::ServerPort => {
            write!(out, "{}", request.port).ok();
        }
        Variable::ServiceName => out.push_str(&request.labels.service),
        Variable::ServicePort => out.push_str(&request.labels.service_port),
        Variable::Uri => out.push_str(request.path),
    }
}

/// The first parameter of a name.
fn parameter<'a>(query: &'a str, name: &str) -> &'a str {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map_or("", |(_, value)| value)
}

/// Percent-encodes all but RFC 3986's unreserved characters, as nginx's `ngx.escape_uri` does.
pub(crate) fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                write!(out, "%{byte:02X}").ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Labels;

    fn expand(text: &str) -> String {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-user", http::HeaderValue::from_static("$host"));
        headers.insert("cookie", http::HeaderValue::from_static("sid=7"));
        let labels = Labels { namespace: "ns".into(), ..Labels::default() };
        let request = Request { target: "/a b?x=1&y=2", ..crate::request::tests::plain(&headers, &labels) };
        Template::parse(text).unwrap().expand(&request, &["/whole", "one"])
    }

    #[test]
    fn variables_stand_for_the_request() {
        assert_eq!(expand("$scheme://$host$request_uri"), "http://foo.com/a b?x=1&y=2");
        assert_eq!(expand("${host}x-$arg_y-$cookie_sid-$1a$namespace"), "foo.comx-2-7-oneans");
        assert_eq!(expand("$escaped_request_uri"), "%2Fa%20b%3Fx%3D1%26y%3D2");
    }

    #[test]
    fn what_a_client_sends_is_not_a_variable() {
        assert_eq!(expand("$http_x_user"), "$host");
    }

    #[test]
    fn a_dollar_sign_alone_stands_for_itself() {
        assert_eq!(expand("a$-$"), "a$-$");
        assert_eq!(Template::parse("plain").unwrap().fixed(), Some("plain"));
    }

    #[test]
    fn an_unknown_variable_is_named() {
        assert!(Template::parse("$lua_thing").unwrap_err().contains("$lua_thing"));
    }
}
