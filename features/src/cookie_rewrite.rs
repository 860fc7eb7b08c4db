//! Rewrites Domain and Path of the cookies that an endpoint sets (RFC 6265 section 4.1), as nginx's `proxy_cookie_domain`
//! and `proxy_cookie_path` do.
use http::HeaderValue;
use http::header::SET_COOKIE;

use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::{Edits, Feature, Head, Keys, Pattern, Request, RuleFacts, Template};

const DOMAIN: Key<Option<Rewrite>> = Key {
    row: Row {
        name: "proxy-cookie-domain",
        sentence: "Replaces the Domain of cookies that the endpoint sets: `from to`, or `off`. `from` is a domain, or a \
                   regular expression after `~`.",
        default: "off",
        example: "localhost example.org",
        support: Support::Honoured,
    },
    parse: |text| Rewrite::parse(text, Text::Domain),
    on_error: OnError::Default,
};

const PATH: Key<Option<Rewrite>> = Key {
    row: Row {
        name: "proxy-cookie-path",
        sentence: "Replaces the begin of the Path of cookies that the endpoint sets: `from to`, or `off`. `from` is a \
                   prefix, or a regular expression after `~` or `~*`.",
        default: "off",
        example: "/app /",
        support: Support::Honoured,
    },
    parse: |text| Rewrite::parse(text, Text::Prefix),
    on_error: OnError::Default,
};

/// What is replaced in cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieRewrite {
    domain: Option<Rewrite>,
    path: Option<Rewrite>,
}

impl Feature for CookieRewrite {
    const KEYS: Keys = &[&DOMAIN, &PATH];
    /// The ConfigMap has keys of the same names.
    const CONFIG: Keys = Self::KEYS;

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        let domain = reader.take_or(&DOMAIN, &DOMAIN).flatten();
        let path = reader.take_or(&PATH, &PATH).flatten();
        (domain.is_some() || path.is_some()).then_some(Self { domain, path })
    }

    fn on_response(&self, request: &Request<'_>, _: &Edits, head: &mut dyn Head) {
        let cookies: Vec<HeaderValue> = head.fields().get_all(SET_COOKIE).iter().cloned().collect();
        let rewritten: Vec<Option<HeaderValue>> = cookies.iter().map(|cookie| self.rewrite(cookie, request)).collect();
        if rewritten.iter().all(Option::is_none) {
            return;
        }
        head.remove(&SET_COOKIE);
        for (before, after) in cookies.into_iter().zip(rewritten) {
            head.append(SET_COOKIE, after.unwrap_or(before));
        }
    }
}

impl CookieRewrite {
    /// The cookie with its attributes replaced; `None` when nothing is.
    fn rewrite(&self, cookie: &HeaderValue, request: &Request<'_>) -> Option<HeaderValue> {
        let text = cookie.to_str().ok()?;
        let mut changed = false;
        let mut parts = text.split(';');
        let mut out = parts.next()?.to_owned();
        for part in parts {
            out.push(';');
            let attribute = part.split_once('=');
            let rewrite = attribute.and_then(|(name, _)| match name.trim().to_ascii_lowercase().as_str() {
                "domain" => self.domain.as_ref(),
                "path" => self.path.as_ref(),
                _ => None,
            });
            let replaced = attribute
                .zip(rewrite)
                .and_then(|((name, value), rewrite)| Some((name, rewrite.apply(value.trim(), request)?)));
            match replaced {
                Some((name, value)) => {
                    changed = true;
                    out.push_str(name);
                    out.push('=');
                    out.push_str(&value);
                }
                None => out.push_str(part),
            }
        }
        HeaderValue::from_str(&out).ok().filter(|_| changed)
    }
}

/// `from to`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rewrite {
    from: From,
    to: Template,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum From {
    Text(Text, Box<str>),
    Pattern(Pattern),
}

/// How a text is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    /// The whole, without regard to case and to a leading dot.
    Domain,
    /// The begin.
    Prefix,
}

impl Rewrite {
    fn parse(text: &str, kind: Text) -> Result<Option<Self>, String> {
        if text == "off" {
            return Ok(None);
        }
        let mut words = text.split_ascii_whitespace();
        let (Some(from), Some(to), None) = (words.next(), words.next(), words.next()) else {
            return Err("is neither off nor two words, what to replace and by what".to_owned());
        };
        let sound = |word: &str| !word.bytes().any(|byte| byte.is_ascii_control() || b";,\"'".contains(&byte));
        if !sound(to) {
            return Err("has a replacement that no cookie may have".to_owned());
        }
        let from = match (from.strip_prefix("~*"), from.strip_prefix('~'), kind) {
            (Some(pattern), _, _) => From::Pattern(Pattern::new(pattern, true)?),
            (None, Some(pattern), Text::Domain) => From::Pattern(Pattern::new(pattern, true)?),
            (None, Some(pattern), Text::Prefix) => From::Pattern(Pattern::new(pattern, false)?),
            (None, None, Text::Domain) => From::Text(kind, from.trim_start_matches('.').into()),
            (None, None, Text::Prefix) => From::Text(kind, from.into()),
        };
        Ok(Some(Self { from, to: Template::parse(to)? }))
    }

    /// The new value; `None` when the old one stays.
    fn apply(&self, value: &str, request: &Request<'_>) -> Option<String> {
        match &self.from {
            From::Text(Text::Domain, from) => {
                let same = value.strip_prefix('.').unwrap_or(value).eq_ignore_ascii_case(from);
                same.then(|| self.to.expand(request, &[]))
            }
            From::Text(Text::Prefix, from) => {
                let rest = value.strip_prefix(&**from)?;
                Some(self.to.expand(request, &[]) + rest)
            }
            From::Pattern(pattern) => {
                let captures = pattern.regex().captures(value)?;
                let texts: Vec<&str> =
                    captures.iter().map(|group| group.map_or("", |group| group.as_str())).collect();
                let whole = captures.get(0)?;
                let (before, after) = (value.get(..whole.start())?, value.get(whole.end()..)?);
                Some(format!("{before}{}{after}", self.to.expand(request, &texts)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::{Labels, NoObjects};

    fn rewritten(annotations: &[(&'static str, &'static str)], cookies: &[&'static str]) -> Vec<String> {
        let config = Config::default();
        let mut reader = Reader::new(annotations.iter().copied(), &config, &NoObjects);
        let feature = CookieRewrite::read(&mut reader, &RuleFacts::default()).unwrap();
        let mut response = http::Response::new(());
        for cookie in cookies {
            response.headers_mut().append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        feature.on_response(&crate::request::tests::plain(&headers, &labels), &Edits::default(), &mut response);
        response.headers().get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_domain_is_replaced_whole_and_the_path_by_its_begin() {
        let annotations = [("proxy-cookie-domain", "localhost example.org"), ("proxy-cookie-path", "/app/ /")];
        let cookies = ["a=/app/; Domain=.LOCALHOST; Path=/app/x; Secure", "b=1; domain=my.localhost; path=/other"];
        let want = ["a=/app/; Domain=example.org; Path=/x; Secure", "b=1; domain=my.localhost; path=/other"];
        assert_eq!(rewritten(&annotations, &cookies), want);
    }

    #[test]
    fn regular_expressions_capture() {
        let annotations = [("proxy-cookie-path", "~*^/user/([^/]+) /u/$1")];
        assert_eq!(rewritten(&annotations, &["a=1; Path=/USER/bob/x"]), ["a=1; Path=/u/bob/x"]);
    }

    #[test]
    fn variables_stand_for_the_request() {
        let annotations = [("proxy-cookie-domain", "localhost $host")];
        assert_eq!(rewritten(&annotations, &["a=1; Domain=localhost"]), ["a=1; Domain=foo.com"]);
    }

    #[test]
    fn off_and_nonsense_rewrite_nothing() {
        for value in ["off", "one", "one two three", "~( x", "a b;c"] {
            let config = Config::default();
            let mut reader = Reader::new([("proxy-cookie-path", value)], &config, &NoObjects);
            assert_eq!(CookieRewrite::read(&mut reader, &RuleFacts::default()), None, "{value}");
        }
    }
}
