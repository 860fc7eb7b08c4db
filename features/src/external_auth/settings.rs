//! Reads which authentication service a rule asks: its Ingress's or that of all rules.
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::{Lifetimes, Service, keys};
use crate::annotation::{OnError, Reader};
use crate::ip_access::global;
use crate::template::Variable;
use crate::{Keep, Template, satisfy};

/// Most idle connections that one worker keeps, and for how long: a day.
const MOST_IDLE: u32 = 1024;
const MOST_SECONDS: u32 = 86_400;

/// What answers are kept for without `auth-cache-duration`.
const KEPT: Duration = Duration::from_secs(300);

/// The paths that the service of all rules is not asked about, unless the operator lists others.
const NO_AUTH: &str = "/.well-known/acme-challenge";

/// The service, or nothing when nobody is asked or the rules are closed.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Service> {
    let annotated = reader.has(keys::URL.row.name);
    let own = of_ingress(reader);
    let enabled = reader.take(&keys::GLOBAL).unwrap_or(true);
    if annotated {
        return own;
    }
    if enabled { of_all(reader) } else { None }
}

fn of_ingress(reader: &mut Reader<'_>) -> Option<Service> {
    // Read first, so that what is wrong with any of them is told.
    let method = reader.take(&keys::METHOD);
    let signin = reader.take(&keys::SIGNIN);
    let param = reader.take(&keys::SIGNIN_PARAM);
    let response_fields = reader.take(&keys::RESPONSE_HEADERS).unwrap_or_default().into();
    let set_headers = reader.take(&keys::SET_HEADERS);
    let redirect = reader.take(&keys::REDIRECT);
    let cache_key = reader.take(&keys::CACHE_KEY);
    let lifetimes = reader.take(&keys::CACHE_DURATION);
    let always_set_cookie = reader.take(&keys::ALWAYS_SET_COOKIE).unwrap_or(false);
    let keep = keep(reader);
    reader.take(&keys::KEEPALIVE_VARS);
    let text = reader.take(&keys::URL)?;
    let any = satisfy::any(reader);
    let (url, host) = close(reader, keys::URL.row.name, target(&text))?;
    let request_fields = match set_headers {
        Some(reference) => close(reader, keys::SET_HEADERS.row.name, set_fields(reader, &reference))?,
        None => [].into(),
    };
    let signin = match signin {
        Some(text) => Some(close(reader, keys::SIGNIN.row.name, sign_in(&text, param.as_deref()))?),
        None => None,
    };
    let cache = cache_key.map(|key| (key, kept(lifetimes)));
    let text = text.into();
    let exempt = [].into();
    Some(Service { text, url, host, method, signin, response_fields, request_fields, redirect, cache, always_set_cookie, keep, exempt, any })
}

/// How many connections are kept; `None` leaves it to the gateway. What is not above zero keeps none, as in ingress-nginx.
fn keep(reader: &mut Reader<'_>) -> Option<Keep> {
    let number = |value: Option<i64>, default: u32| value.map_or(default, |value| u32::try_from(value.max(0)).unwrap_or(u32::MAX));
    let idle = reader.take(&keys::KEEPALIVE);
    let requests = number(reader.take(&keys::KEEPALIVE_REQUESTS), 1000);
    let seconds = number(reader.take(&keys::KEEPALIVE_TIMEOUT), 60).min(MOST_SECONDS);
    let idle = number(Some(idle?), 0).min(MOST_IDLE);
    if requests == 0 || seconds == 0 || idle == 0 {
        return Some(Keep::NONE);
    }
    Some(Keep { idle, requests, seconds })
}

fn of_all(reader: &mut Reader<'_>) -> Option<Service> {
    let text = global(reader, &keys::GLOBAL_URL)?;
    let method = global(reader, &keys::GLOBAL_METHOD);
    let signin = global(reader, &keys::GLOBAL_SIGNIN);
    let param = global(reader, &keys::GLOBAL_SIGNIN_PARAM);
    let response_fields = global(reader, &keys::GLOBAL_RESPONSE_HEADERS).unwrap_or_default().into();
    let redirect = global(reader, &keys::GLOBAL_REDIRECT);
    let cache_key = global(reader, &keys::GLOBAL_CACHE_KEY);
    let lifetimes = global(reader, &keys::GLOBAL_CACHE_DURATION);
    let always_set_cookie = global(reader, &keys::GLOBAL_ALWAYS_SET_COOKIE).unwrap_or(false);
    global(reader, &keys::GLOBAL_SNIPPET);
    let any = satisfy::any(reader);
    let (url, host) = close(reader, keys::GLOBAL_URL.row.name, target(&text))?;
    let signin = match signin {
        Some(text) => Some(close(reader, keys::GLOBAL_SIGNIN.row.name, sign_in(&text, param.as_deref()))?),
        None => None,
    };
    let cache = cache_key.map(|key| (key, kept(lifetimes)));
    let exempt = reader.config().get(&keys::NO_AUTH).unwrap_or_else(|| vec![NO_AUTH.into()]).into();
    let (text, request_fields) = (text.into(), [].into());
    Some(Service { text, url, host, method, signin, response_fields, request_fields, redirect, cache, always_set_cookie, keep: None, exempt, any })
}

fn kept(lifetimes: Option<Lifetimes>) -> Arc<Lifetimes> {
    Arc::new(lifetimes.unwrap_or_else(|| Lifetimes([200, 202, 401].map(|status| (status, KEPT)).into())))
}

/// What cannot be understood closes the rules.
fn close<T>(reader: &mut Reader<'_>, name: &str, result: Result<T, String>) -> Option<T> {
    result
        .map_err(|why| {
            let message = format!("the value {why}; until it is corrected the paths of this Ingress answer 503");
            reader.report(name, message, OnError::Close);
        })
        .ok()
}

/// The URL and, without its port, the name in it.
fn target(text: &str) -> Result<(Template, Template), String> {
    let (scheme, rest) = text.split_once("://").ok_or("is not a URL with scheme and host")?;
    if scheme != "http" && scheme != "https" {
        return Err("is not a URL of http or https".to_owned());
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.split(':').next().unwrap_or_default();
    if host.is_empty() || host.contains("..") {
        return Err("is not a URL with a host".to_owned());
    }
    let of_client = |variable: &Variable| matches!(variable, Variable::Arg(_) | Variable::Cookie(_) | Variable::Http(_) | Variable::Args);
    if Template::parse(authority)?.variables().any(of_client) {
        return Err("lets the client name the server that decides about it; write the host out, or use $host".to_owned());
    }
    Ok((Template::parse(text)?, Template::parse(host)?))
}

/// The sign-in address with the parameter that holds what the client asked for, unless it has one.
fn sign_in(text: &str, param: Option<&str>) -> Result<Template, String> {
    let param = param.unwrap_or("rd");
    let query = text.split_once('?').map_or("", |(_, query)| query);
    let has = |pair: &str| pair.split_once('=').is_some_and(|(name, value)| name == param && !value.is_empty());
    if query.split('&').any(has) {
        return Template::parse(text);
    }
    let separator = if query.is_empty() { '?' } else { '&' };
    Template::parse(&format!("{text}{separator}{param}=$scheme://$http_host$escaped_request_uri"))
}

fn set_fields(reader: &Reader<'_>, reference: &str) -> Result<Box<[(HeaderName, Template)]>, String> {
    let data = reader.objects().config_map(reference).map_err(|why| format!("cannot be used: {why}"))?;
    let field = |(name, value): (String, Vec<u8>)| {
        let bad = || format!("names a ConfigMap whose key {name:.64} is not a field and its value");
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let text = String::from_utf8(value).map_err(|_| bad())?;
        if text.chars().any(char::is_control) || text.len() > 4096 {
            return Err(bad());
        }
        Ok((parsed, Template::parse(&text).map_err(|why| format!("names a ConfigMap whose key {name:.64} {why}"))?))
    };
    data.into_iter().map(field).collect()
}
