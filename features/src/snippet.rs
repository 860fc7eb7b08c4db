//! `configuration-snippet` and `server-snippet`: the directives that people use, translated. The text is never evaluated.
mod lexer;
mod program;

use std::borrow::Cow;

use http::HeaderValue;
use http::header::{CONTENT_TYPE, HeaderName};

use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::{Answer, Edits, Feature, Head, Keys, Request, RuleFacts, Template, Verdict};
use program::{AnswerField, Condition, Flag, Program, Statement, Test, compile, field_value};

const HOW: &str = "Refused, and the Ingress left out, unless the operator starts Ingora with --translate-snippets: then the \
                   directives that people use are translated, and others refused.";

const fn key(name: &'static str, sentence: &'static str, support: Support) -> Key<Program> {
    let row = Row { name, sentence, default: "none", example: "add_header X-A b;", support };
    Key { row, parse: compile, on_error: OnError::Reject }
}

const CONFIGURATION: Key<Program> = key(
    "configuration-snippet",
    "nginx directives for the paths of the Ingress: add_header, more_set_headers, more_clear_headers, proxy_set_header, \
     proxy_hide_header, return, rewrite, set, if, expires, allow, deny, proxy_*_timeout, client_max_body_size.",
    Support::Approximated(HOW),
);

const SERVER: Key<Program> = key(
    "server-snippet",
    "As configuration-snippet; holds for the paths of the Ingress, not for those that other Ingresses have on its hosts.",
    Support::Approximated(HOW),
);

const fn refused(name: &'static str, sentence: &'static str, instead: &'static str) -> Key<()> {
    let row = Row { name, sentence, default: "none", example: "text", support: Support::Refused(instead) };
    Key { row, parse: |_| Ok(()), on_error: OnError::Reject }
}

const AUTH: Key<()> = refused(
    "auth-snippet",
    "nginx directives for the request to the authentication service.",
    "Text of nginx's configuration is never evaluated, and the Ingress is left out; use auth-proxy-set-headers.",
);

const STREAM: Key<()> = refused(
    "stream-snippet",
    "nginx directives for TCP and UDP.",
    "Text of nginx's configuration is never evaluated, and the Ingress is left out; use the TCP and UDP services ConfigMaps.",
);

const MODSECURITY: Key<()> = refused(
    "modsecurity-snippet",
    "Rules for ModSecurity.",
    "There is no ModSecurity here, and the Ingress is left out; put a web application firewall before or behind the gateway.",
);

/// The program of both snippets, the server's first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet(Vec<Program>);

impl Feature for Snippet {
    const KEYS: Keys = &[&SERVER, &CONFIGURATION, &AUTH, &STREAM, &MODSECURITY];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        for key in [&AUTH, &STREAM, &MODSECURITY] {
            if reader.has(key.row.name)
                && let Support::Refused(instead) = key.row.support
            {
                let mut message = format!("is not obeyed: {instead}");
                message.truncate(message.trim_end_matches('.').len());
                reader.report(key.row.name, message, OnError::Reject);
            }
        }
        let programs = [&SERVER, &CONFIGURATION].into_iter().filter_map(|key| read_one(reader, key)).collect();
        Some(Self(programs)).filter(|snippet| !snippet.0.is_empty())
    }

    fn on_request(&self, request: &Request<'_>, edits: &mut Edits) -> Verdict {
        let mut run = Run { request, edits, slots: Vec::new(), captures: Vec::new(), stopped: false };
        for program in &self.0 {
            run.slots = vec![String::new(); program.slots()];
            if let Some(answer) = run.all(&program.statements) {
                return Verdict::Answer(Box::new(answer));
            }
        }
        if self.0.iter().any(|program| denies(program, request)) {
            return Verdict::status(403, "snippet_denied");
        }
        Verdict::Continue
    }

    /// Runs the statements once more: what they decide depends on the request alone.
    fn on_response(&self, request: &Request<'_>, _: &Edits, head: &mut dyn Head) {
        let mut nothing = Edits::default();
        let mut run = Run { request, edits: &mut nothing, slots: Vec::new(), captures: Vec::new(), stopped: false };
        for program in &self.0 {
            run.slots = vec![String::new(); program.slots()];
            run.answer(&program.statements, head);
        }
    }
}

fn read_one(reader: &mut Reader<'_>, key: &Key<Program>) -> Option<Program> {
    if !reader.translates_snippets() {
        if reader.has(key.row.name) {
            let message = "is not obeyed: text of nginx's configuration is never evaluated; use the annotations that do what \
                           it does, or let the operator set --translate-snippets; until then this Ingress is left out";
            reader.report(key.row.name, message.to_owned(), OnError::Reject);
        }
        return None;
    }
    let program = reader.take(key)?;
    for (name, value) in &program.implied {
        reader.imply(name, value.clone());
    }
    if !program.skipped.is_empty() {
        let message = format!("has directives that only tune nginx and have no effect: {}", program.skipped.join(", "));
        reader.report(key.row.name, message, OnError::Default);
    }
    Some(program)
}

/// Does `deny` cover the client?
fn denies(program: &Program, request: &Request<'_>) -> bool {
    let covers = |range: &Option<ipnet::IpNet>| match (range, request.client) {
        (None, _) => true,
        (Some(range), Some(client)) => range.contains(&client),
        (Some(_), None) => false,
    };
    program.access.iter().find(|(_, range)| covers(range)).is_some_and(|(allow, _)| !allow)
}

/// A run for one request.
struct Run<'a, 'r> {
    request: &'a Request<'r>,
    edits: &'a mut Edits,
    slots: Vec<String>,
    /// Of the regular expression that matched last.
    captures: Vec<String>,
    stopped: bool,
}

impl Run<'_, '_> {
    fn expand(&self, template: &Template) -> String {
        let captures: Vec<&str> = self.captures.iter().map(String::as_str).collect();
        template.expand_with_slots(self.request, &captures, &self.slots)
    }

    /// Runs statements until one answers.
    fn all(&mut self, statements: &[Statement]) -> Option<Answer> {
        for statement in statements {
            if self.stopped {
                // Fields are set whatever stopped rewriting.
                if let Statement::UpstreamField(name, value) = statement {
                    self.upstream_field(name, value);
                }
                continue;
            }
            match statement {
                Statement::Set(slot, value) => self.set(*slot, value),
                Statement::If(condition, inner) => {
                    if self.holds(condition)
                        && let Some(answer) = self.all(inner)
                    {
                        return Some(answer);
                    }
                }
                Statement::Return(status, text) => return Some(self.returned(*status, text.as_ref())),
                Statement::Rewrite(pattern, to, flag) => {
                    if let Some(answer) = self.rewrite(pattern.regex(), to, *flag) {
                        return Some(answer);
                    }
                }
                Statement::Break => self.stopped = true,
                Statement::UpstreamField(name, value) => self.upstream_field(name, value),
                Statement::Answer(_) => {}
            }
        }
        None
    }

    /// Runs statements for what they do to the answer.
    fn answer(&mut self, statements: &[Statement], head: &mut dyn Head) {
        for statement in statements {
            match statement {
                Statement::Set(slot, value) => self.set(*slot, value),
                Statement::If(condition, inner) if self.holds(condition) => self.answer(inner, head),
                Statement::Answer(field) => self.answer_field(field, head),
                _ => {}
            }
        }
    }

    fn set(&mut self, slot: usize, value: &Template) {
        let value = self.expand(value);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = value;
        }
    }

    fn holds(&mut self, condition: &Condition) -> bool {
        let left = self.expand(&condition.left);
        let outcome = match &condition.test {
            Test::True => !left.is_empty() && left != "0",
            Test::Equals(right) => left == self.expand(right),
            Test::Matches(pattern) => self.matches(pattern.regex(), &left),
        };
        outcome != condition.negated
    }

    fn matches(&mut self, pattern: &regex::Regex, text: &str) -> bool {
        let Some(captures) = pattern.captures(text) else { return false };
        self.captures = captures.iter().map(|group| group.map_or("", |group| group.as_str()).to_owned()).collect();
        true
    }

    fn upstream_field(&mut self, name: &HeaderName, value: &Template) {
        let value = field_value(&self.expand(value));
        self.edits.upstream_fields.push((name.clone(), value));
    }

    fn returned(&self, status: u16, text: Option<&Template>) -> Answer {
        let text = text.map(|text| self.expand(text));
        if matches!(status, 301 | 302 | 303 | 307 | 308) {
            return self.redirect(status, &text.unwrap_or_default());
        }
        let kind = (CONTENT_TYPE, HeaderValue::from_static("text/html"));
        let fields = if text.is_some() { vec![kind] } else { Vec::new() };
        Answer { status, fields, body: text.map(Cow::Owned), reason: "snippet" }
    }

    /// nginx makes the location absolute.
    fn redirect(&self, status: u16, location: &str) -> Answer {
        let location = if location.starts_with('/') {
            format!("{}://{}{location}", self.request.scheme(), self.request.host)
        } else {
            location.to_owned()
        };
        match Verdict::redirect(status, &location) {
            Verdict::Answer(answer) => *answer,
            Verdict::Continue | Verdict::Ask(_) => Answer { status: 400, fields: Vec::new(), body: None, reason: "redirect_location" },
        }
    }

    /// The path that the endpoint gets so far, and the query.
    fn target(&self) -> (String, String) {
        match &self.edits.target {
            Some(target) => {
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                (path.to_owned(), query.to_owned())
            }
            None => (self.request.path.to_owned(), self.request.query().to_owned()),
        }
    }

    fn rewrite(&mut self, pattern: &regex::Regex, to: &Template, flag: Flag) -> Option<Answer> {
        let (path, query) = self.target();
        if !self.matches(pattern, &path) {
            return None;
        }
        let mut target = self.expand(to);
        // A question mark at the end drops the query of the request.
        if target.ends_with('?') {
            target.pop();
        } else if !query.is_empty() {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(&query);
        }
        match flag {
            Flag::Redirect(status) => return Some(self.redirect(status, &target)),
            Flag::Stop => self.stopped = true,
            Flag::Continue => {}
        }
        if !target.starts_with('/') {
            target.insert(0, '/');
        }
        self.edits.target = Some(target);
        None
    }

    fn answer_field(&self, field: &AnswerField, head: &mut dyn Head) {
        match field {
            AnswerField::Add { name, value, always } => {
                let usual = matches!(head.status(), 200 | 201 | 204 | 206 | 301..=304 | 307 | 308);
                if let Some(value) = field_value(&self.expand(value)).filter(|_| usual || *always) {
                    head.append(name.clone(), value);
                }
            }
            AnswerField::Set(name, value) => {
                if let Some(value) = field_value(&self.expand(value)) {
                    head.set(name.clone(), value);
                }
            }
            AnswerField::Clear { name, prefix } => {
                let covered = |known: &&HeaderName| {
                    if *prefix { known.as_str().starts_with(name) } else { known.as_str() == name }
                };
                let names: Vec<HeaderName> = head.fields().keys().filter(covered).cloned().collect();
                names.iter().for_each(|name| head.remove(name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::request::tests::plain;
    use crate::{Labels, NoObjects};

    fn snippet(text: &str) -> Snippet {
        let config = Config::default();
        let mut reader =
            Reader::new([("configuration-snippet", text)], &config, &NoObjects).translating_snippets(true);
        let snippet = Snippet::read(&mut reader, &RuleFacts::default());
        snippet.unwrap_or_else(|| panic!("{:?}", reader.finish()))
    }

    fn run(text: &str, path: &str) -> (Verdict, Edits, http::Response<()>) {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-user", HeaderValue::from_static("bob"));
        let labels = Labels::default();
        let target = format!("{path}?q=1");
        let request = Request { path, target: &target, ..plain(&headers, &labels) };
        let (snippet, mut edits) = (snippet(text), Edits::default());
        let verdict = snippet.on_request(&request, &mut edits);
        let mut response = http::Response::builder().header("X-Powered-By", "php").header("X-Old", "1").body(()).unwrap();
        snippet.on_response(&request, &Edits::default(), &mut response);
        (verdict, edits, response)
    }

    #[test]
    fn fields_of_both_directions_are_set() {
        let text = "set $team blue; add_header X-Team $team-$http_x_user; more_set_headers \"X-Old: 2\"; \
                    more_clear_headers X-Powered*; proxy_set_header X-Up \"$team\"; proxy_set_header X-Gone \"\";";
        let (verdict, edits, response) = run(text, "/");
        assert_eq!(verdict, Verdict::Continue);
        let headers = response.headers();
        assert_eq!((&headers["x-team"], &headers["x-old"]), (&"blue-bob".parse().unwrap(), &"2".parse().unwrap()));
        assert!(!headers.contains_key("x-powered-by"));
        let up: Vec<_> = edits.upstream_fields.iter().map(|(name, value)| (name.as_str(), value.is_some())).collect();
        assert_eq!(up, [("x-up", true), ("x-gone", false)]);
    }

    #[test]
    fn conditions_decide() {
        let text = "if ($http_x_user = \"bob\") { set $a 1; } if ($request_uri ~* ^/ADMIN) { set $a \"${a}2\"; } \
                    if ($a = 12) { return 403; }";
        assert_eq!(run(text, "/admin").0, Verdict::Answer(Box::new(Answer {
            status: 403,
            fields: vec![],
            body: None,
            reason: "snippet"
        })));
        assert_eq!(run(text, "/other").0, Verdict::Continue);
    }

    #[test]
    fn rewrites_capture_and_keep_the_query() {
        assert_eq!(run("rewrite ^/api/(.*)$ /$1 break; rewrite ^ /never;", "/api/x").1.target.unwrap(), "/x?q=1");
        assert_eq!(run("rewrite ^/a /b?c=d?;", "/a").1.target.unwrap(), "/b?c=d");
        let Verdict::Answer(answer) = run("rewrite ^/old(.*) /new$1 permanent;", "/old/x").0 else { panic!() };
        assert_eq!((answer.status, &answer.fields[0].1), (301, &"http://foo.com/new/x?q=1".parse().unwrap()));
    }

    #[test]
    fn the_first_range_that_covers_the_client_decides() {
        assert_eq!(run("allow 192.0.2.0/24; deny all;", "/").0, Verdict::Continue);
        assert_eq!(run("deny 192.0.2.1; allow all;", "/").0, Verdict::status(403, "snippet_denied"));
    }

    #[test]
    fn without_the_switch_a_snippet_leaves_the_ingress_out() {
        let config = Config::default();
        let mut reader = Reader::new([("server-snippet", "return 403;")], &config, &NoObjects);
        assert_eq!(Snippet::read(&mut reader, &RuleFacts::default()), None);
        assert_eq!(reader.finish()[0].effect, OnError::Reject);
    }

    #[test]
    fn a_snippet_can_imply_annotations() {
        let config = Config::default();
        let mut reader = Reader::new([("configuration-snippet", "proxy_read_timeout 2m;")], &config, &NoObjects)
            .translating_snippets(true);
        Snippet::read(&mut reader, &RuleFacts::default());
        let upstream = crate::upstream::read(&mut reader, crate::Protocol::Http);
        assert_eq!(upstream.read_timeout.as_secs(), 120);
    }
}
