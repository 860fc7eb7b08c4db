//! The precedence of rules within a host.

use crate::path::PathMatch;

/// How specific a predicate is; the greatest matching rank wins.
///
/// The derived order *is* the order of the Ingress specification ("Multiple matches"): an exact path beats
/// any prefix, a longer prefix beats a shorter one. Two rules of one host never have the same rank for the same
/// request: a host holds one rule per predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    /// The predicate names the whole path.
    pub exact: bool,
    /// Length of the predicate's path in bytes.
    pub length: usize,
}

impl Rank {
    /// The rank of a predicate.
    #[must_use]
    pub fn of(path: &PathMatch) -> Self {
        match path {
            PathMatch::Exact(text) => Self { exact: true, length: text.len() },
            PathMatch::Prefix(text) => Self { exact: false, length: text.len() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(path: Result<PathMatch, crate::path::PathMatchError>) -> Rank {
        Rank::of(&path.unwrap())
    }

    #[test]
    fn an_exact_path_beats_a_longer_prefix() {
        assert!(rank(PathMatch::exact("/a")) > rank(PathMatch::prefix("/a/b/c")));
    }

    #[test]
    fn the_longer_prefix_wins() {
        assert!(rank(PathMatch::prefix("/a/b")) > rank(PathMatch::prefix("/a")));
        assert!(rank(PathMatch::prefix("/a")) > rank(PathMatch::prefix("/")));
    }
}
