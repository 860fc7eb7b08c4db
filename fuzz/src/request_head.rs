//! Request heads: the gateway and the parser behind it see the same request, and host and path have one reading.
use bytes::BytesMut;
use table::{RequestHost, RequestPath};

use crate::head::{Progress, Refused, examine};
use crate::limits::Limits;

/// Fields that the parser has room for; more than the limit allows.
const FIELDS: usize = 256;

/// Checks every promise about the bytes of a connection.
pub fn check(data: &[u8]) {
    let limits = Limits::default();
    let whole = examined(data, 0, &limits);
    if whole == Ok(Progress::Complete) {
        agrees_with_the_parser(data, &limits);
    }
    cuts_do_not_matter(data, &whole, &limits);
    host_has_one_reading(data);
    if let Ok(text) = std::str::from_utf8(data) {
        path_has_one_reading(text);
    }
}

fn examined(data: &[u8], seen: usize, limits: &Limits) -> Result<Progress, Refused> {
    examine(&BytesMut::from(data), seen, true, limits)
}

/// What the gateway let through the parser either refuses or ends at the same byte, with one host and one framing.
fn agrees_with_the_parser(data: &[u8], limits: &Limits) {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let end = match request.parse(data) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => panic!("the parser waits for more of a head that counts as complete"),
        Err(_) => return,
    };
    let at = |length: usize| examined(data.get(..length).unwrap_or_default(), 0, limits);
    assert_eq!(at(end), Ok(Progress::Complete), "the parser's head is shorter");
    assert_eq!(at(end - 1), Ok(Progress::Partial), "the parser's head is longer");

    let count = |name: &str| request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count();
    let hosts = count("host");
    assert!(hosts == 1 || (hosts == 0 && request.version == Some(0)), "{hosts} hosts");
    assert!(count("content-length") + count("transfer-encoding") <= 1, "two lengths");
    assert!(request.version == Some(1) || count("transfer-encoding") == 0, "HTTP/1.0 has no transfer encoding");
    assert!(request.headers.len() <= limits.head_fields, "too many fields");
}

/// However the bytes arrive, the verdict is the same: a partial head stays partial until it is decided.
fn cuts_do_not_matter(data: &[u8], whole: &Result<Progress, Refused>, limits: &Limits) {
    let step = data.len() / 64 + 1;
    for cut in (0..data.len()).step_by(step) {
        let first = examined(data.get(..cut).unwrap_or_default(), 0, limits);
        if first == Ok(Progress::Partial) {
            assert_eq!(&examined(data, cut, limits), whole, "cut at {cut}");
        }
    }
}

fn host_has_one_reading(data: &[u8]) {
    let Ok(host) = RequestHost::parse(data) else { return };
    let canonical = host.as_str();
    let plain = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && !b"/?#@%\\".contains(&byte);
    assert!(canonical.bytes().all(plain), "{canonical:?}");
    assert!(!canonical.starts_with('.') && !canonical.contains(".."), "{canonical:?}");
    let again = RequestHost::parse(canonical.as_bytes());
    assert_eq!(again.as_ref().map(RequestHost::as_str), Ok(canonical));
}

fn path_has_one_reading(raw: &str) {
    let Ok(path) = RequestPath::parse(raw) else { return };
    let canonical = path.as_str();
    assert!(canonical.starts_with('/') && !canonical.contains("//") && !canonical.contains('\0'), "{canonical:?}");
    assert!(canonical.split('/').all(|segment| !matches!(segment, "." | "..")), "{canonical:?}");
    let escaped = canonical.replace('%', "%25");
    let again = RequestPath::parse(&escaped);
    assert_eq!(again.as_ref().map(|path| (path.as_str(), path.unresolved())), Ok((canonical, None)));
}
