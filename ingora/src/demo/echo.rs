//! The demo's pods: HTTP servers on loopback ports that tell who they are and what they got.
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::failure::Failure;

/// A pod that runs.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    /// Its Service.
    pub(super) service: &'static str,
    /// Its name.
    pub(super) name: Arc<str>,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

/// Starts the pods of each Service; they end with the runtime.
pub(super) async fn start(services: &[(&'static str, usize)]) -> Result<Vec<Pod>, Failure> {
    let mut pods = Vec::new();
    for (service, count) in services {
        for number in 1..=*count {
            pods.push(start_pod(service, number).await.map_err(|error| {
                Failure::runtime(format!("the example pod {service}-{number} cannot listen on 127.0.0.1: {error}"))
            })?);
        }
    }
    Ok(pods)
}

async fn start_pod(service: &'static str, number: usize) -> std::io::Result<Pod> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let pod = Pod { service, name: format!("{service}-{number}").into(), address: listener.local_addr()? };
    tokio::spawn(serve(listener, pod.clone()));
    Ok(pod)
}

async fn serve(listener: TcpListener, pod: Pod) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let pod = pod.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(pod.clone(), request));
                    let served =
                        Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                    if let Err(error) = served {
                        tracing::debug!(%error, "a connection to an example pod ended early");
                    }
                });
            }
            Err(error) => tracing::warn!(%error, pod = &*pod.name, "an example pod cannot accept"),
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Who answers, what was asked, and every field as it arrived.
async fn answer(pod: Pod, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, mut body) = request.into_parts();
    let mut received = 0;
    while let Some(Ok(frame)) = body.frame().await {
        received += frame.data_ref().map_or(0, Bytes::len);
    }
    let mut text = format!("service: {}\npod: {}\n\n", pod.service, pod.name);
    text.push_str(&format!("{} {} {:?}\n{}", head.method, head.uri, head.version, fields(&head.headers)));
    if received > 0 {
        text.push_str(&format!("\nbody: {received} bytes\n"));
    }
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

fn fields(headers: &HeaderMap) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))).collect()
}
