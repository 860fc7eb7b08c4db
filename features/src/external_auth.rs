//! Asks an authentication service about each request before it is proxied, as nginx's `auth_request` does.
//!
//! 2xx passes, 401 and 403 are the answer, and whatever else happens answers 500: without an answer nobody passes.
mod keys;
mod question;
mod settings;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::annotation::Reader;
use crate::{Answer, Ask, Edits, Exchange, Feature, Head, Keep, Keys, Lifetimes, Reply, Request, RuleFacts, Stored, Template, Verdict, satisfy};

/// Answers that get the service's cookies: nginx's `add_header` without `always`.
const WITH_COOKIES: &[u16] = &[200, 201, 204, 206, 301, 302, 303, 304, 307, 308];

/// How to ask, and what to do with the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAuth(Arc<Service>);

/// An authentication service.
#[derive(Debug, PartialEq, Eq)]
struct Service {
    /// As written.
    text: Box<str>,
    url: Template,
    /// The Host field: the URL's name without a port.
    host: Template,
    method: Option<Method>,
    /// Where to send who is not known, complete.
    signin: Option<Template>,
    /// Fields of the service's answer that the endpoint gets.
    response_fields: Box<[HeaderName]>,
    /// Fields that the service gets.
    request_fields: Box<[(HeaderName, Template)]>,
    redirect: Option<Template>,
    cache: Option<(Template, Arc<Lifetimes>)>,
    always_set_cookie: bool,
    keep: Option<Keep>,
    /// Paths of rules that need nobody's permission; only with the service of all rules.
    exempt: Box<[Box<str>]>,
    any: bool,
}

impl Feature for ExternalAuth {
    const KEYS: Keys = keys::ANNOTATIONS;
    const CONFIG: Keys = keys::CONFIG;

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        settings::read(reader).map(Arc::new).map(Self)
    }

    fn on_request(&self, request: &Request<'_>, edits: &mut Edits) -> Verdict {
        let service = &*self.0;
        // ingress-nginx compares with the path of the rule, not of the request.
        if edits.satisfied || service.exempt.iter().any(|path| request.labels.path.starts_with(&**path)) {
            return Verdict::Continue;
        }
        match service.question(request) {
            Some(exchange) => Verdict::Ask(Box::new(Ask::Exchange(Box::new(exchange)))),
            None => Verdict::status(500, "auth_url"),
        }
    }

    fn on_reply(&self, request: &Request<'_>, edits: &mut Edits, reply: &Reply) -> Verdict {
        let service = &*self.0;
        let Reply::Response(status, fields) = reply else { return Verdict::status(500, "auth_unavailable") };
        edits.auth_cookies.extend(fields.get_all(header::SET_COOKIE).iter().cloned());
        match status {
            200..=299 => {
                service.tell_endpoint(fields, edits);
                satisfy::passed(service.any, edits)
            }
            401 => satisfy::denied(service.any, edits, service.unauthorized(request, fields)),
            403 => {
                let answer = Answer { status: 403, fields: Vec::new(), body: None, reason: "auth_denied" };
                satisfy::denied(service.any, edits, answer)
            }
            _ => Verdict::status(500, "auth_failed"),
        }
    }

    fn on_response(&self, _: &Request<'_>, edits: &Edits, head: &mut dyn Head) {
        if self.0.always_set_cookie || WITH_COOKIES.contains(&head.status()) {
            for cookie in &edits.auth_cookies {
                head.append(header::SET_COOKIE, cookie.clone());
            }
        }
    }
}

impl Service {
    /// What the endpoint learns of the answer. What the client sent under such a name never passes for it.
    fn tell_endpoint(&self, fields: &HeaderMap, edits: &mut Edits) {
        for name in &self.response_fields {
            edits.upstream_fields.push((name.clone(), joined(fields, name)));
        }
    }

    fn unauthorized(&self, request: &Request<'_>, fields: &HeaderMap) -> Answer {
        if let Some(signin) = &self.signin {
            return match Verdict::redirect(302, &signin.expand(request, &[])) {
                Verdict::Answer(answer) => *answer,
                Verdict::Continue | Verdict::Ask(_) => Answer { status: 500, fields: Vec::new(), body: None, reason: "redirect_location" },
            };
        }
        let challenges = fields.get_all(header::WWW_AUTHENTICATE).iter();
        let fields = challenges.map(|challenge| (header::WWW_AUTHENTICATE, challenge.clone())).collect();
        Answer { status: 401, fields, body: None, reason: "auth_denied" }
    }
}

/// All values of a field as one.
fn joined(fields: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut values = fields.get_all(name).iter();
    let first = values.next()?;
    let Some(second) = values.next() else { return Some(first.clone()) };
    let all: Vec<&[u8]> = [first, second].into_iter().chain(values).map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&all.join(&b", "[..])).ok()
}

#[cfg(test)]
mod tests;
