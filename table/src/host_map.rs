//! Values by host pattern: a persistent hash map that is cheap to change in one place.
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::host::{HostPattern, parent_domain};
use crate::host_regex::HostRegex;

/// Shards of a name map. A change copies one shard, so its cost is a 256th of the map.
const SHARDS: usize = 256;

/// Values by [`HostPattern`]. A clone shares everything; a change copies what it touches.
#[derive(Clone, Debug)]
pub struct HostMap<T> {
    exact: NameMap<T>,
    wildcard: NameMap<T>,
    /// Of aliases.
    below: NameMap<T>,
    /// Of aliases, in the order of their texts.
    regexes: Vec<(HostRegex, T)>,
    any: Option<T>,
}

impl<T: Clone> Default for HostMap<T> {
    fn default() -> Self {
        let names = NameMap::default;
        Self { exact: names(), wildcard: names(), below: names(), regexes: Vec::new(), any: None }
    }
}

impl<T: Clone> HostMap<T> {
    /// The value of the most specific pattern that covers a canonical host: its own name, then an alias for all names below
    /// one of its parents, then the wildcard over its parent, then an expression, then [`HostPattern::Any`]. That is the order
    /// of nginx, where wildcards of an Ingress are expressions, too. Allocates nothing.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<&T> {
        self.exact
            .get(host)
            .or_else(|| self.below(host).map(|(_, value)| value))
            .or_else(|| parent_domain(host).and_then(|parent| self.wildcard.get(parent)))
            .or_else(|| self.regexes.iter().find(|(regex, _)| regex.matches(host)).map(|(_, value)| value))
            .or(self.any.as_ref())
    }

    /// The longest parent of a host that an alias is below.
    fn below(&self, host: &str) -> Option<&(Arc<str>, T)> {
        if self.below.len == 0 {
            return None;
        }
        std::iter::successors(parent_domain(host), |parent| parent_domain(parent))
            .find_map(|parent| self.below.get_entry(parent))
    }

    /// The value of just this pattern.
    #[must_use]
    pub fn get(&self, pattern: &HostPattern) -> Option<&T> {
        match pattern {
            HostPattern::Exact(name) => self.exact.get(name),
            HostPattern::Wildcard(suffix) => self.wildcard.get(suffix),
            HostPattern::Below(suffix) => self.below.get(suffix),
            HostPattern::Regex(regex) => self.regexes.iter().find(|(known, _)| known == regex).map(|(_, value)| value),
            HostPattern::Any => self.any.as_ref(),
        }
    }

    /// Sets or removes the value of a pattern.
    pub fn set(&mut self, pattern: &HostPattern, value: Option<T>) {
        match pattern {
            HostPattern::Exact(name) => self.exact.set(name, value),
            HostPattern::Wildcard(suffix) => self.wildcard.set(suffix, value),
            HostPattern::Below(suffix) => self.below.set(suffix, value),
            HostPattern::Regex(regex) => {
                self.regexes.retain(|(known, _)| known != regex);
                self.regexes.extend(value.map(|value| (regex.clone(), value)));
                self.regexes.sort_by(|(a, _), (b, _)| a.cmp(b));
            }
            HostPattern::Any => self.any = value,
        }
    }

    /// Every pattern that covers a canonical host, the most specific first: what [`HostMap::find`] chose from.
    #[must_use]
    pub fn candidates(&self, host: &str) -> Vec<(HostPattern, &T)> {
        let exact = self.exact.get_entry(host).map(|(name, value)| (HostPattern::Exact(name.clone()), value));
        let wildcard = parent_domain(host)
            .and_then(|parent| self.wildcard.get_entry(parent))
            .map(|(suffix, value)| (HostPattern::Wildcard(suffix.clone()), value));
        let any = self.any.as_ref().map(|value| (HostPattern::Any, value));
        let below = self.below(host).map(|(suffix, value)| (HostPattern::Below(suffix.clone()), value));
        let regexes = self.regexes.iter().filter(|(regex, _)| regex.matches(host));
        let regexes = regexes.map(|(regex, value)| (HostPattern::Regex(regex.clone()), value));
        exact.into_iter().chain(below).chain(wildcard).chain(regexes).chain(any).collect()
    }

    /// Every pattern and its value, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (HostPattern, &T)> {
        let exact = self.exact.iter().map(|(name, value)| (HostPattern::Exact(name.clone()), value));
        let wildcard = self.wildcard.iter().map(|(suffix, value)| (HostPattern::Wildcard(suffix.clone()), value));
        let below = self.below.iter().map(|(suffix, value)| (HostPattern::Below(suffix.clone()), value));
        let regexes = self.regexes.iter().map(|(regex, value)| (HostPattern::Regex(regex.clone()), value));
        exact.chain(wildcard).chain(below).chain(regexes).chain(self.any.iter().map(|value| (HostPattern::Any, value)))
    }

    /// Number of patterns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.len + self.wildcard.len + self.below.len + self.regexes.len() + usize::from(self.any.is_some())
    }

    /// Is there no pattern?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

type Shard<T> = HashTable<(Arc<str>, T)>;

#[derive(Clone, Debug)]
struct NameMap<T> {
    hasher: DefaultHashBuilder,
    shards: Box<[Arc<Shard<T>>]>,
    len: usize,
}

impl<T> Default for NameMap<T> {
    fn default() -> Self {
        let empty = Arc::new(HashTable::new());
        Self { hasher: DefaultHashBuilder::default(), shards: vec![empty; SHARDS].into(), len: 0 }
    }
}

/// The table uses the low bits and the top seven; these eight lie between.
#[expect(clippy::cast_possible_truncation, reason = "eight bits are wanted")]
fn shard_of(hash: u64) -> usize {
    usize::from((hash >> 40) as u8) % SHARDS
}

impl<T: Clone> NameMap<T> {
    fn get_entry(&self, name: &str) -> Option<&(Arc<str>, T)> {
        let hash = self.hasher.hash_one(name);
        self.shards.get(shard_of(hash))?.find(hash, |(key, _)| **key == *name)
    }

    fn get(&self, name: &str) -> Option<&T> {
        self.get_entry(name).map(|(_, value)| value)
    }

    fn set(&mut self, name: &Arc<str>, value: Option<T>) {
        let hash = self.hasher.hash_one(&**name);
        let Some(shard) = self.shards.get_mut(shard_of(hash)) else { return };
        let shard = Arc::make_mut(shard);
        if let Ok(entry) = shard.find_entry(hash, |(key, _)| key == name) {
            entry.remove();
            self.len -= 1;
        }
        if let Some(value) = value {
            let hasher = &self.hasher;
            shard.insert_unique(hash, (name.clone(), value), |(key, _)| hasher.hash_one(&**key));
            self.len += 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = &(Arc<str>, T)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(patterns: &[&'static str]) -> HostMap<&'static str> {
        let mut map = HostMap::default();
        for text in patterns {
            map.set(&HostPattern::parse(text.trim_start_matches('_')).unwrap(), Some(*text));
        }
        map
    }

    #[test]
    fn exact_beats_wildcard_beats_none() {
        let map = map(&["foo.com", "*.foo.com", "a.foo.com", "_"]);
        assert_eq!(map.find("a.foo.com"), Some(&"a.foo.com"));
        assert_eq!(map.find("b.foo.com"), Some(&"*.foo.com"));
        assert_eq!(map.find("foo.com"), Some(&"foo.com"));
        assert_eq!(map.find("x.b.foo.com"), Some(&"_"));
        assert_eq!(map.find(""), Some(&"_"));
        assert_eq!(map.candidates("a.foo.com").len(), 3);
    }

    #[test]
    fn aliases_stand_between_names_and_wildcards_and_before_any() {
        let mut map = map(&["a.foo.com", "*.foo.com", "_"]);
        let regex = |text| HostPattern::Regex(crate::HostRegex::new(text).unwrap());
        map.set(&HostPattern::Below("foo.com".into()), Some("below"));
        map.set(&HostPattern::Below("deep.foo.com".into()), Some("deeper"));
        map.set(&regex("^x"), Some("regex"));
        for (host, want) in [
            ("a.foo.com", "a.foo.com"),
            ("b.foo.com", "below"),
            ("c.b.foo.com", "below"),
            ("x.deep.foo.com", "deeper"),
            ("xyz.org", "regex"),
            ("y.org", "_"),
        ] {
            assert_eq!(map.find(host), Some(&want), "{host}");
            assert_eq!(map.candidates(host)[0].1, &want, "{host}");
        }
        assert_eq!((map.len(), map.iter().count()), (6, 6));
        map.set(&regex("^x"), None);
        assert_eq!(map.find("xyz.org"), Some(&"_"));
    }

    #[test]
    fn a_change_does_not_reach_earlier_clones() {
        let before = map(&["a.com", "b.com"]);
        let mut after = before.clone();
        after.set(&HostPattern::parse("a.com").unwrap(), None);
        after.set(&HostPattern::parse("c.com").unwrap(), Some("c.com"));
        assert_eq!((before.len(), after.len()), (2, 2));
        assert_eq!(before.find("a.com"), Some(&"a.com"));
        assert_eq!(after.find("a.com"), None);
        assert_eq!(after.iter().count(), 2);
    }

    #[test]
    fn setting_twice_replaces() {
        let mut map = map(&["a.com"]);
        map.set(&HostPattern::parse("a.com").unwrap(), Some("new"));
        assert_eq!(map.find("a.com"), Some(&"new"));
        assert_eq!(map.len(), 1);
    }
}
