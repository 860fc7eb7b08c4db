//! Answers of the gateway itself.
use std::borrow::Cow;

use bytes::Bytes;
use features::Answer;
use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use crate::context::Context;
use crate::phases::plan;

/// Answers, with a page that names the status unless there is a body.
///
/// The connection stays open when the request's framing is sound; Pingora closes it if the body was not read.
pub(crate) async fn respond(session: &mut Session, context: &Context, answer: Answer) -> Result<()> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let may_have_body = status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED;
    let kind = if answer.body.is_some() { "text/plain; charset=utf-8" } else { "text/html" };
    let body = may_have_body.then(|| match answer.body {
        Some(Cow::Borrowed(text)) => Bytes::from_static(text.as_bytes()),
        Some(Cow::Owned(text)) => Bytes::from(text),
        None => Bytes::from(page(status)),
    });
    let mut head = ResponseHeader::build(status, Some(5 + answer.fields.len()))?;
    if let Some(body) = &body {
        head.insert_header(header::CONTENT_TYPE, HeaderValue::from_static(kind))?;
        head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        // Endpoints come and go within seconds.
        head.insert_header("Retry-After", HeaderValue::from_static("1"))?;
    }
    // Of several fields of a name, the first takes the place of the gateway's own.
    let mut set: Vec<&HeaderName> = Vec::new();
    for (name, value) in &answer.fields {
        if set.contains(&name) {
            head.append_header(name.clone(), value.clone())?;
        } else {
            head.insert_header(name.clone(), value.clone())?;
            set.push(name);
        }
    }
    plan::on_response(session, context, &mut head);
    let body = body.filter(|_| session.req_header().method != http::Method::HEAD);
    session.write_response_header(Box::new(head), body.is_none()).await?;
    if let Some(body) = body {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

/// A page that says no more than the status. Clients of ingress-nginx have always got such a one.
fn page(status: StatusCode) -> String {
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
}

/// The bytes of an answer to a request that Pingora never saw; the connection closes after it.
pub(crate) fn raw(status: u16) -> Vec<u8> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let reason = status.canonical_reason().unwrap_or_default();
    let status_code = status.as_u16();
    let body = page(status);
    let length = body.len();
    format!(
        "HTTP/1.1 {status_code} {reason}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
