//! Clients that the operator keeps from all rules by what they say of themselves.
use std::sync::Arc;

use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::ip_access::global;
use crate::{Edits, Feature, Keys, Pattern, Request, RuleFacts, Verdict};

const fn list(name: &'static str, sentence: &'static str) -> Key<Matchers> {
    let row = Row { name, sentence, default: "nobody", example: "BadBot,~*crawler", support: Support::Honoured };
    Key { row, parse: Matchers::parse, on_error: OnError::Close }
}

const USER_AGENTS: Key<Matchers> = list(
    "block-user-agents",
    "User agents that get 403 of all rules: whole values between commas, in any case, or regular expressions after `~` or `~*`.",
);

const REFERERS: Key<Matchers> = list(
    "block-referers",
    "Referers that get 403 of all rules: whole values between commas, in any case, or regular expressions after `~` or `~*`.",
);

/// Values of a field, or of anything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matchers(Arc<[Matcher]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Matcher {
    Whole(Box<str>),
    Pattern(Pattern),
}

impl Matchers {
    /// As nginx's `map` reads its left side.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let matchers = items.map(|item| {
            Ok(match (item.strip_prefix("~*"), item.strip_prefix('~')) {
                (Some(pattern), _) => Matcher::Pattern(Pattern::new(pattern, true)?),
                (None, Some(pattern)) => Matcher::Pattern(Pattern::new(pattern, false)?),
                (None, None) => Matcher::Whole(item.into()),
            })
        });
        matchers.collect::<Result<_, String>>().map(Self)
    }

    /// Is it one of them?
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        // What is no UTF-8 must not pass for something else either.
        let text = String::from_utf8_lossy(value);
        self.0.iter().any(|matcher| match matcher {
            Matcher::Whole(whole) => whole.eq_ignore_ascii_case(&text),
            Matcher::Pattern(pattern) => pattern.regex().is_match(&text),
        })
    }
}

/// Whom the operator blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    user_agents: Matchers,
    referers: Matchers,
}

impl Feature for Block {
    const KEYS: Keys = &[];
    const CONFIG: Keys = &[&USER_AGENTS, &REFERERS];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        let user_agents = global(reader, &USER_AGENTS);
        let referers = global(reader, &REFERERS);
        if user_agents.is_none() && referers.is_none() {
            return None;
        }
        Some(Self { user_agents: user_agents.unwrap_or_default(), referers: referers.unwrap_or_default() })
    }

    fn on_request(&self, request: &Request<'_>, _: &mut Edits) -> Verdict {
        let value = |name| request.headers.get(name).map_or(&b""[..], |value| value.as_bytes());
        if self.user_agents.matches(value(http::header::USER_AGENT)) {
            return Verdict::status(403, "user_agent_blocked");
        }
        if self.referers.matches(value(http::header::REFERER)) {
            return Verdict::status(403, "referer_blocked");
        }
        Verdict::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::{Labels, NoObjects};
    use http::{HeaderMap, HeaderValue, header};

    fn status(key: &str, list: &str, name: header::HeaderName, value: &'static [u8]) -> Option<u16> {
        let config = Config::new([(key.to_owned(), list.to_owned())]);
        let feature = Block::read(&mut Reader::new([], &config, &NoObjects), &RuleFacts::default()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        let labels = Labels::default();
        let verdict = feature.on_request(&crate::request::tests::plain(&headers, &labels), &mut Edits::default());
        match verdict {
            Verdict::Answer(answer) => Some(answer.status),
            Verdict::Continue | Verdict::Ask(_) => None,
        }
    }

    #[test]
    fn whole_values_and_patterns_block() {
        for (list, value, want) in [
            ("BadBot", &b"badbot"[..], Some(403)),
            ("BadBot", b"BadBot/1.0", None),
            ("~BadBot", b"a BadBot/1.0", Some(403)),
            ("~BadBot", b"badbot", None),
            ("x, ~*^bad", b"BADBOT", Some(403)),
            ("~*bad", b"\xffbad", Some(403)),
        ] {
            assert_eq!(status("block-user-agents", list, header::USER_AGENT, value), want, "{list}");
        }
        assert_eq!(status("block-referers", "~spam", header::REFERER, b"https://spam.test/"), Some(403));
    }

    #[test]
    fn a_pattern_that_cannot_be_compiled_closes() {
        for list in ["~(", "~(a{1000}){1000}", "~(?=a)"] {
            let config = Config::new([("block-user-agents".to_owned(), list.to_owned())]);
            let mut reader = Reader::new([], &config, &NoObjects);
            assert_eq!(Block::read(&mut reader, &RuleFacts::default()), None);
            assert_eq!(reader.finish()[0].effect, OnError::Close, "{list}");
        }
    }
}
