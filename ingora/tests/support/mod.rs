//! What tests of the whole program share: a folder of manifests, the program as a process, backends and clients.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

pub(crate) mod backends;
pub(crate) mod client;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A folder of manifests. Files are replaced atomically, as editors and kubelets do.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write(
            "service",
            "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{name: http, port: 80}]}\n",
        );
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.path().join(format!(".{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path().join(format!("{name}.yaml"))).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path().join(format!("{name}.yaml"))).unwrap();
    }

    /// An Ingress for `/` of a host, with some further paths.
    pub(crate) fn ingress(&self, name: &str, host: &str, paths: u32) {
        let mut text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec:\n  rules:\n  - host: {host}\n    http:\n      paths:\n"
        );
        for index in 0..paths {
            let path = if index == 0 { String::new() } else { format!("extra{index}") };
            writeln!(
                text,
                "      - {{path: /{path}, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}"
            )
            .unwrap();
        }
        self.write(name, &text);
    }

    pub(crate) fn broken(&self, name: &str) {
        self.write(name, "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: [\n");
    }

    pub(crate) fn endpoints(&self, addresses: &[SocketAddr]) {
        // All backends listen on the same port of different loopback addresses, as pods do.
        let port = addresses[0].port();
        let mut text = format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web-1, labels: {{kubernetes.io/service-name: web}}}}\naddressType: IPv4\nports: [{{name: http, port: {port}}}]\nendpoints:\n"
        );
        for address in addresses {
            writeln!(text, "- {{addresses: [{}], conditions: {{ready: true}}}}", address.ip()).unwrap();
        }
        self.write("endpoints", &text);
    }
}

/// `ingora run` as a process; ends with the value.
pub(crate) struct Gateway {
    child: Mutex<Child>,
    log: Arc<Mutex<Vec<String>>>,
    http: SocketAddr,
    healthz: SocketAddr,
}

impl Gateway {
    pub(crate) fn start(manifests: &Path) -> Self {
        Self::start_with(manifests, &[])
    }

    pub(crate) fn start_with(manifests: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ingora"))
            .args([
                "run",
                "--bind-address",
                "127.0.0.1",
                "--http-port",
                "0",
                "--https-port",
                "0",
                "--healthz-port",
                "0",
            ])
            .args(["--threads", "2", "--access-log", "false", "--log-format", "json", "--manifests"])
            .arg(manifests)
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = lines.clone();
        let (found, addresses) = std::sync::mpsc::channel();
        // Reads on to the end: the program must never wait for somebody to read its log.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                let fields = line.get("fields").unwrap_or(&line);
                written.lock().unwrap().push(fields["message"].as_str().unwrap_or_default().to_owned());
                if fields["message"] == "listening" {
                    let address = |name: &str| fields[name].as_str().unwrap().parse().unwrap();
                    found.send((address("http"), address("healthz"))).unwrap();
                }
            }
        });
        let (http, healthz) = addresses.recv_timeout(Duration::from_secs(30)).expect("the program does not listen");
        Self { child: Mutex::new(child), log: lines, http, healthz }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    pub(crate) fn healthz(&self) -> SocketAddr {
        self.healthz
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits until a line of the log begins so.
    pub(crate) async fn logged(&self, beginning: &str) {
        let logged = async {
            while !self.log.lock().unwrap().iter().any(|line| line.starts_with(beginning)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), logged).await;
        waited.unwrap_or_else(|_| panic!("never logged: {beginning}; {:#?}", self.log.lock().unwrap()));
    }

    /// Waits until it has ended; was it a success?
    pub(crate) async fn wait(&self, limit: Duration) -> bool {
        let ended = async {
            loop {
                if let Some(status) = self.child.lock().unwrap().try_wait().unwrap() {
                    return status.success();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(limit, ended).await.expect("it does not end")
    }

    /// Waits until it is ready, for at most ten seconds.
    pub(crate) async fn ready(&self) {
        let ready = async {
            let mut every = tokio::time::interval(Duration::from_millis(10));
            loop {
                every.tick().await;
                if let Ok((200, _)) = client::connect(self.healthz).await.get("localhost", "/readyz").await {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ready).await.expect("not ready after ten seconds");
    }

    /// The value of a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, text) = client::connect(self.healthz).await.get("localhost", "/metrics").await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric {name}")).parse().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        // One that has ended already needs no signal.
        child.kill().ok();
        child.wait().unwrap();
    }
}
