//! The rules of one host, indexed by path.
use std::cmp::Ordering;
use std::sync::Arc;

use crate::path::{PathMatch, element_order, is_element_prefix};
use crate::path_regex::PathRegex;

/// One path predicate and what it means.
#[derive(Debug)]
pub struct Rule<P> {
    /// When the rule applies.
    pub path: PathMatch,
    /// What a request that matches gets; opaque to this crate.
    pub policy: P,
}

/// All rules of one host. Immutable; built once by [`Rules::new`] or [`Rules::regexes`].
#[derive(Debug)]
pub struct Rules<P> {
    /// Sorted by text.
    exact: Index<P>,
    /// Sorted by [`element_order`], so that the longest prefix of a path is its predecessor or one of the
    /// predecessor's ancestors.
    prefix: Index<P>,
    /// In regex mode the rules in their order, while the indexes are empty.
    regexes: Box<[(PathRegex, Arc<Rule<P>>)]>,
}

/// Sorted texts and their rules. The texts lie side by side: in a large table nearly every memory access of a search
/// misses the caches, and a search that follows a pointer for each text takes twice as long.
#[derive(Debug)]
struct Index<P> {
    texts: Box<str>,
    entries: Box<[Entry<P>]>,
}

/// Offsets have 32 bits: more texts than a host can have, at [`crate::MAX_PATH`] bytes each a million.
#[derive(Debug)]
struct Entry<P> {
    start: u32,
    end: u32,
    /// Index of the longest proper element prefix in the same list; [`ROOT`] if there is none.
    parent: u32,
    rule: Arc<Rule<P>>,
}

const ROOT: u32 = u32::MAX;

impl<P> Index<P> {
    /// Of several rules with the same text the first stays.
    fn new(mut rules: Vec<(Arc<str>, Arc<Rule<P>>)>, order: fn(&str, &str) -> Ordering) -> Self {
        // The sort is stable, and dedup keeps the first of equals.
        rules.sort_by(|a, b| order(&a.0, &b.0));
        rules.dedup_by(|later, first| later.0 == first.0);
        let mut texts = String::with_capacity(rules.iter().map(|(text, _)| text.len()).sum());
        let mut entries = Vec::with_capacity(rules.len());
        // The chain of ancestors of the entry before.
        let mut open: Vec<(u32, Arc<str>)> = Vec::new();
        for ((text, rule), index) in rules.into_iter().zip(0..) {
            while open.last().is_some_and(|(_, ancestor)| !is_element_prefix(ancestor, &text)) {
                open.pop();
            }
            let start = offset(&texts);
            texts.push_str(&text);
            let parent = open.last().map_or(ROOT, |(index, _)| *index);
            entries.push(Entry { start, end: offset(&texts), parent, rule });
            open.push((index, text));
        }
        Self { texts: texts.into(), entries: entries.into() }
    }

    fn text(&self, entry: &Entry<P>) -> &str {
        self.texts.get(usize_of(entry.start)..usize_of(entry.end)).unwrap_or_default()
    }

    fn exact(&self, path: &str) -> Option<&Arc<Rule<P>>> {
        let found = self.entries.binary_search_by(|entry| self.text(entry).cmp(path)).ok()?;
        self.entries.get(found).map(|entry| &entry.rule)
    }

    fn longest_prefix(&self, path: &str) -> Option<&Arc<Rule<P>>> {
        let after = self.entries.partition_point(|entry| element_order(self.text(entry), path).is_le());
        let mut candidate = after.checked_sub(1)?;
        loop {
            let entry = self.entries.get(candidate)?;
            if is_element_prefix(self.text(entry), path) {
                return Some(&entry.rule);
            }
            // There is no entry at ROOT.
            candidate = usize_of(entry.parent);
        }
    }
}

fn offset(texts: &str) -> u32 {
    u32::try_from(texts.len()).unwrap_or(ROOT)
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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
        Self { exact: Index::new(exact, str::cmp), prefix: Index::new(prefix, element_order), regexes: Box::default() }
    }

    /// The rules of a host in ingress-nginx's regex mode: of those whose expression matches, the first in the list serves,
    /// whatever their paths say.
    #[must_use]
    pub fn regexes(rules: impl IntoIterator<Item = (PathRegex, Arc<Rule<P>>)>) -> Self {
        Self { regexes: rules.into_iter().collect(), ..Self::new([]) }
    }

    /// Are the paths regular expressions?
    #[must_use]
    pub fn is_regex(&self) -> bool {
        !self.regexes.is_empty()
    }

    /// The rule with the greatest [`crate::Rank`] that matches a canonical path.
    ///
    /// Two binary searches; allocates nothing. In regex mode the first rule whose expression matches.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Arc<Rule<P>>> {
        let found = self.exact.exact(path).or_else(|| self.prefix.longest_prefix(path));
        if found.is_some() || self.regexes.is_empty() {
            return found;
        }
        self.regexes.iter().find(|(regex, _)| regex.matches(path)).map(|(_, rule)| rule)
    }

    /// Every rule: exact paths, prefixes, and regular expressions in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Rule<P>>> {
        self.expressions().map(|(_, rule)| rule)
    }

    /// Every rule with its expression, in regex mode.
    pub fn expressions(&self) -> impl Iterator<Item = (Option<&PathRegex>, &Arc<Rule<P>>)> {
        let plain = self.exact.entries.iter().chain(&self.prefix.entries).map(|entry| (None, &entry.rule));
        plain.chain(self.regexes.iter().map(|(regex, rule)| (Some(regex), rule)))
    }
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
    fn in_regex_mode_the_first_that_matches_serves() {
        let list = [("/foo/(.*)", "long"), ("/foo", "short"), ("/", "root")];
        let rules = Rules::regexes(list.iter().map(|(text, policy)| {
            let rule = Rule { path: PathMatch::exact(text).unwrap(), policy: *policy };
            (PathRegex::new(text).unwrap(), Arc::new(rule))
        }));
        for (path, want) in [("/FOO/x", "long"), ("/foobar", "short"), ("/x", "root")] {
            assert_eq!(find(&rules, path), Some(want));
        }
        assert!(rules.is_regex());
        assert_eq!(rules.iter().map(|rule| rule.policy).collect::<Vec<_>>(), ["long", "short", "root"]);
    }

    #[test]
    fn no_rule_no_match() {
        assert_eq!(find(&rules(&[]), "/"), None);
        assert_eq!(find(&rules(&[("=/", "root")]), "/x"), None);
    }
}
