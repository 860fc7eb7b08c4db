//! `affinity: cookie`: a session stays with the endpoint that it began at.
//!
//! The cookie of a balanced session is random and is hashed, as in ingress-nginx any value is; that of a persistent one
//! names its endpoint. Neither tells an address. After a bar stands the cluster that the session began at, so that it stays
//! with a canary or without it.
use std::fmt::Write;

use http::{HeaderValue, header};

use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};
use crate::units::http_date;
use crate::{Edits, Feature, Head, Keys, Request, RuleFacts, Verdict, hash};

/// The cookie and its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    name: Box<str>,
    persistent: bool,
    change_on_failure: bool,
    path: Option<Box<str>>,
    domain: Option<Box<str>>,
    expires: Option<i64>,
    max_age: Option<i64>,
    secure: bool,
    same_site: Option<SameSite>,
    conditional: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SameSite {
    None,
    Lax,
    Strict,
}

const fn row(name: &'static str, sentence: &'static str, default: &'static str, example: &'static str) -> Row {
    Row { name, sentence, default, example, support: Support::Honoured }
}

const AFFINITY: Key<()> = Key {
    row: row("affinity", "`cookie` keeps the requests of a session with one endpoint.", "none", "cookie"),
    parse: |text| if text == "cookie" { Ok(()) } else { Err("is not cookie".to_owned()) },
    on_error: OnError::Default,
};

const MODE: Key<bool> = Key {
    row: row(
        "affinity-mode",
        "`balanced` moves some sessions when endpoints come, so that these get their share; `persistent` moves none.",
        "balanced",
        "persistent",
    ),
    parse: |text| match text {
        "balanced" => Ok(false),
        "persistent" => Ok(true),
        _ => Err("is neither balanced nor persistent".to_owned()),
    },
    on_error: OnError::Default,
};

const NAME: Key<Box<str>> = Key {
    row: row("session-cookie-name", "Name of the affinity cookie.", "INGRESSCOOKIE", "route"),
    parse: |text| {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.bytes().all(token) { Ok(text.into()) } else { Err("is not a cookie name".to_owned()) }
    },
    on_error: OnError::Default,
};

const PATH: Key<Box<str>> = Key {
    row: row("session-cookie-path", "Path attribute of the affinity cookie.", "the path of the rule", "/shop"),
    parse: attribute,
    on_error: OnError::Default,
};

const DOMAIN: Key<Box<str>> = Key {
    row: row("session-cookie-domain", "Domain attribute of the affinity cookie.", "none", "example.com"),
    parse: attribute,
    on_error: OnError::Default,
};

const EXPIRES: Key<i64> = Key {
    row: row("session-cookie-expires", "Seconds from the answer to the cookie's Expires attribute.", "none", "3600"),
    parse: whole,
    on_error: OnError::Default,
};

const MAX_AGE: Key<i64> = Key {
    row: row("session-cookie-max-age", "Max-Age attribute of the affinity cookie, in seconds.", "none", "3600"),
    parse: whole,
    on_error: OnError::Default,
};

const SECURE: Key<bool> = Key {
    row: row("session-cookie-secure", "Secure attribute also on answers without TLS.", "false", "true"),
    parse: boolean,
    on_error: OnError::Default,
};

const SAME_SITE: Key<SameSite> = Key {
    row: row("session-cookie-samesite", "SameSite attribute: None, Lax or Strict.", "none", "Lax"),
    parse: |text| match text.to_ascii_lowercase().as_str() {
        "none" => Ok(SameSite::None),
        "lax" => Ok(SameSite::Lax),
        "strict" => Ok(SameSite::Strict),
        _ => Err("is none of None, Lax and Strict".to_owned()),
    },
    on_error: OnError::Default,
};

const CONDITIONAL: Key<bool> = Key {
    row: row(
        "session-cookie-conditional-samesite-none",
        "Leaves SameSite=None out for browsers that misread it.",
        "false",
        "true",
    ),
    parse: boolean,
    on_error: OnError::Default,
};

const CHANGE: Key<bool> = Key {
    row: row(
        "session-cookie-change-on-failure",
        "A session whose endpoint fails stays with the one that answered instead.",
        "false",
        "true",
    ),
    parse: boolean,
    on_error: OnError::Default,
};

/// Whether sessions persist, for a rule that has them. A rule whose cookie changes on failure names the endpoint in it, for
/// the next request must find the one that answered.
pub(crate) fn mode(reader: &Reader<'_>) -> Option<bool> {
    reader.peek(&AFFINITY)?;
    Some(reader.peek(&MODE).unwrap_or_default() || reader.peek(&CHANGE).unwrap_or_default())
}

impl Feature for Affinity {
    const KEYS: Keys = &[
        &AFFINITY,
        &MODE,
        &NAME,
        &PATH,
        &DOMAIN,
        &EXPIRES,
        &MAX_AGE,
        &SECURE,
        &SAME_SITE,
        &CONDITIONAL,
        &CHANGE,
    ];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        let change_on_failure = reader.take(&CHANGE).unwrap_or_default();
        let this = Self {
            name: reader.take(&NAME).unwrap_or_else(|| "INGRESSCOOKIE".into()),
            persistent: reader.take(&MODE).unwrap_or_default() || change_on_failure,
            change_on_failure,
            path: reader.take(&PATH),
            domain: reader.take(&DOMAIN),
            expires: reader.take(&EXPIRES),
            max_age: reader.take(&MAX_AGE),
            secure: reader.take(&SECURE).unwrap_or_default(),
            same_site: reader.take(&SAME_SITE),
            conditional: reader.take(&CONDITIONAL).unwrap_or_default(),
        };
        reader.take(&AFFINITY).map(|()| this)
    }

    fn on_request(&self, request: &Request<'_>, edits: &mut Edits) -> Verdict {
        let value = request.cookie(&self.name).filter(|value| !value.is_empty());
        let value = value.map(|value| match value.split_once('|') {
            Some((value, cluster)) => {
                edits.assigned = identity(cluster);
                value
            }
            None => value,
        });
        match (value, self.persistent) {
            (Some(value), false) => edits.key = Some(hash::bytes(value.as_bytes())),
            (Some(value), true) => edits.key = identity(value),
            (None, true) => edits.key = None,
            (None, false) => {
                let random = || u64::from(request.world.random()) << 32 | u64::from(request.world.random());
                let value = format!("{:016x}{:016x}", random(), random());
                edits.key = Some(hash::bytes(value.as_bytes()));
                edits.session = Some(value);
            }
        }
        Verdict::Continue
    }

    fn on_response(&self, request: &Request<'_>, edits: &Edits, head: &mut dyn Head) {
        // Without an endpoint the gateway answered by itself, and no session has begun.
        let Some(endpoint) = edits.endpoint else { return };
        let named = edits.key;
        let value = match (&edits.session, self.persistent) {
            (Some(session), false) => session.clone(),
            (None, false) => return,
            (_, true) if named == Some(endpoint) => return,
            // The endpoint exists but could not be used this time: the session comes back to it.
            (_, true) if !edits.homeless && !self.change_on_failure => return,
            (_, true) => format!("{endpoint:016x}"),
        };
        let value = match edits.home {
            Some(home) => format!("{value}|{home:016x}"),
            None => value,
        };
        if let Ok(cookie) = HeaderValue::from_str(&self.cookie(&value, request)) {
            head.append(header::SET_COOKIE, cookie);
        }
    }
}

impl Affinity {
    fn cookie(&self, value: &str, request: &Request<'_>) -> String {
        let mut out = format!("{}={value}", self.name);
        // Writing to a String cannot fail.
        if let Some(seconds) = self.expires {
            let date = http_date(request.world.unix().saturating_add(seconds));
            write!(out, "; Expires={date}").ok();
        }
        if let Some(seconds) = self.max_age {
            write!(out, "; Max-Age={seconds}").ok();
        }
        if let Some(domain) = &self.domain {
            write!(out, "; Domain={domain}").ok();
        }
        write!(out, "; Path={}", self.path.as_deref().unwrap_or(&request.labels.path)).ok();
        if self.secure || request.tls {
            out.push_str("; Secure");
        }
        out.push_str("; HttpOnly");
        match self.same_site {
            Some(SameSite::None) if self.conditional && misreads(request.field("user-agent")) => {}
            Some(SameSite::None) => out.push_str("; SameSite=None"),
            Some(SameSite::Lax) => out.push_str("; SameSite=Lax"),
            Some(SameSite::Strict) => out.push_str("; SameSite=Strict"),
            None => {}
        }
        out
    }
}

fn identity(value: &str) -> Option<u64> {
    (value.len() == 16).then(|| u64::from_str_radix(value, 16).ok()).flatten()
}

/// Browsers that take SameSite=None for Strict or drop such cookies, by the list that Chromium publishes: iOS 12, Safari on
/// macOS 10.14, Chrome 51 to 66, UC Browser before 12.13.2.
fn misreads(agent: Option<&str>) -> bool {
    let Some(agent) = agent else { return false };
    let version = |marker: &str| {
        let rest = agent.split_once(marker)?.1;
        let mut parts = rest.split(|byte: char| !byte.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
        Some((parts.next()?, parts.next().unwrap_or(0), parts.next().unwrap_or(0)))
    };
    let ios = agent.contains("CPU iPhone OS 12_") || agent.contains("CPU OS 12_");
    let safari = agent.contains("Macintosh") && agent.contains("Mac OS X 10_14") && agent.contains("Safari/");
    let mac = safari && !agent.contains("Chrom");
    let uc = version("UCBrowser/").is_some_and(|version| version < (12, 13, 2));
    let chrome = version("Chrome/").or_else(|| version("Chromium/")).is_some_and(|(major, ..)| (51..=66).contains(&major));
    ios || mac || uc || (chrome && !agent.contains("UCBrowser/"))
}

fn attribute(text: &str) -> Result<Box<str>, String> {
    let plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b';';
    if text.bytes().all(plain) { Ok(text.into()) } else { Err("holds a semicolon or a control character".to_owned()) }
}

fn whole(text: &str) -> Result<i64, String> {
    match text.parse::<i64>() {
        Ok(number @ -1_000_000_000..=1_000_000_000) => Ok(number),
        _ => Err("is not a whole number of seconds".to_owned()),
    }
}

#[cfg(test)]
#[path = "affinity_tests.rs"]
mod tests;
