//! The keys of external authentication, of one Ingress and of all.
use std::time::Duration;

use http::{HeaderName, Method};

use crate::annotation::{Key, OnError, Row, Support, boolean};
use crate::{Keys, Lifetimes, Template};

/// Annotations.
pub(super) const ANNOTATIONS: Keys = &[
    &URL,
    &METHOD,
    &SIGNIN,
    &SIGNIN_PARAM,
    &RESPONSE_HEADERS,
    &SET_HEADERS,
    &REDIRECT,
    &CACHE_KEY,
    &CACHE_DURATION,
    &ALWAYS_SET_COOKIE,
    &KEEPALIVE,
    &KEEPALIVE_VARS,
    &KEEPALIVE_REQUESTS,
    &KEEPALIVE_TIMEOUT,
    &GLOBAL,
];

/// Keys of the ConfigMap.
pub(super) const CONFIG: Keys = &[
    &GLOBAL_URL,
    &GLOBAL_METHOD,
    &GLOBAL_SIGNIN,
    &GLOBAL_SIGNIN_PARAM,
    &GLOBAL_RESPONSE_HEADERS,
    &GLOBAL_REDIRECT,
    &GLOBAL_CACHE_KEY,
    &GLOBAL_CACHE_DURATION,
    &GLOBAL_ALWAYS_SET_COOKIE,
    &GLOBAL_SNIPPET,
    &NO_AUTH,
];

const fn row(name: &'static str, sentence: &'static str, default: &'static str, example: &'static str) -> Row {
    Row { name, sentence, default, example, support: Support::Honoured }
}

/// The key for all rules of one for an Ingress.
const fn global<T>(name: &'static str, key: &Key<T>) -> Key<T> {
    let Row { sentence, default, example, support, .. } = key.row;
    Key { row: Row { name, sentence, default, example, support }, parse: key.parse, on_error: OnError::Close }
}

/// A text with variables, of the characters that ingress-nginx accepts in URLs.
fn url(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:,?&=$".contains(&byte);
    match text.bytes().find(|byte| !allowed(*byte)) {
        Some(_) => Err("has characters other than letters, digits and -._~/:,?&=$".to_owned()),
        None if text.len() > 4096 => Err("is longer than 4096 characters".to_owned()),
        None => Ok(text.to_owned()),
    }
}

pub(super) const URL: Key<String> = Key {
    row: row(
        "auth-url",
        "Asks the service at this URL about each request: 2xx passes, 401 and 403 are answered, all else answers 500; variables are allowed.",
        "nobody is asked",
        "http://auth.default.svc.cluster.local/check",
    ),
    parse: url,
    on_error: OnError::Reject,
};
pub(super) const GLOBAL_URL: Key<String> = global("global-auth-url", &URL);

pub(super) const METHOD: Key<Method> = Key {
    row: row("auth-method", "Method of the request to the authentication service.", "GET", "POST"),
    parse: |text| match text {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" | "TRACE" => {
            Method::from_bytes(text.as_bytes()).map_err(|_| "is not a method".to_owned())
        }
        _ => Err("is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS and TRACE".to_owned()),
    },
    on_error: OnError::Close,
};
pub(super) const GLOBAL_METHOD: Key<Method> = global("global-auth-method", &METHOD);

pub(super) const SIGNIN: Key<String> = Key {
    row: row(
        "auth-signin",
        "Where a client goes, with 302, that the authentication service answers with 401; variables are allowed.",
        "the client gets 401",
        "https://$host/oauth2/start",
    ),
    parse: url,
    on_error: OnError::Reject,
};
pub(super) const GLOBAL_SIGNIN: Key<String> = global("global-auth-signin", &SIGNIN);

pub(super) const SIGNIN_PARAM: Key<String> = Key {
    row: row(
        "auth-signin-redirect-param",
        "Name of the parameter of `auth-signin` that holds the address the client asked for.",
        "rd",
        "next",
    ),
    parse: |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if text.bytes().all(allowed) && text.len() <= 256 {
            Ok(text.to_owned())
        } else {
            Err("has characters other than letters, digits and -._~".to_owned())
        }
    },
    on_error: OnError::Close,
};
pub(super) const GLOBAL_SIGNIN_PARAM: Key<String> = global("global-auth-signin-redirect-param", &SIGNIN_PARAM);

pub(super) const RESPONSE_HEADERS: Key<Vec<HeaderName>> = Key {
    row: row(
        "auth-response-headers",
        "Fields of the authentication service's answer, between commas, that the endpoint gets in place of the client's.",
        "none",
        "X-Auth-Request-User,X-Auth-Request-Email",
    ),
    parse: |text| {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let name = |name: &str| {
            let allowed = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
            let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|_| allowed);
            name.ok_or_else(|| "names something that is not a field".to_owned())
        };
        names.map(name).collect()
    },
    on_error: OnError::Close,
};
pub(super) const GLOBAL_RESPONSE_HEADERS: Key<Vec<HeaderName>> =
    global("global-auth-response-headers", &RESPONSE_HEADERS);

pub(super) const SET_HEADERS: Key<String> = Key {
    row: row(
        "auth-proxy-set-headers",
        "The ConfigMap, `name` or `namespace/name`, whose keys and values are fields that the authentication service gets; variables are allowed.",
        "none",
        "auth-fields",
    ),
    parse: |text| Ok(text.to_owned()),
    on_error: OnError::Close,
};

pub(super) const REDIRECT: Key<Template> = Key {
    row: row(
        "auth-request-redirect",
        "The field X-Auth-Request-Redirect that the authentication service gets; variables are allowed.",
        "$request_uri",
        "https://$host$request_uri",
    ),
    parse: |text| Template::parse(&url(text)?),
    on_error: OnError::Close,
};
pub(super) const GLOBAL_REDIRECT: Key<Template> = global("global-auth-request-redirect", &REDIRECT);

pub(super) const CACHE_KEY: Key<Template> = Key {
    row: row(
        "auth-cache-key",
        "Keeps answers of the authentication service that have the same key, for one path of one host; variables are allowed.",
        "no answer is kept",
        "$cookie_session$http_authorization",
    ),
    parse: |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_${}".contains(&byte);
        if text.bytes().all(allowed) && text.len() <= 4096 {
            Template::parse(text)
        } else {
            Err("has characters other than letters, digits and -_${}".to_owned())
        }
    },
    on_error: OnError::Close,
};
pub(super) const GLOBAL_CACHE_KEY: Key<Template> = global("global-auth-cache-key", &CACHE_KEY);

pub(super) const CACHE_DURATION: Key<Lifetimes> = Key {
    row: row(
        "auth-cache-duration",
        "How long answers are kept: statuses and a time, several of them between commas.",
        "200 202 401 5m",
        "200 202 10m, 401 1m",
    ),
    parse: lifetimes,
    on_error: OnError::Close,
};
pub(super) const GLOBAL_CACHE_DURATION: Key<Lifetimes> = global("global-auth-cache-duration", &CACHE_DURATION);

pub(super) const ALWAYS_SET_COOKIE: Key<bool> = Key {
    row: row(
        "auth-always-set-cookie",
        "Sends cookies of the authentication service with every answer, also with those of other statuses than success and redirects.",
        "false",
        "true",
    ),
    parse: boolean,
    on_error: OnError::Close,
};
pub(super) const GLOBAL_ALWAYS_SET_COOKIE: Key<bool> = global("global-auth-always-set-cookie", &ALWAYS_SET_COOKIE);

const fn kept(name: &'static str, sentence: &'static str, default: &'static str) -> Key<i64> {
    Key {
        row: row(name, sentence, default, "10"),
        parse: |text| text.parse().map_err(|_| "is not a whole number".to_owned()),
        on_error: OnError::Default,
    }
}

pub(super) const KEEPALIVE: Key<i64> = kept(
    "auth-keepalive",
    "Idle connections to the authentication service that each worker keeps at most; with 0 none is kept.",
    "64",
);
pub(super) const KEEPALIVE_REQUESTS: Key<i64> = kept(
    "auth-keepalive-requests",
    "Requests of one connection to the authentication service; with 0 none is kept. Has an effect with auth-keepalive.",
    "1000",
);
pub(super) const KEEPALIVE_TIMEOUT: Key<i64> = kept(
    "auth-keepalive-timeout",
    "Seconds that an idle connection to the authentication service is kept; with 0 none is. Has an effect with auth-keepalive.",
    "60",
);
pub(super) const KEEPALIVE_VARS: Key<bool> = Key {
    row: Row {
        name: "auth-keepalive-share-vars",
        sentence: "Gives the request to the authentication service the id of the client's request, which it has here in any case.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

pub(super) const GLOBAL_SNIPPET: Key<()> = Key {
    row: Row {
        name: "global-auth-snippet",
        sentence: "Configuration of nginx for the request to the authentication service of all rules.",
        default: "none",
        example: "",
        support: Support::Refused("Configuration of nginx is not evaluated, so the rules answer 503; use what the service gets anyway."),
    },
    parse: |text| match text {
        "" => Ok(()),
        _ => Err("is configuration of nginx, which is not evaluated".to_owned()),
    },
    on_error: OnError::Close,
};

pub(super) const GLOBAL: Key<bool> = Key {
    row: row("enable-global-auth", "Whether the `global-auth-url` of the ConfigMap is asked.", "true", "false"),
    parse: boolean,
    on_error: OnError::Default,
};

pub(super) const NO_AUTH: Key<Vec<Box<str>>> = Key {
    row: row(
        "no-auth-locations",
        "Begins of rules' paths, between commas, that are served without asking the `global-auth-url`.",
        "/.well-known/acme-challenge",
        "/.well-known/acme-challenge,/public",
    ),
    parse: |text| Ok(text.split(',').map(str::trim).filter(|path| !path.is_empty()).map(Into::into).collect()),
    on_error: OnError::Default,
};

/// As nginx's `proxy_cache_valid`: without statuses, 200, 301 and 302 are meant.
fn lifetimes(text: &str) -> Result<Lifetimes, String> {
    let mut all = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let mut words: Vec<&str> = item.split_ascii_whitespace().collect();
        let time = words.pop().and_then(time).ok_or("has a time that is not a number with ms, s, m, h, d, w, M or y")?;
        let statuses: Vec<u16> = match words.as_slice() {
            [] => vec![200, 301, 302],
            words => {
                let status = |word: &&str| word.parse().ok().filter(|status| (100..=599).contains(status));
                words.iter().map(status).collect::<Option<_>>().ok_or("has something that is not a status")?
            }
        };
        all.extend(statuses.into_iter().map(|status| (status, time)));
    }
    if all.is_empty() || all.len() > 1000 {
        return Err("names no status, or too many".to_owned());
    }
    Ok(Lifetimes(all))
}

fn time(text: &str) -> Option<Duration> {
    let split = text.find(|byte: char| !byte.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        "M" => 2_592_000_000,
        "y" => 31_536_000_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}
