//! Sends another path to the endpoint than the client asked for, and says which prefix it had.
use http::HeaderName;
use http::HeaderValue;
use table::PathRegex;

use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};
use crate::{Edits, Feature, Keys, Request, RuleFacts, Template, Verdict};

const TARGET: Key<Target> = Key {
    row: Row {
        name: "rewrite-target",
        sentence: "Path that the endpoint gets, with `$1` to `$9` for what the path of the rule captured. All paths of the \
                   host become regular expressions, also those of other Ingresses. An absolute URL redirects with 302.",
        default: "none",
        example: "/$2",
        support: Support::Honoured,
    },
    parse: Target::parse,
    on_error: OnError::Default,
};

const USE_REGEX: Key<bool> = Key {
    row: Row {
        name: "use-regex",
        sentence: "Reads all paths of the host, also those of other Ingresses, as regular expressions: without regard to \
                   case, anchored at the begin only, the longest first. A path with look-around or back-references, which \
                   cannot be matched in linear time, answers 503 and is told of.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const PREFIX: Key<Target> = Key {
    row: Row {
        name: "x-forwarded-prefix",
        sentence: "Value of X-Forwarded-Prefix that the endpoint gets where rewrite-target has an effect; may hold `$1`.",
        default: "none",
        example: "/app",
        support: Support::Honoured,
    },
    parse: Target::parse,
    on_error: OnError::Default,
};

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// What a host's paths are, as far as one Ingress says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathMode {
    /// `use-regex`.
    pub regex: bool,
    /// The text of `rewrite-target`.
    pub rewrite_target: Option<String>,
}

impl PathMode {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let rewrite_target = reader.take(&TARGET).map(|target| target.text);
        Self { regex: reader.take(&USE_REGEX).unwrap_or(false), rewrite_target }
    }

    /// Does it turn the paths of a host into regular expressions, for a path as written?
    #[must_use]
    pub fn forces_regex(&self, path: &str) -> bool {
        self.regex || self.rewrite_target.as_deref().is_some_and(|target| target != path)
    }
}

/// A rewritten path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    target: Target,
    prefix: Option<Target>,
    /// The path of the rule, once known.
    path: Option<PathRegex>,
}

impl Feature for Rewrite {
    const KEYS: Keys = &[&TARGET, &USE_REGEX, &PREFIX];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        let prefix = reader.take(&PREFIX);
        Some(Self { target: reader.take(&TARGET)?, prefix, path: None })
    }

    /// A target that equals the path changes nothing.
    fn bind(mut self, path: &str) -> Option<Self> {
        if self.target.text == path {
            return None;
        }
        self.path = Some(PathRegex::new(path).unwrap_or_else(|_| PathRegex::wider(path)));
        Some(self)
    }

    fn on_request(&self, request: &Request<'_>, edits: &mut Edits) -> Verdict {
        let captured = self.path.as_ref().and_then(|path| path.captures(request.path));
        let text = |group: usize| {
            let group = captured.as_ref().and_then(|captured| captured.get(group));
            group.and_then(|group| std::str::from_utf8(group.as_bytes()).ok()).unwrap_or_default()
        };
        let groups: Vec<String> = (0..10).map(|number| escaped(text(number))).collect();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let expand = |target: &Target| {
            let named: Vec<String> = target
                .names
                .iter()
                .map(|name| escaped(self.path.as_ref().and_then(|path| path.group(name)).map_or("", text)))
                .collect();
            target.template.expand_with_slots(request, &groups, &named)
        };
        let mut target = expand(&self.target);
        if target.is_empty() {
            // As nginx: a rewritten path must not be empty.
            return Verdict::status(500, "rewrite_empty");
        }
        // As nginx: the client's query follows.
        if let Some((_, query)) = request.target.split_once('?') {
            target.push('?');
            target.push_str(query);
        }
        if self.target.is_absolute() {
            return Verdict::redirect(302, &target);
        }
        if !target.starts_with('/') {
            target.insert(0, '/');
        }
        edits.target = Some(target);
        if let Some(prefix) = &self.prefix
            && let Ok(value) = HeaderValue::from_str(&expand(prefix))
        {
            edits.upstream_fields.push((X_FORWARDED_PREFIX, Some(value)));
        }
        Verdict::Continue
    }
}

/// A text with captures, numbered or named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    text: String,
    template: Template,
    /// Names that are no variables of nginx: groups of the path.
    names: Vec<String>,
}

impl Target {
    fn parse(text: &str) -> Result<Self, String> {
        // What ingress-nginx takes for a path with captures.
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:$".contains(&byte);
        if !text.bytes().all(sound) {
            return Err("has characters other than letters, digits and -._~/:$".to_owned());
        }
        let mut names = Vec::new();
        loop {
            let slot = |name: &str| names.iter().position(|known| known == name);
            match Template::parse_with_slots(text, slot) {
                Ok(template) => return Ok(Self { text: text.to_owned(), template, names }),
                Err(unknown) => {
                    let name = unknown.split('$').nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
                    if name.is_empty() || names.iter().any(|known| known == name) {
                        return Err(unknown);
                    }
                    names.push(name.to_owned());
                }
            }
        }
    }

    fn is_absolute(&self) -> bool {
        self.text.starts_with("http://") || self.text.starts_with("https://")
    }
}

/// Percent-encodes what may not stand in a target: captures come from the decoded path (nginx's `ngx_escape_uri`).
fn escaped(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"#%?<>\\^`{|}".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(out, "%{byte:02X}").ok();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::request::tests::plain;
    use crate::{Labels, NoObjects};

    fn rewrite(annotations: &[(&'static str, &'static str)], rule: &str, path: &str, target: &str) -> (Verdict, Edits) {
        let config = Config::default();
        let mut reader = Reader::new(annotations.iter().copied(), &config, &NoObjects);
        let feature = Rewrite::read(&mut reader, &RuleFacts::default()).and_then(|feature| feature.bind(rule));
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        let mut edits = Edits::default();
        let request = Request { path, target, ..plain(&headers, &labels) };
        let verdict = feature.map_or(Verdict::Continue, |feature| feature.on_request(&request, &mut edits));
        (verdict, edits)
    }

    fn sent(to: &'static str, rule: &str, path: &str, target: &str) -> Option<String> {
        rewrite(&[("rewrite-target", to)], rule, path, target).1.target
    }

    #[test]
    fn captures_become_the_new_path_and_the_query_stays() {
        assert_eq!(sent("/$2", "/api(/|$)(.*)", "/api/x/y", "/api/x/y?a=b").unwrap(), "/x/y?a=b");
        assert_eq!(sent("/$2", "/api(/|$)(.*)", "/api", "/api").unwrap(), "/");
        assert_eq!(sent("/", "/api", "/api/x", "/api/x").unwrap(), "/");
        assert_eq!(sent("/v2/$1", "/v1/(.*)", "/v1/é x", "/v1/%C3%A9%20x?q").unwrap(), "/v2/%C3%A9%20x?q");
        assert_eq!(sent("/u/$name", "/(?<name>[a-z]+)", "/bob", "/bob").unwrap(), "/u/bob");
    }

    #[test]
    fn an_empty_path_is_an_error() {
        let (verdict, _) = rewrite(&[("rewrite-target", "$1")], "/a/(.*)", "/a/", "/a/");
        assert_eq!(verdict, Verdict::status(500, "rewrite_empty"));
        assert_eq!(sent("$1", "/a/(.*)", "/a/b", "/a/b?c").unwrap(), "/b?c");
    }

    #[test]
    fn a_capture_cannot_end_the_path() {
        assert_eq!(sent("/$1", "/(.*)", "/a?b#c%2f", "/a%3Fb%23c%252f").unwrap(), "/a%3Fb%23c%252f");
    }

    #[test]
    fn a_target_that_equals_the_path_changes_nothing() {
        assert_eq!(sent("/", "/", "/x", "/x"), None);
        assert!(!PathMode { regex: false, rewrite_target: Some("/".to_owned()) }.forces_regex("/"));
        assert!(PathMode { regex: false, rewrite_target: Some("/".to_owned()) }.forces_regex("/a"));
    }

    #[test]
    fn an_absolute_target_redirects() {
        let (verdict, _) = rewrite(&[("rewrite-target", "https://b.com/$1")], "/(.*)", "/x", "/x?y");
        assert_eq!(verdict, Verdict::redirect(302, "https://b.com/x?y"));
    }

    #[test]
    fn the_prefix_is_told_only_where_a_rewrite_has_an_effect() {
        let annotations = [("rewrite-target", "/$2"), ("x-forwarded-prefix", "/$1")];
        let (_, edits) = rewrite(&annotations, "/(api)/(.*)", "/api/x", "/api/x");
        assert_eq!(edits.upstream_fields[0].1.as_ref().unwrap(), "/api");
        assert_eq!(rewrite(&[("x-forwarded-prefix", "/a")], "/a", "/a", "/a").1, Edits::default());
    }

    #[test]
    fn what_could_be_more_than_a_path_is_no_target() {
        for value in ["/a b", "/a\nb", "/a;b", "/\"a", "/a\u{e9}", "/a?b", "/${1}", "/a%20", "/a&b=c"] {
            assert_eq!(sent(Box::leak(value.to_owned().into_boxed_str()), "/x", "/x", "/x"), None, "{value:?}");
        }
    }
}
