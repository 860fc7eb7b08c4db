//! Keys that no feature reads: what they were for, and why they do nothing here or what to use instead.
//!
//! A feature that honours one of them takes its place: its own row wins.
mod annotations;
mod config;
mod retired;

use crate::annotation::{Described, Key, OnError, Row, Support};

/// An annotation that nothing reads.
#[must_use]
pub(crate) fn annotation(name: &str) -> Option<&'static Row> {
    annotations::KEYS.iter().map(|key| &key.row).find(|row| row.name == name)
}

/// The annotations that nothing reads.
pub(crate) fn annotations() -> impl Iterator<Item = &'static dyn Described> {
    annotations::KEYS.iter().map(|key| key as &dyn Described)
}

/// The keys of the ConfigMap that nothing reads.
pub(crate) fn config() -> impl Iterator<Item = &'static dyn Described> {
    config::KEYS.iter().chain(retired::KEYS).map(|key| key as &dyn Described)
}

/// A key that means nothing here: it tunes what does not exist.
const fn inert(name: &'static str, sentence: &'static str, why: &'static str) -> Key<()> {
    key(name, sentence, Support::Inert(why))
}

/// A key that is not honoured, with what to use instead.
const fn refused(name: &'static str, sentence: &'static str, instead: &'static str) -> Key<()> {
    key(name, sentence, Support::Refused(instead))
}

const fn key(name: &'static str, sentence: &'static str, support: Support) -> Key<()> {
    Key {
        row: Row { name, sentence, default: "none", example: "any", support },
        parse: |_| Ok(()),
        on_error: OnError::Default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What ingress-nginx documents, without the keys of the access log.
    const DOCUMENTED: &str = include_str!("verdicts/documented-keys.txt");

    #[test]
    fn every_documented_key_of_the_config_map_has_a_verdict() {
        let missing: Vec<&str> =
            DOCUMENTED.split_ascii_whitespace().filter(|name| crate::config_row(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn every_key_stands_once_and_says_why() {
        for keys in [annotations().collect::<Vec<_>>(), config().collect()] {
            let mut names = BTreeSet::new();
            for key in keys {
                let row = key.row();
                assert!(names.insert(row.name), "{} stands twice", row.name);
                let (Support::Inert(why) | Support::Refused(why)) = row.support else { panic!("{} is read", row.name) };
                assert!(row.sentence.ends_with('.') && why.ends_with('.'), "{}", row.name);
            }
        }
    }
}
