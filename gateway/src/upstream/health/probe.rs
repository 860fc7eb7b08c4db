//! One look at one endpoint: does it accept, does it answer, does it say that it is well?
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use features::{Check, CheckKind, Protocol, Route, Upstream};
use http::{HeaderName, HeaderValue, header};
use pingora::connectors::TransportConnector;
use pingora::connectors::http::Connector;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use table::Rule;

use crate::upstream::{Waits, peer};

/// What a body is looked at for.
const BODY: usize = 64 * 1024;

/// What is asked.
pub(super) enum Probe {
    /// Whether it accepts a connection.
    Connect,
    /// Whether a HEAD for the rule's own path and host is answered with anything but 502, 503 and 504.
    Ask(Arc<Rule<Route>>),
    /// What an active check says.
    Check(Arc<Check>),
}

/// Makes connections of its own, which are never reused: a kept one says nothing about the next.
#[derive(Default)]
pub(super) struct Prober {
    // Made on first use: making one reads all certificates of the system.
    http: OnceLock<Connector>,
    transport: OnceLock<TransportConnector>,
}

/// A request of a probe.
struct Question<'a> {
    method: &'static str,
    path: &'a str,
    host: &'a str,
    /// Further fields.
    headers: &'a [(HeaderName, HeaderValue)],
    /// With the fields of gRPC.
    message: Option<Bytes>,
}

/// The begin of an answer.
struct Reply {
    status: u16,
    grpc_status: Option<String>,
    body: BytesMut,
}

impl Prober {
    /// Runs a probe within a time.
    ///
    /// # Errors
    /// Why it did not pass.
    pub(super) async fn run(&self, probe: &Probe, address: SocketAddr, timeout: Duration) -> Result<(), String> {
        let run = async {
            match probe {
                Probe::Connect => connect(address).await,
                Probe::Ask(rule) => self.ask(rule, address).await,
                Probe::Check(check) => self.check(check, address).await,
            }
        };
        tokio::time::timeout(timeout, run).await.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
    }

    async fn ask(&self, rule: &Rule<Route>, address: SocketAddr) -> Result<(), String> {
        let labels = &rule.policy.labels;
        let own = address.to_string();
        let host = if labels.host.is_empty() || labels.host.contains('*') { &own } else { &*labels.host };
        let path = if is_path(&labels.path) { &*labels.path } else { "/" };
        let peer = peer(address, &rule.policy.upstream, Waits::of(&rule.policy.upstream), None);
        let reply = self.send(&peer, Question { method: "HEAD", path, host, headers: &[], message: None }, 0).await?;
        if matches!(reply.status, 502..=504) { Err(format!("status {}", reply.status)) } else { Ok(()) }
    }

    async fn check(&self, check: &Check, address: SocketAddr) -> Result<(), String> {
        let address = SocketAddr::new(address.ip(), check.port.unwrap_or(address.port()));
        let own = address.to_string();
        let or_own = |host: &'_ str| if host.is_empty() { own.clone() } else { host.to_owned() };
        match &check.kind {
            CheckKind::Tcp => connect(address).await,
            CheckKind::Tls { server_name } => {
                let mut peer = plain_peer(address, Protocol::Https, check.timeout);
                name(&mut peer, server_name);
                let connector = self.transport.get_or_init(|| TransportConnector::new(None));
                connector.get_stream(&*peer).await.map(drop).map_err(|error| error.to_string())
            }
            CheckKind::Http { http2, tls, path, host, headers, statuses, body } => {
                let mut peer = plain_peer(address, protocol(*http2, *tls), check.timeout);
                name(&mut peer, host);
                let host = or_own(host);
                let limit = if body.is_some() { BODY } else { 0 };
                let question = Question { method: "GET", path, host: &host, headers, message: None };
                let reply = self.send(&peer, question, limit).await?;
                if !statuses.iter().any(|(first, last)| (*first..=*last).contains(&reply.status)) {
                    return Err(format!("status {}", reply.status));
                }
                match body {
                    Some(pattern) if !pattern.regex().is_match(&String::from_utf8_lossy(&reply.body)) => {
                        Err("the body does not match".to_owned())
                    }
                    _ => Ok(()),
                }
            }
            CheckKind::Grpc { tls, service, host } => {
                let mut peer = plain_peer(address, protocol(true, *tls), check.timeout);
                name(&mut peer, host);
                let host = or_own(host);
                let question = Question {
                    method: "POST",
                    path: "/grpc.health.v1.Health/Check",
                    host: &host,
                    headers: &[],
                    message: Some(grpc_request(service)),
                };
                let reply = self.send(&peer, question, BODY).await?;
                serving(&reply)
            }
        }
    }

    async fn send(&self, peer: &HttpPeer, question: Question<'_>, body_limit: usize) -> Result<Reply, String> {
        let text = |error: Box<pingora::Error>| error.to_string();
        let connector = self.http.get_or_init(|| Connector::new(None));
        let (mut session, _) = connector.get_http_session(peer).await.map_err(text)?;
        let http2 = matches!(session, HttpSession::H2(_));
        let head = head(&question, http2, peer.scheme == pingora::upstreams::peer::Scheme::HTTPS)?;
        session.write_request_header(Box::new(head)).await.map_err(text)?;
        if let Some(message) = question.message {
            session.write_request_body(message, true).await.map_err(text)?;
        }
        session.finish_request_body().await.map_err(text)?;
        session.read_response_header().await.map_err(text)?;
        let (status, grpc_status) = {
            let head = session.response_header().ok_or("no head")?;
            let grpc = head.headers.get("grpc-status").and_then(|status| status.to_str().ok());
            (head.status.as_u16(), grpc.map(str::to_owned))
        };
        let mut body = BytesMut::new();
        while body.len() < body_limit {
            let Some(bytes) = session.read_response_body().await.map_err(text)? else { break };
            body.extend_from_slice(&bytes);
        }
        body.truncate(body_limit);
        // Whatever else comes is not read: the connection ends here.
        session.shutdown().await;
        Ok(Reply { status, grpc_status, body })
    }
}

async fn connect(address: SocketAddr) -> Result<(), String> {
    tokio::net::TcpStream::connect(address).await.map(drop).map_err(|error| error.to_string())
}

/// Only what is surely a path may be asked for: the path of a rule can be a regular expression.
fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'~' | b'.'))
}

fn protocol(http2: bool, tls: bool) -> Protocol {
    match (http2, tls) {
        (false, false) => Protocol::Http,
        (false, true) => Protocol::Https,
        (true, false) => Protocol::H2c,
        (true, true) => Protocol::H2,
    }
}

fn plain_peer(address: SocketAddr, protocol: Protocol, timeout: Duration) -> Box<HttpPeer> {
    let upstream = Upstream { protocol, connect_timeout: timeout, read_timeout: timeout, ..Upstream::default() };
    peer(address, &upstream, Waits::of(&upstream), None)
}

/// Sends a server name; certificates are not verified.
fn name(peer: &mut HttpPeer, name: &str) {
    if !name.is_empty() {
        name.clone_into(&mut peer.sni);
    }
}

fn head(question: &Question<'_>, http2: bool, tls: bool) -> Result<RequestHeader, String> {
    let text = |error: Box<pingora::Error>| error.to_string();
    let mut head = RequestHeader::build(question.method, question.path.as_bytes(), None).map_err(text)?;
    if http2 {
        let scheme = if tls { "https" } else { "http" };
        let uri = http::Uri::builder().scheme(scheme).authority(question.host).path_and_query(question.path).build();
        head.set_uri(uri.map_err(|error| error.to_string())?);
        head.set_version(http::Version::HTTP_2);
    } else {
        head.insert_header("Host", question.host).map_err(text)?;
    }
    if !question.headers.iter().any(|(name, _)| name == header::USER_AGENT) {
        head.insert_header("User-Agent", "ingora-health-check").map_err(text)?;
    }
    for (name, value) in question.headers {
        head.append_header(name.clone(), value.clone()).map_err(text)?;
    }
    if question.message.is_some() {
        head.insert_header("Content-Type", "application/grpc").map_err(text)?;
        head.insert_header("TE", "trailers").map_err(text)?;
    }
    Ok(head)
}

/// `grpc.health.v1.HealthCheckRequest { string service = 1; }` as an uncompressed gRPC message.
fn grpc_request(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        varint(service.len(), &mut message);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

fn varint(mut number: usize, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

/// `grpc.health.v1.HealthCheckResponse { ServingStatus status = 1; }` with SERVING = 1.
fn serving(reply: &Reply) -> Result<(), String> {
    if reply.status != 200 {
        return Err(format!("status {}", reply.status));
    }
    match (&reply.grpc_status, reply.body.get(5..)) {
        (Some(status), _) if status != "0" => Err(format!("grpc-status {status}")),
        (_, Some([0x08, 0x01, ..])) => Ok(()),
        _ => Err("not serving".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: &[u8]) -> Reply {
        Reply { status: 200, grpc_status: None, body: BytesMut::from(body) }
    }

    #[test]
    fn a_grpc_request_is_framed() {
        assert_eq!(&*grpc_request(""), [0, 0, 0, 0, 0]);
        assert_eq!(&*grpc_request("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(&grpc_request(&"x".repeat(200))[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 1]);
    }

    #[test]
    fn only_serving_passes() {
        assert!(serving(&reply(&[0, 0, 0, 0, 2, 8, 1])).is_ok());
        for body in [&[0, 0, 0, 0, 2, 8, 2][..], &[0, 0, 0, 0, 0], &[]] {
            assert!(serving(&reply(body)).is_err());
        }
        assert!(serving(&Reply { grpc_status: Some("12".to_owned()), ..reply(&[]) }).is_err());
    }

    #[test]
    fn what_may_be_a_regular_expression_is_not_asked_for() {
        assert!(is_path("/api/v1"));
        assert!(!is_path("/api/(.*)") && !is_path(""));
    }
}
