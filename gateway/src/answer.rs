//! Answers of the gateway itself.
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use pingora::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

/// Answers with a status and a line of text that names it.
///
/// The connection stays open when the request's framing is sound; Pingora closes it if the body was not read.
pub(crate) async fn respond(session: &mut Session, status: u16, location: Option<HeaderValue>) -> Result<()> {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    let body = Bytes::from(format!("{status} {reason}\n"));
    let mut head = ResponseHeader::build(status, Some(5))?;
    head.insert_header(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))?;
    head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    if let Some(location) = location {
        head.insert_header("Location", location)?;
    }
    if status == 503 {
        // Endpoints come and go within seconds.
        head.insert_header("Retry-After", HeaderValue::from_static("1"))?;
    }
    let bodyless = session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(head), bodyless).await?;
    if !bodyless {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

/// The bytes of an answer to a request that Pingora never saw; the connection closes after it.
pub(crate) fn raw(status: u16) -> Vec<u8> {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    let body = format!("{status} {reason}\n");
    let length = body.len();
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
