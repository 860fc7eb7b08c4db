//! The request that the authentication service gets.
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::{Exchange, Service, Stored};
use crate::{Request, Template};

/// Fields that are about the client's connection or body, and neither is passed on.
const OWN: &[HeaderName] = &[HOST, CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// What only the gateway may claim. ingress-nginx passes some of them on as the client sent them.
const CLAIMS: &[&str] = &["x-forwarded-", "x-original-", "x-auth-request-redirect", "x-sent-from", "x-real-ip", "x-scheme", "ssl-client-"];

impl Service {
    /// Nothing when the URL does not make sense with what the client sent.
    pub(super) fn question(&self, request: &Request<'_>) -> Option<Exchange> {
        let uri: Uri = self.url.expand(request, &[]).parse().ok()?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return None;
        }
        let mut fields = forwarded(request.headers);
        fields.insert(HOST, value(&self.host, request)?);
        self.describe(request, &mut fields)?;
        for (name, template) in &self.request_fields {
            let value = value(template, request)?;
            // nginx sends no field without a value.
            if value.is_empty() {
                fields.remove(name);
            } else {
                fields.insert(name.clone(), value);
            }
        }
        let stored = self.cache.as_ref().map(|(key, lifetimes)| Stored {
            key: format!("{}\0{}\0{}\0{}", request.labels.host, request.labels.path, self.text, key.expand(request, &[])),
            lifetimes: lifetimes.clone(),
        });
        Some(Exchange { method: self.method.clone().unwrap_or(Method::GET), uri, fields, stored, keep: self.keep })
    }

    /// What the service learns of the client's request.
    fn describe(&self, request: &Request<'_>, fields: &mut HeaderMap) -> Option<()> {
        let text = |text: &str| HeaderValue::from_str(text).ok();
        let url = format!("{}://{}{}", request.scheme(), request.authority, request.target);
        fields.insert("x-original-url", text(&url)?);
        fields.insert("x-original-method", text(request.method.as_str())?);
        fields.insert("x-sent-from", HeaderValue::from_static("nginx-ingress-controller"));
        fields.insert("x-request-id", text(request.request_id)?);
        if let Some(client) = request.client {
            let client = text(&client.to_canonical().to_string())?;
            fields.insert("x-real-ip", client.clone());
            fields.insert("x-forwarded-for", client);
        }
        let redirect = match &self.redirect {
            Some(template) => value(template, request)?,
            None => text(request.target)?,
        };
        fields.insert("x-auth-request-redirect", redirect);
        if self.method.is_some() {
            fields.insert("x-original-uri", text(request.target)?);
            fields.insert("x-scheme", HeaderValue::from_static(request.scheme()));
        }
        Some(())
    }
}

/// The client's fields, without those that are not about who it is.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let passes = |name: &HeaderName| {
        let text = name.as_str();
        !(OWN.contains(name)
            || text.contains('_')
            || text.starts_with("proxy")
            || text == "keep-alive"
            || text == "forwarded"
            || CLAIMS.iter().any(|claim| text.starts_with(claim))
            || named.iter().any(|named| named == text))
    };
    headers.iter().filter(|(name, _)| passes(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn value(template: &Template, request: &Request<'_>) -> Option<HeaderValue> {
    HeaderValue::from_str(&template.expand(request, &[])).ok()
}
