//! What a feature cannot find out itself: it asks, and goes on with the reply.
//!
//! The gateway does what is asked, because it takes time or a socket.
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Uri, header};

use crate::password::PasswordCheck;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Does a password belong to a hash? Slow on purpose.
    Password(PasswordCheck),
    /// What does another server say?
    Exchange(Box<Exchange>),
}

/// What was found out.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Does the password belong to the hash?
    Password(bool),
    /// Status and fields of another server's answer.
    Response(u16, HeaderMap),
    /// Nothing: the server did not answer in time, or the gateway has too much to do.
    Nothing,
}

/// A request of the gateway's own, without a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The method.
    pub method: Method,
    /// Where to; absolute.
    pub uri: Uri,
    /// All fields, with Host.
    pub fields: HeaderMap,
    /// How to keep the answer.
    pub stored: Option<Stored>,
    /// How connections to the server are kept; `None` leaves it to the gateway.
    pub keep: Option<Keep>,
}

/// How each worker keeps connections to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Keep {
    /// Idle connections, at most.
    pub idle: u32,
    /// Requests of one connection, at most.
    pub requests: u32,
    /// Seconds that an idle one is kept.
    pub seconds: u32,
}

impl Keep {
    /// Each request has a connection of its own.
    pub const NONE: Self = Self { idle: 0, requests: 1, seconds: 0 };
}

/// How to keep the answer to an [`Exchange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Answers of the same key are the same.
    pub key: String,
    /// For how long.
    pub lifetimes: Arc<Lifetimes>,
}

/// How long answers are kept, by status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifetimes(pub Vec<(u16, Duration)>);

impl Lifetimes {
    /// How long an answer of a status is kept; the first entry counts, as with nginx's `proxy_cache_valid`.
    #[must_use]
    pub fn of(&self, status: u16) -> Option<Duration> {
        self.0.iter().find(|(kept, _)| *kept == status).map(|(_, lifetime)| *lifetime)
    }
}

impl Stored {
    /// How long an answer may be kept, if at all. As with nginx's cache, one that sets a cookie is not, and the server may say
    /// otherwise. What differs by other fields of the request is not kept either.
    #[must_use]
    pub fn lifetime(&self, status: u16, fields: &HeaderMap) -> Option<Duration> {
        let listed = self.lifetimes.of(status)?;
        if [header::SET_COOKIE, header::VARY, header::EXPIRES].iter().any(|name| fields.contains_key(name)) {
            return None;
        }
        let mut lifetime = listed;
        for directive in
            fields.get_all(header::CACHE_CONTROL).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        {
            let directive = String::from_utf8_lossy(directive).trim().to_ascii_lowercase();
            match directive.split_once('=') {
                Some(("max-age" | "s-maxage", seconds)) => lifetime = Duration::from_secs(seconds.parse().ok()?),
                Some(_) => {}
                None if matches!(&*directive, "no-store" | "no-cache" | "private") => return None,
                None => {}
            }
        }
        Some(lifetime).filter(|lifetime| !lifetime.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn an_answer_is_kept_as_listed_unless_it_says_otherwise() {
        let lifetimes = Arc::new(Lifetimes(vec![(200, Duration::from_secs(300))]));
        let stored = Stored { key: String::new(), lifetimes };
        for (status, field, want) in [
            (200, None, Some(300)),
            (401, None, None),
            (200, Some(("set-cookie", "a=1")), None),
            (200, Some(("vary", "Cookie")), None),
            (200, Some(("cache-control", "public, no-store")), None),
            (200, Some(("cache-control", "Private")), None),
            (200, Some(("cache-control", "max-age=60")), Some(60)),
            (200, Some(("cache-control", "max-age=0")), None),
            (200, Some(("cache-control", "max-age=x")), None),
        ] {
            let fields =
                field.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let lifetime = stored.lifetime(status, &fields.collect());
            assert_eq!(lifetime.map(|lifetime| lifetime.as_secs()), want, "{status} {field:?}");
        }
    }
}
