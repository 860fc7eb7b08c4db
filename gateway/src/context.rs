//! What the phases of one request tell each other.
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use features::{Edits, Global, Route};
use http::HeaderValue;
use pingora::{Error, ErrorSource, ErrorType, Result};
use table::{ClusterId, Rule};

use crate::copies::Unfinished;
use crate::limiter::Entered;
use crate::metrics::{NginxRule, RuleMetrics};
use crate::phases::body::Bodies;
use crate::phases::canary::Chosen;
use crate::phases::compress::Encoder;
use crate::phases::detour::Detour;
use crate::phases::gather::Gathered;
use crate::phases::retry::Again;
use crate::phases::sender::Said;
use crate::phases::trace::Traced;
use crate::upstream::{Attempts, Cluster, Lease, Room};

/// The state of one request. The rule is found once; a retry must not see another one.
pub(crate) struct Context {
    /// When its head was complete.
    pub(crate) started: Instant,
    /// The settings of the table that decides; `None` before the request reached it.
    global: Option<Arc<Global>>,
    /// What trusted fields say about where the request comes from.
    pub(crate) said: Option<Box<Said>>,
    /// The rule that decides, once found.
    pub(crate) rule: Option<Arc<Rule<Route>>>,
    /// The canonical path, if it is not as sent.
    pub(crate) path: Option<String>,
    /// `X-Request-ID`, the client's or a new one.
    pub(crate) request_id: Option<HeaderValue>,
    /// The endpoints that were tried; the last one is in use. One whose kept connection was stale may be tried again and
    /// is not among them.
    pub(crate) tried: Vec<SocketAddr>,
    /// Room for its next try, where there are limits.
    pub(crate) room: Option<Room>,
    /// The try in use.
    pub(crate) lease: Option<Lease>,
    /// What each try came to.
    pub(crate) attempts: Attempts,
    /// When the request must have ended (`ingora.io/request-timeout`).
    pub(crate) deadline: Option<Instant>,
    /// The controller's default backend in the table of this request, if the rule may turn to it.
    pub(crate) default_backend: Option<Arc<Rule<Route>>>,
    /// The canary of the rule's cluster, when it gets the request.
    pub(crate) canary: Option<Box<Chosen>>,
    /// Where the request goes instead of the rule's own endpoints.
    pub(crate) detour: Option<Box<Detour>>,
    /// What was decided about a further try.
    pub(crate) again: Again,
    /// Fields of the endpoint's answer for the access log.
    pub(crate) upstream_fields: Vec<Option<HeaderValue>>,
    /// The trace context that was made for the request.
    pub(crate) trace: Option<Box<Traced>>,
    /// Compresses the body of the answer.
    pub(crate) encoder: Option<Encoder>,
    /// What features changed; `None` when the rule has none.
    pub(crate) edits: Option<Box<Edits>>,
    /// A copy for a mirror that waits for the request's body.
    pub(crate) copy: Option<Box<Unfinished>>,
    /// What was read of the request's body before there was an endpoint, beyond what Pingora keeps of it.
    pub(crate) gathered: Option<Box<Gathered>>,
    /// The host has asked for a client certificate, and the client may pass.
    pub(crate) certified: bool,
    /// What has gone of the bodies.
    pub(crate) body: Bodies,
    /// Its place among those that a limit counts, until it has ended.
    pub(crate) entered: Option<Entered>,
    /// Why the gateway answered itself, or why the request failed.
    pub(crate) reason: &'static str,
}

impl Context {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            global: None,
            said: None,
            rule: None,
            path: None,
            request_id: None,
            tried: Vec::new(),
            room: None,
            lease: None,
            attempts: Attempts::default(),
            deadline: None,
            default_backend: None,
            canary: None,
            detour: None,
            again: Again::default(),
            upstream_fields: Vec::new(),
            trace: None,
            encoder: None,
            edits: None,
            copy: None,
            gathered: None,
            certified: false,
            body: Bodies::default(),
            entered: None,
            reason: "",
        }
    }
}

impl Context {
    /// The canary that the request went to, for logs and metrics (nginx's `$proxy_alternative_upstream_name`).
    pub(crate) fn alternative(&self) -> Option<&ClusterId> {
        self.canary.as_ref().map(|chosen| &chosen.cluster().id)
    }

    /// Starts the clock of a request whose rule limits its time. A connection that changes its protocol has no end.
    pub(crate) fn limit(&mut self, upgrade: bool) {
        let limit = self.rule.as_ref().and_then(|rule| rule.policy.upstream.request_timeout);
        self.deadline = limit.filter(|_| !upgrade).map(|limit| self.started + limit);
    }

    /// Is there time left for the request?
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn in_time(&mut self) -> Result<()> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => {
                self.reason = "request_timeout";
                let mut error = Error::explain(ErrorType::HTTPStatus(504), "the time for the request has passed");
                error.esource = ErrorSource::Internal;
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

/// What holds before a table is asked.
static DEFAULT: LazyLock<Global> = LazyLock::new(Global::default);

impl Context {
    /// Keeps the settings of the table that decides.
    pub(crate) fn set_global(&mut self, global: Arc<Global>) {
        self.global = Some(global);
    }

    /// Gives the settings away, for whoever comes last.
    pub(crate) fn take_global(&mut self) -> Option<Arc<Global>> {
        self.global.take()
    }

    /// The settings of the table that decides.
    pub(crate) fn global(&self) -> &Global {
        self.global.as_deref().unwrap_or_else(|| &DEFAULT)
    }
}

/// What is resolved once for a rule and kept in its [`table::Resolved`].
pub(crate) struct Handles {
    /// Where its requests go.
    pub(crate) cluster: Option<Arc<Cluster>>,
    /// Its own default backend.
    pub(crate) fallback: Option<Arc<Cluster>>,
    /// Where they are counted.
    pub(crate) metrics: Arc<RuleMetrics>,
    /// Where they are counted under ingress-nginx's names.
    pub(crate) nginx: Option<Arc<NginxRule>>,
}
