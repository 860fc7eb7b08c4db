//! Path predicates, and the one canonical form of a request's path.
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A path predicate of the Ingress API.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathMatch {
    /// The whole canonical path, case-sensitive.
    Exact(Arc<str>),
    /// Whole path elements; kept without its final `/`, so that the root is the empty text.
    Prefix(Arc<str>),
}

/// Why a text is not a path predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathMatchError {
    /// Does not begin with `/`.
    Relative,
    /// Holds NUL, a control character or a space.
    Character,
    /// Longer than [`MAX_PATH`].
    TooLong,
}

/// Longest path that a rule may have, in bytes.
pub const MAX_PATH: usize = 4096;

impl fmt::Display for PathMatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relative => "does not begin with '/'",
            Self::Character => "holds a control character or a space",
            Self::TooLong => "is longer than 4096 bytes",
        })
    }
}

impl std::error::Error for PathMatchError {}

impl PathMatch {
    /// An `Exact` predicate.
    ///
    /// # Errors
    /// When the text cannot be the path of a request.
    pub fn exact(text: &str) -> Result<Self, PathMatchError> {
        check(text)?;
        Ok(Self::Exact(text.into()))
    }

    /// A `Prefix` predicate, by path element: `/foo` and `/foo/` are the same predicate.
    ///
    /// # Errors
    /// When the text cannot be the path of a request.
    pub fn prefix(text: &str) -> Result<Self, PathMatchError> {
        check(text)?;
        Ok(Self::Prefix(text.trim_end_matches('/').into()))
    }

    /// Does the predicate hold for a canonical path? The naive reading, which the index must agree with.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(text) => **text == *path,
            Self::Prefix(prefix) => is_element_prefix(prefix, path),
        }
    }

    /// The text as a user would write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) => text,
            Self::Prefix(text) if text.is_empty() => "/",
            Self::Prefix(text) => text,
        }
    }
}

fn check(text: &str) -> Result<(), PathMatchError> {
    if !text.starts_with('/') {
        Err(PathMatchError::Relative)
    } else if text.len() > MAX_PATH {
        Err(PathMatchError::TooLong)
    } else if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
        Err(PathMatchError::Character)
    } else {
        Ok(())
    }
}

/// Is `prefix` (without final `/`) the whole of `path` or followed by `/` in it?
pub(crate) fn is_element_prefix(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Byte order with `/` before everything else: all descendants of a path then follow it without a gap.
pub(crate) fn element_order(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let same = common(a, b);
    match (a.get(same), b.get(same)) {
        (None, None) => Ordering::Equal,
        (None, _) => Ordering::Less,
        (_, None) => Ordering::Greater,
        (Some(b'/'), _) => Ordering::Less,
        (_, Some(b'/')) => Ordering::Greater,
        (Some(a), Some(b)) => a.cmp(b),
    }
}

/// Length of the common beginning, eight bytes at a time: comparing paths is most of what a search does.
fn common(a: &[u8], b: &[u8]) -> usize {
    let words = a.chunks_exact(8).zip(b.chunks_exact(8)).take_while(|(a, b)| a == b).count() * 8;
    let rest = a.iter().zip(b).skip(words).take_while(|(a, b)| a == b).count();
    words + rest
}

/// The path of one request in canonical form: percent-decoded once, `//` merged, dot segments resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath<'a> {
    canonical: Cow<'a, str>,
    unresolved: Option<String>,
}

/// Why a path cannot be routed; the answer is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestPathError {
    /// Does not begin with `/`.
    Relative,
    /// A `%` without two hexadecimal digits, or an escaped NUL.
    Escape,
    /// `..` leads above the root.
    AboveRoot,
    /// A dot segment that carries path parameters (`..;x`), which servers read in different ways.
    DotParameters,
    /// Not UTF-8 after decoding.
    Encoding,
}

impl fmt::Display for RequestPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relative => "path does not begin with '/'",
            Self::Escape => "path holds a malformed escape",
            Self::AboveRoot => "path leads above the root",
            Self::DotParameters => "path holds a dot segment with parameters",
            Self::Encoding => "path is not UTF-8",
        })
    }
}

impl std::error::Error for RequestPathError {}

impl<'a> RequestPath<'a> {
    /// Canonicalises the raw path of a request target, without its query.
    ///
    /// A path that is canonical already is borrowed.
    ///
    /// # Errors
    /// When the path is malformed, or when different servers would read it in different ways.
    pub fn parse(raw: &'a str) -> Result<Self, RequestPathError> {
        if !raw.starts_with('/') {
            return Err(RequestPathError::Relative);
        }
        if is_canonical(raw) {
            return Ok(Self { canonical: Cow::Borrowed(raw), unresolved: None });
        }
        let decoded = String::from_utf8(decode(raw)?).map_err(|_| RequestPathError::Encoding)?;
        let (canonical, dots) = resolve(&decoded)?;
        let unresolved = dots.then_some(decoded);
        Ok(Self { canonical: Cow::Owned(canonical), unresolved })
    }

    /// The canonical path, which all decisions are made on.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.canonical
    }

    /// The canonical path, if it is not as sent.
    #[must_use]
    pub fn into_changed(self) -> Option<String> {
        match self.canonical {
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => Some(path),
        }
    }

    /// The decoded path as it stood before dot segments were resolved, if there were any.
    ///
    /// A server behind the gateway may read it so. Where both readings select different rules the
    /// request is ambiguous.
    #[must_use]
    pub fn unresolved(&self) -> Option<&str> {
        self.unresolved.as_deref()
    }
}

fn is_canonical(raw: &str) -> bool {
    let mut previous = 0;
    raw.bytes().all(|byte| {
        // A segment that begins with a dot may be `.` or `..`; let the slow path see.
        let plain = byte != b'%' && byte != 0 && !(previous == b'/' && matches!(byte, b'/' | b'.'));
        previous = byte;
        plain
    })
}

fn decode(raw: &str) -> Result<Vec<u8>, RequestPathError> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
            let (high, low) = (digit().ok_or(RequestPathError::Escape)?, digit().ok_or(RequestPathError::Escape)?);
            (high << 4) | low
        } else {
            byte
        };
        if byte == 0 {
            return Err(RequestPathError::Escape);
        }
        out.push(byte);
    }
    Ok(out)
}

/// Merges slashes and resolves dot segments (RFC 3986 section 5.2.4); tells whether there were dots.
fn resolve(decoded: &str) -> Result<(String, bool), RequestPathError> {
    let mut out = String::with_capacity(decoded.len());
    let mut dots = false;
    let mut segments = decoded.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "" => {}
            "." => dots = true,
            ".." => {
                dots = true;
                let parent = out.rfind('/').ok_or(RequestPathError::AboveRoot)?;
                out.truncate(parent);
            }
            _ if has_dot_parameters(segment) => return Err(RequestPathError::DotParameters),
            _ => {
                out.push('/');
                out.push_str(segment);
                continue;
            }
        }
        if last && !out.ends_with('/') {
            out.push('/');
        }
    }
    if out.is_empty() {
        out.push('/');
    }
    Ok((out, dots))
}

fn has_dot_parameters(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    name.len() < segment.len() && matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(raw: &str) -> Result<String, RequestPathError> {
        RequestPath::parse(raw).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn a_plain_path_is_borrowed() {
        for raw in ["/", "/foo", "/foo/", "/a.b/c..d/e~f", "/@scope"] {
            let path = RequestPath::parse(raw).unwrap();
            assert_eq!(path.as_str(), raw);
            assert_eq!(path.into_changed(), None);
        }
    }

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(canonical("/%61dmin").unwrap(), "/admin");
        assert_eq!(canonical("/a%2Fb").unwrap(), "/a/b");
        assert_eq!(canonical("/a%252Fb").unwrap(), "/a%2Fb");
        assert_eq!(canonical("/caf%C3%A9").unwrap(), "/café");
    }

    #[test]
    fn slashes_merge_and_dots_resolve() {
        for (raw, want) in [
            ("//a///b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/..%2fb", "/b"),
            ("/..a/.b", "/..a/.b"),
            ("/a/..", "/"),
            ("//", "/"),
            ("/a//", "/a/"),
        ] {
            assert_eq!(canonical(raw).unwrap(), want, "{raw}");
        }
    }

    #[test]
    fn malformed_paths_are_refused() {
        for (raw, want) in [
            ("", RequestPathError::Relative),
            ("*", RequestPathError::Relative),
            ("/%zz", RequestPathError::Escape),
            ("/%4", RequestPathError::Escape),
            ("/%00", RequestPathError::Escape),
            ("/..", RequestPathError::AboveRoot),
            ("/a/../../b", RequestPathError::AboveRoot),
            ("/a/..;x=y/b", RequestPathError::DotParameters),
            ("/a/.;/b", RequestPathError::DotParameters),
            ("/%ff", RequestPathError::Encoding),
        ] {
            assert_eq!(canonical(raw), Err(want), "{raw}");
        }
    }

    #[test]
    fn the_unresolved_reading_is_kept_only_for_dots() {
        assert_eq!(RequestPath::parse("/admin/../public").unwrap().unresolved(), Some("/admin/../public"));
        assert_eq!(RequestPath::parse("//a%20b").unwrap().unresolved(), None);
    }

    #[test]
    fn prefixes_match_whole_elements() {
        let prefix = PathMatch::prefix("/foo/").unwrap();
        for path in ["/foo", "/foo/", "/foo/bar"] {
            assert!(prefix.matches(path), "{path}");
        }
        for path in ["/", "/foobar", "/fo", "/Foo"] {
            assert!(!prefix.matches(path), "{path}");
        }
        let root = PathMatch::prefix("/").unwrap();
        assert!(root.matches("/") && root.matches("/x"));
    }

    #[test]
    fn an_exact_path_is_the_whole_path() {
        let exact = PathMatch::exact("/foo").unwrap();
        assert!(exact.matches("/foo"));
        assert!(!exact.matches("/foo/"));
    }

    #[test]
    fn predicates_that_no_request_can_have_are_refused() {
        assert_eq!(PathMatch::prefix("foo"), Err(PathMatchError::Relative));
        assert_eq!(PathMatch::exact("/a b"), Err(PathMatchError::Character));
        assert_eq!(PathMatch::exact("/a\0"), Err(PathMatchError::Character));
        assert_eq!(PathMatch::exact(&format!("/{}", "a".repeat(5000))), Err(PathMatchError::TooLong));
    }

    #[test]
    fn descendants_follow_their_ancestor() {
        let mut paths = ["/a-b", "/a/b", "/a", "/a.b", "/a/b/c", "", "/b"];
        paths.sort_by(|a, b| element_order(a, b));
        assert_eq!(paths, ["", "/a", "/a/b", "/a/b/c", "/a-b", "/a.b", "/b"]);
    }
}
