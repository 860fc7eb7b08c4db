//! WebSocket messages: each connection sends one, waits for its echo, and sends the next.
use std::io;
use std::time::Instant;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::Target;
use crate::client::{other, tcp};
use crate::latency::Latencies;

/// Bytes of a message.
const MESSAGE: &[u8] = &[b'x'; 64];

/// Counts echoes.
pub(crate) async fn run(target: Target) -> io::Result<Value> {
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..target.connections {
        clients.spawn(one(target.clone(), number));
    }
    let (mut latencies, mut failed) = (Latencies::default(), 0_u64);
    while let Some(client) = clients.join_next().await {
        match client {
            Ok(Ok(more)) => latencies.add(&more),
            _ => failed += 1,
        }
    }
    Ok(json!({"requests": latencies.count(), "failed": failed, "latency": latencies.json()}))
}

async fn one(target: Target, number: usize) -> io::Result<Latencies> {
    let url = format!("ws://{}{}", target.host(number), target.path);
    let (mut socket, _) = tokio_tungstenite::client_async(url, tcp(target.address).await?).await.map_err(other)?;
    let end = Instant::now() + target.duration();
    let mut latencies = Latencies::default();
    while Instant::now() < end {
        let started = Instant::now();
        socket.send(Message::Binary(Bytes::from_static(MESSAGE))).await.map_err(other)?;
        socket.next().await.ok_or_else(|| other("closed early"))?.map_err(other)?;
        latencies.record(started.elapsed());
    }
    Ok(latencies)
}
