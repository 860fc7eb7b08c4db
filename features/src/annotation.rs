//! Typed annotation keys: one constant is the name, the parser, the default and the documentation.
use std::collections::{BTreeMap, BTreeSet};

/// An annotation key and how to read it.
#[derive(Debug)]
pub struct Key<T> {
    /// Name and documentation.
    pub row: Row,
    /// The parser; the message completes "the value ...".
    pub parse: fn(&str) -> Result<T, String>,
}

/// The documentation of a key, its type erased.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Name without the prefix.
    pub name: &'static str,
    /// One sentence that ends with a full stop.
    pub sentence: &'static str,
    /// What holds when the annotation is absent.
    pub default: &'static str,
    /// A value that parses.
    pub example: &'static str,
}

/// What is wrong with an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name without the prefix.
    pub name: String,
    /// What is wrong, and what holds instead.
    pub message: String,
    /// The annotation protects something, so its rules must answer 503.
    pub closes: bool,
}

/// The annotations of one object while they are read; what nobody read is unknown.
#[derive(Debug)]
pub struct Reader<'a> {
    values: BTreeMap<&'a str, &'a str>,
    read: BTreeSet<&'static str>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Starts with names that have lost their prefix. Values are trimmed; an empty one counts as absent, as in
    /// ingress-nginx.
    pub fn new(annotations: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let values = annotations
            .into_iter()
            .map(|(name, value)| (name, value.trim()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Self { values, read: BTreeSet::new(), problems: Vec::new() }
    }

    /// Reads one key. A value that does not parse is reported and counts as absent.
    pub fn take<T>(&mut self, key: &Key<T>) -> Option<T> {
        self.read.insert(key.row.name);
        match (key.parse)(self.values.get(key.row.name)?) {
            Ok(value) => Some(value),
            Err(message) => {
                let message = format!("the value {message}; the default ({}) is used", key.row.default);
                self.problems.push(Problem { name: key.row.name.to_owned(), message, closes: false });
                None
            }
        }
    }

    /// Is the annotation there? Marks it as read.
    pub fn has(&mut self, name: &'static str) -> bool {
        self.read.insert(name);
        self.values.contains_key(name)
    }

    /// Reports an annotation that protects something and is not honoured: the rules must answer 503.
    pub fn close(&mut self, name: &str, message: &str) {
        self.problems.push(Problem { name: name.to_owned(), message: message.to_owned(), closes: true });
    }

    /// Everything that is wrong, including the annotations that nobody read.
    #[must_use]
    pub fn finish(mut self) -> Vec<Problem> {
        let unknown = self.values.keys().filter(|name| !self.read.contains(*name)).map(|name| Problem {
            name: (*name).to_owned(),
            message: "is not known to this version and has no effect".to_owned(),
            closes: false,
        });
        self.problems.extend(unknown);
        self.problems
    }
}

/// Go's `strconv.ParseBool`, which ingress-nginx reads booleans with.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

/// A number of seconds from 1 to 86,400, without a unit, as ingress-nginx reads timeouts.
pub(crate) fn seconds(text: &str) -> Result<std::time::Duration, String> {
    match text.parse::<u32>() {
        Ok(number @ 1..=86_400) => Ok(std::time::Duration::from_secs(number.into())),
        _ => Err("is not a whole number of seconds from 1 to 86400 without a unit".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAG: Key<bool> =
        Key { row: Row { name: "flag", sentence: "A flag.", default: "false", example: "true" }, parse: boolean };

    #[test]
    fn an_absent_or_empty_annotation_is_none() {
        assert_eq!(Reader::new([]).take(&FLAG), None);
        assert_eq!(Reader::new([("flag", "  ")]).take(&FLAG), None);
    }

    #[test]
    fn booleans_are_gos() {
        for (text, want) in [("true", Some(true)), ("T", Some(true)), ("0", Some(false)), (" False ", Some(false))] {
            assert_eq!(Reader::new([("flag", text)]).take(&FLAG), want, "{text}");
        }
    }

    #[test]
    fn a_bad_value_is_reported_and_absent() {
        let mut reader = Reader::new([("flag", "yes")]);
        assert_eq!(reader.take(&FLAG), None);
        let problems = reader.finish();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].message, "the value is neither true nor false; the default (false) is used");
    }

    #[test]
    fn what_nobody_read_is_unknown() {
        let mut reader = Reader::new([("flag", "true"), ("falg", "true")]);
        assert_eq!(reader.take(&FLAG), Some(true));
        assert_eq!(reader.finish().into_iter().map(|p| p.name).collect::<Vec<_>>(), ["falg"]);
    }

    #[test]
    fn seconds_have_no_unit() {
        assert!(seconds("60").is_ok());
        for text in ["60s", "0", "-1", "1.5", "86401", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
