//! The demo, as a newcomer uses it: it serves, follows edits, is documented, and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "helpers of a test may fail")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A demo on free ports.
struct Demo {
    child: Child,
    /// Keeps the pipe open: the access log is written to it.
    _output: BufReader<std::process::ChildStdout>,
    folder: PathBuf,
    http: String,
    healthz: String,
}

impl Demo {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ingora"))
            .args(["demo", "--port", "0", "--tls-port", "0", "--healthz-port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut tour = String::new();
        while !tour.contains("Ctrl-C ends.") {
            assert_ne!(output.read_line(&mut tour).unwrap(), 0, "the demo ended early: {tour}");
        }
        let after = |mark: &str| {
            let rest = tour.split_once(mark).unwrap().1;
            rest.split(|letter: char| letter.is_whitespace() || letter == '/').next().unwrap().to_owned()
        };
        let (http, healthz) = (after("on http://"), after("curl http://"));
        let folder = tour.split_once("serving ").unwrap().1.split(' ').next().unwrap().into();
        Self { child, _output: output, folder, http, healthz }
    }

    fn get(&self, host: &str, path: &str) -> String {
        get(&self.http, host, path)
    }

    /// Ctrl-C.
    fn interrupt(&mut self) -> std::process::ExitStatus {
        let kill = Command::new("sh").args(["-c", &format!("kill -INT {}", self.child.id())]).status().unwrap();
        assert!(kill.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Ended already when the test went well.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// The whole answer, head and body.
fn get(address: &str, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Asks again until it holds, for at most ten seconds.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what} did not come true");
    }
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn the_demo_serves_follows_edits_and_leaves_nothing_behind() {
    let mut demo = Demo::start();
    for (host, path, status, service) in [
        ("foo.bar.com", "/bar", "200", "service: service1"),
        ("any.foo.com", "/foo", "200", "service: service2"),
        ("app.test.com", "/", "200", "service: app-test"),
        ("app.prod.com", "/", "200", "service: app-prod"),
        ("foo.bar.com", "/else", "404", ""),
        ("secure.foo.com", "/", "308", ""),
    ] {
        let answer = demo.get(host, path);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}{path}: {answer}");
        assert!(answer.contains(service), "{host}{path}: {answer}");
    }
    edit(&demo.folder.join("wildcard-host.yaml"), "path: /bar", "path: /changed");
    eventually("the new path", || demo.get("foo.bar.com", "/changed").starts_with("HTTP/1.1 200"));
    assert!(demo.get("foo.bar.com", "/bar").starts_with("HTTP/1.1 404"));
    assert!(demo.interrupt().success());
    assert!(!demo.folder.exists());
}

#[test]
fn a_taken_port_is_all_that_is_told() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_ingora"))
        .args(["demo", "--port", &port, "--tls-port", "0", "--healthz-port", "0"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.starts_with(&format!("error: cannot listen on 127.0.0.1:{port}")), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn every_metric_is_documented() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
    let demo = Demo::start();
    demo.get("foo.bar.com", "/bar");
    let metrics = get(&demo.healthz, "localhost", "/metrics");
    let names: Vec<&str> = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.len() > 10, "{metrics}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "docs/metrics.md does not tell about {name}");
    }
}
