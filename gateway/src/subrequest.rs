//! Requests of the gateway's own, to servers that rules name by URL: authentication services, mirrors, error pages.
//!
//! Redirects are not followed, and nothing is asked twice that the server may have seen.
mod connect;
mod connect_tls;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use features::Keep;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::Error;
use connect::{Connector, Uses};

/// Idle connections that are kept to one server, and for how long.
const IDLE: usize = 64;
const IDLE_FOR: Duration = Duration::from_secs(60);

/// Ways of keeping connections that are remembered at a time.
const OTHERS: usize = 64;

/// Largest head of an answer, in bytes.
const HEAD: usize = 64 * 1024;

/// What a server may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Time in all.
    pub(crate) time: Duration,
    /// Bytes of a body.
    pub(crate) body: usize,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A client with connections of its own. It belongs to one worker.
pub(crate) struct Subrequests {
    client: HttpClient,
    /// For servers whose connections are kept in another way.
    others: Mutex<HashMap<Keep, HttpClient>>,
    connector: Connector,
}

type HttpClient = Client<Connector, Full<Bytes>>;

impl Subrequests {
    /// A client without connections yet.
    pub(crate) fn new() -> Result<Self, Error> {
        let connector = Connector::new().map_err(|error| Error(format!("TLS cannot be set up: {error}")))?;
        Ok(Self::with(connector))
    }

    /// Another such client.
    pub(crate) fn anew(&self) -> Self {
        Self::with(self.connector.anew())
    }

    fn with(connector: Connector) -> Self {
        Self { client: client(&connector, IDLE, IDLE_FOR), others: Mutex::default(), connector }
    }

    /// The client that keeps connections so.
    fn keeping(&self, keep: Option<Keep>) -> HttpClient {
        let Some(keep) = keep else { return self.client.clone() };
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if others.len() >= OTHERS && !others.contains_key(&keep) {
            // Their connections finish what they have begun.
            others.clear();
        }
        let idle = usize::try_from(keep.idle).unwrap_or(usize::MAX);
        let make = || client(&self.connector, idle, Duration::from_secs(keep.seconds.into()));
        others.entry(keep).or_insert_with(make).clone()
    }

    /// Sends a request with an absolute URI and a Host field; the answer comes whole.
    pub(crate) async fn send(&self, request: Request<Bytes>, patience: Patience) -> Result<Response<Bytes>, Failed> {
        self.send_keeping(request, patience, None).await
    }

    /// The same; connections to the server are kept so.
    pub(crate) async fn send_keeping(
        &self,
        request: Request<Bytes>,
        patience: Patience,
        keep: Option<Keep>,
    ) -> Result<Response<Bytes>, Failed> {
        let uri = Arc::new(request.uri().clone());
        let failed = |why: &dyn fmt::Display| {
            Failed(format!(
                "{}://{}: {why}",
                uri.scheme_str().unwrap_or_default(),
                uri.authority().map_or("", |a| a.as_str())
            ))
        };
        let exchange = async {
            let mut request = request.map(Full::new);
            let used = keep.map(|keep| (keep, capture_connection(&mut request)));
            let response = self.keeping(keep).request(request).await.map_err(|error| failed(&causes(&error)))?;
            if let Some((keep, connection)) = used {
                retire(&response, keep, &connection);
            }
            let (head, body) = response.into_parts();
            let body = Limited::new(body, patience.body).collect().await.map_err(|error| failed(&error))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        match tokio::time::timeout(patience.time, exchange).await {
            Ok(result) => result,
            Err(_) => Err(failed(&"took too long")),
        }
    }
}

fn client(connector: &Connector, idle: usize, idle_for: Duration) -> HttpClient {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(idle_for).pool_max_idle_per_host(idle);
    builder.http1_max_buf_size(HEAD).set_host(false).retry_canceled_requests(true);
    builder.build(connector.clone())
}

/// A connection that has had its requests gets no further one.
fn retire<B>(response: &Response<B>, keep: Keep, connection: &CaptureConnection) {
    let uses = response.extensions().get::<Uses>().map_or(1, Uses::count);
    if uses >= keep.requests
        && let Some(connected) = &*connection.connection_metadata()
    {
        connected.poison();
    }
}

/// An error with what caused it: hyper's own texts say little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
