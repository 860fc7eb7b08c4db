//! A very small API server: lists, watches and writes over plain HTTP, and whatever can go wrong with them.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// Resources of which only objects that are named can be read.
    unlisted: BTreeSet<String>,
    /// What goes wrong with the next requests for a resource.
    faults: BTreeMap<String, VecDeque<Breakdown>>,
    requests: Vec<String>,
}

impl Store {
    /// Keeps an object, tells the watches, and returns it as it is now.
    fn put(&mut self, resource: &str, mut object: Value, event: &str, changed: &watch::Sender<u64>) -> Value {
        self.version += 1;
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        if object["metadata"]["namespace"].is_null() {
            object["metadata"]["namespace"] = json!("default");
        }
        object["metadata"]["uid"] = json!(format!("uid-of-{name}"));
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert((resource.to_owned(), name), object.clone());
        self.log.push((self.version, resource.to_owned(), json!({"type": event, "object": object})));
        changed.send_replace(self.version);
        object
    }
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
        let (store, changed) = (self.store.clone(), self.changed.clone());
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

    /// Takes [`Api::forbid`] back.
    pub(crate) fn permit(&self, resource: &str) {
        self.store.lock().unwrap().forbidden.remove(resource);
    }

    /// Forbids lists and watches only.
    pub(crate) fn forbid_listing(&self, resource: &str) {
        self.store.lock().unwrap().unlisted.insert(resource.to_owned());
    }

    /// The request lines so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.store.lock().unwrap().requests.clone()
    }

    /// What goes wrong with the next requests for a resource, or `resource/name`, in order.
    pub(crate) fn break_next(&self, resource: &str, faults: &[Breakdown]) {
        self.store.lock().unwrap().faults.entry(resource.to_owned()).or_default().extend(faults);
    }

    /// Sends an event again, or one out of order.
    pub(crate) fn replay(&self, resource: &str, kind: &str, object: &Value) {
        self.log(resource, json!({"type": kind, "object": object}));
    }

    /// The object of this name as it is now.
    pub(crate) fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.store.lock().unwrap().objects.get(&(resource.to_owned(), name.to_owned())).cloned()
    }

    /// All objects of a resource.
    pub(crate) fn all(&self, resource: &str) -> Vec<Value> {
        let store = self.store.lock().unwrap();
        store.objects.iter().filter(|((of, _), _)| of == resource).map(|(_, object)| object.clone()).collect()
    }

    /// Waits until the objects show something.
    pub(crate) async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            while !done(self) {
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(crate::common::PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    /// Creates or changes an object.
    pub(crate) fn put(&self, resource: &str, object: Value) {
        self.store.lock().unwrap().put(resource, object, "MODIFIED", &self.changed);
    }

    fn change(&self, resource: &str, object: Value, kind: &str) {
        self.store.lock().unwrap().put(resource, object, kind, &self.changed);
    }

    fn log(&self, resource: &str, event: Value) {
        let mut store = self.store.lock().unwrap();
        store.version += 1;
        let version = store.version;
        store.log.push((version, resource.to_owned(), event));
        self.changed.send_replace(version);
    }
}

/// What a request asks for.
struct Request {
    method: String,
    target: String,
    resource: String,
    name: Option<String>,
    body: Value,
}

impl Request {
    fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    let path = target.split('?').next().unwrap();
    // After /api/v1 or /apis/group/version.
    let mut segments: Vec<_> = path.split('/').skip(if path.starts_with("/apis/") { 4 } else { 3 }).collect();
    if segments.len() > 2 && segments[0] == "namespaces" {
        segments.drain(..2);
    }
    let (resource, name) = (segments[0].to_owned(), segments.get(1).map(|name| (*name).to_owned()));
    Some(Request { method, resource, name, body: serde_json::from_slice(&body).unwrap_or_default(), target })
}

async fn answer(mut stream: TcpStream, store: Arc<Mutex<Store>>, changed: watch::Sender<u64>) {
    let Some(request) = read(&mut stream).await else { return };
    let (is_forbidden, fault) = {
        let mut store = store.lock().unwrap();
        store.requests.push(request.target.clone());
        let of = match &request.name {
            Some(name) => format!("{}/{name}", request.resource),
            None => request.resource.clone(),
        };
        let fault = store.faults.get_mut(&of).and_then(VecDeque::pop_front);
        let unlisted = request.name.is_none() && store.unlisted.contains(&request.resource);
        (unlisted || store.forbidden.contains(&request.resource), fault)
    };
    let written = if is_forbidden {
        reply(&mut stream, 403, &failure(403, "Forbidden")).await
    } else if let Some(fault) = fault {
        break_down(&mut stream, fault).await
    } else if request.parameter("watch") == Some("true") {
        let from = request.parameter("resourceVersion").unwrap().parse().unwrap();
        follow(&mut stream, &request.resource, from, &store, changed.subscribe()).await
    } else if let Some(name) = &request.name {
        let (status, body) = one(&request, name, &mut store.lock().unwrap(), &changed);
        reply(&mut stream, status, &body).await
    } else if request.method == "POST" {
        let (status, body) = create(&request, &mut store.lock().unwrap(), &changed);
        reply(&mut stream, status, &body).await
    } else {
        let list = list(&request.resource, &store.lock().unwrap());
        reply(&mut stream, 200, &list).await
    };
    // The client may have gone.
    drop(written);
}

/// Something that an API server should not do.
#[derive(Clone, Copy)]
pub(crate) enum Breakdown {
    /// A failure.
    Status(u16),
    /// A body that is no JSON.
    Garbage,
    /// A list without an object.
    Empty,
    /// No answer, on a connection that stays open.
    Silence,
}

async fn break_down(stream: &mut TcpStream, fault: Breakdown) -> std::io::Result<()> {
    match fault {
        Breakdown::Status(code) => reply(stream, code, &failure(code, "Broken")).await,
        Breakdown::Garbage => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\n<html>{\n").await
        }
        Breakdown::Empty => {
            let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []});
            reply(stream, 200, &list).await
        }
        Breakdown::Silence => std::future::pending().await,
    }
}

fn failure(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": "not yours"})
}

/// GET, PUT or PATCH of an object.
fn one(request: &Request, name: &str, store: &mut Store, changed: &watch::Sender<u64>) -> (u16, Value) {
    let key = (request.resource.clone(), name.to_owned());
    let Some(mut object) = store.objects.get(&key).cloned() else { return (404, failure(404, "NotFound")) };
    if request.method == "GET" {
        return (200, object);
    }
    let asked = &request.body["metadata"]["resourceVersion"];
    if !asked.is_null() && *asked != object["metadata"]["resourceVersion"] {
        return (409, failure(409, "Conflict"));
    }
    match request.parameter("fieldManager") {
        None if request.method == "PUT" => object = request.body.clone(),
        None => merge(&mut object, &request.body),
        Some(manager) => {
            let manager = manager.replace("%3A", ":").replace("%2F", "/");
            let owned = &object["metadata"]["managedFields"];
            let others = owned.as_array().is_some_and(|list| list.iter().any(|entry| entry["manager"] != manager));
            if others && object["status"] != request.body["status"] {
                let mut conflict = failure(409, "Conflict");
                conflict["details"] =
                    json!({"causes": [{"reason": "FieldManagerConflict", "message": "conflict with \"other\""}]});
                return (409, conflict);
            }
            object["status"] = request.body["status"].clone();
            object["metadata"]["managedFields"] =
                json!([{"manager": manager, "operation": "Apply", "subresource": "status"}]);
        }
    }
    (200, store.put(&request.resource, object, "MODIFIED", changed))
}

fn create(request: &Request, store: &mut Store, changed: &watch::Sender<u64>) -> (u16, Value) {
    let name = request.body["metadata"]["name"].as_str().unwrap().to_owned();
    if store.objects.contains_key(&(request.resource.clone(), name)) {
        return (409, failure(409, "AlreadyExists"));
    }
    (201, store.put(&request.resource, request.body.clone(), "ADDED", changed))
}

/// A JSON merge patch (RFC 7396) that removes nothing.
fn merge(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            patch.iter().for_each(|(key, value)| merge(object.entry(key).or_insert(Value::Null), value));
        }
        (object, patch) => *object = patch.clone(),
    }
}

fn list(resource: &str, store: &Store) -> Value {
    let items: Vec<_> = store.objects.iter().filter(|((of, _), _)| of == resource).map(|(_, object)| object).collect();
    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": store.version.to_string()}, "items": items})
}

async fn reply(stream: &mut TcpStream, status: u16, body: &Value) -> std::io::Result<()> {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
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
