//! A very small API server: lists and watches over plain HTTP, as much as a client of five kinds needs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The server's memory, which survives an outage.
#[derive(Default)]
struct Store {
    version: u64,
    /// Objects by resource and name.
    objects: BTreeMap<(String, String), Value>,
    /// Watch events: version, resource, event.
    log: Vec<(u64, String, Value)>,
    forbidden: BTreeSet<String>,
    requests: Vec<String>,
}

/// A running server.
pub(crate) struct Api {
    address: SocketAddr,
    store: Arc<Mutex<Store>>,
    changed: watch::Sender<u64>,
    serving: JoinSet<()>,
}

impl Api {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut api = Self {
            address: listener.local_addr().unwrap(),
            store: Arc::default(),
            changed: watch::Sender::new(0),
            serving: JoinSet::new(),
        };
        api.serve(listener);
        api
    }

    fn serve(&mut self, listener: TcpListener) {
        let (store, changed) = (self.store.clone(), self.changed.subscribe());
        self.serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, store.clone(), changed.clone()));
            }
        });
    }

    /// Cuts all connections and accepts no more.
    pub(crate) async fn stop(&mut self) {
        self.serving.shutdown().await;
    }

    /// Serves again after [`Api::stop`].
    pub(crate) async fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    /// A kubeconfig that leads here.
    pub(crate) fn kubeconfig(&self) -> tempfile::NamedTempFile {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config.to_string()).unwrap();
        file
    }

    /// Creates or changes an object, given as YAML.
    pub(crate) fn set(&self, resource: &str, manifest: &str) {
        self.change(resource, serde_saphyr::from_str(manifest).unwrap(), "MODIFIED");
    }

    /// Deletes an object and tells the watches.
    pub(crate) fn delete(&self, resource: &str, name: &str) {
        let object = self.forget(resource, name);
        self.change(resource, object, "DELETED");
        self.forget(resource, name);
    }

    /// Deletes an object without telling.
    pub(crate) fn forget(&self, resource: &str, name: &str) -> Value {
        self.store.lock().unwrap().objects.remove(&(resource.to_owned(), name.to_owned())).unwrap()
    }

    /// Ends all watches of a resource with 410 Gone.
    pub(crate) fn expire(&self, resource: &str) {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired",
            "code": 410, "message": "too old resource version"});
        self.log(resource, json!({"type": "ERROR", "object": status}));
    }

    pub(crate) fn forbid(&self, resource: &str) {
        self.store.lock().unwrap().forbidden.insert(resource.to_owned());
    }

    /// The request lines so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.store.lock().unwrap().requests.clone()
    }

    fn change(&self, resource: &str, mut object: Value, kind: &str) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        object["metadata"]["namespace"] = json!("default");
        object["metadata"]["resourceVersion"] = json!((self.store.lock().unwrap().version + 1).to_string());
        self.store.lock().unwrap().objects.insert((resource.to_owned(), name), object.clone());
        self.log(resource, json!({"type": kind, "object": object}));
    }

    fn log(&self, resource: &str, event: Value) {
        let mut store = self.store.lock().unwrap();
        store.version += 1;
        let version = store.version;
        store.log.push((version, resource.to_owned(), event));
        self.changed.send_replace(version);
    }
}

async fn answer(mut stream: TcpStream, store: Arc<Mutex<Store>>, changed: watch::Receiver<u64>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let resource = path.rsplit('/').next().unwrap().to_owned();
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let is_forbidden = {
        let mut store = store.lock().unwrap();
        store.requests.push(target.clone());
        store.forbidden.contains(&resource)
    };
    let written = if is_forbidden {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": "not yours"});
        reply(&mut stream, "403 Forbidden", &status).await
    } else if parameter("watch") == Some("true") {
        let from = parameter("resourceVersion").unwrap().parse().unwrap();
        follow(&mut stream, &resource, from, &store, changed).await
    } else {
        let list = list(&resource, &store.lock().unwrap());
        reply(&mut stream, "200 OK", &list).await
    };
    // The client may have gone.
    drop(written);
}

fn list(resource: &str, store: &Store) -> Value {
    let items: Vec<_> = store.objects.iter().filter(|((of, _), _)| of == resource).map(|(_, object)| object).collect();
    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": store.version.to_string()}, "items": items})
}

async fn reply(stream: &mut TcpStream, status: &str, body: &Value) -> std::io::Result<()> {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await
}

/// Streams the events after a version for ever.
async fn follow(
    stream: &mut TcpStream,
    resource: &str,
    mut from: u64,
    store: &Mutex<Store>,
    mut changed: watch::Receiver<u64>,
) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    loop {
        let events: Vec<_> = {
            let store = store.lock().unwrap();
            let news = store.log.iter().filter(|(version, of, _)| *version > from && of == resource);
            let news = news.map(|(_, _, event)| format!("{event}\n")).collect();
            from = store.version;
            news
        };
        for event in events {
            stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
        }
        if changed.changed().await.is_err() {
            return Ok(());
        }
    }
}
