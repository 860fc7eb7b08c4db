//! Compression of endpoints' answers: which answers, for which clients, in which coding.
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Version};

use crate::Keys;
use crate::annotation::{Config, Key, OnError, Row, Support, boolean};
use crate::units::number;

/// What nginx compresses besides text/html.
const TYPES: &str = "application/atom+xml application/javascript application/x-javascript application/json \
                     application/rss+xml application/vnd.ms-fontobject application/x-font-ttf \
                     application/x-web-app-manifest+json application/xhtml+xml application/xml font/opentype \
                     image/svg+xml image/x-icon text/css text/javascript text/plain text/x-component";

const GZIP: Key<bool> = Key {
    row: Row {
        name: "use-gzip",
        sentence: "Compresses answers with gzip for clients that take it.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const GZIP_LEVEL: Key<u32> = Key {
    row: Row {
        name: "gzip-level",
        sentence: "Effort of gzip, 1 to 9.",
        default: "1",
        example: "5",
        support: Support::Honoured,
    },
    parse: |text| number(text).ok().filter(|level| (1..=9).contains(level)).ok_or("is not 1 to 9".to_owned()),
    on_error: OnError::Default,
};

const GZIP_MIN: Key<u32> = Key {
    row: Row {
        name: "gzip-min-length",
        sentence: "Bytes below which an answer is not compressed with gzip; one of unknown length is.",
        default: "256",
        example: "1000",
        support: Support::Honoured,
    },
    parse: number,
    on_error: OnError::Default,
};

const GZIP_TYPES: Key<Types> = Key {
    row: Row {
        name: "gzip-types",
        sentence: "Media types, with spaces, that gzip compresses besides text/html; * for all.",
        default: "17 common text types",
        example: "application/json text/css",
        support: Support::Honoured,
    },
    parse: types,
    on_error: OnError::Default,
};

const BROTLI: Key<bool> = Key {
    row: Row {
        name: "enable-brotli",
        sentence: "Compresses answers with Brotli for clients that take it; they get it rather than gzip.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const BROTLI_LEVEL: Key<u32> = Key {
    row: Row {
        name: "brotli-level",
        sentence: "Effort of Brotli, 0 to 11.",
        default: "4",
        example: "6",
        support: Support::Approximated("Level 0 counts as 1."),
    },
    parse: |text| number(text).ok().filter(|level| *level <= 11).ok_or("is not 0 to 11".to_owned()),
    on_error: OnError::Default,
};

const BROTLI_MIN: Key<u32> = Key {
    row: Row {
        name: "brotli-min-length",
        sentence: "Bytes below which an answer is not compressed with Brotli; one of unknown length is.",
        default: "20",
        example: "1000",
        support: Support::Honoured,
    },
    parse: number,
    on_error: OnError::Default,
};

const BROTLI_TYPES: Key<Types> = Key {
    row: Row {
        name: "brotli-types",
        sentence: "Media types, with spaces, that Brotli compresses besides text/html; * for all.",
        default: "17 common text types",
        example: "application/json text/css",
        support: Support::Honoured,
    },
    parse: types,
    on_error: OnError::Default,
};

/// The keys that [`Compression::read`] takes.
pub(crate) const CONFIG: Keys =
    &[&GZIP, &GZIP_LEVEL, &GZIP_MIN, &GZIP_TYPES, &BROTLI, &BROTLI_LEVEL, &BROTLI_MIN, &BROTLI_TYPES];

/// Media types in lower case; `None` is all.
type Types = Option<Box<[Box<str>]>>;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// Its name in Content-Encoding.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// One coding that is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Coder {
    coding: Coding,
    level: u32,
    min_length: u32,
    types: Types,
}

/// Which answers are compressed. The best coding stands first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compression(Box<[Coder]>);

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compressed {
    /// It goes as it is, to whomever.
    Never,
    /// It goes as it is to this client; another one might get it compressed, so caches must know (Vary).
    NotHere,
    /// It is compressed.
    With(Coding, u32),
}

impl Compression {
    pub(crate) fn read(config: &Config) -> Self {
        let default = || types(TYPES).ok().flatten();
        let brotli = config.get(&BROTLI).unwrap_or(false).then(|| Coder {
            coding: Coding::Brotli,
            level: config.get(&BROTLI_LEVEL).unwrap_or(4).max(1),
            min_length: config.get(&BROTLI_MIN).unwrap_or(20),
            types: config.get(&BROTLI_TYPES).unwrap_or_else(default),
        });
        let gzip = config.get(&GZIP).unwrap_or(false).then(|| Coder {
            coding: Coding::Gzip,
            level: config.get(&GZIP_LEVEL).unwrap_or(1),
            min_length: config.get(&GZIP_MIN).unwrap_or(256),
            types: config.get(&GZIP_TYPES).unwrap_or_else(default),
        });
        Self(brotli.into_iter().chain(gzip).collect())
    }

    /// Is no answer ever compressed?
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.is_empty()
    }

    /// What becomes of an answer with a body, as nginx decides: status 200, 403 or 404, not compressed yet, of a listed type
    /// and not too short, and a client of HTTP/1.1 or later.
    #[must_use]
    pub fn choose(&self, client: Version, request: &HeaderMap, status: u16, answer: &HeaderMap) -> Compressed {
        if client < Version::HTTP_11 || !matches!(status, 200 | 403 | 404) || answer.contains_key(CONTENT_ENCODING) {
            return Compressed::Never;
        }
        let fixed = |value: &http::HeaderValue| value.as_bytes().windows(12).any(|word| word == b"no-transform");
        if answer.get_all(CACHE_CONTROL).iter().any(fixed) {
            return Compressed::Never;
        }
        let mut verdict = Compressed::Never;
        for coder in self.0.iter().filter(|coder| coder.takes(answer)) {
            verdict = Compressed::NotHere;
            if accepts(request, coder.coding.name()) {
                return Compressed::With(coder.coding, coder.level);
            }
        }
        verdict
    }
}

impl Coder {
    fn takes(&self, answer: &HeaderMap) -> bool {
        let text = |name| answer.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let length = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length < u64::from(self.min_length)) {
            return false;
        }
        let Some(kind) = text(CONTENT_TYPE).and_then(|kind| kind.split(';').next()).map(str::trim) else {
            return false;
        };
        match &self.types {
            None => true,
            Some(types) => {
                kind.eq_ignore_ascii_case("text/html") || types.iter().any(|known| kind.eq_ignore_ascii_case(known))
            }
        }
    }
}

/// Does the client take a coding (RFC 9110 section 12.5.3)?
fn accepts(request: &HeaderMap, coding: &str) -> bool {
    let lists = request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut any = false;
    for item in lists.flat_map(|list| list.split(',')) {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let refused = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0);
        match name.trim() {
            name if name.eq_ignore_ascii_case(coding) => return !refused,
            "*" => any = !refused,
            _ => {}
        }
    }
    any
}

fn types(text: &str) -> Result<Types, String> {
    let words: Box<[Box<str>]> = text.split_ascii_whitespace().map(|word| word.to_ascii_lowercase().into()).collect();
    if words.iter().any(|word| **word == *"*") {
        return Ok(None);
    }
    match words.iter().all(|word| word.contains('/')) {
        true => Ok(Some(words)),
        false => Err("is not a list of media types such as application/json text/css".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn choose(config: &[(&str, &str)], accept: &'static str, answer: &[(HeaderName, &'static str)]) -> Compressed {
        let config = Config::new(config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let request = headers(&[(ACCEPT_ENCODING, accept)]);
        Compression::read(&config).choose(Version::HTTP_11, &request, 200, &headers(answer))
    }

    const BOTH: &[(&str, &str)] = &[("use-gzip", "true"), ("enable-brotli", "true"), ("gzip-level", "6")];
    const PAGE: &[(HeaderName, &str)] = &[(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_LENGTH, "1000")];

    #[test]
    fn it_is_off_by_default() {
        assert_eq!(choose(&[], "gzip", PAGE), Compressed::Never);
    }

    #[test]
    fn the_client_chooses_and_brotli_goes_first() {
        for (accept, want) in [
            ("gzip, deflate, br", Compressed::With(Coding::Brotli, 4)),
            ("gzip", Compressed::With(Coding::Gzip, 6)),
            ("br;q=0, *", Compressed::With(Coding::Gzip, 6)),
            ("gzip;q=0", Compressed::NotHere),
            ("identity", Compressed::NotHere),
        ] {
            assert_eq!(choose(BOTH, accept, PAGE), want, "{accept}");
        }
    }

    #[test]
    fn what_is_short_compressed_or_of_another_type_goes_as_it_is() {
        let never: &[&[(HeaderName, &str)]] = &[
            &[(CONTENT_TYPE, "image/png")],
            &[],
            &[(CONTENT_TYPE, "text/html"), (CONTENT_LENGTH, "19")],
            &[(CONTENT_TYPE, "text/html"), (CONTENT_ENCODING, "gzip")],
            &[(CONTENT_TYPE, "text/html"), (CACHE_CONTROL, "public, no-transform")],
        ];
        for answer in never {
            assert_eq!(choose(BOTH, "gzip, br", answer), Compressed::Never, "{answer:?}");
        }
        let all = [("use-gzip", "true"), ("gzip-types", "*")];
        assert_eq!(choose(&all, "gzip", &[(CONTENT_TYPE, "image/png")]), Compressed::With(Coding::Gzip, 1));
    }

    #[test]
    fn http_1_0_gets_it_as_it_is() {
        let config = Config::new([("use-gzip".to_owned(), "true".to_owned())]);
        let request = headers(&[(ACCEPT_ENCODING, "gzip")]);
        let chosen = Compression::read(&config).choose(Version::HTTP_10, &request, 200, &headers(PAGE));
        assert_eq!(chosen, Compressed::Never);
    }
}
