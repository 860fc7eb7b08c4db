//! Host names: what a rule may ask for, and the one canonical form of what a request names.
use std::fmt;
use std::sync::Arc;

use crate::host_regex::HostRegex;

/// Longest host name that is routed, in bytes (RFC 1035 section 2.3.4).
pub const MAX_HOST: usize = 255;

/// The hosts a rule or certificate applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// One name, lower case.
    Exact(Arc<str>),
    /// `*.suffix`: exactly one further label before the suffix, as the Ingress API defines it.
    Wildcard(Arc<str>),
    /// `*.suffix` of an alias: one or more further labels before the suffix, as nginx reads it.
    Below(Arc<str>),
    /// A regular expression of an alias.
    Regex(HostRegex),
    /// Every host that no other pattern names.
    Any,
}

/// Why a text is not a host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPatternError {
    /// Longer than [`MAX_HOST`].
    TooLong,
    /// Holds a character that no DNS name may have, an empty label, or a misplaced `*`.
    Malformed,
    /// An IP address; the Ingress API allows names only.
    Address,
}

impl fmt::Display for HostPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "is longer than 255 characters",
            Self::Malformed => "is not a DNS name (labels of a-z, 0-9, '-' and '_', and at most one leading '*.')",
            Self::Address => "is an IP address; a rule's host must be a DNS name",
        })
    }
}

impl std::error::Error for HostPatternError {}

impl HostPattern {
    /// Reads `name`, `*.name`, or the empty text for [`HostPattern::Any`]. Upper case is folded.
    ///
    /// # Errors
    /// When the text is not a DNS name with at most one leading `*.`.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        if text.is_empty() {
            return Ok(Self::Any);
        }
        if text.len() > MAX_HOST {
            return Err(HostPatternError::TooLong);
        }
        let (wildcard, name) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        if !name.split('.').all(is_label) {
            return Err(HostPatternError::Malformed);
        }
        if name.parse::<std::net::Ipv4Addr>().is_ok() {
            return Err(HostPatternError::Address);
        }
        let name: Arc<str> = name.to_ascii_lowercase().into();
        Ok(if wildcard { Self::Wildcard(name) } else { Self::Exact(name) })
    }

    /// Does the pattern cover a canonical host?
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Wildcard(suffix) => parent_domain(host).is_some_and(|parent| *parent == **suffix),
            Self::Below(suffix) => {
                host.strip_suffix(&**suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            Self::Regex(regex) => regex.matches(host),
            Self::Any => true,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) | Self::Below(suffix) => write!(f, "*.{suffix}"),
            Self::Regex(regex) => write!(f, "~{}", regex.as_str()),
            Self::Any => f.write_str("*"),
        }
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// What follows the first label of a host, if that label is not empty: the key of a one-label wildcard.
pub(crate) fn parent_domain(host: &str) -> Option<&str> {
    let (label, parent) = host.split_once('.')?;
    (!label.is_empty() && !parent.is_empty()).then_some(parent)
}

/// The host of one request in canonical form: lower case, without port and without the final dot.
///
/// Lives on the stack, so that canonicalising allocates nothing.
#[derive(Clone)]
pub struct RequestHost {
    bytes: [u8; MAX_HOST],
    len: u8,
}

/// Why an authority cannot be routed; the answer is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestHostError {
    /// Longer than [`MAX_HOST`].
    TooLong,
    /// Not a host name, an IPv4 address or a bracketed IPv6 address with an optional port.
    Malformed,
}

impl RequestHost {
    /// Canonicalises the value of a Host field or `:authority` (RFC 9110 section 7.2).
    ///
    /// The empty authority is the empty host, which only host-less rules match.
    ///
    /// # Errors
    /// When the value is not `host` or `host:port`.
    pub fn parse(authority: &[u8]) -> Result<Self, RequestHostError> {
        let host = strip_port(authority)?;
        if host.len() > MAX_HOST {
            return Err(RequestHostError::TooLong);
        }
        let mut bytes = [0; MAX_HOST];
        let mut len = 0_u8;
        let literal = host.first() == Some(&b'[');
        for (to, from) in bytes.iter_mut().zip(host) {
            let allowed = from.is_ascii_alphanumeric()
                || matches!(from, b'.' | b'-' | b'_')
                || (literal && matches!(from, b'[' | b']' | b':'));
            if !allowed {
                return Err(RequestHostError::Malformed);
            }
            *to = from.to_ascii_lowercase();
            len += 1;
        }
        let mut this = Self { bytes, len };
        let text = this.as_str();
        if text.starts_with('.') || text.contains("..") {
            return Err(RequestHostError::Malformed);
        }
        if text.ends_with('.') {
            this.len -= 1;
        }
        Ok(this)
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII was copied in.
        self.bytes.get(..usize::from(self.len)).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl fmt::Debug for RequestHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

fn strip_port(authority: &[u8]) -> Result<&[u8], RequestHostError> {
    let split = if authority.first() == Some(&b'[') {
        let end = authority.iter().position(|b| *b == b']').ok_or(RequestHostError::Malformed)?;
        end + 1
    } else {
        authority.iter().position(|b| *b == b':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(split);
    match port {
        [] => Ok(host),
        [b':', digits @ ..] if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => Ok(host),
        _ => Err(RequestHostError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Result<String, RequestHostError> {
        RequestHost::parse(text.as_bytes()).map(|host| host.as_str().to_owned())
    }

    #[test]
    fn case_port_and_final_dot_do_not_matter() {
        for text in
            ["foo.bar.com", "FOO.Bar.com", "foo.bar.com:8080", "foo.bar.com.", "foo.bar.com.:80", "foo.bar.com:"]
        {
            assert_eq!(canonical(text).unwrap(), "foo.bar.com", "{text}");
        }
    }

    #[test]
    fn addresses_pass_as_they_are() {
        assert_eq!(canonical("127.0.0.1:80").unwrap(), "127.0.0.1");
        assert_eq!(canonical("[::1]:80").unwrap(), "[::1]");
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        let long = "a".repeat(256);
        for text in [
            "a b", "a/b", "u@h", "a:b", "a:1:2", "[::1", "[::1]x", ".", "a..", ".a", "a..b", "a\0b", "h\u{e9}",
            "a:123456", &long,
        ] {
            assert!(canonical(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_empty_authority_is_the_empty_host() {
        assert_eq!(canonical("").unwrap(), "");
    }

    #[test]
    fn patterns_fold_case() {
        assert_eq!(HostPattern::parse("Foo.COM"), Ok(HostPattern::Exact("foo.com".into())));
        assert_eq!(HostPattern::parse("*.Foo.COM"), Ok(HostPattern::Wildcard("foo.com".into())));
        assert_eq!(HostPattern::parse(""), Ok(HostPattern::Any));
    }

    #[test]
    fn patterns_that_are_not_dns_names_are_refused() {
        for text in ["*", "*.*.foo", "foo.*.com", "foo..com", "foo bar", "foo/", "foo:80", "*foo.com", "."] {
            assert_eq!(HostPattern::parse(text), Err(HostPatternError::Malformed), "{text}");
        }
        assert_eq!(HostPattern::parse("10.0.0.1"), Err(HostPatternError::Address));
    }

    #[test]
    fn a_wildcard_covers_exactly_one_label() {
        let pattern = HostPattern::parse("*.foo.com").unwrap();
        assert!(pattern.matches("bar.foo.com"));
        assert!(!pattern.matches("baz.bar.foo.com"));
        assert!(!pattern.matches("foo.com"));
        assert!(!pattern.matches(".foo.com"));
    }
}
