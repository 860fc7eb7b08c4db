//! Lines with nginx variables, compared with ingress-nginx's.
use super::*;
use crate::access_log::Tls;
use crate::access_log::tests::record;
use features::annotation::Config;
use features::{Global, Labels, NoObjects};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

fn logging(pairs: &[(&str, &str)]) -> Logging {
    let config = Config::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Global::read(&config, &NoObjects).0.logging
}

fn line(record: &Record, extra: &Extra, logging: &Logging) -> String {
    let mut out = Vec::new();
    write(record, extra, logging, &mut out);
    String::from_utf8(out).unwrap()
}

fn form(record: &Record, extra: &Extra, text: &str) -> String {
    line(record, extra, &logging(&[("log-format-upstream", text)]))
}

fn labels() -> Arc<Labels> {
    Arc::new(Labels {
        namespace: "shop".into(),
        ingress: "web".into(),
        service: "cart".into(),
        service_port: "http".into(),
        host: "a.com".into(),
        path: "/cart".into(),
    })
}

fn tried(port: u16, status: u16, failure: u16, millis: u64) -> Attempt {
    Attempt {
        address: ([10, 0, 0, 1], port).into(),
        began: Instant::now(),
        connected: None,
        answered: (status > 0).then_some(Duration::from_millis(millis)),
        took: Duration::from_millis(millis),
        status,
        failure,
        received: u64::from(status),
    }
}

fn value(text: &'static str) -> Option<HeaderValue> {
    Some(HeaderValue::from_static(text))
}

#[test]
fn the_default_line_is_that_of_ingress_nginx() {
    let record = Record {
        labels: labels(),
        attempts: vec![tried(80, 0, 504, 5_001), tried(81, 200, 0, 4)],
        request_id: value("0af7"),
        duration: Duration::from_millis(5_007),
        ..record("/cart?x=1")
    };
    let extra = Extra {
        request: vec![value("Basic bWU6c2VjcmV0"), None, value("curl \"8\"")],
        heads: (70, 0),
        ..Extra::default()
    };
    assert_eq!(
        line(&record, &extra, &Logging::default()),
        concat!(
            r#"192.0.2.1 - me [02/Jan/2026:03:04:10 +0000] "GET /cart?x=1 HTTP/1.1" 200 12 "-" "curl \x228\x22" "#,
            "70 5.007 [shop-cart-http] [] 10.0.0.1:80, 10.0.0.1:81 0, 200 5.001, 0.004 504, 200 0af7\n"
        )
    );
}

#[test]
fn a_request_that_no_endpoint_got_has_no_upstream() {
    let record = Record { reason: "no_rule", status: 404, ..record("/") };
    let text = "[$proxy_upstream_name] $upstream_addr $upstream_status $args $remote_user $ingress_name| $server_name";
    assert_eq!(form(&record, &Extra::default(), text), "[upstream-default-backend] - - - - | _\n");
    let json = [("log-format-upstream", r#"{"a":"$upstream_addr","s":$status}"#), ("log-format-escape-json", "true")];
    assert_eq!(line(&record, &Extra::default(), &logging(&json)), "{\"a\":\"\",\"s\":404}\n");
}

#[test]
fn a_canary_is_named_beside_the_rules_own_service() {
    let canary = Some(ClusterId::new("shop", "cart-next", table::ServicePort::Number(80)));
    let record = Record { labels: labels(), canary, ..record("/") };
    let text = "[$proxy_upstream_name] [$proxy_alternative_upstream_name]";
    assert_eq!(form(&record, &Extra::default(), text), "[shop-cart-http] [shop-cart-next-80]\n");
}

#[test]
fn fields_cookies_and_parameters_are_found() {
    let text = "$http_x_a $cookie_sid $arg_q $sent_http_location $upstream_http_server $uri";
    let extra = Extra {
        request: vec![value("1"), value("sidx=0; sid=7")],
        response: vec![value("/there")],
        upstream: vec![value("php")],
        path: Some("/canonical".to_owned()),
        ..Extra::default()
    };
    assert_eq!(form(&record("/a//b?Q=2&q=3"), &extra, text), "1 7 2 /there php /canonical\n");
}

#[test]
fn tls_and_times_are_told() {
    let tls =
        Tls { version: "TLSv1.3".into(), sni: Some("a.com".into()), cipher: "TLS_AES_128_GCM_SHA256", resumed: true };
    let record = Record {
        tls: Some(tls),
        traceparent: value("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ..record("/")
    };
    let text =
        "$ssl_protocol/$ssl_cipher/$ssl_session_reused/$ssl_server_name $msec $time_iso8601 $opentelemetry_trace_id";
    assert_eq!(
        form(&record, &Extra::default(), text),
        "TLSv1.3/TLS_AES_128_GCM_SHA256/r/a.com 1767323045.007 2026-01-02T03:04:05+00:00 0af7651916cd43dd8448eb211c80319c\n"
    );
}

#[test]
fn nothing_a_client_sends_ends_a_line_with_any_escape() {
    let hostile = HeaderValue::from_bytes(b"a\tb\x9b\xff\xe2\x80\xa8\"\\").unwrap();
    let extra = Extra { request: vec![Some(hostile)], path: Some("/\r\n\u{1b}[2J".to_owned()), ..Extra::default() };
    for escape in ["log-format-escape-json", "log-format-escape-none", "x"] {
        let line =
            line(&record("/"), &extra, &logging(&[("log-format-upstream", "\"$http_a$uri\""), (escape, "true")]));
        assert_eq!(line.chars().filter(|char| char.is_control()).collect::<String>(), "\n", "{escape}: {line:?}");
        assert!(!line.contains('\u{2028}'), "{escape}: {line:?}");
        if escape == "log-format-escape-json" {
            serde_json::from_str::<String>(&line).unwrap();
        }
    }
}

#[test]
fn an_authorization_that_is_no_basic_one_has_no_user() {
    for text in ["Bearer abc", "Basic", "Basic ====", "Basic bm9jb2xvbg==", "Basic OnBhc3M="] {
        assert_eq!(user(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn what_is_logged_of_an_address_is_canonical() {
    let record = Record { client: Some(IpAddr::from([192, 0, 2, 7])), ..record("/") };
    let extra = Extra { peer: Some("[::ffff:10.0.0.9]:4711".parse().unwrap()), ..Extra::default() };
    assert_eq!(form(&record, &extra, "$remote_addr $realip_remote_addr $remote_port"), "192.0.2.7 10.0.0.9 4711\n");
}
