//! What the endpoint is told about the client: ingress-nginx's default fields.
//!
//! What a client claims about itself is not believed; its claims go on under the `X-Original-` names.
use http::HeaderValue;
use pingora_core::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::route;
use crate::connection::Client;
use crate::context::Context;

/// Sets the fields that an endpoint gets.
pub(crate) fn edit(session: &Session, head: &mut RequestHeader, context: &Context) -> Result<()> {
    move_field(head, "x-forwarded-for", "X-Original-Forwarded-For")?;
    move_field(head, "x-forwarded-host", "X-Original-Forwarded-Host")?;
    // CVE-2016-5385 ("httpoxy").
    head.remove_header("proxy");
    let authority = HeaderValue::from_bytes(route::authority(head));
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
    Ok(())
}

fn move_field(head: &mut RequestHeader, from: &'static str, to: &'static str) -> Result<()> {
    match head.remove_header(from) {
        Some(value) => head.insert_header(to, value),
        None => Ok(()),
    }
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
}
