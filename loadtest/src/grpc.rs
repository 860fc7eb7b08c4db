//! gRPC unary calls: one at a time on each connection, over TLS.
use std::io;
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use crate::Target;
use crate::client::{other, shake, tls};
use crate::latency::Latencies;

/// A message of eight bytes, uncompressed, with its length.
const MESSAGE: &[u8] = b"\0\0\0\0\x0812345678";

/// Counts calls that ended with status 0.
pub(crate) async fn run(target: Target) -> io::Result<Value> {
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..target.connections {
        clients.spawn(one(target.clone(), number));
    }
    let (mut latencies, mut failed) = (Latencies::default(), 0_u64);
    while let Some(client) = clients.join_next().await {
        match client {
            Ok(Ok((more, wrong))) => {
                latencies.add(&more);
                failed += wrong;
            }
            _ => failed += 1,
        }
    }
    Ok(json!({"requests": latencies.count() + failed, "failed": failed, "latency": latencies.json()}))
}

async fn one(target: Target, number: usize) -> io::Result<(Latencies, u64)> {
    let host = target.host(number);
    let stream = shake(&tls(&["h2"], false)?, target.address, &host).await?;
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(other)?;
    tokio::spawn(connection);
    let end = Instant::now() + target.duration();
    let (mut latencies, mut failed) = (Latencies::default(), 0);
    while Instant::now() < end {
        let started = Instant::now();
        match call(&mut sender, &host).await {
            Ok(()) => latencies.record(started.elapsed()),
            Err(_) => failed += 1,
        }
    }
    Ok((latencies, failed))
}

async fn call(sender: &mut SendRequest<Full<Bytes>>, host: &str) -> io::Result<()> {
    let request = Request::post(format!("https://{host}/echo.Echo/Unary"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(MESSAGE)))
        .map_err(other)?;
    sender.ready().await.map_err(other)?;
    let answer = sender.send_request(request).await.map_err(other)?.into_body().collect().await.map_err(other)?;
    let status = answer.trailers().and_then(|trailers| trailers.get("grpc-status").cloned());
    if status.is_some_and(|status| status == "0") { Ok(()) } else { Err(other("not status 0")) }
}
