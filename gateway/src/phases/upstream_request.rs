//! What the endpoint is told about the client: ingress-nginx's default fields.
//!
//! What a client claims about itself is not believed; its claims go on under the `X-Original-` names.
use features::Edits;
use http::header::{COOKIE, HOST};
use http::{HeaderName, HeaderValue};
use pingora::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::{route, upgrade};
use crate::connection::Client;
use crate::context::Context;

/// Sets the fields that an endpoint gets.
pub(crate) fn edit(session: &Session, head: &mut RequestHeader, context: &Context) -> Result<()> {
    move_field(head, "x-forwarded-for", "X-Original-Forwarded-For")?;
    move_field(head, "x-forwarded-host", "X-Original-Forwarded-Host")?;
    // CVE-2016-5385 ("httpoxy").
    head.remove_header("proxy");
    join_cookies(head)?;
    drop_underscores(head);
    upgrade::sanitize(head, session.req_header().version)?;
    let host = head.headers.get(HOST).filter(|host| host.as_bytes() == route::authority(head)).cloned();
    let authority = host.map_or_else(|| HeaderValue::from_bytes(route::authority(head)), Ok);
    if let Ok(authority) = authority {
        head.insert_header("X-Forwarded-Host", authority)?;
    }
    if let Some(id) = &context.request_id {
        head.insert_header("X-Request-ID", id.clone())?;
    }
    if let Some(client) = Client::of(session.digest()) {
        head.insert_header("X-Real-IP", client.ip.clone())?;
        head.insert_header("X-Forwarded-For", client.ip.clone())?;
        head.insert_header("X-Forwarded-Port", client.port.clone())?;
        let scheme = HeaderValue::from_static(if client.tls.is_some() { "https" } else { "http" });
        head.insert_header("X-Forwarded-Proto", scheme.clone())?;
        head.insert_header("X-Forwarded-Scheme", scheme.clone())?;
        head.insert_header("X-Scheme", scheme)?;
    }
    match &context.edits {
        Some(edits) => apply(edits, head),
        None => Ok(()),
    }
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
/// (`enable-underscores-in-headers`).
fn drop_underscores(head: &mut RequestHeader) {
    let spoofs = |name: &&HeaderName| name.as_str().contains('_');
    while let Some(name) = head.headers.keys().find(spoofs).cloned() {
        head.remove_header(&name);
    }
}

/// Several lines of a field become one list.
fn move_field(head: &mut RequestHeader, from: &'static str, to: &'static str) -> Result<()> {
    match joined(head, from, ", ") {
        Some(value) => {
            head.remove_header(from);
            head.insert_header(to, value)
        }
        None => Ok(()),
    }
}

/// HTTP/2 clients may send a cookie in crumbs; HTTP/1 knows one Cookie field only (RFC 9113 section 8.2.3).
fn join_cookies(head: &mut RequestHeader) -> Result<()> {
    if head.headers.get_all(COOKIE).iter().nth(1).is_none() {
        return Ok(());
    }
    match joined(head, "cookie", "; ") {
        Some(value) => head.insert_header("Cookie", value),
        None => Ok(()),
    }
}

/// All values of a field, which are nearly always one.
fn joined(head: &RequestHeader, name: &str, separator: &str) -> Option<HeaderValue> {
    let mut values = head.headers.get_all(name).iter();
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
    fn a_field_moves() {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        head.insert_header("X-Forwarded-For", "1.2.3.4").unwrap();
        move_field(&mut head, "x-forwarded-for", "X-Original-Forwarded-For").unwrap();
        assert!(head.headers.get("x-forwarded-for").is_none());
        assert_eq!(head.headers["x-original-forwarded-for"], "1.2.3.4");
    }

    #[test]
    fn fields_that_could_pass_for_others_are_dropped() {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for name in ["X_Real_IP", "a_b", "X-Kept"] {
            head.append_header(name, "1").unwrap();
        }
        drop_underscores(&mut head);
        assert_eq!(head.headers.keys().collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn lines_and_crumbs_become_one_field() {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for value in ["1.2.3.4", "5.6.7.8"] {
            head.append_header("X-Forwarded-For", value).unwrap();
            head.append_header("Cookie", value).unwrap();
        }
        move_field(&mut head, "x-forwarded-for", "X-Original-Forwarded-For").unwrap();
        join_cookies(&mut head).unwrap();
        assert_eq!(head.headers["x-original-forwarded-for"], "1.2.3.4, 5.6.7.8");
        assert_eq!(head.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["1.2.3.4; 5.6.7.8"]);
    }
}
