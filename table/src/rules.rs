//! The rules of one host, indexed by path.
use std::sync::Arc;

use crate::path::{PathMatch, element_order, is_element_prefix};

/// One path predicate and what it means.
#[derive(Debug)]
pub struct Rule<P> {
    /// When the rule applies.
    pub path: PathMatch,
    /// What a request that matches gets; opaque to this crate.
    pub policy: P,
}

/// All rules of one host. Immutable; built once by [`Rules::new`].
#[derive(Debug)]
pub struct Rules<P> {
    /// Sorted by text.
    exact: Box<[Keyed<P>]>,
    /// Sorted by [`element_order`], so that the longest prefix of a path is its predecessor or one of the
    /// predecessor's ancestors.
    prefix: Box<[Prefix<P>]>,
}

type Keyed<P> = (Arc<str>, Arc<Rule<P>>);

#[derive(Debug)]
struct Prefix<P> {
    text: Arc<str>,
    /// Index of the longest proper element prefix of `text` in the same list.
    parent: Option<usize>,
    rule: Arc<Rule<P>>,
}

impl<P> Rules<P> {
    /// Indexes the rules. Of several with the same predicate the first stays.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = Arc<Rule<P>>>) -> Self {
        let (mut exact, mut prefix) = (Vec::new(), Vec::new());
        for rule in rules {
            match rule.path.clone() {
                PathMatch::Exact(text) => exact.push((text, rule)),
                PathMatch::Prefix(text) => prefix.push((text, rule)),
            }
        }
        // Both sorts are stable, and dedup keeps the first of equals.
        exact.sort_by(|a, b| a.0.cmp(&b.0));
        exact.dedup_by(|later, first| later.0 == first.0);
        prefix.sort_by(|a, b| element_order(&a.0, &b.0));
        prefix.dedup_by(|later, first| later.0 == first.0);
        Self { exact: exact.into(), prefix: with_parents(prefix) }
    }

    /// The rule with the greatest [`crate::Rank`] that matches a canonical path.
    ///
    /// Two binary searches; allocates nothing.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Arc<Rule<P>>> {
        if let Ok(found) = self.exact.binary_search_by(|(text, _)| (**text).cmp(path)) {
            return self.exact.get(found).map(|(_, rule)| rule);
        }
        let after = self.prefix.partition_point(|entry| element_order(&entry.text, path).is_le());
        let mut candidate = after.checked_sub(1);
        while let Some(entry) = candidate.and_then(|index| self.prefix.get(index)) {
            if is_element_prefix(&entry.text, path) {
                return Some(&entry.rule);
            }
            candidate = entry.parent;
        }
        None
    }

    /// Every rule, exact paths first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Rule<P>>> {
        self.exact.iter().map(|(_, rule)| rule).chain(self.prefix.iter().map(|entry| &entry.rule))
    }
}

fn with_parents<P>(sorted: Vec<Keyed<P>>) -> Box<[Prefix<P>]> {
    let mut entries: Vec<Prefix<P>> = Vec::with_capacity(sorted.len());
    // The chain of ancestors of the entry before.
    let mut open: Vec<(usize, Arc<str>)> = Vec::new();
    for (index, (text, rule)) in sorted.into_iter().enumerate() {
        while open.last().is_some_and(|(_, ancestor)| !is_element_prefix(ancestor, &text)) {
            open.pop();
        }
        entries.push(Prefix { text: text.clone(), parent: open.last().map(|(index, _)| *index), rule });
        open.push((index, text));
    }
    entries.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(list: &[(&str, &'static str)]) -> Rules<&'static str> {
        Rules::new(list.iter().map(|(path, policy)| {
            let path = match path.strip_prefix('=') {
                Some(exact) => PathMatch::exact(exact),
                None => PathMatch::prefix(path),
            };
            Arc::new(Rule { path: path.unwrap(), policy: *policy })
        }))
    }

    fn find(rules: &Rules<&'static str>, path: &str) -> Option<&'static str> {
        rules.find(path).map(|rule| rule.policy)
    }

    #[test]
    fn an_exact_path_beats_a_prefix() {
        let rules = rules(&[("/foo", "prefix"), ("=/foo", "exact")]);
        assert_eq!(find(&rules, "/foo"), Some("exact"));
        assert_eq!(find(&rules, "/foo/"), Some("prefix"));
    }

    #[test]
    fn the_longest_prefix_wins() {
        let rules = rules(&[("/", "root"), ("/a", "a"), ("/a/b", "ab"), ("/a/b/c/d", "abcd")]);
        assert_eq!(find(&rules, "/a/b/c"), Some("ab"));
        assert_eq!(find(&rules, "/a/b/c/d/e"), Some("abcd"));
        assert_eq!(find(&rules, "/a/bc"), Some("a"));
        assert_eq!(find(&rules, "/ab"), Some("root"));
    }

    #[test]
    fn siblings_between_a_path_and_its_ancestor_do_not_hide_the_ancestor() {
        let rules = rules(&[("/a", "a"), ("/a/b", "ab"), ("/a/b/x", "abx"), ("/a-b", "a-b")]);
        assert_eq!(find(&rules, "/a/b/y"), Some("ab"));
        assert_eq!(find(&rules, "/a/c"), Some("a"));
        assert_eq!(find(&rules, "/a.b"), None);
    }

    #[test]
    fn of_equal_predicates_the_first_stays() {
        assert_eq!(find(&rules(&[("/a", "old"), ("/a/", "new")]), "/a"), Some("old"));
    }

    #[test]
    fn no_rule_no_match() {
        assert_eq!(find(&rules(&[]), "/"), None);
        assert_eq!(find(&rules(&[("=/", "root")]), "/x"), None);
    }
}
