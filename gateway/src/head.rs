//! The head of an HTTP/1 request, before Pingora parses it: read within limits and a total deadline, and refused where
//! two servers could read it in different ways.
use bytes::BytesMut;

use crate::limits::Limits;
use crate::metrics::BadRequest;

/// RFC 9113 section 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How far the bytes of a connection have come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More bytes are needed.
    Partial,
    /// The first bytes hold a whole head that may be served.
    Complete,
    /// The connection speaks HTTP/2.
    Http2,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The answer: 400, 431, 501 or 505.
    pub(crate) status: u16,
    /// For the metric.
    pub(crate) reason: BadRequest,
}

impl Refused {
    const MALFORMED: Self = Self { status: 400, reason: BadRequest::Malformed };
    const FRAMING: Self = Self { status: 400, reason: BadRequest::Framing };
    const HOST: Self = Self { status: 400, reason: BadRequest::Host };
    const TOO_LARGE: Self = Self { status: 431, reason: BadRequest::HeadTooLarge };
    const TOO_MANY: Self = Self { status: 431, reason: BadRequest::TooManyFields };
    const CODING: Self = Self { status: 501, reason: BadRequest::Framing };
}

/// Examines what has been read of a connection, of which `seen` bytes were examined before without success. Only the
/// first request of a connection can be an HTTP/2 preface.
pub(crate) fn examine(buf: &BytesMut, seen: usize, first: bool, limits: &Limits) -> Result<Progress, Refused> {
    if first && buf.starts_with(HTTP2_PREFACE) {
        return Ok(Progress::Http2);
    }
    if first && buf.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(buf) {
        return Ok(Progress::Partial);
    }
    // What looked like the preface was not examined as a head before.
    let seen = if first && seen < HTTP2_PREFACE.len() { 0 } else { seen };
    // Servers ignore empty lines before a request (RFC 9112 section 2.2); Pingora's parser does as well.
    match end_of_head(buf, seen) {
        Some(end) if end > limits.head_bytes => Err(Refused::TOO_LARGE),
        Some(end) => vet(buf.get(..end).unwrap_or_default(), limits).map(|()| Progress::Complete),
        None if buf.len() >= limits.head_bytes => Err(Refused::TOO_LARGE),
        None => Ok(Progress::Partial),
    }
}

/// Where the empty line that ends a head ends. A lone line feed counts as a line's end, as for the parser.
fn end_of_head(buf: &[u8], seen: usize) -> Option<usize> {
    let content = buf.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let mut from = content.max(seen.saturating_sub(3));
    loop {
        let newline = from + memchr::memchr(b'\n', buf.get(from..)?)?;
        match buf.get(newline + 1..) {
            Some([b'\n', ..]) => return Some(newline + 2),
            Some([b'\r', b'\n', ..]) => return Some(newline + 3),
            _ => from = newline + 1,
        }
    }
}

/// What the fields of a head say about its framing and host.
#[derive(Default)]
struct Facts {
    fields: usize,
    content_length: bool,
    transfer_encoding: bool,
    hosts: usize,
}

fn vet(head: &[u8], limits: &Limits) -> Result<(), Refused> {
    let mut lines =
        head.trim_ascii_start().split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request_line = lines.next().unwrap_or_default();
    let http10 = version(request_line)?;
    let mut facts = Facts::default();
    for line in lines.take_while(|line| !line.is_empty()) {
        facts.fields += 1;
        if facts.fields > limits.head_fields {
            return Err(Refused::TOO_MANY);
        }
        vet_field(line, http10, &mut facts)?;
    }
    // RFC 9112 section 3.2: exactly one Host, but HTTP/1.0 may do without.
    match facts.hosts {
        1 => Ok(()),
        0 if http10 => Ok(()),
        _ => Err(Refused::HOST),
    }
}

/// Checks the form `method target HTTP/1.x`; tells whether it is 1.0.
fn version(line: &[u8]) -> Result<bool, Refused> {
    if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
        return Err(Refused::MALFORMED);
    }
    match line.rsplit(|byte| *byte == b' ').next() {
        Some(b"HTTP/1.1") => Ok(false),
        Some(b"HTTP/1.0") => Ok(true),
        _ => Err(Refused::MALFORMED),
    }
}

fn vet_field(line: &[u8], http10: bool, facts: &mut Facts) -> Result<(), Refused> {
    let colon = memchr::memchr(b':', line).ok_or(Refused::MALFORMED)?;
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default();
    // Covers the folded line (leading space) and the space before the colon, both classics of request smuggling.
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(Refused::MALFORMED);
    }
    if value.iter().any(|byte| matches!(byte, b'\r' | 0)) {
        return Err(Refused::MALFORMED);
    }
    match name.len() {
        4 if name.eq_ignore_ascii_case(b"host") => facts.hosts += 1,
        14 if name.eq_ignore_ascii_case(b"content-length") => {
            let digits = value.trim_ascii();
            let plain = !digits.is_empty() && digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit);
            if !plain || facts.content_length || facts.transfer_encoding {
                return Err(Refused::FRAMING);
            }
            facts.content_length = true;
        }
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
            if http10 || facts.content_length || facts.transfer_encoding {
                return Err(Refused::FRAMING);
            }
            if !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Refused::CODING);
            }
            facts.transfer_encoding = true;
        }
        _ => {}
    }
    Ok(())
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examine_text(text: &str) -> Result<Progress, Refused> {
        examine(&BytesMut::from(text), 0, true, &Limits::default())
    }

    fn status(text: &str) -> u16 {
        examine_text(text).unwrap_err().status
    }

    #[test]
    fn a_whole_head_is_complete() {
        assert_eq!(examine_text("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(Progress::Complete));
        assert_eq!(examine_text("GET / HTTP/1.0\r\n\r\n"), Ok(Progress::Complete));
        assert_eq!(examine_text("\r\nPOST / HTTP/1.1\nHost: a\nContent-Length: 1\n\nx"), Ok(Progress::Complete));
    }

    #[test]
    fn every_cut_of_a_head_is_partial() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for cut in 0..text.len() {
            assert_eq!(examine_text(text.get(..cut).unwrap()), Ok(Progress::Partial), "{cut}");
            // Going on from any cut finds the same end.
            assert_eq!(examine(&BytesMut::from(text), cut, true, &Limits::default()), Ok(Progress::Complete), "{cut}");
        }
    }

    #[test]
    fn the_preface_is_http2() {
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        assert_eq!(examine_text(preface), Ok(Progress::Http2));
        for cut in 0..preface.len() {
            assert_eq!(examine_text(preface.get(..cut).unwrap()), Ok(Progress::Partial), "{cut}");
        }
        assert!(examine(&BytesMut::from(preface), 0, false, &Limits::default()).is_err());
        for seen in 0..preface.len() {
            let broken = BytesMut::from("PRI * HTTP/2.0\r\n\r\nSM\r\n#\r\n\r\n");
            assert!(examine(&broken, seen, true, &Limits::default()).is_err(), "{seen}");
        }
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for fields in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 1",
            "Content-Length: 1\r\nContent-Length: 2",
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 1, 1",
            "Content-Length: +1",
            "Content-Length: ",
            "Content-Length: 0x1",
            "Content-Length: 9999999999999999999",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ] {
            assert_eq!(status(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")), 400, "{fields}");
        }
        assert_eq!(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
        assert_eq!(status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), 501);
    }

    #[test]
    fn malformed_heads_are_refused() {
        for head in [
            "GET /\r\n\r\n",
            "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX@y: z\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "\0\0\0\n\n",
        ] {
            assert_eq!(status(head), 400, "{head:?}");
        }
    }

    #[test]
    fn heads_over_the_limits_are_refused() {
        let limits = Limits { head_bytes: 64, head_fields: 2, ..Limits::default() };
        let examine = |text: &str| examine(&BytesMut::from(text), 0, true, &limits);
        assert_eq!(examine(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(64))), Err(Refused::TOO_LARGE));
        assert_eq!(examine(&format!("GET /{}", "x".repeat(64))), Err(Refused::TOO_LARGE));
        assert_eq!(examine("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n"), Err(Refused::TOO_MANY));
    }
}
