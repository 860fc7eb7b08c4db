//! Requests of the gateway's own, to servers that rules name by URL: authentication services, mirrors, error pages.
//!
//! Redirects are not followed, and nothing is asked twice that the server may have seen.
mod connect;
mod connect_tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::Error;
use connect::Connector;

/// Idle connections that are kept to one server, and for how long.
const IDLE: usize = 64;
const IDLE_FOR: Duration = Duration::from_secs(60);

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
    client: Client<Connector, Full<Bytes>>,
    connector: Connector,
}

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
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_FOR).pool_max_idle_per_host(IDLE);
        builder.http1_max_buf_size(HEAD).set_host(false).retry_canceled_requests(true);
        Self { client: builder.build(connector.clone()), connector }
    }

    /// Sends a request with an absolute URI and a Host field; the answer comes whole.
    pub(crate) async fn send(&self, request: Request<Bytes>, patience: Patience) -> Result<Response<Bytes>, Failed> {
        let uri = Arc::new(request.uri().clone());
        let failed = |why: &dyn fmt::Display| {
            Failed(format!(
                "{}://{}: {why}",
                uri.scheme_str().unwrap_or_default(),
                uri.authority().map_or("", |a| a.as_str())
            ))
        };
        let exchange = async {
            let response =
                self.client.request(request.map(Full::new)).await.map_err(|error| failed(&causes(&error)))?;
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
