//! New TLS connections: each shakes hands, sends one request, reads the answer and closes.
use std::io;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::Target;
use crate::client::{shake, tls};
use crate::latency::Latencies;

/// Flags of `handshakes`.
#[derive(Args, Debug)]
pub(crate) struct HandshakeArgs {
    #[command(flatten)]
    target: Target,
    /// Come back with a ticket, which saves both sides the certificate
    #[arg(long)]
    resume: bool,
}

/// Counts connections and those that were resumed.
pub(crate) async fn run(args: HandshakeArgs) -> io::Result<Value> {
    let end = Instant::now() + args.target.duration();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..args.target.connections {
        let (target, connector) = (args.target.clone(), tls(&["http/1.1"], args.resume)?);
        clients.spawn(async move {
            let (mut latencies, mut failed, mut resumed) = (Latencies::default(), 0_u64, 0_u64);
            while Instant::now() < end {
                let started = Instant::now();
                match once(&connector, &target, number).await {
                    Ok(again) => {
                        latencies.record(started.elapsed());
                        resumed += u64::from(again);
                    }
                    Err(_) => failed += 1,
                }
            }
            (latencies, failed, resumed)
        });
    }
    let (mut latencies, mut failed, mut resumed) = (Latencies::default(), 0, 0);
    while let Some(Ok((more, wrong, again))) = clients.join_next().await {
        latencies.add(&more);
        failed += wrong;
        resumed += again;
    }
    Ok(json!({
        "requests": latencies.count() + failed, "failed": failed, "resumed": resumed, "latency": latencies.json(),
    }))
}

/// Was the session resumed?
async fn once(connector: &TlsConnector, target: &Target, number: usize) -> io::Result<bool> {
    let host = target.host(number);
    let mut stream = shake(connector, target.address, &host).await?;
    let head = format!("GET {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", target.path);
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer).await {
        // Not every server says goodbye.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other("not answered with 200"));
    }
    Ok(stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed))
}
