//! The request that a command line describes.
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

/// A request as a client would send it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) tls: bool,
    /// The host that a TLS client names in its handshake; empty for an address.
    pub(super) server_name: String,
    /// The Host field.
    pub(super) authority: String,
    /// Whether there is no second Host field.
    pub(super) one_host: bool,
    /// Path and query, raw.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// Who sends it, if that is known.
    pub(super) client: Option<IpAddr>,
    /// The gateway's port for requests over TLS.
    pub(super) https_port: u16,
}

impl Asked {
    /// The raw path, without the query.
    pub(super) fn raw_path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// `http` or `https`.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// Reads URL, method and fields; the error is a sentence with the remedy.
pub(super) fn parse(url: &str, method: &str, fields: &[String]) -> Result<Asked, String> {
    let bad_url = |why: &str| format!("the URL '{url}' {why}; write it like https://shop.example.com/cart");
    let uri: Uri = url.parse().map_err(|error| bad_url(&format!("cannot be read ({error})")))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(bad_url("does not begin with http:// or https://")),
    };
    let method = method.parse().map_err(|_| format!("'{method}' is no method; write one such as GET or POST"))?;
    let mut headers = HeaderMap::new();
    for field in fields {
        let (name, value) = parse_field(field)?;
        headers.append(name, value);
    }
    let of_url = uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
    let one_host = headers.get_all(header::HOST).iter().nth(1).is_none();
    let named = headers.remove(header::HOST).map(|value| value.to_str().map(str::to_owned));
    let authority = match named {
        Some(value) => {
            value.map_err(|_| "the Host field holds a character that no host has; write a host name".to_owned())?
        }
        None => of_url,
    };
    Ok(Asked {
        method,
        tls,
        server_name: server_name(uri.host().unwrap_or_default()),
        authority,
        one_host,
        target: target(&uri),
        headers,
        client: None,
        https_port: 443,
    })
}

/// Clients send `/` for an empty path (RFC 9112 section 3.2.1).
fn target(uri: &Uri) -> String {
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    if target.starts_with('/') { target.to_owned() } else { format!("/{target}") }
}

fn parse_field(field: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || format!("the field '{field}' cannot be read; write it like 'Accept: text/html'");
    let (name, value) = field.split_once(':').ok_or_else(wrong)?;
    Ok((name.trim().parse().map_err(|_| wrong())?, value.trim().parse().map_err(|_| wrong())?))
}

/// Clients send no server name for an address (RFC 6066 section 3).
fn server_name(host: &str) -> String {
    let address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    if address { String::new() } else { host.trim_end_matches('.').to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_field_beats_the_url_but_not_in_the_handshake() {
        let asked = parse("https://edge.com:8443/a?b=c", "GET", &["host: Shop.com".to_owned()]).unwrap();
        assert_eq!((asked.authority.as_str(), asked.server_name.as_str()), ("Shop.com", "edge.com"));
        assert_eq!((asked.target.as_str(), asked.raw_path()), ("/a?b=c", "/a"));
    }

    #[test]
    fn an_empty_path_is_sent_as_a_slash() {
        for (url, target) in [("http://a", "/"), ("http://a?x", "/?x"), ("http://a/?x", "/?x")] {
            assert_eq!(parse(url, "GET", &[]).unwrap().target, target, "{url}");
        }
    }

    #[test]
    fn an_address_is_no_server_name() {
        for url in ["https://127.0.0.1/", "https://[::1]:8443/"] {
            assert_eq!(parse(url, "GET", &[]).unwrap().server_name, "");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_the_remedy() {
        for (url, method, field) in [
            ("a.com/x", "GET", "A: b"),
            ("ftp://a.com", "GET", "A: b"),
            ("http://a.com", "G T", "A: b"),
            ("http://a.com", "GET", "A b"),
        ] {
            let error = parse(url, method, &[field.to_owned()]).unwrap_err();
            assert!(error.contains("; write "), "{error}");
        }
    }
}
