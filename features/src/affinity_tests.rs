//! Tests of the affinity cookie.
use super::*;
use crate::tests::settings;
use crate::{Labels, request};
use http::HeaderMap;

/// The cookie that an answer sets; `endpoint` answered.
fn answer(
    annotations: &[(&'static str, &'static str)],
    fields: &[(&'static str, &'static str)],
    endpoint: Option<u64>,
    homeless: bool,
) -> (Edits, Option<String>) {
    let mut all = vec![("affinity", "cookie")];
    all.extend(annotations);
    let plan = settings(&all).plan;
    let headers: HeaderMap = fields
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let labels = Labels { path: "/shop".into(), ..Labels::default() };
    let request = request::tests::plain(&headers, &labels);
    let mut edits = Edits::default();
    crate::run(&plan, &request, &mut edits, |_, _, _| ());
    edits.endpoint = endpoint;
    edits.homeless = homeless;
    let mut response = http::Response::new(());
    crate::respond(&plan, &request, &edits, &mut response);
    let cookie = response.headers().get(header::SET_COOKIE).map(|value| value.to_str().unwrap().to_owned());
    (edits, cookie)
}

#[test]
fn a_session_begins_with_a_random_cookie() {
    let (edits, cookie) = answer(&[], &[], Some(7), false);
    let value = edits.session.unwrap();
    assert_eq!(edits.key, Some(hash::bytes(value.as_bytes())));
    assert_eq!(cookie.unwrap(), format!("INGRESSCOOKIE={value}; Path=/shop; HttpOnly"));
}

#[test]
fn any_cookie_is_hashed_and_stays() {
    let (edits, cookie) = answer(&[], &[("cookie", "a=b; INGRESSCOOKIE=anything")], Some(7), false);
    assert_eq!((edits.key, cookie), (Some(hash::bytes(b"anything")), None));
}

#[test]
fn the_cookie_names_the_cluster_after_a_bar() {
    let (edits, cookie) = answer(&[], &[("cookie", "INGRESSCOOKIE=anything|00000000000000ff")], Some(7), false);
    assert_eq!((edits.key, edits.assigned, cookie), (Some(hash::bytes(b"anything")), Some(255), None));
    let plan = settings(&[("affinity", "cookie"), ("affinity-mode", "persistent")]).plan;
    let (headers, labels) = (HeaderMap::new(), Labels::default());
    let edits = Edits { endpoint: Some(1), home: Some(2), homeless: true, ..Edits::default() };
    let mut response = http::Response::new(());
    crate::respond(&plan, &request::tests::plain(&headers, &labels), &edits, &mut response);
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("INGRESSCOOKIE=0000000000000001|0000000000000002;"), "{cookie}");
}

#[test]
fn an_answer_of_the_gateway_begins_no_session() {
    assert_eq!(answer(&[], &[], None, false).1, None);
}

#[test]
fn a_persistent_cookie_names_the_endpoint() {
    let persistent = [("affinity-mode", "persistent")];
    let begin = answer(&persistent, &[], Some(0xabc), true).1.unwrap();
    assert!(begin.starts_with("INGRESSCOOKIE=0000000000000abc;"), "{begin}");
    let cookie = [("cookie", "INGRESSCOOKIE=0000000000000abc")];
    let (edits, again) = answer(&persistent, &cookie, Some(0xabc), false);
    assert_eq!((edits.key, again), (Some(0xabc), None));
    assert_eq!(answer(&persistent, &cookie, Some(0xdef), false).1, None, "it comes back when the endpoint is well");
    let moved = answer(&persistent, &cookie, Some(0xdef), true).1.unwrap();
    assert!(moved.starts_with("INGRESSCOOKIE=0000000000000def;"), "its endpoint is gone: {moved}");
}

#[test]
fn a_session_moves_on_failure_when_asked_to() {
    let change = [("session-cookie-change-on-failure", "true")];
    let cookie = [("cookie", "INGRESSCOOKIE=0000000000000abc")];
    assert!(answer(&change, &cookie, Some(0xdef), false).1.is_some());
    assert_eq!(answer(&change, &cookie, Some(0xabc), false).1, None);
}

#[test]
fn every_attribute_is_written() {
    let annotations = [
        ("session-cookie-name", "route"),
        ("session-cookie-path", "/"),
        ("session-cookie-domain", "example.com"),
        ("session-cookie-expires", "784111777"),
        ("session-cookie-max-age", "60"),
        ("session-cookie-secure", "true"),
        ("session-cookie-samesite", "none"),
    ];
    let (edits, cookie) = answer(&annotations, &[], Some(7), false);
    let want = format!(
        "route={}; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Max-Age=60; Domain=example.com; Path=/; Secure; HttpOnly; \
         SameSite=None",
        edits.session.unwrap()
    );
    assert_eq!(cookie.unwrap(), want);
}

#[test]
fn browsers_that_misread_same_site_get_none() {
    let annotations =
        [("session-cookie-samesite", "None"), ("session-cookie-conditional-samesite-none", "true")];
    for (agent, gets) in [
        ("Mozilla/5.0 (X11) Chrome/60.0.1 Safari/537.36", false),
        ("Mozilla/5.0 (X11) Chrome/120.0.1 Safari/537.36", true),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 12_1 like Mac OS X) Safari", false),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_5) Version/12.1 Safari/605", false),
        ("Mozilla/5.0 (Linux) Chrome/57.0 UCBrowser/12.13.2.1 Mobile", true),
        ("Mozilla/5.0 (Linux) Chrome/57.0 UCBrowser/12.12.9.1 Mobile", false),
    ] {
        let cookie = answer(&annotations, &[("user-agent", agent)], Some(7), false).1.unwrap();
        assert_eq!(cookie.contains("SameSite"), gets, "{agent}");
    }
}

#[test]
fn what_would_break_the_field_is_refused() {
    let bad = [("session-cookie-path", "/; Domain=evil"), ("session-cookie-name", "a=b"), ("session-cookie-max-age", "x")];
    for pair in bad {
        assert_eq!(settings(&[("affinity", "cookie"), pair]).problems.len(), 1, "{pair:?}");
    }
}
