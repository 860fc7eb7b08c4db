//! The operator's port: metrics, liveness and readiness.
mod nginx_objects;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use http::{HeaderValue, Method, Response, StatusCode, header};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use tokio::sync::Notify;

use crate::live::Live;
use crate::metrics::{self, Metrics};
use crate::upstream;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

const INDEX: &str = "\
/metrics  figures for Prometheus
/healthz  200 while the process lives
/readyz   200 while it should get traffic
/peers    clusters and their endpoints as JSON; /peers?namespace/service for one Service
";

/// Should the gateway get traffic?
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    synced: AtomicBool,
    news: Notify,
    terminating: AtomicBool,
}

impl Readiness {
    /// Everything there is to read is live.
    pub(crate) fn set_synced(&self) {
        self.synced.store(true, Ordering::Release);
        self.news.notify_one();
    }

    /// Waits until everything there is to read is live. For one who waits at a time.
    pub(crate) async fn until_synced(&self) {
        while !self.synced.load(Ordering::Acquire) {
            self.news.notified().await;
        }
    }

    /// The process is about to end; there is no way back.
    pub(crate) fn set_terminating(&self) {
        self.terminating.store(true, Ordering::Release);
    }

    /// Why it should not get traffic; nothing when it should.
    pub(crate) fn obstacle(&self) -> Option<&'static str> {
        if self.terminating.load(Ordering::Acquire) {
            Some("terminating")
        } else if !self.synced.load(Ordering::Acquire) {
            Some("waiting for the first full table")
        } else {
            None
        }
    }
}

/// Answers on the operator's port.
pub(crate) struct Admin {
    /// What `/metrics` shows.
    pub(crate) metrics: Arc<Metrics>,
    /// Whose certificates `/metrics` shows.
    pub(crate) live: Arc<Live>,
    /// What `/readyz` shows.
    pub(crate) readiness: Arc<Readiness>,
}

impl Admin {
    async fn answer(&self, method: &Method, path: &str, query: &str) -> Response<Vec<u8>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let mut response = match path {
            "/" => text(StatusCode::OK, INDEX),
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match self.readiness.obstacle() {
                None => text(StatusCode::OK, &self.ready()),
                Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {why}\n")),
            },
            "/metrics" => self.metrics().await,
            "/peers" => response(StatusCode::OK, JSON, upstream::peers(&self.live.clusters, query)),
            _ => text(StatusCode::NOT_FOUND, "not found; / lists what is here\n"),
        };
        if *method == Method::HEAD {
            // Content-Length stays that of the body which GET would send.
            response.body_mut().clear();
        }
        response
    }

    /// Stays ready while the API server is away: what is known serves on, and taking every replica out at once would not.
    fn ready(&self) -> String {
        let stale = self.metrics.control.staleness(Instant::now());
        let stale = stale.into_iter().map(|(kind, seconds)| format!("stale: {kind} for {seconds} s\n"));
        std::iter::once("ready\n".to_owned()).chain(stale).collect()
    }

    /// Encodes on a thread for blocking work: many series take long enough to hold up whatever shares this thread.
    async fn metrics(&self) -> Response<Vec<u8>> {
        let (metrics, live) = (self.metrics.clone(), self.live.clone());
        let encoded = tokio::task::spawn_blocking(move || {
            metrics.sweep(Instant::now());
            live.clusters.publish();
            drop(metrics.control.staleness(Instant::now()));
            // Here rather than with each table, so that a change costs nothing for the certificates it leaves alone.
            let table = live.table();
            let certificates = table.certificates.iter().map(|(_, certificate)| certificate);
            metrics.control.certificates(certificates.chain(&table.default_certificate).map(Arc::as_ref));
            let objects = metrics.nginx.is_some().then(|| nginx_objects::of(&table, &live.clusters));
            metrics.encode(&objects.unwrap_or_default())
        });
        match encoded.await {
            Ok(Ok(body)) => response(StatusCode::OK, metrics::CONTENT_TYPE, body),
            Ok(Err(error)) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("metrics cannot be encoded: {error}\n")),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("metrics cannot be gathered: {error}\n")),
        }
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let (method, uri) = {
            let head = session.req_header();
            (head.method.clone(), head.uri.clone())
        };
        self.answer(&method, uri.path(), uri.query().unwrap_or_default()).await
    }
}

fn text(status: StatusCode, body: &str) -> Response<Vec<u8>> {
    response(status, TEXT, body.as_bytes().to_vec())
}

fn response(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let length = body.len();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Health;

    fn admin() -> Admin {
        let (metrics, readiness) = (Arc::new(Metrics::new().unwrap()), Arc::default());
        let live = Arc::new(Live::new(metrics.clone(), Arc::clone(&readiness), Health::new(None, None), 443));
        Admin { metrics, live, readiness }
    }

    fn ask(admin: &Admin, method: &Method, path: &str) -> (u16, String, Response<Vec<u8>>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let response = runtime.block_on(admin.answer(method, path, ""));
        let body = String::from_utf8(response.body().clone()).unwrap();
        (response.status().as_u16(), body, response)
    }

    fn get(admin: &Admin, path: &str) -> (u16, String) {
        let (status, body, response) = ask(admin, &Method::GET, path);
        assert_eq!(response.headers()[header::CONTENT_LENGTH], body.len().to_string());
        (status, body)
    }

    #[test]
    fn ready_only_between_the_first_sync_and_termination() {
        let admin = admin();
        assert_eq!(get(&admin, "/readyz"), (503, "not ready: waiting for the first full table\n".to_owned()));
        admin.readiness.set_synced();
        assert_eq!(get(&admin, "/readyz"), (200, "ready\n".to_owned()));
        admin.readiness.set_terminating();
        assert_eq!(get(&admin, "/readyz"), (503, "not ready: terminating\n".to_owned()));
        assert_eq!(get(&admin, "/healthz"), (200, "ok\n".to_owned()));
    }

    #[test]
    fn metrics_are_shown() {
        let admin = admin();
        let rule = admin.metrics.rule(&Arc::default());
        rule.observe(metrics::MethodLabel::Get, 404, 0.001);
        let (status, body, response) = ask(&admin, &Method::GET, "/metrics");
        assert_eq!((status, body.contains("ingora_requests_total{")), (200, true));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; version=0.0.4");
    }

    #[test]
    fn head_answers_with_the_length_and_no_body() {
        let (status, body, response) = ask(&admin(), &Method::HEAD, "/healthz");
        assert_eq!((status, body.as_str()), (200, ""));
        assert_eq!(response.headers()[header::CONTENT_LENGTH], "3");
    }

    #[test]
    fn the_index_lists_every_path() {
        let admin = admin();
        admin.readiness.set_synced();
        let (status, index) = get(&admin, "/");
        assert_eq!(status, 200);
        for line in index.lines() {
            let path = line.split(' ').next().unwrap();
            assert_eq!(get(&admin, path).0, 200, "{path}");
        }
    }

    #[test]
    fn other_paths_and_methods_are_refused() {
        let admin = admin();
        assert_eq!(get(&admin, "/metrics/").0, 404);
        let (status, _, response) = ask(&admin, &Method::POST, "/metrics");
        assert_eq!((status, response.headers()[header::ALLOW].as_bytes()), (405, &b"GET, HEAD"[..]));
    }
}
