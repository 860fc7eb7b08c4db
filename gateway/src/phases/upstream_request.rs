//! What the endpoint is told about the client: ingress-nginx's default fields.
//!
//! What a client claims about itself is not believed; its claims go on under the `X-Original-` names.
use features::{Edits, Requests};
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use table::RequestHost;

use super::sender::Seen;
use super::{detour, plan, route, trace, upgrade};
use crate::client_auth;
use crate::connection::Client;
use crate::context::Context;

// Names that are parsed already: each request looks for them.
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// CVE-2016-5385 ("httpoxy").
static PROXY: HeaderName = HeaderName::from_static("proxy");

/// Sets the fields that an endpoint gets.
pub(crate) fn edit(session: &Session, head: &mut RequestHeader, context: &Context) -> Result<()> {
    let global = context.global();
    copy_field(head, &global.sender.for_field, "X-Original-Forwarded-For")?;
    copy_field(head, &global.sender.host_field, "X-Original-Forwarded-Host")?;
    head.remove_header(&X_FORWARDED_FOR);
    head.remove_header(&X_FORWARDED_HOST);
    head.remove_header(&PROXY);
    join_cookies(head)?;
    drop_unusual(head, &global.requests);
    upgrade::sanitize(head, session.req_header().version)?;
    if let Some(length) = context.body.whole {
        frame(head, length)?;
    }
    if let Some(authority) = authority(session, head, context) {
        head.insert_header("X-Forwarded-Host", authority)?;
    }
    if let Some(id) = &context.request_id {
        head.insert_header("X-Request-ID", id.clone())?;
    }
    if let Some(said) = &context.said {
        sender_fields(head, &said.ip, &said.forwarded_for, &said.port, &said.scheme)?;
        if let Some(host) = &said.host {
            head.insert_header(HOST, host.clone())?;
        }
    } else if let Some(client) = Client::of(session.digest()) {
        sender_fields(head, &client.ip, &client.ip, &client.port, &client.scheme)?;
    }
    if global.requests.original_uri
        && let Some(target) = route::target(session.req_header())
    {
        head.insert_header("X-Original-URI", target)?;
    }
    if !global.requests.set.is_empty() {
        set_fields(session, head, context)?;
    }
    if let Some(edits) = &context.edits {
        apply(edits, head)?;
        if head.version == Version::HTTP_2 {
            // RFC 9113 section 8.2.2.
            head.remove_header(&http::header::CONNECTION);
        }
    }
    if context.certified
        && let Some(shown) = Client::of(session.digest()).and_then(|client| client.shown.as_ref())
    {
        for (name, value) in shown.fields() {
            head.insert_header(name, value)?;
        }
    }
    trace::tell(head, context)?;
    if speaks_http_10(context) && head.version == Version::HTTP_11 && !session.is_upgrade_req() {
        head.set_version(Version::HTTP_10);
        head.insert_header(CONNECTION, "close")?;
    }
    match &context.detour {
        Some(detour) => detour::edit(session, head, context, detour),
        None => Ok(()),
    }
}

/// Is the request written in HTTP/1.0, as all are that ask for a page? Not one whose body passes without a length, which only HTTP/1.1 can send.
fn speaks_http_10(context: &Context) -> bool {
    let rule = context.rule.as_ref().is_some_and(|rule| rule.policy.upstream.http_10);
    let page = context.detour.as_ref().is_some_and(|detour| detour.page);
    (rule || page) && !context.body.endless
}

/// A body that is here has a length, and nobody needs to ask for it.
fn frame(head: &mut RequestHeader, length: u64) -> Result<()> {
    head.remove_header(&EXPECT);
    head.remove_header(&TRANSFER_ENCODING);
    if head.headers.contains_key(CONTENT_LENGTH) { Ok(()) } else { head.insert_header(CONTENT_LENGTH, length) }
}

/// The host that the client asked for.
fn authority(session: &Session, head: &RequestHeader, context: &Context) -> Option<HeaderValue> {
    let authority = Seen::of(session, context).authority(session);
    // Nearly always the Host field as it is, which costs no copy.
    match head.headers.get(HOST).filter(|host| host.as_bytes() == authority) {
        Some(host) => Some(host.clone()),
        None => HeaderValue::from_bytes(authority).ok(),
    }
}

fn sender_fields(
    head: &mut RequestHeader,
    ip: &HeaderValue,
    forwarded_for: &HeaderValue,
    port: &HeaderValue,
    scheme: &HeaderValue,
) -> Result<()> {
    head.insert_header("X-Real-IP", ip.clone())?;
    head.insert_header("X-Forwarded-For", forwarded_for.clone())?;
    head.insert_header("X-Forwarded-Port", port.clone())?;
    head.insert_header("X-Forwarded-Proto", scheme.clone())?;
    head.insert_header("X-Forwarded-Scheme", scheme.clone())?;
    head.insert_header("X-Scheme", scheme.clone())
}

/// Names that the gateway sets itself: the operator's field of that name goes beside it, as in ingress-nginx.
const OWN: [&str; 8] = [
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-host",
    "x-scheme",
    "x-request-id",
];

/// ConfigMap `proxy-set-headers`.
fn set_fields(session: &Session, head: &mut RequestHeader, context: &Context) -> Result<()> {
    let Some(rule) = &context.rule else { return Ok(()) };
    let host = RequestHost::parse(route::authority(session.req_header()));
    let request = plan::view(rule, session, host.as_ref().map_or("", RequestHost::as_str), context);
    for (name, value) in context.global().requests.expand(&request) {
        if OWN.contains(&name.as_str()) {
            head.append_header(name.clone(), value)?;
        } else {
            head.insert_header(name.clone(), value)?;
        }
    }
    Ok(())
}

/// What features changed.
fn apply(edits: &Edits, head: &mut RequestHeader) -> Result<()> {
    if let Some(target) = &edits.target {
        head.set_raw_path(target.as_bytes())?;
    }
    if let Some(host) = &edits.host {
        head.insert_header(HOST, host.clone())?;
    }
    for (name, value) in &edits.upstream_fields {
        match value {
            Some(value) => head.insert_header(name.clone(), value.clone())?,
            None => drop(head.remove_header(name)),
        }
    }
    Ok(())
}

/// Servers that turn fields into variables read `X_Real_IP` as `X-Real-IP`. ingress-nginx drops such fields too
/// (`enable-underscores-in-headers`, `ignore-invalid-headers`).
fn drop_unusual(head: &mut RequestHeader, requests: &Requests) {
    // Only the gateway tells of client certificates.
    let spoofs = |name: &&HeaderName| name.as_str().starts_with(client_auth::FIELDS) || !requests.passes(name);
    while let Some(name) = head.headers.keys().find(spoofs).cloned() {
        head.remove_header(&name);
    }
}

/// Several lines of a field become one list.
fn copy_field(head: &mut RequestHeader, from: &HeaderName, to: &'static str) -> Result<()> {
    match joined(&head.headers, from, ", ") {
        Some(value) => head.insert_header(to, value),
        None => Ok(()),
    }
}

/// HTTP/2 clients may send a cookie in crumbs; HTTP/1 knows one Cookie field only (RFC 9113 section 8.2.3).
fn join_cookies(head: &mut RequestHeader) -> Result<()> {
    if head.headers.get_all(COOKIE).iter().nth(1).is_none() {
        return Ok(());
    }
    match joined(&head.headers, &COOKIE, "; ") {
        Some(value) => head.insert_header("Cookie", value),
        None => Ok(()),
    }
}

/// All values of a field, which are nearly always one.
fn joined(headers: &HeaderMap, name: &HeaderName, separator: &str) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let mut all = values.peekable();
    if all.peek().is_none() {
        return Some(first.clone());
    }
    let mut text = first.as_bytes().to_vec();
    for value in all {
        text.extend_from_slice(separator.as_bytes());
        text.extend_from_slice(value.as_bytes());
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_copied() {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        head.insert_header("X-Forwarded-For", "1.2.3.4").unwrap();
        copy_field(&mut head, &X_FORWARDED_FOR, "X-Original-Forwarded-For").unwrap();
        assert_eq!(head.headers["x-original-forwarded-for"], "1.2.3.4");
    }

    #[test]
    fn fields_that_could_pass_for_others_are_dropped() {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for name in ["X_Real_IP", "a_b", "X-Kept"] {
            head.append_header(name, "1").unwrap();
        }
        drop_unusual(&mut head, &Requests::default());
        assert_eq!(head.headers.keys().collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn lines_and_crumbs_become_one_field() {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for value in ["1.2.3.4", "5.6.7.8"] {
            head.append_header("X-Forwarded-For", value).unwrap();
            head.append_header("Cookie", value).unwrap();
        }
        copy_field(&mut head, &X_FORWARDED_FOR, "X-Original-Forwarded-For").unwrap();
        join_cookies(&mut head).unwrap();
        assert_eq!(head.headers["x-original-forwarded-for"], "1.2.3.4, 5.6.7.8");
        assert_eq!(head.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["1.2.3.4; 5.6.7.8"]);
    }
}
