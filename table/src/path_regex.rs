//! Paths that are regular expressions: every path of a host in ingress-nginx's regex mode.
use std::fmt;
use std::sync::Arc;

use regex::bytes::{Captures, Regex, RegexBuilder};

/// Limit of a compiled expression, and of its lazily built automaton, in bytes.
const SIZE: usize = 256 * 1024;

/// A regular expression that a path must match from its begin, whatever follows (nginx's `location ~* "^..."`).
///
/// Letters match in either case. As in nginx it works on bytes: `\w` and `\d` are ASCII. Matching takes time linear in the
/// length of the path. Two are equal when their texts are.
#[derive(Clone)]
pub struct PathRegex {
    text: Arc<str>,
    /// What every path that matches begins with, in any case.
    literal: Box<str>,
    /// `None` when the literal is all there is.
    regex: Option<Regex>,
}

/// Why a text is not such an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathRegexError {
    /// Compiles to more than 256 KiB.
    TooLarge,
    /// Malformed, or holds a look-around or a back-reference, which cannot be matched in linear time.
    Unsupported,
}

impl fmt::Display for PathRegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "is a regular expression that is too large",
            Self::Unsupported => "is not a regular expression without look-around and back-references",
        })
    }
}

impl std::error::Error for PathRegexError {}

impl PathRegex {
    /// Compiles the path of a rule.
    ///
    /// # Errors
    /// When the text is no regular expression, or one that could take more than linear time or too much memory.
    pub fn new(text: &str) -> Result<Self, PathRegexError> {
        let literal = literal_prefix(text);
        if literal.len() == text.len() {
            return Ok(Self { text: text.into(), literal: literal.into(), regex: None });
        }
        let regex = compile(&format!("^{}", dialect(text)))?;
        Ok(Self { text: text.into(), literal: literal.into(), regex: Some(regex) })
    }

    /// An expression for a text that [`PathRegex::new`] refuses: it matches all that the text could match, and more. Who
    /// must not serve what it cannot understand refuses that.
    #[must_use]
    pub fn wider(text: &str) -> Self {
        let literal = literal_prefix(text);
        let regex = without_look_around(text).and_then(|wider| compile(&format!("^{}", dialect(&wider))).ok());
        // Of alternatives no begin is known, and every path begins with a slash.
        let literal = if regex.is_none() && literal.is_empty() { "/" } else { literal };
        Self { text: text.into(), literal: literal.into(), regex }
    }

    /// The expression as written, without the anchor.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Does a canonical path match?
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let begin = path.as_bytes().get(..self.literal.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(self.literal.as_bytes()))
            && self.regex.as_ref().is_none_or(|regex| regex.is_match(path.as_bytes()))
    }

    /// What the groups of the expression captured, the whole match first. `None` when the path does not match, or the
    /// expression has no group to capture with.
    #[must_use]
    pub fn captures<'p>(&self, path: &'p str) -> Option<Captures<'p>> {
        self.regex.as_ref()?.captures(path.as_bytes())
    }

    /// The number of a named group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<usize> {
        self.regex.as_ref()?.capture_names().position(|group| group == Some(name))
    }
}

impl PartialEq for PathRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PathRegex {}

impl fmt::Debug for PathRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/^{}/", self.text)
    }
}

fn compile(text: &str) -> Result<Regex, PathRegexError> {
    let mut builder = RegexBuilder::new(text);
    builder.case_insensitive(true).unicode(false).size_limit(SIZE).dfa_size_limit(SIZE).nest_limit(50);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => PathRegexError::TooLarge,
        _ => PathRegexError::Unsupported,
    })
}

/// The longest begin that every match has. Empty when there are alternatives outside of groups.
fn literal_prefix(text: &str) -> &str {
    let is_meta = |byte: u8| br"\.+*?()[]{}|^$".contains(&byte) || !byte.is_ascii();
    let end = text.bytes().position(is_meta).unwrap_or(text.len());
    // What a quantifier follows may be absent.
    let optional = matches!(text.as_bytes().get(end), Some(b'*' | b'?' | b'{'));
    let literal = text.get(..end.saturating_sub(usize::from(optional))).unwrap_or_default();
    if has_outer_alternatives(text) { "" } else { literal }
}

/// One step of a walk over an expression: how many groups are open, and whether a class is.
#[derive(Clone, Copy, Default)]
struct Place {
    depth: usize,
    class: bool,
}

impl Place {
    fn after(self, char: char) -> Self {
        match (self.class, char) {
            (true, ']') => Self { class: false, ..self },
            (false, '[') => Self { class: true, ..self },
            (false, '(') => Self { depth: self.depth + 1, ..self },
            (false, ')') => Self { depth: self.depth.saturating_sub(1), ..self },
            _ => self,
        }
    }
}

fn has_outer_alternatives(text: &str) -> bool {
    let (mut place, mut chars) = (Place::default(), text.chars());
    while let Some(char) = chars.next() {
        match char {
            '\\' => drop(chars.next()),
            '|' if place.depth == 0 && !place.class => return true,
            _ => place = place.after(char),
        }
    }
    false
}

/// What nginx's configuration and PCRE read differently from this crate's dialect: `\\` in a quoted parameter is one
/// backslash, a brace that is no quantifier stands for itself, and so does a hyphen after a class within a class.
fn dialect(text: &str) -> String {
    let text = text.replace(r"\\", "\\");
    let mut out = String::with_capacity(text.len() + 8);
    let mut place = Place::default();
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        match char {
            '\\' => {
                let escaped = rest.next();
                out.push('\\');
                out.extend(escaped);
                let is_class = escaped.is_some_and(|char| "wWdDsS".contains(char));
                if place.class && is_class && rest.as_str().starts_with('-') {
                    rest.next();
                    out.push_str(r"\-");
                }
            }
            '{' if !place.class && !is_quantifier(rest.as_str()) => out.push_str(r"\{"),
            _ => {
                place = place.after(char);
                out.push(char);
            }
        }
    }
    out
}

/// Is it the rest of `{2}`, `{2,}` or `{2,3}`?
fn is_quantifier(rest: &str) -> bool {
    let Some((inner, _)) = rest.split_once('}') else { return false };
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

/// The expression without its look-arounds, and with anything in place of back-references: all that it matched still does.
fn without_look_around(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut place = Place::default();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let after = rest.get(char.len_utf8()..)?;
        let look = ["(?=", "(?!", "(?<=", "(?<!"].iter().find_map(|begin| rest.strip_prefix(begin));
        if let Some(inner) = look.filter(|_| !place.class) {
            rest = after_group(inner)?.trim_start_matches(['*', '+', '?']);
        } else if let Some(inner) = rest.strip_prefix("(?>").filter(|_| !place.class) {
            out.push_str("(?:");
            place = place.after('(');
            rest = inner;
        } else if char == '\\' {
            let escaped = after.chars().next()?;
            if escaped.is_ascii_digit() && !place.class {
                out.push_str(".*");
            } else {
                out.extend([char, escaped]);
            }
            rest = after.get(escaped.len_utf8()..)?;
        } else {
            place = place.after(char);
            out.push(char);
            rest = after;
        }
    }
    Some(out)
}

/// What follows the group that is open.
fn after_group(inner: &str) -> Option<&str> {
    let mut place = Place { depth: 1, class: false };
    let mut chars = inner.chars();
    while place.depth > 0 {
        match chars.next()? {
            '\\' => drop(chars.next()),
            char => place = place.after(char),
        }
    }
    Some(chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, path: &str) -> bool {
        PathRegex::new(text).unwrap().matches(path)
    }

    #[test]
    fn it_matches_from_the_begin_in_any_case_and_whatever_follows() {
        for (text, path, want) in [
            ("/foo", "/FOObar", true),
            ("/foo", "/x/foo", false),
            ("/foo/", "/foo", false),
            ("/foo$", "/foobar", false),
            ("/v[0-9]+/x", "/V12/X", true),
            ("/a.c", "/abc", true),
            ("/foo(/|$)(.*)", "/foo", true),
            ("/foo(/|$)(.*)", "/foob", false),
        ] {
            assert_eq!(matches(text, path), want, "{text} {path}");
        }
    }

    #[test]
    fn an_optional_character_is_no_begin() {
        assert!(matches("/fox?", "/fo") && matches("/ab{0}c", "/ac") && matches("/fo*", "/f"));
        assert!(!matches("/fo+", "/f"));
    }

    #[test]
    fn only_the_first_of_outer_alternatives_is_anchored() {
        assert!(matches("/a|/b", "/a") && matches("/a|/b", "/x/b"));
        assert!(!matches("/(a|b)", "/x/b"));
    }

    #[test]
    fn classes_are_ascii() {
        assert!(!matches(r"/\w+$", "/é"));
        assert!(matches("/.+$", "/é"));
    }

    #[test]
    fn what_pcre_reads_as_text_is_text() {
        assert!(matches("/{id}$", "/{id}") && matches(r"/[\w-.]+$", "/a-b.c") && matches(r"/a\\.b", "/a.b"));
        assert!(matches("/a{2}$", "/aa") && !matches(r"/a\\.b", "/a-b"));
    }

    #[test]
    fn captures_have_numbers_and_names() {
        let regex = PathRegex::new("/api/(?<version>v[0-9])(/|$)(.*)").unwrap();
        let captures = regex.captures("/API/v1/users").unwrap();
        assert_eq!(captures.get(3).unwrap().as_bytes(), b"users");
        assert_eq!(regex.group("version"), Some(1));
        assert!(PathRegex::new("/plain").unwrap().captures("/plain").is_none());
    }

    #[test]
    fn what_is_not_linear_is_refused() {
        for text in ["/(?!admin)", "/(?<=a)b", r"/(a)\1", "/(a", "/[a"] {
            assert_eq!(PathRegex::new(text), Err(PathRegexError::Unsupported), "{text}");
        }
        assert_eq!(PathRegex::new("/(a{1000}){1000}"), Err(PathRegexError::TooLarge));
    }

    #[test]
    fn the_wider_expression_covers_what_the_refused_one_could_match() {
        for (text, path, want) in [
            ("/app/(?!admin)x", "/app/x", true),
            ("/app/(?!admin)x", "/app/y", false),
            (r"/(a|b)/\1/c", "/a/a/c", true),
            (r"/(a|b)/\1/c", "/c", false),
            ("/x/(?=[)])(?>y)", "/x/y", true),
            ("/shop/(a", "/SHOP/z", true),
            ("/shop/(a", "/other", false),
            ("/a|(b", "/anything", true),
        ] {
            assert_eq!(PathRegex::wider(text).matches(path), want, "{text} {path}");
        }
    }

    #[test]
    fn a_long_path_takes_linear_time() {
        let path = format!("/{}", "a".repeat(60_000));
        assert!(!matches("/(a+)+(a+)+b$", &path));
    }
}
