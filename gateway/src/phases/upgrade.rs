//! Requests to change the protocol (RFC 9110 section 7.8), made safe to pass on.
use http::header::{CONNECTION, HeaderName, PROXY_AUTHORIZATION, TE, TRAILER, UPGRADE};
use http::{HeaderMap, Version};
use pingora::Result;
use pingora_http::RequestHeader;

/// Makes an Upgrade request minimal, or an ordinary request of what must not be one.
///
/// Pingora passes every field of a request with an Upgrade field on as it is. The client's hop-by-hop fields would reach the
/// endpoint, and its Connection field could tell an endpoint that is a proxy itself to drop the fields that the gateway
/// sets. `h2c` would open a connection on which the client could ask for any path and host behind the gateway's back.
pub(crate) fn sanitize(head: &mut RequestHeader, version: Version) -> Result<()> {
    let Some(protocols) = head.headers.get(UPGRADE) else { return Ok(()) };
    let h2c = tokens(protocols.as_bytes()).any(|protocol| protocol.to_ascii_lowercase().starts_with(b"h2c"));
    let asked = nominated(&head.headers).any(|name| name == UPGRADE);
    let names: Vec<HeaderName> = nominated(&head.headers).filter(|name| *name != http::header::HOST).collect();
    for name in names {
        if name != UPGRADE {
            head.remove_header(&name);
        }
    }
    for name in [PROXY_AUTHORIZATION, TE, TRAILER] {
        head.remove_header(&name);
    }
    for name in ["keep-alive", "proxy-connection", "http2-settings"] {
        head.remove_header(name);
    }
    if asked && !h2c && version == Version::HTTP_11 {
        head.insert_header(CONNECTION, "upgrade")
    } else {
        head.remove_header(&UPGRADE);
        head.remove_header(&CONNECTION);
        Ok(())
    }
}

/// The fields that Connection names.
fn nominated(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| tokens(value.as_bytes()))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sanitized(fields: &[(&'static str, &str)], version: Version) -> Vec<String> {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        sanitize(&mut head, version).unwrap();
        let mut left: Vec<_> =
            head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort();
        left
    }

    #[test]
    fn a_websocket_passes() {
        let fields = [("Upgrade", "websocket"), ("Connection", "keep-alive, Upgrade"), ("Sec-WebSocket-Key", "x")];
        let want = ["connection: upgrade", "sec-websocket-key: x", "upgrade: websocket"];
        assert_eq!(sanitized(&fields, Version::HTTP_11), want);
    }

    #[test]
    fn http2_over_an_upgrade_becomes_an_ordinary_request() {
        let fields =
            [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AA"), ("A", "b")];
        assert_eq!(sanitized(&fields, Version::HTTP_11), ["a: b"]);
    }

    #[test]
    fn nominated_fields_do_not_pass() {
        let fields = [("Upgrade", "x"), ("Connection", "Upgrade, X-Real-IP"), ("X-Real-IP", "1"), ("TE", "gzip")];
        assert_eq!(sanitized(&fields, Version::HTTP_11), ["connection: upgrade", "upgrade: x"]);
    }

    #[test]
    fn what_does_not_ask_to_upgrade_is_no_upgrade() {
        assert_eq!(sanitized(&[("Upgrade", "websocket")], Version::HTTP_11), [""; 0]);
        assert_eq!(sanitized(&[("Upgrade", "websocket"), ("Connection", "upgrade")], Version::HTTP_10), [""; 0]);
    }
}
