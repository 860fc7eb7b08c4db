//! What a snippet means: statements of a small language without loops, compiled from nginx's directives.
use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

use super::lexer::{Directive, directives};
use crate::{Pattern, Template};

/// A compiled snippet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Program {
    /// In the order of the text.
    pub(super) statements: Vec<Statement>,
    /// `allow` and `deny`: the first that covers the client decides.
    pub(super) access: Vec<(bool, Option<IpNet>)>,
    /// Annotations that directives stand for.
    pub(super) implied: Vec<(&'static str, String)>,
    /// Directives that only tune nginx.
    pub(super) skipped: Vec<String>,
    /// Names of the variables that `set` sets.
    slots: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    Set(usize, Template),
    If(Condition, Vec<Self>),
    Return(u16, Option<Template>),
    Rewrite(Pattern, Template, Flag),
    /// Stops rewriting.
    Break,
    UpstreamField(HeaderName, Template),
    Answer(AnswerField),
}

/// What a rewrite does after it matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// Goes on with the next statement.
    Continue,
    /// Stops.
    Stop,
    /// Redirects.
    Redirect(u16),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) left: Template,
    pub(super) test: Test,
    pub(super) negated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// Neither empty nor `0`.
    True,
    Equals(Template),
    Matches(Pattern),
}

/// A change of the answer's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AnswerField {
    /// `add_header`: adds; on errors only with `always`.
    Add { name: HeaderName, value: Template, always: bool },
    /// `more_set_headers`: replaces, whatever the status.
    Set(HeaderName, Template),
    /// `more_clear_headers` and `proxy_hide_header`; a name may end with `*`.
    Clear { name: String, prefix: bool },
}

/// Directives that only tune nginx: leaving them out changes neither who gets through nor what is sent.
const TUNING: &[&str] = &[
    "access_log", "client_body_timeout", "client_header_buffer_size", "error_log",
    "fastcgi_buffers", "gzip", "gzip_comp_level", "gzip_min_length", "gzip_proxied", "gzip_types", "gzip_vary",
    "keepalive_timeout", "large_client_header_buffers", "log_not_found", "port_in_redirect", "proxy_buffering",
    "proxy_buffer_size", "proxy_buffers", "proxy_busy_buffers_size", "proxy_force_ranges",
    "proxy_ignore_client_abort", "proxy_max_temp_file_size", "proxy_socket_keepalive",
    "proxy_temp_file_write_size", "send_timeout", "sendfile", "server_tokens", "tcp_nodelay", "tcp_nopush",
];

/// Compiles a text.
///
/// # Errors
/// Every line that cannot be translated; completes "the value ...".
pub(super) fn compile(text: &str) -> Result<Program, String> {
    let directives = directives(text)?;
    let mut program = Program::default();
    program.declare(&directives);
    let mut failures = Vec::new();
    let statements = program.block(&directives, false, &mut failures);
    program.statements = statements;
    if failures.is_empty() {
        return Ok(program);
    }
    Err(format!("has directives that cannot be translated: {}", failures.join("; ")))
}

impl Program {
    /// How many variables it sets.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// A variable that is set anywhere is known everywhere, as in nginx.
    fn declare(&mut self, list: &[Directive]) {
        for directive in list {
            if let [set, name, _] = &*directive.words
                && set == "set"
                && let Some(name) = name.strip_prefix('$')
                && !self.slots.iter().any(|known| known == name)
            {
                self.slots.push(name.to_owned());
            }
            self.declare(directive.block.as_deref().unwrap_or_default());
        }
    }

    fn block(&mut self, list: &[Directive], in_if: bool, failures: &mut Vec<String>) -> Vec<Statement> {
        let mut statements = Vec::new();
        for directive in list {
            match self.directive(directive, in_if, failures) {
                Ok(more) => statements.extend(more),
                Err(why) => {
                    let line: String = directive.words.join(" ").chars().filter(|c| !c.is_control()).take(80).collect();
                    failures.push(format!("\"{line}\" ({why})"));
                }
            }
        }
        statements
    }

    fn directive(
        &mut self,
        directive: &Directive,
        in_if: bool,
        failures: &mut Vec<String>,
    ) -> Result<Vec<Statement>, String> {
        let words: Vec<&str> = directive.words.iter().map(String::as_str).collect();
        let Some((name, arguments)) = words.split_first() else { return Ok(Vec::new()) };
        if let Some(block) = &directive.block {
            if *name != "if" {
                return Err("only if may have a block".to_owned());
            }
            let condition = self.condition(arguments)?;
            return Ok(vec![Statement::If(condition, self.block(block, true, failures))]);
        }
        let statement = match (*name, arguments) {
            ("set", [name, value]) => {
                let slot = name.strip_prefix('$').and_then(|name| self.slots.iter().position(|known| known == name));
                Statement::Set(slot.ok_or("names no variable")?, self.template(value)?)
            }
            ("return", arguments) => returned(arguments, |text| self.template(text))?,
            ("rewrite", [pattern, to]) => self.rewrite(pattern, to, "")?,
            ("rewrite", [pattern, to, flag]) => self.rewrite(pattern, to, flag)?,
            ("break", []) => Statement::Break,
            ("add_header", [name, value]) => self.add(name, value, false)?,
            ("add_header", [name, value, "always"]) => self.add(name, value, true)?,
            ("more_set_headers", fields) => return self.set_all(fields),
            ("more_clear_headers" | "proxy_hide_header", names) => return clear_all(names),
            ("proxy_set_header" | "grpc_set_header", [name, value]) if !in_if => {
                Statement::UpstreamField(field_name(name)?, self.template(value)?)
            }
            ("expires", [time]) => expires(time)?,
            ("allow", [range]) if !in_if => return self.access(true, range),
            ("deny", [range]) if !in_if => return self.access(false, range),
            ("client_max_body_size", [size]) if !in_if => return Ok(self.imply("proxy-body-size", (*size).to_owned())),
            ("client_body_buffer_size", [size]) if !in_if => {
                return Ok(self.imply("client-body-buffer-size", (*size).to_owned()));
            }
            ("proxy_http_version", [version]) if !in_if => {
                return Ok(self.imply("proxy-http-version", (*version).to_owned()));
            }
            ("proxy_request_buffering", [on]) if !in_if => {
                return Ok(self.imply("proxy-request-buffering", (*on).to_owned()));
            }
            ("proxy_connect_timeout", [time]) if !in_if => return self.timeout("proxy-connect-timeout", time),
            ("proxy_read_timeout", [time]) if !in_if => return self.timeout("proxy-read-timeout", time),
            ("proxy_send_timeout", [time]) if !in_if => return self.timeout("proxy-send-timeout", time),
            (name, _) if TUNING.contains(&name) => {
                self.skipped.push(name.to_owned());
                return Ok(Vec::new());
            }
            _ => return Err("not among the directives that are translated".to_owned()),
        };
        Ok(vec![statement])
    }

    fn template(&self, text: &str) -> Result<Template, String> {
        Template::parse_with_slots(text, |name| self.slots.iter().position(|known| known == name))
    }

    /// `($a = "b")`, its parts split at spaces.
    fn condition(&self, words: &[&str]) -> Result<Condition, String> {
        let text = words.join(" ");
        let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).ok_or("the condition has no parentheses")?;
        let mut parts = inner.trim().splitn(3, ' ');
        let (left, operator, right) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        if !left.starts_with('$') {
            return Err("a condition begins with a variable".to_owned());
        }
        let left = self.template(left)?;
        let right = right.unwrap_or_default().trim().trim_matches('"');
        let (test, negated) = match operator {
            None => (Test::True, false),
            Some("=") => (Test::Equals(self.template(right)?), false),
            Some("!=") => (Test::Equals(self.template(right)?), true),
            Some("~") => (Test::Matches(Pattern::new(right, false)?), false),
            Some("~*") => (Test::Matches(Pattern::new(right, true)?), false),
            Some("!~") => (Test::Matches(Pattern::new(right, false)?), true),
            Some("!~*") => (Test::Matches(Pattern::new(right, true)?), true),
            Some(_) => return Err("the operator is not known".to_owned()),
        };
        Ok(Condition { left, test, negated })
    }

    fn rewrite(&self, pattern: &str, to: &str, flag: &str) -> Result<Statement, String> {
        let absolute = ["http://", "https://", "$scheme"].iter().any(|scheme| to.starts_with(scheme));
        let flag = match flag {
            "" | "redirect" if absolute => Flag::Redirect(302),
            "redirect" => Flag::Redirect(302),
            "permanent" => Flag::Redirect(301),
            "last" | "break" if !absolute => Flag::Stop,
            "" => Flag::Continue,
            _ => return Err("the flag is not known".to_owned()),
        };
        Ok(Statement::Rewrite(Pattern::new(pattern, false)?, self.template(to)?, flag))
    }

    fn add(&self, name: &str, value: &str, always: bool) -> Result<Statement, String> {
        Ok(Statement::Answer(AnswerField::Add { name: field_name(name)?, value: self.template(value)?, always }))
    }

    /// `more_set_headers "A: b" "C: d"`; a field without a value is removed.
    fn set_all(&self, fields: &[&str]) -> Result<Vec<Statement>, String> {
        let set = |field: &&str| {
            if field.starts_with('-') {
                return Err("options are not translated".to_owned());
            }
            let (name, value) = field.split_once(':').unwrap_or((field, ""));
            let name = field_name(name.trim())?;
            Ok(Statement::Answer(match value.trim() {
                "" => AnswerField::Clear { name: name.as_str().to_owned(), prefix: false },
                value => AnswerField::Set(name, self.template(value)?),
            }))
        };
        fields.iter().map(set).collect()
    }

    fn access(&mut self, allow: bool, range: &str) -> Result<Vec<Statement>, String> {
        let range = match range {
            "all" => None,
            text => Some(
                text.parse::<IpNet>()
                    .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                    .map_err(|_| "not an address, a range or all")?,
            ),
        };
        self.access.push((allow, range));
        Ok(Vec::new())
    }

    fn imply(&mut self, name: &'static str, value: String) -> Vec<Statement> {
        self.implied.push((name, value));
        Vec::new()
    }

    fn timeout(&mut self, name: &'static str, time: &str) -> Result<Vec<Statement>, String> {
        let seconds = seconds(time).filter(|seconds| (1..=86_400).contains(seconds)).ok_or("not a time from 1s to 1d")?;
        Ok(self.imply(name, seconds.to_string()))
    }
}

fn returned(
    arguments: &[&str],
    template: impl Fn(&str) -> Result<Template, String>,
) -> Result<Statement, String> {
    let status = |text: &str| text.parse::<u16>().ok().filter(|status| (200..=599).contains(status));
    match arguments {
        [url] if url.starts_with("http") || url.starts_with("$scheme") => Ok(Statement::Return(302, Some(template(url)?))),
        [code] => Ok(Statement::Return(status(code).ok_or("not a status from 200 to 599")?, None)),
        [code, text] => Ok(Statement::Return(status(code).ok_or("not a status from 200 to 599")?, Some(template(text)?))),
        _ => Err("return takes a status and a text".to_owned()),
    }
}

fn clear_all(names: &[&str]) -> Result<Vec<Statement>, String> {
    let clear = |name: &&str| {
        let (name, prefix) = name.strip_suffix('*').map_or((*name, false), |name| (name, true));
        let name = field_name(name)?.as_str().to_owned();
        Ok(Statement::Answer(AnswerField::Clear { name, prefix }))
    };
    names.iter().map(clear).collect()
}

fn expires(time: &str) -> Result<Statement, String> {
    let value = match time {
        "off" => return Ok(Statement::If(never(), Vec::new())),
        "epoch" | "-1" => "no-cache".to_owned(),
        "max" => "max-age=315360000".to_owned(),
        time => format!("max-age={}", seconds(time).ok_or("the time is not translated")?),
    };
    let value = Template::parse(&value)?;
    Ok(Statement::Answer(AnswerField::Add { name: http::header::CACHE_CONTROL, value, always: false }))
}

/// A condition that does not hold.
fn never() -> Condition {
    Condition { left: Template::default(), test: Test::True, negated: false }
}

/// nginx's times: `90`, `90s`, `5m`, `1h30m`, `7d`.
fn seconds(text: &str) -> Option<u64> {
    let (mut total, mut number) = (0_u64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(std::mem::take(&mut number).parse::<u64>().ok()?.checked_mul(unit)?)?;
    }
    if number.is_empty() { (!text.is_empty()).then_some(total) } else { total.checked_add(number.parse().ok()?) }
}

fn field_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| "not the name of a field".to_owned())
}

/// A value that was expanded for a request; what is no field value is left out.
pub(super) fn field_value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_translated_is_listed() {
        let error = compile("set $a 1; proxy_pass http://x; lua_code 1; return 99;").unwrap_err();
        for part in ["proxy_pass http://x", "lua_code 1", "return 99"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("set $a"), "{error}");
    }

    #[test]
    fn settings_become_the_annotations_that_they_stand_for() {
        let program = compile("proxy_read_timeout 5m; client_max_body_size 8m; gzip on;").unwrap();
        assert_eq!(program.implied, [("proxy-read-timeout", "300".to_owned()), ("proxy-body-size", "8m".to_owned())]);
        assert_eq!(program.skipped, ["gzip"]);
    }

    #[test]
    fn times_are_nginxs() {
        assert_eq!(["90", "1h30m", "7d", "x", ""].map(seconds), [Some(90), Some(5_400), Some(604_800), None, None]);
    }

    #[test]
    fn a_variable_that_nobody_sets_is_told() {
        assert!(compile("return 200 $nobody;").unwrap_err().contains("$nobody"));
    }
}
