//! The access log with nginx variables, in a file that the ConfigMap names.
use std::path::{Path, PathBuf};

use gateway::LogFormat;
use tempfile::TempDir;

use crate::support::{Backend, Client, Offer, Refusing, Rig, Scripted, Site, Spec, config, eventually};

/// A folder that lives as long as the test, and a log in it.
struct Log {
    _folder: TempDir,
    path: PathBuf,
}

impl Log {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        Self { _folder: folder, path }
    }

    fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }

    async fn lines(&self, number: usize) -> Vec<String> {
        lines_of(&self.path, number).await
    }
}

/// The lines of a file once it has so many.
async fn lines_of(path: &Path, number: usize) -> Vec<String> {
    eventually("the lines", || async {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (lines.len() >= number && text.ends_with('\n')).then_some(lines)
    })
    .await
}

async fn rig(site: Site, format: LogFormat) -> Rig {
    let mut config = config();
    (config.access_log, config.log_format) = (true, format);
    Rig::with(site, config).await
}

#[tokio::test]
async fn the_default_line_has_the_fields_of_ingress_nginx_in_their_order() {
    let (log, backend) = (Log::new(), Backend::echo("one").await);
    let site = Site::default().config(&[("access-log-path", log.text())]);
    let site = site.rule(Spec::to("app").prefix("/shop")).endpoints("app", [backend.address]);
    let rig = rig(site, LogFormat::Nginx).await;
    let mut wire = rig.wire().await;
    let head = "POST /shop/1?x=%20y HTTP/1.1\r\nHost: a.test\r\nAuthorization: Basic bWU6c2VjcmV0\r\nX-Request-ID: id-1\r\n\
                User-Agent: a \"b\"\r\nContent-Length: 4\r\n\r\nbody";
    wire.send(head).await;
    assert_eq!(wire.response().await.0.status(), 200);
    wire.send("GET /other HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(wire.response().await.0.status(), 404);
    let lines = log.lines(2).await;

    let fields: Vec<&str> = lines[0].split(' ').collect();
    assert_eq!(fields[..3], ["127.0.0.1", "-", "me"], "{}", lines[0]);
    assert!(fields[3].starts_with('[') && fields[4] == "+0000]", "{}", lines[0]);
    let rest = lines[0].split_once("+0000] ").unwrap().1;
    let (before, after) = rest.split_once(" [default-app-80] [] ").unwrap();
    let length = head.len();
    let until_time = format!(r#""POST /shop/1?x=%20y HTTP/1.1" 200 4 "-" "a \x22b\x22" {length} "#);
    assert_eq!(before.strip_prefix(&until_time).map(|time| time.starts_with("0.")), Some(true), "{before}");
    let after: Vec<&str> = after.split(' ').collect();
    assert_eq!([after[0], after[1], after[3], after[4]], [&*backend.address.to_string(), "4", "200", "id-1"]);
    assert!(after[2].parse::<f64>().is_ok() && after.len() == 5, "{after:?}");

    assert!(lines[1].contains(r#""GET /other HTTP/1.1" 404 "#), "{}", lines[1]);
    assert!(lines[1].contains(" [upstream-default-backend] [] - - - - "), "{}", lines[1]);
    assert!(!std::fs::read_to_string(&log.path).unwrap().contains("secret"));
}

#[tokio::test]
async fn the_form_of_the_config_map_is_live_and_lines_of_clients_stay_theirs() {
    let log = Log::new();
    let backend = Scripted::answering("HTTP/1.1 200 OK\r\nServer: php\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok").await;
    let form = r#"{"uri":"$uri","agent":"$http_user_agent","sid":"$cookie_sid","status":$status,"up":"$upstream_http_server","sent":"$sent_http_x_a","server":"$sent_http_server","ingress":"$namespace/$ingress_name","path":"$location_path","cipher":"$ssl_cipher","geo":"$geoip2_city"}"#;
    let path = ("access-log-path", log.text());
    let site = Site::default().rule(Spec::to("app").prefix("/shop")).endpoints("app", [backend.address]);
    let site = site.config(&[path, ("log-format-upstream", form), ("log-format-escape-json", "true")]);
    let mut rig = rig(site, LogFormat::Json).await;
    let mut wire = rig.wire().await;
    wire.send("GET /shop//1 HTTP/1.1\r\nHost: a.test\r\nUser-Agent: x\",\"status\":500,\"\t\r\nCookie: sid=7\r\n\r\n")
        .await;
    assert_eq!(wire.response().await.0.status(), 200);
    assert_eq!(Client::tls(rig.https, Offer::h2("a.test")).await.get("a.test", "/shop/tls").await.status, 200);
    rig.site.set_config(&[path, ("log-format-upstream", "$request_method $server_protocol")]);
    rig.publish().await;
    wire.get("/shop").await;
    assert_eq!(wire.response().await.0.status(), 200);

    let lines = log.lines(3).await;
    let first: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    for (name, value) in [
        ("uri", "/shop/1"),
        ("agent", "x\",\"status\":500,\""),
        ("sid", "7"),
        ("up", "php"),
        ("sent", "1"),
        ("server", ""),
        ("ingress", "default/web"),
        ("path", "/shop"),
        ("cipher", ""),
        ("geo", ""),
    ] {
        assert_eq!(first[name].as_str().map(str::trim_end), Some(value), "{name}");
    }
    assert_eq!(first["status"], 200);
    let second: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
    assert!(second["cipher"].as_str().unwrap().starts_with("TLS_"), "{second}");
    assert_eq!(lines[2], "GET HTTP/1.1");
}

#[tokio::test]
async fn requests_that_nobody_wants_to_see_have_no_line() {
    let (log, backend) = (Log::new(), Backend::echo("one").await);
    let site = Site::default()
        .rule(Spec::to("app").prefix("/quiet").annotation("enable-access-log", "false"))
        .rule(Spec::to("app"))
        .endpoints("app", [backend.address]);
    let path = ("http-access-log-path", log.text());
    let form = ("log-format-upstream", "$host$request_uri");
    let site =
        site.config(&[path, form, ("skip-access-log-urls", "/health"), ("enable-access-log-for-default-backend", "0")]);
    let mut rig = rig(site, LogFormat::Json).await;
    let mut client = Client::h1(rig.http).await;
    for (host, path) in [("a.test", "/quiet"), ("a.test", "/health"), ("unknown.test", "/"), ("a.test", "/health?x")] {
        client.get(host, path).await;
    }
    rig.site.set_config(&[path, form, ("disable-access-log", "true")]);
    rig.publish().await;
    client.get("a.test", "/off").await;
    rig.site.set_config(&[path, form]);
    rig.publish().await;
    client.get("a.test", "/last").await;
    assert_eq!(log.lines(2).await, ["a.test/health?x", "a.test/last"]);
}

#[tokio::test]
async fn a_log_that_was_moved_away_is_opened_anew() {
    let (log, backend) = (Log::new(), Backend::echo("one").await);
    let form = ("log-format-upstream", "$request_uri");
    let site = Site::default().rule(Spec::to("app")).endpoints("app", [backend.address]);
    let rig = rig(site.config(&[("access-log-path", log.text()), form]), LogFormat::Json).await;
    let mut client = Client::h1(rig.http).await;
    client.get("a.test", "/1").await;
    log.lines(1).await;
    let moved = log.path.with_extension("1");
    std::fs::rename(&log.path, &moved).unwrap();
    rig.reopen_access_log();
    client.get("a.test", "/2").await;
    assert_eq!(log.lines(1).await, ["/2"]);
    assert_eq!(lines_of(&moved, 1).await, ["/1"]);
}

#[tokio::test]
async fn each_try_is_in_the_lists() {
    let (log, backend) = (Log::new(), Backend::echo("one").await);
    let refusing = Refusing::new();
    let closed = refusing.address;
    let form =
        ("log-format-upstream", "$upstream_addr|$upstream_status|$upstream_response_length|$upstream_connect_time");
    let site = Site::default().rule(Spec::to("app")).endpoints("app", [closed, backend.address]);
    let rig = rig(site.config(&[("access-log-path", log.text()), form]), LogFormat::Json).await;
    let mut client = Client::h1(rig.http).await;
    for _ in 0..2 {
        assert_eq!(client.get("a.test", "/").await.status, 200);
    }
    let lines = log.lines(2).await;
    let tried = lines.iter().find(|line| line.contains(", ")).unwrap_or_else(|| panic!("a retry in {lines:?}"));
    let parts: Vec<&str> = tried.split('|').collect();
    assert_eq!(parts[..2], [&*format!("{closed}, {}", backend.address), "502, 200"], "{tried}");
    assert!(parts[3].starts_with("-, 0."), "{tried}");
    assert!(parts[2].starts_with("0, "), "{tried}");
}
