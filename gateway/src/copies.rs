//! Copies of requests for mirrors: sent beside the request, never waited for.
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use features::Copy;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use pingora_proxy::Session;
use tokio::sync::Semaphore;

use crate::subrequest::{Patience, Subrequests};

/// Copies of one worker that are under way. A mirror that is slower than its requests come loses the others.
const UNDER_WAY: usize = 256;

/// Largest body that is copied while it passes to an endpoint, in bytes: it is kept in memory until it is complete.
const BODY: usize = 1024 * 1024;

/// What a mirror may take.
const PATIENCE: Patience = Patience { time: Duration::from_secs(60), body: 1024 * 1024 };

/// Fields of a connection, not of a request (RFC 9110 section 7.6.1), and those that a copy gets anew.
const NOT_COPIED: [HeaderName; 8] = [CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Sends copies.
#[derive(Clone)]
pub(crate) struct Copies {
    subrequests: Arc<Subrequests>,
    slots: Arc<Semaphore>,
}

/// A copy that waits for the end of the request's body.
pub(crate) struct Unfinished {
    request: Request<()>,
    body: BytesMut,
}

impl Copies {
    /// Sends over the connections of a worker.
    pub(crate) fn over(subrequests: Arc<Subrequests>) -> Self {
        Self { subrequests, slots: Arc::new(Semaphore::new(UNDER_WAY)) }
    }

    /// Sends a copy of a request, or keeps it until its body is complete, if that is not here already.
    pub(crate) fn begin(&self, session: &mut Session, copy: Copy, whole: Option<Bytes>) -> Option<Box<Unfinished>> {
        let head = session.req_header();
        let mut request = Request::new(());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = copy.url;
        *request.headers_mut() = fields(&head.headers);
        // A host that is no field value can only have come from the client, whose request then is not copied.
        request.headers_mut().insert(HOST, HeaderValue::from_str(&copy.host).ok()?);
        match whole {
            Some(body) if copy.body => self.send(request, body),
            None if copy.body && !session.as_mut().is_body_empty() => {
                return Some(Box::new(Unfinished { request, body: BytesMut::new() }));
            }
            _ => self.send(request, Bytes::new()),
        }
        None
    }

    /// Takes in a part of the body; sends at its end.
    pub(crate) fn feed(&self, place: &mut Option<Box<Unfinished>>, part: Option<&Bytes>, end: bool) {
        let Some(unfinished) = place else { return };
        let part = part.map_or(&[][..], |part| part);
        if unfinished.body.len() + part.len() > BODY {
            tracing::debug!(url = %unfinished.request.uri(), "a body is too large to be copied");
            *place = None;
            return;
        }
        unfinished.body.extend_from_slice(part);
        if end && let Some(finished) = place.take() {
            self.send(finished.request, finished.body.freeze());
        }
    }

    fn send(&self, request: Request<()>, body: Bytes) {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            tracing::debug!(url = %request.uri(), "a mirror is too slow; a copy is left out");
            return;
        };
        let request = request.map(|()| body);
        let subrequests = self.subrequests.clone();
        tokio::spawn(async move {
            if let Err(error) = subrequests.send(request, PATIENCE).await {
                tracing::debug!(%error, "a copy of a request failed");
            }
            drop(slot);
        });
    }
}

impl Unfinished {
    /// The body comes once more from its begin: another endpoint is tried.
    pub(crate) fn restart(&mut self) {
        self.body.clear();
    }
}

/// What a copy has of the request's fields.
fn fields(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<&[u8]> =
        headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).collect();
    let nominated =
        |name: &HeaderName| named.iter().any(|one| one.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()));
    let copied = headers.iter().filter(|(name, _)| !NOT_COPIED.contains(name) && !nominated(name));
    copied.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_connection_are_not_copied() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "X-Hop, close"), ("x-hop", "1"), ("transfer-encoding", "chunked"), ("x-kept", "1")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        assert_eq!(fields(&headers).keys().collect::<Vec<_>>(), ["x-kept"]);
    }
}
