//! A backend that says exactly what a scenario wants, also what no server should.
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::{Head, Wire};

/// A raw TCP server; ends on drop.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
    heads: Arc<Mutex<Vec<(usize, Head)>>>,
}

impl Scripted {
    /// Runs a script for each connection.
    pub(crate) async fn start<F>(script: impl Fn(Wire<TcpStream>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::numbered(move |_, wire| script(wire)).await
    }

    /// Runs a script for each connection, told which one it is, from 0.
    pub(crate) async fn numbered<F>(script: impl Fn(usize, Wire<TcpStream>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                connections.spawn(script(number, Wire::new(stream)));
                number += 1;
            }
        });
        Self { address, task, heads: Arc::default() }
    }

    /// Answers every request with the same bytes on a connection it keeps, and remembers the heads.
    pub(crate) async fn answering(response: impl Into<Vec<u8>>) -> Self {
        let heads: Arc<Mutex<Vec<(usize, Head)>>> = Arc::default();
        let (response, seen) = (response.into(), heads.clone());
        let script = move |number, mut wire: Wire<TcpStream>| {
            let (response, seen) = (response.clone(), seen.clone());
            async move {
                while let Some(head) = wire.try_head().await {
                    wire.body(&head).await;
                    seen.lock().unwrap().push((number, head));
                    if wire.try_send(&response).await.is_err() {
                        break;
                    }
                }
            }
        };
        let mut this = Self::numbered(script).await;
        this.heads = heads;
        this
    }

    /// Answers every request with 200 and remembers the heads.
    pub(crate) async fn recording() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await
    }

    /// The heads seen so far.
    pub(crate) fn heads(&self) -> Vec<Head> {
        self.heads.lock().unwrap().iter().map(|(_, head)| head.clone()).collect()
    }

    /// The connection that each request came on.
    pub(crate) fn connections(&self) -> Vec<usize> {
        self.heads.lock().unwrap().iter().map(|(number, _)| *number).collect()
    }

    /// The head of the last request.
    pub(crate) fn last(&self) -> Head {
        self.heads().pop().expect("a request was seen")
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}
