//! Connections that do nothing: what each costs the gateway in memory.
use std::io;

use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Target;
use crate::client::{shake, tcp, tls};

/// Flags of `idle`.
#[derive(Args, Debug)]
pub(crate) struct IdleArgs {
    #[command(flatten)]
    target: Target,
    /// Over TLS
    #[arg(long)]
    tls: bool,
}

/// Opens them, each with one request, prints how many, and holds them until standard input ends.
pub(crate) async fn run(args: IdleArgs) -> io::Result<Value> {
    let connector = tls(&["http/1.1"], false)?;
    let mut plain = Vec::new();
    let mut secure = Vec::new();
    for number in 0..args.target.connections {
        let host = args.target.host(number);
        let head = format!("GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", args.target.path);
        if args.tls {
            let mut stream = shake(&connector, args.target.address, &host).await?;
            stream.write_all(head.as_bytes()).await?;
            answered(stream.read(&mut [0; 4096]).await?)?;
            secure.push(stream);
        } else {
            let mut stream = tcp(args.target.address).await?;
            stream.write_all(head.as_bytes()).await?;
            answered(stream.read(&mut [0; 4096]).await?)?;
            plain.push(stream);
        }
    }
    let open = plain.len() + secure.len();
    io::Write::write_all(&mut io::stdout(), format!("{}\n", json!({"open": open})).as_bytes())?;
    tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await.map_err(io::Error::other)??;
    drop((plain, secure));
    Ok(Value::Null)
}

fn answered(bytes: usize) -> io::Result<()> {
    if bytes == 0 { Err(io::Error::other("a connection was closed without an answer")) } else { Ok(()) }
}
