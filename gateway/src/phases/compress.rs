//! Compresses what endpoints answer while it streams, if the operator wants it and the client takes it.
use bytes::Bytes;
use features::{Coding, Compressed};
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, TRANSFER_ENCODING, VARY};
use http::{HeaderValue, Method, Version};
use pingora::protocols::http::compression::{Algorithm, Encode};
use pingora::{Error, ErrorType, OrErr, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use crate::context::Context;

/// Encodes the body of one answer.
pub(crate) type Encoder = Box<dyn Encode + Send + Sync>;

/// Decides about an answer, and says so in its head.
pub(crate) fn head(session: &Session, context: &mut Context, head: &mut ResponseHeader) -> Result<()> {
    let compression = &context.global().compression;
    let request = session.req_header();
    if compression.is_off() || request.method == Method::HEAD {
        return Ok(());
    }
    let chosen = compression.choose(request.version, &request.headers, head.status.as_u16(), &head.headers);
    if chosen == Compressed::Never {
        return Ok(());
    }
    vary(head)?;
    let Compressed::With(coding, level) = chosen else { return Ok(()) };
    let algorithm = match coding {
        Coding::Brotli => Algorithm::Brotli,
        Coding::Gzip => Algorithm::Gzip,
    };
    let Some(encoder) = algorithm.compressor(level) else { return Ok(()) };
    context.encoder = Some(encoder);
    head.insert_header(CONTENT_ENCODING, HeaderValue::from_static(coding.name()))?;
    head.remove_header(&CONTENT_LENGTH);
    head.remove_header(&ACCEPT_RANGES);
    weaken(head)?;
    if request.version == Version::HTTP_11 {
        head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    Ok(())
}

/// Encodes a piece of the body.
pub(crate) fn body(context: &mut Context, body: &mut Option<Bytes>, end: bool) -> Result<()> {
    let Some(encoder) = &mut context.encoder else { return Ok(()) };
    let encoded = encoder.encode(body.as_deref().unwrap_or_default(), end);
    let encoded =
        encoded.map_err(|error| Error::because(ErrorType::InternalError, "an answer cannot be compressed", error));
    *body = Some(encoded?).filter(|encoded| end || !encoded.is_empty());
    Ok(())
}

/// Caches must not give a compressed answer to others.
fn vary(head: &mut ResponseHeader) -> Result<()> {
    let names = head.headers.get_all(VARY).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let said = names.map(<[u8]>::trim_ascii).any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"));
    if said { Ok(()) } else { head.append_header(VARY, HeaderValue::from_static("Accept-Encoding")).map(drop) }
}

/// The bytes are others now, the meaning is the same (RFC 9110 section 8.8.1).
fn weaken(head: &mut ResponseHeader) -> Result<()> {
    match head.headers.get(ETAG) {
        Some(tag) if !tag.as_bytes().starts_with(b"W/") => {
            let weak = [b"W/", tag.as_bytes()].concat();
            let weak = HeaderValue::from_bytes(&weak).or_err(ErrorType::InvalidHTTPHeader, "ETag")?;
            head.insert_header(ETAG, weak)
        }
        _ => Ok(()),
    }
}
