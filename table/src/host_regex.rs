//! Regular expressions for hosts: aliases that begin with `~`.
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

/// Limit of a compiled expression, and of its lazily built automaton, in bytes.
const SIZE: usize = 64 * 1024;

/// An expression that a part of a canonical host must match, in either case. Matching takes time linear in the length of the
/// host. Two are equal when their texts are.
#[derive(Clone)]
pub struct HostRegex(Arc<Regex>);

impl HostRegex {
    /// Compiles a text.
    ///
    /// # Errors
    /// What is wrong with it, as the rest of a sentence.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut builder = RegexBuilder::new(text);
        builder.case_insensitive(true).size_limit(SIZE).dfa_size_limit(SIZE).nest_limit(50);
        let regex = builder.build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "is a regular expression that is too large".to_owned(),
            _ => "is not a regular expression without look-around and back-references".to_owned(),
        })?;
        Ok(Self(Arc::new(regex)))
    }

    /// The expression as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Does a canonical host match?
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        self.0.is_match(host)
    }
}

impl PartialEq for HostRegex {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for HostRegex {}

impl Hash for HostRegex {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for HostRegex {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for HostRegex {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Debug for HostRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_matches_in_either_case_and_a_bomb_is_refused() {
        assert!(HostRegex::new(r"^A\d+\.com$").unwrap().matches("a12.com"));
        assert!(HostRegex::new("(a{1000}){1000}").unwrap_err().contains("too large"));
        assert!(HostRegex::new("(?=a)").is_err());
    }
}
