//! One path of an Ingress to a predicate.
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::HTTPIngressPath;
use table::{PathMatch, RequestPath};

use crate::notes::Notes;
use crate::text::Quoted;

/// The path type as it is written: what ingress-nginx compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathType {
    Exact,
    Prefix,
    ImplementationSpecific,
}

impl PathType {
    /// That of a path; the absent one is a prefix.
    pub(crate) fn of(path: &HTTPIngressPath) -> Self {
        match &*path.path_type {
            "Exact" => Self::Exact,
            "ImplementationSpecific" => Self::ImplementationSpecific,
            _ => Self::Prefix,
        }
    }
}

impl fmt::Display for PathType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The path as it is written; the absent one is the root. Most are what their predicate holds, and share its text.
pub(crate) fn text(path: &HTTPIngressPath, predicate: &PathMatch) -> Arc<str> {
    let text = path.path.as_deref().filter(|text| !text.is_empty()).unwrap_or("/");
    let (PathMatch::Exact(known) | PathMatch::Prefix(known)) = predicate;
    if **known == *text { known.clone() } else { text.into() }
}

/// Reads path and path type. `None` when no request could be meant; the notes say why. What may be a regular expression
/// need not be canonical.
pub(crate) fn read(
    path: &HTTPIngressPath,
    may_be_regex: bool,
    place: impl Fn() -> String,
    notes: &mut Notes,
) -> Option<PathMatch> {
    let text = path.path.as_deref().unwrap_or_default();
    let result = match &*path.path_type {
        "Exact" => PathMatch::exact(text),
        "Prefix" => PathMatch::prefix(text),
        // ingress-nginx, too, reads these as prefixes, and the absent path as the root.
        "ImplementationSpecific" | "" => PathMatch::prefix(if text.is_empty() { "/" } else { text }),
        other => {
            let message = format!(
                "path type {} is not known and the path is ignored; use Exact, Prefix or ImplementationSpecific",
                Quoted(other)
            );
            notes.error("PathTypeInvalid", format!("{}.pathType", place()), message);
            return None;
        }
    };
    match result {
        Ok(predicate) => {
            if !may_be_regex {
                check_canonical(&predicate, place, notes);
            }
            Some(predicate)
        }
        Err(error) => {
            let message = format!("path {} {error} and is ignored; correct it", Quoted(text));
            notes.error("PathInvalid", format!("{}.path", place()), message);
            None
        }
    }
}

/// Requests are matched by their canonical path, so a path that is not canonical matches none.
fn check_canonical(predicate: &PathMatch, place: impl Fn() -> String, notes: &mut Notes) {
    let text = predicate.as_str();
    let message = match RequestPath::parse(text) {
        Ok(canonical) if canonical.as_str() == text => return,
        Ok(canonical) => {
            format!("no request matches path {}; write it as {}", Quoted(text), Quoted(canonical.as_str()))
        }
        Err(error) => format!("no request matches path {}: its {error}; correct it", Quoted(text)),
    };
    notes.warning("PathNotCanonical", format!("{}.path", place()), message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Kind;
    use crate::snapshot::Key;

    fn parse(path: Option<&str>, path_type: &str) -> (Option<PathMatch>, Vec<(&'static str, String)>) {
        let path =
            HTTPIngressPath { path: path.map(str::to_owned), path_type: path_type.to_owned(), ..Default::default() };
        let mut notes = Notes::new(Key::new("ns", "a").reference(Kind::Ingress));
        let predicate = read(&path, false, || "here".to_owned(), &mut notes);
        (predicate, notes.list.into_iter().map(|note| (note.reason, note.message)).collect())
    }

    #[test]
    fn path_types_are_read() {
        for (path, path_type, want) in [
            (Some("/a/"), "Exact", PathMatch::exact("/a/")),
            (Some("/a/"), "Prefix", PathMatch::prefix("/a")),
            (Some("/a"), "ImplementationSpecific", PathMatch::prefix("/a")),
            (Some(""), "ImplementationSpecific", PathMatch::prefix("/")),
            (None, "ImplementationSpecific", PathMatch::prefix("/")),
            (Some("/a"), "", PathMatch::prefix("/a")),
        ] {
            assert_eq!(parse(path, path_type), (want.ok(), vec![]), "{path:?} {path_type}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_dropped_and_told() {
        for (path, path_type, reason) in [
            (None, "Exact", "PathInvalid"),
            (Some("a"), "Prefix", "PathInvalid"),
            (Some("/"), "Regex", "PathTypeInvalid"),
        ] {
            let (predicate, notes) = parse(path, path_type);
            assert_eq!((predicate, notes[0].0), (None, reason));
        }
    }

    #[test]
    fn a_path_that_no_request_has_is_told_with_the_canonical_one() {
        for (path, canonical) in [("//a", "\"/a\""), ("/a/../b", "\"/b\""), ("/caf%C3%A9", "\"/café\""), ("/..", "")] {
            let (predicate, notes) = parse(Some(path), "Prefix");
            assert!(predicate.is_some());
            assert_eq!(notes[0].0, "PathNotCanonical");
            assert!(notes[0].1.contains(canonical), "{}", notes[0].1);
        }
    }
}
