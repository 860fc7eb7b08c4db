//! Pingora's phases, each a call into `phases/`.
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use features::{Answer, Ask, Backend, Labels, Route};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use table::Rule;
use tokio::sync::watch;

use crate::access_log::AccessLog;
use crate::answer;
use crate::asking::Asking;
use crate::config::{Limits, LogFormat, Timeouts};
use crate::connection::Client;
use crate::context::{Context, Handles};
use crate::copies::Copies;
use crate::gather::Room;
use crate::limiter::Limiter;
use crate::live::Live;
use crate::metrics::{Metrics, NginxRule, RuleMetrics};
use crate::overload::Shedder;
use crate::phases::canary::Chosen;
use crate::phases::detour::Detour;
use crate::phases::request::Decision;
use crate::phases::{
    body, canary, compress, detour, gather, log, nginx_log, peer, plan, queue, request, response, retry, trace,
    upstream_request,
};
use crate::upstream::Cluster;

/// The proxy that every worker runs.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) live: Arc<Live>,
    pub(crate) metrics: Arc<Metrics>,
    /// Where requests are counted that no rule matched.
    pub(crate) unmatched: Arc<RuleMetrics>,
    /// The same under ingress-nginx's names, if that is wanted.
    pub(crate) nginx_unmatched: Option<Arc<NginxRule>>,
    pub(crate) no_labels: Arc<Labels>,
    pub(crate) access_log: Option<Arc<AccessLog>>,
    pub(crate) log_format: LogFormat,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// Counts requests for limits.
    pub(crate) limiter: Arc<Limiter>,
    /// Finds out what features ask.
    pub(crate) asking: Asking,
    /// Sends copies to mirrors.
    pub(crate) copies: Copies,
    /// Room for bodies of requests that are read whole.
    pub(crate) room: Arc<Room>,
    /// Sheds requests while the worker has too much to do.
    pub(crate) shedder: Arc<Shedder>,
    /// True once the gateway takes no new connections.
    pub(crate) draining: watch::Receiver<bool>,
}

impl Proxy {
    /// Is there an endpoint for the requests of a rule?
    pub(crate) fn has_endpoints(&self, rule: &Rule<Route>) -> bool {
        let cluster = self.handles(rule).and_then(|handles| handles.cluster.as_ref());
        cluster.is_some_and(|cluster| cluster.has_untried(&[]))
    }

    /// Limits and timeouts that hold now: the ConfigMap's where it says something, else the flags'.
    pub(crate) fn terms(&self) -> (Limits, Timeouts) {
        let table = self.live.table();
        let connections = &table.global.connections;
        (self.limits.with(connections), self.timeouts.with(connections))
    }

    /// What was resolved for a rule, on first use.
    pub(crate) fn handles<'r>(&self, rule: &'r Rule<Route>) -> Option<&'r Handles> {
        rule.policy.resolved.get_or_init(|| {
            let cluster = match &rule.policy.backend {
                Backend::Cluster(id) => Some(self.live.clusters.get(id)),
                Backend::Refused(_) => None,
            };
            let fallback = rule.policy.fallback.as_ref().and_then(|fallback| fallback.backend.as_ref());
            let fallback = fallback.map(|id| self.live.clusters.get(id));
            let labels = &rule.policy.labels;
            let nginx = self.metrics.nginx.as_ref().map(|nginx| nginx.requests().get(labels));
            Arc::new(Handles { cluster, fallback, metrics: self.metrics.rule(labels), nginx })
        })
    }

    /// Where the requests of a rule go, or this one instead.
    pub(crate) fn cluster<'c>(
        &self,
        rule: &'c Rule<Route>,
        detour: Option<&'c Detour>,
        canary: Option<&'c Chosen>,
    ) -> Option<&'c Arc<Cluster>> {
        match (detour, canary) {
            (Some(detour), _) => Some(&detour.cluster),
            (None, Some(chosen)) => Some(chosen.cluster()),
            (None, None) => self.handles(rule)?.cluster.as_ref(),
        }
    }

    /// The cluster that a request is sent to now.
    pub(crate) fn cluster_of<'c>(&self, context: &'c Context) -> Option<&'c Arc<Cluster>> {
        self.cluster(context.rule.as_ref()?, context.detour.as_deref(), context.canary.as_deref())
    }

    /// Lets a request wait for the first endpoint of an empty cluster, if its policy says so.
    async fn hold(&self, decision: Decision, context: &Context) -> Decision {
        match decision {
            Decision::Answer(answer) if answer.reason == request::NO_ENDPOINTS => {
                let cluster = context.rule.as_ref().and_then(|rule| self.handles(rule)?.cluster.clone());
                match cluster {
                    Some(cluster) if cluster.hold().await => Decision::Proceed,
                    _ => Decision::Answer(answer),
                }
            }
            decision => decision,
        }
    }

    /// What both sides of a WebSocket may be silent for is the rule's to say, as with nginx's `proxy_read_timeout`.
    fn let_upgrades_idle(session: &mut Session, context: &Context) {
        if let (true, Some(rule)) = (session.is_upgrade_req(), &context.rule) {
            let upstream = &rule.policy.upstream;
            session.set_read_timeout(Some(upstream.upgrade_idle.unwrap_or(upstream.read_timeout)));
        }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    /// Boxed: Pingora moves it more than once.
    type CTX = Box<Context>;

    fn new_ctx(&self) -> Box<Context> {
        Box::new(Context::new())
    }

    /// Pingora's default is a compression module for every request.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, context: &mut Box<Context>) -> Result<bool> {
        if session.is_http2() {
            // A stream can stall on its own window; a whole connection that stalls ends by itself.
            session.set_write_timeout(Some(self.timeouts.send));
        }
        let mut decision = request::decide(self, session, context);
        trace::begin(session, context);
        while let Decision::Ask(mut ask) = decision {
            if let Ask::Exchange(exchange) = &mut *ask {
                trace::tell_fields(&mut exchange.fields, context);
                if let Some(shown) = Client::of(session.digest()).and_then(|client| client.shown.as_ref())
                    && context.certified
                {
                    shown.tell(&mut exchange.fields);
                }
            }
            let reply = Box::pin(self.asking.ask(*ask)).await;
            decision = request::resume(self, session, context, &reply);
        }
        if context.global().connections.keep_alive.is_some_and(|idle| idle.is_zero()) {
            session.set_keepalive(None);
        }
        context.limit(session.is_upgrade_req());
        let decision = self.hold(decision, context).await;
        if matches!(decision, Decision::Proceed) {
            // Before there is a place for it at an endpoint, which others can use meanwhile.
            if let Some(memory) = gather::due(session, context) {
                Box::pin(gather::read(self, session, context, memory)).await?;
            }
            canary::choose(self, session, context);
        }
        let decision = match decision {
            Decision::Proceed if queue::is_due(self, context) => Box::pin(queue::enter(self, session, context)).await?,
            decision => decision,
        };
        match detour::instead(self, decision, context) {
            // The loop above leaves none.
            Decision::Ask(_) => Ok(true),
            Decision::Proceed => {
                if context.detour.is_some()
                    && let Some(memory) = gather::due(session, context)
                {
                    Box::pin(gather::read(self, session, context, memory)).await?;
                }
                context.body.endless = gather::is_endless(session, context);
                if let Some(copy) = context.edits.as_mut().and_then(|edits| edits.copy.take()) {
                    let whole = gather::whole(session, context);
                    context.copy = self.copies.begin(session, *copy, whole);
                }
                Self::let_upgrades_idle(session, context);
                Ok(false)
            }
            Decision::Answer(answer) => {
                context.reason = answer.reason;
                // Whoever sends what cannot be understood may be out of step with what was understood before.
                if matches!(answer.status, 400 | 431) {
                    session.set_keepalive(None);
                }
                answer::respond(session, context, *answer).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, context: &mut Box<Context>) -> Result<Box<HttpPeer>> {
        if queue::is_due(self, context) {
            Box::pin(queue::enter_again(self, session, context)).await?;
        }
        peer::choose(self, session, context)
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        socket: std::os::fd::RawFd,
        digest: Option<&Digest>,
        context: &mut Box<Context>,
    ) -> Result<()> {
        if reused {
            peer::check_open(session, context, socket).await?;
        }
        peer::check_version(context, digest)?;
        peer::check_chain(context, peer, digest).await?;
        peer::connected(self, context, reused);
        Ok(())
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _: &HttpPeer,
        context: &mut Box<Context>,
        mut error: Box<Error>,
    ) -> Box<Error> {
        peer::failed_to_connect(self, context, &error);
        retry::after_connecting_failed(self, session, context, &mut error);
        error
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        context: &mut Box<Context>,
        reused: bool,
    ) -> Box<Error> {
        peer::name_timeout(&mut error);
        peer::judge_failure(self, context, reused, &error);
        retry::after_proxying_failed(self, session, context, reused, &mut error);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        head: &mut RequestHeader,
        context: &mut Box<Context>,
    ) -> Result<()> {
        if let Some(copy) = &mut context.copy {
            copy.restart();
        }
        // A further try gets the body from its begin.
        context.body.received = 0;
        if let Some(gathered) = &mut context.gathered {
            gathered.restart();
        }
        upstream_request::edit(session, head, context)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        part: &mut Option<Bytes>,
        end: bool,
        context: &mut Box<Context>,
    ) -> Result<()> {
        if let Some(gathered) = &mut context.gathered {
            gathered.put(part, end);
        }
        if end && part.as_ref().is_some_and(Bytes::is_empty) {
            // Pingora would write it as a chunk, and a chunk of nothing is the end, which it then writes once more.
            *part = None;
        }
        body::received(session, part.as_ref(), context)?;
        if context.copy.is_some() {
            self.copies.feed(&mut context.copy, part.as_ref(), end);
        }
        context.in_time()
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        context: &mut Box<Context>,
    ) -> Result<()> {
        if !head.status.is_informational() || head.status == 101 {
            peer::answered(self, context, head.status.as_u16());
        }
        nginx_log::keep_answer(context, head);
        response::check_size(context, head)?;
        retry::after_head(self, session, head, context)?;
        detour::after_head(self, session, head, context)
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        context: &mut Box<Context>,
    ) -> Result<Option<Duration>> {
        context.in_time()?;
        compress::body(context, body, end)?;
        Ok(body::sent(body.as_ref(), context))
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        context: &mut Box<Context>,
    ) -> Result<()> {
        response::fit(session, head);
        plan::endpoint_answered(context, head);
        plan::on_response(session, context, head);
        compress::head(session, context, head)?;
        if *self.draining.borrow() {
            session.set_keepalive(None);
        }
        Ok(())
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, context: &mut Box<Context>) -> FailToProxy {
        let (status, reason) = response::failure(error);
        if context.reason.is_empty() {
            context.reason = reason;
        }
        tracing::debug!(%error, status, reason, "request failed");
        if status > 0 && response::answer(session).is_none() {
            // Pingora closes the connection of a request that failed, so the answer must say so.
            session.set_keepalive(None);
            let answer = Answer { status, fields: Vec::new(), body: None, reason };
            if let Err(error) = answer::respond(session, context, answer).await {
                tracing::debug!(%error, "the client left before the answer");
            }
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, context: &mut Box<Context>) {
        log::finish(self, session, context);
    }

    /// The access log names the reason of each failure.
    fn suppress_error_log(&self, _: &Session, _: &Box<Context>, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Box<Context>, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}
