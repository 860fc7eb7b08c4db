//! Typed keys of annotations and of the controller's ConfigMap: one constant is name, parser, default and documentation.
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::objects::Objects;

/// A key and how to read it.
#[derive(Debug)]
pub struct Key<T> {
    /// Name and documentation.
    pub row: Row,
    /// The parser; the message completes "the value ...".
    pub parse: fn(&str) -> Result<T, String>,
    /// What a value that does not parse does.
    pub on_error: OnError,
}

/// The documentation of a key, its type erased.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Name, of an annotation without ingress-nginx's prefix; what starts with `ingora.io/` is written so.
    pub name: &'static str,
    /// One sentence that ends with a full stop.
    pub sentence: &'static str,
    /// What holds when the key is absent.
    pub default: &'static str,
    /// A value that parses.
    pub example: &'static str,
    /// How far it is honoured.
    pub support: Support,
}

/// How far a key is honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// As in ingress-nginx.
    Honoured,
    /// Honoured, with a difference: a sentence that says which.
    Approximated(&'static str),
    /// Tunes what does not exist here; accepted silently: a sentence that says why.
    Inert(&'static str),
    /// Not honoured: a sentence that says why and what to use instead.
    Refused(&'static str),
}

/// What a value that does not parse does, as ingress-nginx classes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnError {
    /// It holds, but not in all as in ingress-nginx. No key's own: values are told of one by one.
    Differs,
    /// The default holds.
    Default,
    /// The rules of the Ingress answer 503: the annotation protects something.
    Close,
    /// The whole Ingress is left out, as if it were not there.
    Reject,
}

/// A key whose type is erased: what checks and documentation walk over.
pub trait Described {
    /// Its documentation.
    fn row(&self) -> &Row;
    /// What a value that does not parse does.
    fn on_error(&self) -> OnError;
    /// Does a value parse?
    ///
    /// # Errors
    /// What is wrong; completes "the value ...".
    fn check(&self, value: &str) -> Result<(), String>;
}

impl<T> Described for Key<T> {
    fn row(&self) -> &Row {
        &self.row
    }

    fn on_error(&self) -> OnError {
        self.on_error
    }

    fn check(&self, value: &str) -> Result<(), String> {
        (self.parse)(value).map(drop)
    }
}

/// What is wrong with an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name without the prefix.
    pub name: String,
    /// What is wrong, and what holds instead.
    pub message: String,
    /// What it does to the rules.
    pub effect: OnError,
}

/// The data of the controller's ConfigMap (`--configmap`). Values are trimmed; an empty one counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config(BTreeMap<String, String>);

/// An empty one.
pub(crate) static NO_CONFIG: Config = Config(BTreeMap::new());

impl Config {
    /// Takes the data of a ConfigMap.
    pub fn new(data: impl IntoIterator<Item = (String, String)>) -> Self {
        let trimmed = data.into_iter().map(|(name, value)| (name, value.trim().to_owned()));
        Self(trimmed.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The value of a key. One that does not parse counts as absent; [`crate::check_config`] reports it.
    pub fn get<T>(&self, key: &Key<T>) -> Option<T> {
        if self.0.is_empty() {
            return None;
        }
        (key.parse)(self.0.get(key.row.name)?).ok()
    }

    /// The value of a key, or what is wrong with it: for keys that must not fall back to an open default.
    pub fn parsed<T>(&self, key: &Key<T>) -> Option<Result<T, String>> {
        self.0.get(key.row.name).map(|value| (key.parse)(value))
    }

    /// All keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// The annotations of one object while they are read; what nobody read is unknown.
pub struct Reader<'a> {
    values: BTreeMap<&'a str, Cow<'a, str>>,
    config: &'a Config,
    objects: &'a dyn Objects,
    translates_snippets: bool,
    read: BTreeSet<&'static str>,
    problems: Vec<Problem>,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("values", &self.values).field("problems", &self.problems).finish_non_exhaustive()
    }
}

impl<'a> Reader<'a> {
    /// Starts with names that have lost their prefix. Values are trimmed; an empty one counts as absent, as in
    /// ingress-nginx.
    pub fn new(
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
        config: &'a Config,
        objects: &'a dyn Objects,
    ) -> Self {
        let values = annotations
            .into_iter()
            .map(|(name, value)| (name, Cow::Borrowed(value.trim())))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Self { values, config, objects, translates_snippets: false, read: BTreeSet::new(), problems: Vec::new() }
    }

    /// Reads one annotation. A value that does not parse is reported and counts as absent.
    pub fn take<T>(&mut self, key: &Key<T>) -> Option<T> {
        self.read.insert(key.row.name);
        match (key.parse)(self.values.get(key.row.name)?) {
            Ok(value) => Some(value),
            Err(message) => {
                let instead = match key.on_error {
                    OnError::Differs | OnError::Default => format!("; the default ({}) is used", key.row.default),
                    OnError::Close => "; until it is corrected the paths of this Ingress answer 503".to_owned(),
                    OnError::Reject => "; until it is corrected this Ingress is left out".to_owned(),
                };
                self.report(key.row.name, format!("the value {message}{instead}"), key.on_error);
                None
            }
        }
    }

    /// Reads one annotation without reporting anything: somebody else takes it.
    pub(crate) fn peek<T>(&self, key: &Key<T>) -> Option<T> {
        (key.parse)(self.values.get(key.row.name)?).ok()
    }

    /// Reads one annotation, or else a key of the ConfigMap.
    pub fn take_or<T>(&mut self, key: &Key<T>, config: &Key<T>) -> Option<T> {
        self.take(key).or_else(|| self.config.get(config))
    }

    /// Decides whether snippets are translated (`--translate-snippets`).
    #[must_use]
    pub fn translating_snippets(mut self, translates: bool) -> Self {
        self.translates_snippets = translates;
        self
    }

    /// Are snippets translated?
    #[must_use]
    pub(crate) fn translates_snippets(&self) -> bool {
        self.translates_snippets
    }

    /// The controller's ConfigMap.
    #[must_use]
    pub fn config(&self) -> &'a Config {
        self.config
    }

    /// The objects that annotations may refer to.
    #[must_use]
    pub fn objects(&self) -> &'a dyn Objects {
        self.objects
    }

    /// Adds an annotation that another one implies, unless it is there already.
    pub(crate) fn imply(&mut self, name: &'static str, value: String) {
        self.values.entry(name).or_insert(Cow::Owned(value));
    }

    /// Is the annotation there? Marks it as read.
    pub fn has(&mut self, name: &'static str) -> bool {
        self.read.insert(name);
        self.values.contains_key(name)
    }

    /// Reports what is wrong with an annotation that was read.
    pub fn report(&mut self, name: &str, message: String, effect: OnError) {
        self.problems.push(Problem { name: name.to_owned(), message, effect });
    }

    /// Reports a value that is honoured with a difference; `how` completes "honoured with a difference: ...".
    pub(crate) fn differs(&mut self, name: &str, how: &str) {
        self.report(name, how.to_owned(), OnError::Differs);
    }

    /// Reports an annotation that protects something and is not honoured: the rules must answer 503.
    pub fn close(&mut self, name: &str, message: &str) {
        self.report(name, message.to_owned(), OnError::Close);
    }

    /// Everything that is wrong, including the annotations that nobody read.
    #[must_use]
    pub fn finish(mut self) -> Vec<Problem> {
        let unread = self.values.keys().filter(|name| !self.read.contains(*name));
        let unknown = unread.filter(|name| crate::verdicts::annotation(name).is_none()).map(|name| Problem {
            name: (*name).to_owned(),
            message: "is not known to this version and has no effect".to_owned(),
            effect: OnError::Default,
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

/// A time with its unit: `250ms`, `5s`, `2m` or `1h`, from a millisecond to a day.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or_default();
    let scale = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let number = number.parse::<u64>().ok();
    match number.zip(scale).and_then(|(number, scale)| number.checked_mul(scale)) {
        Some(millis @ 1..=86_400_000) => Ok(std::time::Duration::from_millis(millis)),
        _ => Err("is not a time with a unit, as 250ms, 5s, 2m or 1h, from 1ms to 24h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::NoObjects;

    const FLAG: Key<bool> = Key {
        row: Row { name: "flag", sentence: "A flag.", default: "false", example: "true", support: Support::Honoured },
        parse: boolean,
        on_error: OnError::Default,
    };

    fn take(value: &'static str) -> Option<bool> {
        Reader::new([("flag", value)], &Config::default(), &NoObjects).take(&FLAG)
    }

    #[test]
    fn an_absent_or_empty_annotation_is_none() {
        assert_eq!(Reader::new([], &Config::default(), &NoObjects).take(&FLAG), None);
        assert_eq!(take("  "), None);
    }

    #[test]
    fn booleans_are_gos() {
        for (text, want) in [("true", Some(true)), ("T", Some(true)), ("0", Some(false)), (" False ", Some(false))] {
            assert_eq!(take(text), want, "{text}");
        }
    }

    #[test]
    fn a_bad_value_is_reported_and_absent() {
        let config = Config::default();
        let mut reader = Reader::new([("flag", "yes")], &config, &NoObjects);
        assert_eq!(reader.take(&FLAG), None);
        let problems = reader.finish();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].message, "the value is neither true nor false; the default (false) is used");
    }

    #[test]
    fn a_bad_value_has_the_effect_of_its_key() {
        let config = Config::default();
        for effect in [OnError::Close, OnError::Reject] {
            let mut reader = Reader::new([("flag", "yes")], &config, &NoObjects);
            reader.take(&Key { on_error: effect, ..FLAG });
            assert_eq!(reader.finish()[0].effect, effect);
        }
    }

    #[test]
    fn an_annotation_beats_the_config_map_and_a_bad_key_there_counts_as_absent() {
        const GLOBAL: Key<bool> = Key { row: Row { name: "flags", ..FLAG.row }, ..FLAG };
        for (global, annotation, want) in
            [("true", "", Some(true)), ("true", "false", Some(false)), ("maybe", "", None)]
        {
            let config = Config::new([("flags".to_owned(), global.to_owned())]);
            let mut reader = Reader::new([("flag", annotation)], &config, &NoObjects);
            assert_eq!(reader.take_or(&FLAG, &GLOBAL), want, "{global} {annotation}");
        }
    }

    #[test]
    fn what_nobody_read_is_unknown() {
        let config = Config::default();
        let mut reader = Reader::new([("flag", "true"), ("falg", "true")], &config, &NoObjects);
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

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [("250ms", 250), ("5s", 5000), ("2m", 120_000), ("24h", 86_400_000)] {
            assert_eq!(duration(text).map(|time| time.as_millis()), Ok(millis), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "0s",
            "25h",
            "-1s",
            "1.5s",
            "1d",
            "99999999999999999999s",
            "18446744073709551615h",
            "5 s",
            "٣s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
