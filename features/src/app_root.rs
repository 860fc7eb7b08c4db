//! Redirects the root of a host to the root of an application.
use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::{Edits, Feature, Keys, Request, RuleFacts, Verdict};

const APP_ROOT: Key<String> = Key {
    row: Row {
        name: "app-root",
        sentence: "Redirects requests for exactly `/` of each host of the Ingress to this path with 302, whoever serves `/`.",
        default: "none",
        example: "/app",
        support: Support::Honoured,
    },
    parse: |text| {
        let sound = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\<>`{}|^;$".contains(&byte));
        if text.starts_with('/') && !text.starts_with("//") && sound {
            Ok(text.to_owned())
        } else {
            Err("is not an absolute path".to_owned())
        }
    },
    on_error: OnError::Default,
};

/// The path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppRoot(String);

impl Feature for AppRoot {
    const KEYS: Keys = &[&APP_ROOT];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        reader.take(&APP_ROOT).map(Self)
    }

    fn on_request(&self, request: &Request<'_>, _: &mut Edits) -> Verdict {
        if request.path != "/" {
            return Verdict::Continue;
        }
        Verdict::redirect(302, &format!("{}://{}{}", request.scheme(), request.authority, self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Labels;
    use crate::request::tests::plain;

    #[test]
    fn only_the_root_is_redirected() {
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        let root = plain(&headers, &labels);
        let feature = AppRoot("/app".to_owned());
        let answer = |request: &Request<'_>| feature.on_request(request, &mut Edits::default());
        assert_eq!(answer(&root), Verdict::redirect(302, "http://foo.com:80/app"));
        assert_eq!(answer(&Request { path: "/x", target: "/x", ..root }), Verdict::Continue);
    }

    #[test]
    fn another_server_is_no_path() {
        for value in ["app", "//evil.com", "https://evil.com", "/a\nb", "/$host"] {
            assert!((APP_ROOT.parse)(value).is_err(), "{value:?}");
        }
    }
}
