//! Who a request comes from, as far as its peer is believed: what endpoints, features and logs are told.
use std::net::IpAddr;

use features::Sender;
use http::HeaderValue;
use pingora_proxy::Session;

use super::route;
use crate::connection::{Client, text_value};
use crate::context::Context;

/// What trusted fields say about a request, made whole with what is known of its connection.
#[derive(Debug)]
pub(crate) struct Said {
    /// The client.
    pub(crate) client: IpAddr,
    /// The client as a field value.
    pub(crate) ip: HeaderValue,
    /// The addresses that the request has come through, for endpoints.
    pub(crate) forwarded_for: HeaderValue,
    /// The scheme as sent, which need not be one.
    pub(crate) scheme: HeaderValue,
    /// The port as sent.
    pub(crate) port: HeaderValue,
    /// The host that the client asked a proxy in front for.
    pub(crate) host: Option<HeaderValue>,
}

/// What the fields of a request say. `None` is the connection's own: nearly always, and for nothing.
pub(crate) fn said(sender: &Sender, session: &Session) -> Option<Box<Said>> {
    if !sender.real_ip {
        return None;
    }
    let connected = Client::of(session.digest())?;
    let peer = connected.address.ip().to_canonical();
    let headers = &session.req_header().headers;
    let claims = sender.claims(headers, peer);
    if claims.is_none() && !sender.full_for {
        return None;
    }
    let claims = claims.unwrap_or_default();
    let ip = claims.client.map_or_else(|| connected.ip.clone(), |client| text_value(&client.to_string()));
    Some(Box::new(Said {
        client: claims.client.unwrap_or(peer),
        forwarded_for: if sender.full_for { full(session, &connected.ip) } else { ip.clone() },
        ip,
        scheme: claims.scheme.unwrap_or_else(|| connected.scheme.clone()),
        port: claims.port.unwrap_or_else(|| connected.port.clone()),
        host: claims.host,
    }))
}

/// The client's list of addresses with the peer's at its end.
fn full(session: &Session, peer: &HeaderValue) -> HeaderValue {
    let mut list = Vec::new();
    for value in session.req_header().headers.get_all("x-forwarded-for") {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(peer.as_bytes());
    HeaderValue::from_bytes(&list).unwrap_or_else(|_| peer.clone())
}

/// A request as everybody sees it: what trusted fields say, or else the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    said: Option<&'a Said>,
    connected: Option<&'a Client>,
}

impl<'a> Seen<'a> {
    /// The request of a session.
    pub(crate) fn of(session: &'a Session, context: &'a Context) -> Self {
        Self { said: context.said.as_deref(), connected: Client::of(session.digest()) }
    }

    /// The client's address.
    pub(crate) fn client(self) -> Option<IpAddr> {
        let connected = || Some(self.connected?.address.ip().to_canonical());
        self.said.map(|said| said.client).or_else(connected)
    }

    /// Whether the client speaks HTTPS. Whatever else than `http` a proxy in front says is not sent to HTTPS, as in
    /// ingress-nginx.
    pub(crate) fn is_https(self) -> bool {
        match self.said {
            Some(said) => said.scheme != "http",
            None => self.connected.is_some_and(Client::is_https),
        }
    }

    /// The port that the client connected to.
    pub(crate) fn port(self) -> u16 {
        let port = self.said.map(|said| &said.port).or_else(|| Some(&self.connected?.port));
        port.and_then(|port| port.to_str().ok()?.parse().ok()).unwrap_or_default()
    }

    /// The host that the client asked for, as sent, with port.
    pub(crate) fn authority(self, session: &'a Session) -> &'a [u8] {
        match self.said.and_then(|said| said.host.as_ref()) {
            Some(host) => host.as_bytes(),
            None => route::authority(session.req_header()),
        }
    }
}
