//! What features see of a request, and what they may decide.
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::{Ask, Bandwidth, Copy, Counted, Labels, Rate};

/// A request after its host and path were canonicalised.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// Does the client speak HTTPS? With trusted forwarded fields that is what they say.
    pub tls: bool,
    /// The Host field or `:authority` as sent, with port.
    pub authority: &'a str,
    /// The canonical host.
    pub host: &'a str,
    /// The canonical path.
    pub path: &'a str,
    /// The request target as sent: path and query.
    pub target: &'a str,
    /// The fields.
    pub headers: &'a HeaderMap,
    /// The client, after PROXY protocol and trusted forwarded fields.
    pub client: Option<IpAddr>,
    /// The port that the client connected to; with trusted forwarded fields what they say.
    pub port: u16,
    /// `X-Request-ID`.
    pub request_id: &'a str,
    /// The rule's objects.
    pub labels: &'a Labels,
    /// Time and chance.
    pub world: &'a dyn World,
}

impl<'a> Request<'a> {
    /// The query without its question mark; empty without one.
    #[must_use]
    pub fn query(&self) -> &'a str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The value of a cookie, the first of its name.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        cookie(self.headers, name)
    }

    /// A field as text; of several the first.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'a str> {
        field(self.headers, name)
    }
}

pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok()).find_map(|field| {
        field.split(';').find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then_some(value)
        })
    })
}

pub(crate) fn field<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Time and chance, which a pure feature cannot have by itself.
pub trait World: fmt::Debug {
    /// Time since the process started.
    fn now(&self) -> Duration;
    /// A uniformly random number.
    fn random(&self) -> u32;
    /// Counts a request against limits over time; false when it is over one of them.
    fn admit(&self, counted: &Counted<'_>, rates: [Option<Rate>; 2]) -> bool {
        let _ = (counted, rates);
        true
    }
    /// Counts a request until it has ended; false when there are so many already.
    fn enter(&self, counted: &Counted<'_>, most: u32) -> bool {
        let _ = (counted, most);
        true
    }
    /// Is there a certificate for a canonical host?
    fn has_certificate(&self, host: &str) -> bool {
        let _ = host;
        true
    }
    /// The port of the HTTPS listener.
    fn https_port(&self) -> u16 {
        443
    }
    /// Seconds since the Unix epoch.
    fn unix(&self) -> i64 {
        0
    }
    /// What nobody else can compute of a text.
    fn seal(&self, text: &[u8]) -> [u8; 16] {
        let _ = text;
        [0; 16]
    }
    /// Takes note of one use of a nonce, by when it was made (in seconds of [`World::now`]) and a random number; false when
    /// it may have been used so before.
    fn use_nonce(&self, nonce: (u64, u64), count: u32) -> bool {
        let _ = (nonce, count);
        false
    }
}

/// A world in which nothing happens: what `explain` and tests run in.
#[derive(Clone, Copy, Debug, Default)]
pub struct StillWorld;

impl World for StillWorld {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn random(&self) -> u32 {
        0
    }
}

/// What a feature decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Answer; the endpoint gets nothing.
    Answer(Box<Answer>),
    /// Find something out; [`crate::resume`] goes on with what was found.
    Ask(Box<Ask>),
}

impl Verdict {
    /// An answer without further fields, whose body names the status.
    #[must_use]
    pub fn status(status: u16, reason: &'static str) -> Self {
        Self::Answer(Box::new(Answer { status, fields: Vec::new(), body: None, reason }))
    }

    /// A redirect. A location that is no field value answers 400: it can only have come from the request.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        match HeaderValue::from_str(location) {
            Ok(location) => Self::Answer(Box::new(Answer {
                status,
                fields: vec![(header::LOCATION, location)],
                body: None,
                reason: "redirect",
            })),
            Err(_) => Self::status(400, "redirect_location"),
        }
    }
}

/// An answer that the gateway makes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, 200 to 599.
    pub status: u16,
    /// Fields besides Content-Length.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The body; `None` names the status, where a status may have a body.
    pub body: Option<Cow<'static, str>>,
    /// For the access log: one word in snake case.
    pub reason: &'static str,
}

/// What features changed about a request and its answer. Kept until the answer has gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Path and query that the endpoint gets instead of the client's.
    pub target: Option<String>,
    /// Host field that the endpoint gets instead of the client's.
    pub host: Option<HeaderValue>,
    /// Fields that the endpoint gets, in place of what was there; `None` removes. Later ones win.
    pub upstream_fields: Vec<(HeaderName, Option<HeaderValue>)>,
    /// Fields that are added to the answer, whoever makes it.
    pub response_fields: Vec<(HeaderName, HeaderValue)>,
    /// What the choice of an endpoint goes by, when the rule balances by hash or session.
    pub key: Option<u64>,
    /// A session that begins with this request.
    pub session: Option<String>,
    /// The identity of the endpoint that answered ([`crate::hash::endpoint`]); the gateway sets it for sessions.
    pub endpoint: Option<u64>,
    /// A copy for another server.
    pub copy: Option<Box<Copy>>,
    /// The endpoint that the session named is no more; the gateway sets it.
    pub homeless: bool,
    /// The cluster ([`crate::hash::cluster`]) that the client's affinity cookie names.
    pub assigned: Option<u64>,
    /// The cluster that answered; the gateway sets it with the endpoint.
    pub home: Option<u64>,
    /// A check of `satisfy: any` has passed: the others need not.
    pub satisfied: bool,
    /// What the checks of `satisfy: any` answer when none passes.
    pub denied: Option<Box<Answer>>,
    /// Cookies of the authentication service, for the answer.
    pub auth_cookies: Vec<HeaderValue>,
    /// How fast the client gets the body of the answer.
    pub bandwidth: Option<Bandwidth>,
    /// Which feature of the plan has asked.
    pub(crate) asked: usize,
}

/// The head of an answer: the only way in which features change one.
pub trait Head {
    /// The status.
    fn status(&self) -> u16;
    /// The fields.
    fn fields(&self) -> &HeaderMap;
    /// Sets a field in place of all of its name.
    fn set(&mut self, name: HeaderName, value: HeaderValue);
    /// Adds a field.
    fn append(&mut self, name: HeaderName, value: HeaderValue);
    /// Removes all fields of a name.
    fn remove(&mut self, name: &HeaderName);
}

impl<B> Head for http::Response<B> {
    fn status(&self) -> u16 {
        self.status().as_u16()
    }

    fn fields(&self) -> &HeaderMap {
        self.headers()
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers_mut().insert(name, value);
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers_mut().append(name, value);
    }

    fn remove(&mut self, name: &HeaderName) {
        self.headers_mut().remove(name);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plain request for tests: `GET http://foo.com/`.
    pub(crate) fn plain<'a>(headers: &'a HeaderMap, labels: &'a Labels) -> Request<'a> {
        Request {
            method: &Method::GET,
            tls: false,
            authority: "foo.com:80",
            host: "foo.com",
            path: "/",
            target: "/",
            headers,
            client: Some(IpAddr::from([192, 0, 2, 1])),
            port: 80,
            request_id: "0123456789abcdef0123456789abcdef",
            labels,
            world: &StillWorld,
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; b=2"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=3=4"));
        let labels = Labels::default();
        let request = plain(&headers, &labels);
        assert_eq!(["a", "b", "c", "d"].map(|name| request.cookie(name)), [Some("1"), Some("2"), Some("3=4"), None]);
    }

    #[test]
    fn a_location_that_is_no_field_value_is_refused() {
        let Verdict::Answer(answer) = Verdict::redirect(302, "https://a/\n") else { panic!("continues") };
        assert_eq!(answer.status, 400);
    }
}
