//! A pod: HTTP/1 and HTTP/2 in plain text, WebSocket and gRPC echo.
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::flip::{Life, Mode};

/// Flags of `pod`.
#[derive(Args, Debug)]
pub(crate) struct PodArgs {
    /// Where it listens
    address: SocketAddr,
    /// Seconds after which it dies, and recovers again, from the first request on; without it the pod stays healthy
    #[arg(long)]
    flip: Option<f64>,
    /// What it does while it is dead
    #[arg(long, value_enum, default_value_t = Mode::Refuses)]
    dead: Mode,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Serves until the process ends.
pub(crate) async fn run(args: PodArgs) -> io::Result<()> {
    let life = Life::new();
    let mut modes = life.modes();
    if let Some(every) = args.flip {
        let life = life.clone();
        tokio::spawn(async move { life.flip(Duration::from_secs_f64(every), args.dead).await });
    }
    loop {
        // The pod holds the other end, so the wait ends with a mode that listens.
        drop(modes.wait_for(|mode| *mode != Mode::Refuses).await);
        listen(args.address, &life).await?;
    }
}

/// Serves until it is time to refuse; then all connections are cut.
async fn listen(address: SocketAddr, life: &Arc<Life>) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let mut connections = JoinSet::new();
    let mut modes = life.modes();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, life.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
            _ = modes.wait_for(|mode| *mode == Mode::Refuses) => return Ok(()),
        }
    }
}

async fn serve(stream: TcpStream, life: Arc<Life>) {
    // Without it an echo waits for the other side's acknowledgement.
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request| {
        let life = life.clone();
        async move { Ok::<_, Infallible>(answer(request, &life).await) }
    });
    let builder = Builder::new(TokioExecutor::new());
    // A client that leaves early is not the pod's concern.
    drop(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
}

async fn answer(request: Request<Incoming>, life: &Life) -> Answer {
    // Gateways probe with HEAD and OPTIONS.
    let probed = matches!(*request.method(), Method::HEAD | Method::OPTIONS);
    match if probed { life.probed() } else { life.asked() } {
        Mode::Hangs => std::future::pending().await,
        Mode::Unavailable => return status(StatusCode::SERVICE_UNAVAILABLE),
        Mode::Healthy | Mode::Refuses => {}
    }
    if request.headers().contains_key(header::SEC_WEBSOCKET_KEY) {
        return upgrade(request);
    }
    let grpc = request.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "application/grpc");
    let size = request.uri().path().rsplit_once("/bytes/").and_then(|(_, size)| size.parse().ok());
    let Ok(body) = request.into_body().collect().await else { return status(StatusCode::BAD_REQUEST) };
    if grpc {
        return unary(body.to_bytes());
    }
    let body = size.map_or(Bytes::from_static(b"hello from a pod\n"), |size: usize| vec![b'x'; size].into());
    Response::new(Full::new(body).boxed())
}

fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default().boxed());
    *answer.status_mut() = status;
    answer
}

/// Echoes the message with status 0.
fn unary(message: Bytes) -> Answer {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(message).with_trailers(async move { Some(Ok(trailers)) });
    let mut answer = Response::new(body.boxed());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer
}

/// Echoes the messages of a WebSocket (RFC 6455).
fn upgrade(mut request: Request<Incoming>) -> Answer {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(&mut request).await {
            let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            while let Some(Ok(message)) = socket.next().await {
                if !(message.is_text() || message.is_binary()) || socket.send(message).await.is_err() {
                    break;
                }
            }
        }
    });
    let mut answer = status(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Some(key) = key.and_then(|key| HeaderValue::from_str(&key).ok()) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    answer
}
