//! Answers every request of a rule with a redirect.
use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};
use crate::{Edits, Feature, Keys, Request, RuleFacts, Verdict};

const PERMANENT: Key<String> = Key {
    row: Row {
        name: "permanent-redirect",
        sentence: "Answers with a redirect to this URL; a path alone is completed with scheme and host.",
        default: "none",
        example: "https://new.example.com",
        support: Support::Honoured,
    },
    parse: |text| location(text).map(str::to_owned),
    on_error: OnError::Reject,
};

const PERMANENT_CODE: Key<u16> = Key {
    row: Row {
        name: "permanent-redirect-code",
        sentence: "Status of permanent-redirect, 300 to 308.",
        default: "301",
        example: "308",
        support: Support::Honoured,
    },
    parse: |text| code(text, 308),
    on_error: OnError::Default,
};

const TEMPORAL: Key<String> = Key {
    row: Row {
        name: "temporal-redirect",
        sentence: "Answers with a temporary redirect to this URL; wins over permanent-redirect.",
        default: "none",
        example: "https://maintenance.example.com",
        support: Support::Honoured,
    },
    parse: |text| match location(text)? {
        text if text.starts_with("http") => Ok(text.to_owned()),
        _ => Err("is not a URL that begins with http".to_owned()),
    },
    on_error: OnError::Reject,
};

const TEMPORAL_CODE: Key<u16> = Key {
    row: Row {
        name: "temporal-redirect-code",
        sentence: "Status of temporal-redirect, 300 to 307.",
        default: "302",
        example: "307",
        support: Support::Honoured,
    },
    parse: |text| code(text, 307),
    on_error: OnError::Default,
};

/// Annotation and ConfigMap key.
const RELATIVE: Key<bool> = Key {
    row: Row {
        name: "relative-redirects",
        sentence: "Redirects that the gateway makes keep a path that was written without a host. The redirect to HTTPS \
                   is absolute all the same.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

/// Where requests are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    status: u16,
    location: String,
    relative: bool,
}

impl Feature for Redirect {
    const KEYS: Keys = &[&PERMANENT, &PERMANENT_CODE, &TEMPORAL, &TEMPORAL_CODE, &RELATIVE];
    const CONFIG: Keys = &[&RELATIVE];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        let (permanent, permanent_code) = (reader.take(&PERMANENT), reader.take(&PERMANENT_CODE).unwrap_or(301));
        let (temporal, temporal_code) = (reader.take(&TEMPORAL), reader.take(&TEMPORAL_CODE).unwrap_or(302));
        let relative = reader.take_or(&RELATIVE, &RELATIVE).unwrap_or(false);
        let temporal = temporal.map(|location| (temporal_code, location));
        let (status, location) = temporal.or_else(|| permanent.map(|location| (permanent_code, location)))?;
        Some(Self { status, location, relative })
    }

    fn on_request(&self, request: &Request<'_>, _: &mut Edits) -> Verdict {
        if self.location.starts_with('/') && !self.relative {
            let location = format!("{}://{}{}", request.scheme(), request.host, self.location);
            return Verdict::redirect(self.status, &location);
        }
        Verdict::redirect(self.status, &self.location)
    }
}

/// Variables are refused: nginx would expand them, and ingress-nginx refuses them too.
fn location(text: &str) -> Result<&str, String> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\<>`{}|^;".contains(&byte)) {
        return Err("is not a URL".to_owned());
    }
    if text.contains('$') {
        return Err("has a variable, which is not allowed here".to_owned());
    }
    Ok(text)
}

fn code(text: &str, greatest: u16) -> Result<u16, String> {
    match text.parse() {
        Ok(code @ 300..) if code <= greatest => Ok(code),
        _ => Err(format!("is not a status from 300 to {greatest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::request::tests::plain;
    use crate::{Labels, NoObjects};

    fn answer(annotations: &[(&'static str, &'static str)]) -> Verdict {
        let config = Config::default();
        let mut reader = Reader::new(annotations.iter().copied(), &config, &NoObjects);
        let feature = Redirect::read(&mut reader, &RuleFacts::default());
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        feature.map_or(Verdict::Continue, |feature| feature.on_request(&plain(&headers, &labels), &mut Edits::default()))
    }

    #[test]
    fn the_temporary_one_wins() {
        let both = [("permanent-redirect", "https://p.com"), ("temporal-redirect", "https://t.com")];
        assert_eq!(answer(&both), Verdict::redirect(302, "https://t.com"));
        assert_eq!(answer(&both[..1]), Verdict::redirect(301, "https://p.com"));
    }

    #[test]
    fn codes_outside_of_their_range_keep_the_default() {
        let permanent = |code| [("permanent-redirect", "https://p.com"), ("permanent-redirect-code", code)];
        let temporal = |code| [("temporal-redirect", "https://t.com"), ("temporal-redirect-code", code)];
        assert_eq!(answer(&permanent("308")), Verdict::redirect(308, "https://p.com"));
        assert_eq!(answer(&permanent("309")), Verdict::redirect(301, "https://p.com"));
        assert_eq!(answer(&temporal("308")), Verdict::redirect(302, "https://t.com"));
    }

    #[test]
    fn a_path_is_completed_unless_redirects_are_relative() {
        assert_eq!(answer(&[("permanent-redirect", "/new")]), Verdict::redirect(301, "http://foo.com/new"));
        let relative = [("permanent-redirect", "/new"), ("relative-redirects", "true")];
        assert_eq!(answer(&relative), Verdict::redirect(301, "/new"));
    }

    #[test]
    fn what_is_no_url_leaves_the_ingress_out() {
        for value in ["https://a.com/$host", "https://a.com/\r\nX: y", "a b"] {
            let config = Config::default();
            let mut reader = Reader::new([("permanent-redirect", value)], &config, &NoObjects);
            assert_eq!(Redirect::read(&mut reader, &RuleFacts::default()), None);
            assert_eq!(reader.finish()[0].effect, OnError::Reject, "{value:?}");
        }
    }
}
