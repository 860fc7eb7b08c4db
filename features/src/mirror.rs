//! Sends a copy of each request to another server, whose answers are dropped.
use http::uri::Uri;

use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::{Edits, Feature, Keys, Request, RuleFacts, Template, Verdict};

const TARGET: Key<Template> = Key {
    row: Row {
        name: "mirror-target",
        sentence: "URL that gets a copy of every request, `http` or `https`, with variables such as `$request_uri`; its \
                   answers are dropped. It never slows the client: of a server that is slower than the requests come, \
                   copies are left out.",
        default: "none",
        example: "https://test.example.com$request_uri",
        support: Support::Honoured,
    },
    parse: target,
    on_error: OnError::Default,
};

const BODY: Key<bool> = Key {
    row: Row {
        name: "mirror-request-body",
        sentence: "Copies the body too: `on` or `off`.",
        default: "on",
        example: "off",
        support: Support::Honoured,
    },
    parse: |text| match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("is neither on nor off".to_owned()),
    },
    on_error: OnError::Default,
};

const HOST: Key<Template> = Key {
    row: Row {
        name: "mirror-host",
        sentence: "Host field of the copies.",
        default: "the host of mirror-target",
        example: "test.example.com",
        support: Support::Honoured,
    },
    parse: host,
    on_error: OnError::Default,
};

/// Where copies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    target: Template,
    host: Option<Template>,
    body: bool,
}

/// One copy to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// An absolute URL.
    pub url: Uri,
    /// The Host field.
    pub host: String,
    /// Does the body go with it?
    pub body: bool,
}

impl Feature for Mirror {
    const KEYS: Keys = &[&TARGET, &BODY, &HOST];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        let (target, host) = (reader.take(&TARGET), reader.take(&HOST));
        let body = reader.take(&BODY).unwrap_or(true);
        Some(Self { target: target?, host, body })
    }

    /// A request from which no URL can be made is not copied.
    fn on_request(&self, request: &Request<'_>, edits: &mut Edits) -> Verdict {
        let url = self.target.expand(request, &[]).parse::<Uri>().ok();
        edits.copy = url.and_then(|url| {
            let authority = url.authority()?.as_str().to_owned();
            let host = self.host.as_ref().map(|host| host.expand(request, &[]));
            Some(Box::new(Copy { host: host.filter(|host| !host.is_empty()).unwrap_or(authority), url, body: self.body }))
        });
        Verdict::Continue
    }
}

/// The server must stand in the annotation: a client must not choose where the gateway connects to.
fn target(text: &str) -> Result<Template, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let rest = rest.ok_or("is not a URL that begins with http:// or https://")?;
    let authority = rest.split(['/', '?', '$']).next().unwrap_or_default();
    let tail = rest.get(authority.len()..).unwrap_or_default();
    let path = ["/", "?", "$request_uri", "${request_uri}", "$uri", "${uri}"];
    let server_is_fixed = !authority.is_empty() && (tail.is_empty() || path.iter().any(|begin| tail.starts_with(begin)));
    let sound = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\<>`;".contains(&byte));
    if !server_is_fixed || !sound || authority.contains('@') {
        return Err("is not a URL whose server is fixed".to_owned());
    }
    Template::parse(text)
}

fn host(text: &str) -> Result<Template, String> {
    let sound = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:$[]{}".contains(&byte));
    if sound { Template::parse(text) } else { Err("is not a host".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Config;
    use crate::request::tests::plain;
    use crate::{Labels, NoObjects};

    fn copy(annotations: &[(&'static str, &'static str)], path: &str) -> Option<Box<Copy>> {
        let config = Config::default();
        let mut reader = Reader::new(annotations.iter().copied(), &config, &NoObjects);
        let mirror = Mirror::read(&mut reader, &RuleFacts::default())?;
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        let mut edits = Edits::default();
        mirror.on_request(&Request { target: path, ..plain(&headers, &labels) }, &mut edits);
        edits.copy
    }

    #[test]
    fn a_copy_goes_to_the_target_under_its_host() {
        let copied = copy(&[("mirror-target", "https://test.com$request_uri")], "/a?b=c").unwrap();
        assert_eq!((copied.url.to_string(), copied.host, copied.body), ("https://test.com/a?b=c".into(), "test.com".into(), true));
        let annotations = [("mirror-target", "http://t:81/x"), ("mirror-host", "$host"), ("mirror-request-body", "off")];
        let copied = copy(&annotations, "/a").unwrap();
        assert_eq!((copied.url.to_string(), copied.host, copied.body), ("http://t:81/x".into(), "foo.com".into(), false));
    }

    #[test]
    fn a_client_cannot_choose_the_server() {
        for value in ["https://$host/", "https://a.com$http_x", "https://a.com@b.com/", "ftp://a.com", "$scheme://a.com", "https://a.com/\n"] {
            assert!(target(value).is_err(), "{value}");
        }
    }
}
