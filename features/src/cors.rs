//! Cross-origin resource sharing (Fetch Standard, section "CORS protocol") on behalf of the endpoint.
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CONTENT_TYPE, ORIGIN,
};
use http::{HeaderName, HeaderValue, Method};

use crate::annotation::{Key, OnError, Reader, Row, Support, boolean};
use crate::{Answer, Edits, Feature, Head, Keys, Request, RuleFacts, Verdict};

const ENABLE: Key<bool> = Key {
    row: Row {
        name: "enable-cors",
        sentence: "Answers preflight requests (OPTIONS) with 204 and adds CORS fields to all other answers.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const ALLOW_ORIGIN: Key<Origins> = Key {
    row: Row {
        name: "cors-allow-origin",
        sentence: "Origins that may read answers, separated by commas: `*`, `null`, or `scheme://host[:port]` whose host \
                   may begin with the label `*`. Others in the list have no effect.",
        default: "*",
        example: "https://example.com, https://*.example.org:8443",
        support: Support::Honoured,
    },
    parse: |text| Ok(Origins::parse(text)),
    on_error: OnError::Default,
};

const ALLOW_METHODS: Key<HeaderValue> = Key {
    row: Row {
        name: "cors-allow-methods",
        sentence: "Methods that other origins may use, separated by commas.",
        default: "GET, PUT, POST, DELETE, PATCH, OPTIONS",
        example: "GET, PUT",
        support: Support::Honoured,
    },
    parse: |text| list(text, |byte| byte.is_ascii_alphabetic(), "methods"),
    on_error: OnError::Default,
};

const ALLOW_HEADERS: Key<HeaderValue> = Key {
    row: Row {
        name: "cors-allow-headers",
        sentence: "Request fields that other origins may send, separated by commas.",
        default: "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
        example: "X-Token, Content-Type",
        support: Support::Honoured,
    },
    parse: |text| list(text, is_field_name, "field names"),
    on_error: OnError::Default,
};

const EXPOSE_HEADERS: Key<HeaderValue> = Key {
    row: Row {
        name: "cors-expose-headers",
        sentence: "Response fields that other origins may read, separated by commas, or `*`.",
        default: "none",
        example: "X-Total, X-Page",
        support: Support::Honoured,
    },
    parse: |text| list(text, |byte| is_field_name(byte) || byte == b'*', "field names"),
    on_error: OnError::Default,
};

const ALLOW_CREDENTIALS: Key<bool> = Key {
    row: Row {
        name: "cors-allow-credentials",
        sentence: "Lets other origins send cookies and credentials.",
        default: "true",
        example: "false",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

const MAX_AGE: Key<u32> = Key {
    row: Row {
        name: "cors-max-age",
        sentence: "Seconds for which a preflight answer may be kept.",
        default: "1728000",
        example: "600",
        support: Support::Honoured,
    },
    parse: |text| text.parse().map_err(|_| "is not a whole number of seconds".to_owned()),
    on_error: OnError::Default,
};

/// What the answers to other origins say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    origins: Origins,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Feature for Cors {
    const KEYS: Keys = &[
        &ENABLE,
        &ALLOW_ORIGIN,
        &ALLOW_METHODS,
        &ALLOW_HEADERS,
        &EXPOSE_HEADERS,
        &ALLOW_CREDENTIALS,
        &MAX_AGE,
    ];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        let enabled = reader.take(&ENABLE).unwrap_or(false);
        let origins = reader.take(&ALLOW_ORIGIN).unwrap_or(Origins::Any);
        let methods = reader.take(&ALLOW_METHODS);
        let headers = reader.take(&ALLOW_HEADERS);
        let expose = reader.take(&EXPOSE_HEADERS);
        let credentials = reader.take(&ALLOW_CREDENTIALS).unwrap_or(true);
        let age = reader.take(&MAX_AGE).unwrap_or(1_728_000);
        if !enabled {
            return None;
        }
        let methods = methods.unwrap_or(HeaderValue::from_static(ALLOW_METHODS.row.default));
        let headers = headers.unwrap_or(HeaderValue::from_static(ALLOW_HEADERS.row.default));
        let credentials = credentials.then(|| HeaderValue::from_static("true"));
        let fields = [
            credentials.map(|value| (ACCESS_CONTROL_ALLOW_CREDENTIALS, value)),
            Some((ACCESS_CONTROL_ALLOW_METHODS, methods)),
            Some((ACCESS_CONTROL_ALLOW_HEADERS, headers)),
            expose.map(|value| (ACCESS_CONTROL_EXPOSE_HEADERS, value)),
            Some((ACCESS_CONTROL_MAX_AGE, HeaderValue::from(age))),
        ];
        Some(Self { origins, fields: fields.into_iter().flatten().collect() })
    }

    /// A preflight request is answered before anything asks for credentials, which it cannot have.
    fn on_request(&self, request: &Request<'_>, _: &mut Edits) -> Verdict {
        if *request.method != Method::OPTIONS || self.origins.allow(request).is_none() {
            return Verdict::Continue;
        }
        let kind = (CONTENT_TYPE, HeaderValue::from_static("text/plain charset=UTF-8"));
        Verdict::Answer(Box::new(Answer { status: 204, fields: vec![kind], body: None, reason: "cors_preflight" }))
    }

    fn on_response(&self, request: &Request<'_>, _: &Edits, head: &mut dyn Head) {
        let Some(origin) = self.origins.allow(request) else { return };
        head.set(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        for (name, value) in &self.fields {
            head.set(name.clone(), value.clone());
        }
    }
}

/// Who may read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origins {
    Any,
    Some(Box<[Origin]>),
}

/// An origin, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    /// `scheme://`, or the whole of an origin without a wildcard.
    start: Box<str>,
    /// What follows the first label: `.example.org:8443`.
    after_label: Option<Box<str>>,
}

impl Origins {
    fn parse(text: &str) -> Self {
        let items = || text.split(',').map(str::trim);
        if items().any(|item| item == "*") {
            return Self::Any;
        }
        Self::Some(items().filter_map(Origin::parse).collect())
    }

    /// What Access-Control-Allow-Origin says to a request.
    fn allow(&self, request: &Request<'_>) -> Option<HeaderValue> {
        match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Some(origins) => {
                let sent = request.headers.get(ORIGIN)?;
                let text = sent.to_str().ok()?;
                origins.iter().any(|origin| origin.matches(text)).then(|| sent.clone())
            }
        }
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        if text == "null" {
            return Some(Self { start: text.into(), after_label: None });
        }
        let (scheme, rest) = text.split_once("://")?;
        if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return None;
        }
        let (wildcard, authority) = match rest.strip_prefix("*.") {
            Some(authority) => (true, authority),
            None => (false, rest),
        };
        let (host, port) = authority.split_once(':').unwrap_or((authority, "0"));
        let host_ok = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        if !host_ok || port.parse::<u16>().is_err() {
            return None;
        }
        Some(if wildcard {
            Self { start: format!("{scheme}://").into(), after_label: Some(format!(".{authority}").into()) }
        } else {
            Self { start: text.into(), after_label: None }
        })
    }

    /// Origins are compared without regard to case, as in ingress-nginx.
    fn matches(&self, sent: &str) -> bool {
        let Some(after_label) = &self.after_label else { return sent.eq_ignore_ascii_case(&self.start) };
        let Some((start, rest)) = sent.split_at_checked(self.start.len()) else { return false };
        let Some((label, end)) = rest.find('.').and_then(|dot| rest.split_at_checked(dot)) else { return false };
        start.eq_ignore_ascii_case(&self.start)
            && end.eq_ignore_ascii_case(after_label)
            && !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    }
}

fn is_field_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// A list that is sent as it was written.
fn list(text: &str, allowed: fn(u8) -> bool, of: &str) -> Result<HeaderValue, String> {
    let sound = text.split(',').map(str::trim).all(|item| !item.is_empty() && item.bytes().all(allowed));
    let value = HeaderValue::from_str(text).ok().filter(|_| sound);
    value.ok_or_else(|| format!("is not a list of {of} separated by commas"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::request::tests::plain;
    use crate::{Labels, NoObjects};

    fn cors(annotations: &[(&'static str, &'static str)]) -> Cors {
        let config = Config::default();
        let enabled = [("enable-cors", "true")];
        let mut reader = Reader::new(enabled.iter().chain(annotations).copied(), &config, &NoObjects);
        Cors::read(&mut reader, &RuleFacts::default()).unwrap()
    }

    fn answer(cors: &Cors, method: &Method, origin: Option<&'static str>) -> (Verdict, http::Response<()>) {
        let mut headers = http::HeaderMap::new();
        headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
        let labels = Labels::default();
        let request = Request { method, ..plain(&headers, &labels) };
        let verdict = cors.on_request(&request, &mut Edits::default());
        let mut response = http::Response::new(());
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("http://backend"));
        cors.on_response(&request, &Edits::default(), &mut response);
        (verdict, response)
    }

    fn allowed(cors: &Cors, origin: &'static str) -> bool {
        answer(cors, &Method::GET, Some(origin)).1.headers()[ACCESS_CONTROL_ALLOW_ORIGIN] == origin
    }

    #[test]
    fn any_origin_is_the_default_and_needs_no_origin() {
        let (verdict, response) = answer(&cors(&[]), &Method::GET, None);
        assert_eq!(verdict, Verdict::Continue);
        let headers = response.headers();
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(headers[ACCESS_CONTROL_MAX_AGE], "1728000");
        assert!(!headers.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS));
    }

    #[test]
    fn a_preflight_of_an_allowed_origin_is_answered_here() {
        let cors = cors(&[("cors-allow-origin", "https://a.com")]);
        let status = |origin| match answer(&cors, &Method::OPTIONS, origin).0 {
            Verdict::Answer(answer) => answer.status,
            Verdict::Continue | Verdict::Ask(_) => 0,
        };
        assert_eq!([Some("https://a.com"), Some("https://b.com"), None].map(status), [204, 0, 0]);
    }

    #[test]
    fn listed_origins_are_echoed_and_others_left_to_the_endpoint() {
        let cors = cors(&[("cors-allow-origin", "https://a.com:8443, http://*.b.com, null, nonsense")]);
        for origin in ["https://a.com:8443", "HTTPS://A.com:8443", "http://x.b.com", "null"] {
            assert!(allowed(&cors, origin), "{origin}");
        }
        for origin in [
            "https://a.com",
            "https://a.com:84430",
            "http://b.com",
            "http://x.y.b.com",
            "https://x.b.com",
            "http://.b.com",
            "http://x.b.com.evil.com",
            "nonsense",
        ] {
            assert!(!allowed(&cors, origin), "{origin}");
        }
    }

    #[test]
    fn a_list_without_a_sound_origin_allows_nobody() {
        assert!(!allowed(&cors(&[("cors-allow-origin", "a.com")]), "https://a.com"));
    }

    #[test]
    fn fields_can_be_chosen() {
        let cors = cors(&[
            ("cors-allow-methods", "GET"),
            ("cors-allow-headers", "X-Token"),
            ("cors-expose-headers", "*, X-Page"),
            ("cors-allow-credentials", "false"),
            ("cors-max-age", "7"),
        ]);
        let (_, response) = answer(&cors, &Method::GET, None);
        let headers = response.headers();
        let names = [
            ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_EXPOSE_HEADERS,
            ACCESS_CONTROL_MAX_AGE,
        ];
        assert_eq!(names.map(|name| headers[name].to_str().unwrap().to_owned()), ["GET", "X-Token", "*, X-Page", "7"]);
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }

    #[test]
    fn what_is_no_list_keeps_the_default() {
        for value in ["GET;POST", "GET\nX: y", "$host", ","] {
            assert!((ALLOW_METHODS.parse)(value).is_err(), "{value:?}");
        }
    }
}
