//! Regular expressions of annotations: linear in time, limited in size.
use std::fmt;

/// Limit of a compiled expression in bytes.
const SIZE: usize = 256 * 1024;

/// A compiled regular expression. Two are equal when their texts are.
#[derive(Clone)]
pub struct Pattern(regex::Regex);

impl Pattern {
    /// Compiles a text.
    ///
    /// # Errors
    /// What is wrong; completes "the value ...".
    pub fn new(text: &str, case_insensitive: bool) -> Result<Self, String> {
        regex::RegexBuilder::new(text)
            .case_insensitive(case_insensitive)
            .size_limit(SIZE)
            .dfa_size_limit(SIZE)
            .nest_limit(50)
            .build()
            .map(Self)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => "is a regular expression that is too large".to_owned(),
                _ => "is not a regular expression without look-around and back-references".to_owned(),
            })
    }

    /// The expression.
    #[must_use]
    pub fn regex(&self) -> &regex::Regex {
        &self.0
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_refused() {
        assert!(Pattern::new("(a{1000}){1000}", false).unwrap_err().contains("too large"));
        assert!(Pattern::new("(?=a)", false).is_err());
    }

    #[test]
    fn case_can_be_ignored() {
        assert!(Pattern::new("^/Foo", true).unwrap().regex().is_match("/foo"));
    }
}
