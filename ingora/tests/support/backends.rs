//! Real HTTP servers, each on a loopback address of its own and all on one port, as the pods of a Service are.
use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Starts backends that answer `backend <address>`.
pub(crate) async fn start(count: usize) -> Vec<SocketAddr> {
    let first = TcpListener::bind("127.0.1.1:0").await.unwrap();
    let port = first.local_addr().unwrap().port();
    let mut listeners = vec![first];
    for index in 1..count {
        let last = u8::try_from(index + 1).unwrap();
        listeners.push(TcpListener::bind(SocketAddr::from(([127, 0, 1, last], port))).await.unwrap());
    }
    let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    for listener in listeners {
        tokio::spawn(serve(listener));
    }
    addresses
}

async fn serve(listener: TcpListener) {
    let body = Bytes::from(format!("backend {}", listener.local_addr().unwrap()));
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let body = body.clone();
        tokio::spawn(async move {
            let answer = service_fn(|_| {
                let body = body.clone();
                async move { Ok::<_, Infallible>(hyper::Response::new(Full::new(body))) }
            });
            // A connection that the gateway closes is no failure.
            http1::Builder::new().serve_connection(TokioIo::new(tcp), answer).await.ok();
        });
    }
}
