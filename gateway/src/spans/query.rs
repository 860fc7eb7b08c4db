//! What a span may tell of a query: the values of parameters that let somebody in are left out.
use std::borrow::Cow;

/// In place of a value (OpenTelemetry, semantic conventions of `url.query`).
const REDACTED: &str = "REDACTED";

/// Names, in small letters, of parameters whose values are secrets: those that the conventions list, which sign links to
/// storage, and those of OAuth 2.0, OpenID Connect and API keys.
const SECRET: &[&str] = &[
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "assertion",
    "auth",
    "awsaccesskeyid",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "id_token",
    "id_token_hint",
    "jwt",
    "key",
    "passwd",
    "password",
    "pwd",
    "refresh_token",
    "secret",
    "session",
    "sessionid",
    "sid",
    "sig",
    "signature",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-goog-credential",
    "x-goog-signature",
];

/// The query without its secrets.
pub(super) fn without_secrets(query: &str) -> Cow<'_, str> {
    if !query.split('&').any(is_secret) {
        return Cow::Borrowed(query);
    }
    let mut out = String::with_capacity(query.len());
    for (index, pair) in query.split('&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        match pair.split_once('=') {
            Some((name, _)) if is_secret(pair) => {
                out.push_str(name);
                out.push('=');
                out.push_str(REDACTED);
            }
            _ => out.push_str(pair),
        }
    }
    Cow::Owned(out)
}

fn is_secret(pair: &str) -> bool {
    let Some((name, value)) = pair.split_once('=') else { return false };
    // Servers decode names, so an encoded one may be any of them.
    !value.is_empty() && (name.contains('%') || SECRET.binary_search_by(|known| compare(known, name)).is_ok())
}

/// Letters in any case, without a copy.
fn compare(known: &str, name: &str) -> std::cmp::Ordering {
    known.bytes().cmp(name.bytes().map(|byte| byte.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_let_somebody_in_are_left_out() {
        for (query, told) in [
            ("", ""),
            ("a=1&b", "a=1&b"),
            ("a=1&token=x=y&b=2", "a=1&token=REDACTED&b=2"),
            ("X-Amz-Signature=ab&Sig=cd", "X-Amz-Signature=REDACTED&Sig=REDACTED"),
            ("%74oken=x", "%74oken=REDACTED"),
            ("token=&token", "token=&token"),
            ("tokens=1&monkey=2", "tokens=1&monkey=2"),
        ] {
            assert_eq!(without_secrets(query), told);
        }
    }

    #[test]
    fn the_names_are_in_order() {
        assert!(SECRET.is_sorted());
    }
}
