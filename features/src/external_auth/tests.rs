//! What is asked, and what becomes of the answer.
use super::*;
use crate::annotation::{Config, OnError};
use crate::{Data, Labels, Objects};
use std::time::Duration;
use table::ClusterId;

#[derive(Debug)]
struct Maps;

impl Objects for Maps {
    fn secret(&self, _: &str) -> Result<Data, String> {
        Err(String::new())
    }

    fn config_map(&self, reference: &str) -> Result<Data, String> {
        match reference {
            "fields" => Ok([("X-Tenant".to_owned(), b"of $host".to_vec()), ("X-None".to_owned(), b"$arg_none".to_vec())].into()),
            "bad" => Ok([("X Tenant".to_owned(), b"x".to_vec())].into()),
            "newline" => Ok([("X-Tenant".to_owned(), b"x\r\nY: z".to_vec())].into()),
            _ => Err(format!("ConfigMap {reference} does not exist; create it")),
        }
    }

    fn service(&self, _: &str) -> Result<ClusterId, String> {
        Err(String::new())
    }
}

fn read(annotations: &[(&'static str, &'static str)], config: &[(&str, &str)]) -> (Option<ExternalAuth>, Option<OnError>) {
    let config = Config::new(config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let mut reader = Reader::new(annotations.iter().copied(), &config, &Maps);
    let feature = ExternalAuth::read(&mut reader, &RuleFacts::default());
    (feature, reader.finish().into_iter().map(|problem| problem.effect).max())
}

const URL: (&str, &str) = ("auth-url", "http://auth.test:8080/check");

fn feature(more: &[(&'static str, &'static str)]) -> ExternalAuth {
    let (feature, problem) = read(&[&[URL], more].concat(), &[]);
    assert_eq!(problem, None);
    feature.unwrap()
}

fn ask(feature: &ExternalAuth, headers: &HeaderMap, path: &str) -> Result<Exchange, Verdict> {
    let labels = Labels { path: path.into(), host: "foo.com".into(), ..Labels::default() };
    let request = Request { target: "/a?b=c&d=/", ..crate::request::tests::plain(headers, &labels) };
    match feature.on_request(&request, &mut Edits::default()) {
        Verdict::Ask(ask) => match *ask {
            Ask::Exchange(exchange) => Ok(*exchange),
            Ask::Password(_) => panic!("another question"),
        },
        other => Err(other),
    }
}

fn reply(feature: &ExternalAuth, status: u16, fields: &[(&'static str, &'static str)]) -> (Verdict, Edits) {
    let (headers, labels) = (HeaderMap::new(), Labels::default());
    let request = Request { target: "/?a=b&c=d", ..crate::request::tests::plain(&headers, &labels) };
    let mut edits = Edits::default();
    let mut answer = HeaderMap::new();
    for (name, value) in fields {
        answer.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let verdict = feature.on_reply(&request, &mut edits, &Reply::Response(status, answer));
    (verdict, edits)
}

fn status(verdict: &Verdict) -> Option<u16> {
    match verdict {
        Verdict::Answer(answer) => Some(answer.status),
        Verdict::Continue | Verdict::Ask(_) => None,
    }
}

#[test]
fn the_service_learns_of_the_request() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("cookie", "sid=1"),
        ("authorization", "Bearer x"),
        ("content-length", "5"),
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("x-forwarded-host", "evil"),
        ("x-original-url", "http://evil/"),
        ("x_original_method", "GET"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let exchange = ask(&feature(&[]), &headers, "/").unwrap();
    assert_eq!((exchange.method, exchange.uri.to_string()), (Method::GET, "http://auth.test:8080/check".to_owned()));
    let mut fields: Vec<_> = exchange.fields.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    fields.sort_unstable();
    assert_eq!(fields, [
        ("authorization", "Bearer x"),
        ("cookie", "sid=1"),
        ("host", "auth.test"),
        ("x-auth-request-redirect", "/a?b=c&d=/"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-original-method", "GET"),
        ("x-original-url", "http://foo.com:80/a?b=c&d=/"),
        ("x-real-ip", "192.0.2.1"),
        ("x-request-id", "0123456789abcdef0123456789abcdef"),
        ("x-sent-from", "nginx-ingress-controller"),
    ]);
}

#[test]
fn a_method_adds_fields_and_a_map_sets_some() {
    let more = [("auth-method", "POST"), ("auth-proxy-set-headers", "fields"), ("auth-request-redirect", "https://$host/")];
    let exchange = ask(&feature(&more), &HeaderMap::new(), "/").unwrap();
    assert_eq!(exchange.method, Method::POST);
    for (name, value) in [("x-original-uri", "/a?b=c&d=/"), ("x-scheme", "http"), ("x-tenant", "of foo.com"), ("x-auth-request-redirect", "https://foo.com/")] {
        assert_eq!(exchange.fields[name], value);
    }
    assert!(!exchange.fields.contains_key("x-none"));
}

#[test]
fn a_success_passes_with_the_fields_of_the_answer_and_none_of_the_clients() {
    let feature = feature(&[("auth-response-headers", "X-User, X-Groups,X-Mail")]);
    let (verdict, edits) = reply(&feature, 202, &[("x-user", "ann"), ("x-groups", "a"), ("x-groups", "b"), ("x-other", "1")]);
    assert_eq!(verdict, Verdict::Continue);
    let want = [("x-user", Some("ann")), ("x-groups", Some("a, b")), ("x-mail", None)];
    assert_eq!(edits.upstream_fields, want.map(|(name, value)| (HeaderName::from_static(name), value.map(HeaderValue::from_static))));
}

#[test]
fn only_401_and_403_are_answered_as_they_are() {
    let feature = feature(&[]);
    for (answered, want) in [(401, 401), (403, 403), (302, 500), (404, 500), (500, 500), (503, 500)] {
        assert_eq!(status(&reply(&feature, answered, &[]).0), Some(want), "{answered}");
    }
    let (headers, labels) = (HeaderMap::new(), Labels::default());
    let request = crate::request::tests::plain(&headers, &labels);
    assert_eq!(status(&feature.on_reply(&request, &mut Edits::default(), &Reply::Nothing)), Some(500));
}

#[test]
fn a_401_keeps_its_challenge() {
    let (Verdict::Answer(answer), _) = reply(&feature(&[]), 401, &[("www-authenticate", "Bearer")]) else { panic!() };
    assert_eq!(answer.fields, [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))]);
}

#[test]
fn who_is_not_known_signs_in_and_comes_back() {
    for (signin, param, want) in [
        ("https://s.test/start", None, "https://s.test/start?rd=http://foo.com:80%2F%3Fa%3Db%26c%3Dd"),
        ("https://s.test/start?x=1", None, "https://s.test/start?x=1&rd=http://foo.com:80%2F%3Fa%3Db%26c%3Dd"),
        ("https://s.test/start?rd=$host", None, "https://s.test/start?rd=foo.com"),
        ("https://s.test/start?rd=x", Some("next"), "https://s.test/start?rd=x&next=http://foo.com:80%2F%3Fa%3Db%26c%3Dd"),
    ] {
        let mut more = vec![("auth-signin", signin)];
        more.extend(param.map(|param| ("auth-signin-redirect-param", param)));
        let (verdict, _) = reply(&feature(&more), 401, &[]);
        assert_eq!(verdict, Verdict::redirect(302, want));
    }
}

#[test]
fn cookies_go_with_success_and_redirects_or_always() {
    for (always, answered, want) in [("false", 200, 2), ("false", 302, 2), ("false", 401, 0), ("true", 401, 2), ("true", 500, 2)] {
        let feature = feature(&[("auth-always-set-cookie", always)]);
        let (_, edits) = reply(&feature, 200, &[("set-cookie", "a=1"), ("set-cookie", "b=2")]);
        let mut head = http::Response::new(());
        *head.status_mut() = http::StatusCode::from_u16(answered).unwrap();
        let (headers, labels) = (HeaderMap::new(), Labels::default());
        feature.on_response(&crate::request::tests::plain(&headers, &labels), &edits, &mut head);
        assert_eq!(head.headers().get_all("set-cookie").iter().count(), want, "{always} {answered}");
    }
}

#[test]
fn answers_are_kept_by_host_path_and_key() {
    let more = [("auth-cache-key", "$cookie_sid"), ("auth-cache-duration", "200 202 10m, 401 5s")];
    let mut headers = HeaderMap::new();
    headers.insert("cookie", HeaderValue::from_static("sid=7"));
    let stored = ask(&feature(&more), &headers, "/x").unwrap().stored.unwrap();
    assert_eq!(stored.key, "foo.com\0/x\0http://auth.test:8080/check\x007");
    assert_eq!([200, 202, 401, 403].map(|status| stored.lifetimes.of(status).map(|time| time.as_secs())), [Some(600), Some(600), Some(5), None]);
    let stored = ask(&feature(&more[..1]), &headers, "/x").unwrap().stored.unwrap();
    assert_eq!(stored.lifetimes.of(401), Some(Duration::from_secs(300)));
}

#[test]
fn the_service_of_all_rules_is_asked_unless_the_ingress_opts_out() {
    let config = [("global-auth-url", "http://auth.test/"), ("no-auth-locations", "/open")];
    let (feature, problem) = read(&[], &config);
    assert_eq!(problem, None);
    let feature = feature.unwrap();
    assert!(ask(&feature, &HeaderMap::new(), "/").is_ok());
    assert_eq!(ask(&feature, &HeaderMap::new(), "/openly").unwrap_err(), Verdict::Continue);
    assert_eq!(read(&[("enable-global-auth", "false")], &config), (None, None));
    assert_eq!(ask(&read(&[URL], &config).0.unwrap(), &HeaderMap::new(), "/open").unwrap().uri.path(), "/check");
}

#[test]
fn a_url_that_the_request_makes_nonsense_of_answers_500() {
    let (feature, _) = read(&[("auth-url", "http://$host/check$request_uri")], &[]);
    let (headers, labels) = (HeaderMap::new(), Labels::default());
    let request = Request { target: "/a b", ..crate::request::tests::plain(&headers, &labels) };
    assert_eq!(status(&feature.unwrap().on_request(&request, &mut Edits::default())), Some(500));
}

#[test]
fn malformed_values_never_open() {
    for (name, value) in [
        ("auth-url", "auth"),
        ("auth-url", "ftp://auth/"),
        ("auth-url", "http:///x"),
        ("auth-url", "http://a..b/"),
        ("auth-url", "http://$http_x/"),
        ("auth-url", "http://$unknown/"),
        ("auth-url", "http://a/;#"),
        ("auth-url", "http://a/\n}"),
        ("auth-url", "http://a/{"),
        ("auth-url", "http://\u{0}/"),
        ("auth-url", "http://é/"),
        ("auth-url", "h".repeat(70_000).leak()),
        ("auth-method", "GETX"),
        ("auth-method", "get"),
        ("auth-signin", "https://a/\"x"),
        ("auth-signin", "https://a/$lua"),
        ("auth-signin-redirect-param", "a=b"),
        ("auth-response-headers", "a b"),
        ("auth-response-headers", "X-$host"),
        ("auth-proxy-set-headers", "missing"),
        ("auth-proxy-set-headers", "bad"),
        ("auth-proxy-set-headers", "newline"),
        ("auth-request-redirect", "a b"),
        ("auth-cache-key", "$cookie_a;"),
        ("auth-cache-duration", "200 5 minutes"),
        ("auth-cache-duration", "abc 5m"),
        ("auth-cache-duration", ","),
        ("auth-always-set-cookie", "yes"),
    ] {
        let annotations: Vec<_> = [URL].into_iter().filter(|(other, _)| *other != name).chain([(name, value)]).collect();
        assert!(read(&annotations, &[]).1 >= Some(OnError::Close), "{name}: {value:.40}");
    }
    for (name, value) in [("global-auth-url", "x"), ("global-auth-url", "http://a/{"), ("global-auth-cache-duration", "x")] {
        let config = [("global-auth-url", "http://auth.test/"), (name, value)];
        assert!(read(&[], &config).1 >= Some(OnError::Close), "{name}: {value}");
    }
}
