//! The open connections of an endpoint, so that idle ones can be closed when it goes.
//!
//! Pingora keeps idle connections in a pool that lets go of them when they are used, closed by the endpoint or too old. A
//! server that waits for its connections to end before it stops would wait for the last of these.
use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::ext;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::upstreams::peer::{Tracer, Tracing};
use pingora::{Error, ErrorType, Result};

use crate::balance::Endpoint;

/// The open connections of one endpoint. Locked when one is made and when one ends, not by requests on kept ones.
#[derive(Debug, Default)]
pub(crate) struct Connections(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    /// So many were made.
    made: u64,
    /// Second handles of the sockets that Pingora has. One goes before Pingora's does, so that the connection ends with it.
    sockets: BTreeMap<u64, TcpStream>,
}

/// Forgets a connection when Pingora drops it.
#[derive(Clone, Debug)]
struct Ends {
    open: Arc<Mutex<Open>>,
    number: u64,
}

impl Connections {
    /// Those of an endpoint.
    pub(crate) fn of(endpoint: &Endpoint) -> Option<&Arc<Self>> {
        endpoint.resolved().get_or_init(|| Arc::new(Arc::default()))
    }

    /// Ends all of them. What a request still waits for is lost, so none may be in flight.
    pub(crate) fn close(&self) {
        for socket in open(&self.0).sockets.values() {
            // Whoever watches the idle connection sees its end and drops it. It may have ended already.
            socket.shutdown(Shutdown::Both).ok();
        }
    }

    fn add(&self, socket: TcpStream) -> Tracer {
        let mut open = open(&self.0);
        open.made += 1;
        let number = open.made;
        open.sockets.insert(number, socket);
        Tracer(Box::new(Ends { open: self.0.clone(), number }))
    }
}

#[async_trait]
impl L4Connect for Connections {
    /// As Pingora connects by itself; its limit of time for the whole connection holds here too.
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::InternalError, "an endpoint has an IP address");
        };
        let socket = ext::connect(address, None).await?;
        // Without a second handle the connection is merely closed later.
        let second = socket.as_fd().try_clone_to_owned().map(TcpStream::from);
        let mut stream = Stream::from(socket);
        stream.tracer = second.ok().map(|second| self.add(second));
        Ok(stream)
    }
}

impl Tracing for Ends {
    fn on_connected(&self) {}

    fn on_disconnected(&self) {
        open(&self.open).sockets.remove(&self.number);
    }

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(self.clone())
    }
}

fn open(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_connection_that_pingora_drops_ends_and_one_that_is_closed_is_seen_by_both_sides() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = SocketAddr::Inet(listener.local_addr().unwrap());
        let connections = Connections::default();
        let dropped = connections.connect(&address).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        drop(dropped);
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        assert!(open(&connections.0).sockets.is_empty());
        let mut closed = connections.connect(&address).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        connections.close();
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(closed.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_refuses_is_told_apart_as_pingora_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = SocketAddr::Inet(listener.local_addr().unwrap());
        drop(listener);
        let error = Connections::default().connect(&address).await.err().unwrap();
        assert_eq!(*error.etype(), ErrorType::ConnectRefused);
    }
}
