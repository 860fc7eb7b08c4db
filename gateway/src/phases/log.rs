//! When a request has ended: metrics, the access log, and its span.
use std::time::Duration;

use http::header;
use pingora_proxy::Session;
use table::RequestHost;

use super::sender::Seen;
use super::{body, nginx_log, response, route, trace};
use crate::access_log::Record;
use crate::config::LogFormat;
use crate::connection::Client;
use crate::context::Context;
use crate::metrics::{Finished, MethodLabel};
use crate::proxy::Proxy;

/// Counts and logs a request.
pub(crate) fn finish(proxy: &Proxy, session: &Session, context: &mut Context) {
    let duration = context.started.elapsed();
    let status = response::status(session);
    let method = MethodLabel::from(&session.req_header().method);
    let handles = context.rule.as_ref().and_then(|rule| proxy.handles(rule));
    let metrics = handles.map_or(&proxy.unmatched, |handles| &handles.metrics);
    metrics.observe(method, status, duration.as_secs_f64());
    let nginx = handles.map_or(&proxy.nginx_unmatched, |handles| &handles.nginx).clone();
    // An endpoint whose client has left is not to blame.
    let failure = if status == 499 { 0 } else { 502 };
    let logged = proxy.access_log.is_some() && nginx_log::is_logged(context, session.req_header());
    if nginx.is_some() || logged || trace::leaves_span(context) {
        context.attempts.end(session.upstream_body_bytes_received() as u64, failure);
    }
    if let Some(nginx) = nginx {
        let (request, response) = nginx_log::sizes(session, context);
        nginx.observe(&Finished {
            method,
            status,
            took: duration,
            attempt: context.attempts.last(),
            canary: context.alternative(),
            request_bytes: request,
            response_bytes: response,
        });
    }
    trace::finish(proxy, session, context, status, duration);
    if let Some(log) = proxy.access_log.as_ref().filter(|_| logged) {
        log.log(record(proxy, session, context, status, duration));
    }
}

fn record(proxy: &Proxy, session: &Session, context: &mut Context, status: u16, duration: Duration) -> Record {
    let head = session.req_header();
    let host = RequestHost::parse(route::authority(head));
    let client = Client::of(session.digest());
    let address = Seen::of(session, context).client();
    let labels = match &context.rule {
        Some(rule) => rule.policy.labels.clone(),
        None => proxy.no_labels.clone(),
    };
    let retries = context.attempts.len().saturating_sub(1);
    let nginx = proxy.log_format == LogFormat::Nginx || context.global().logging.format.is_some();
    let extra = nginx.then(|| nginx_log::extra(proxy, session, context));
    Record {
        time: jiff::Timestamp::now() - duration,
        method: head.method.clone(),
        host: host.as_ref().map_or("", RequestHost::as_str).into(),
        target: head.uri.clone(),
        protocol: head.version,
        status,
        request_bytes: body::sent_by_client(session, context),
        response_bytes: session.body_bytes_sent() as u64,
        duration,
        client: address,
        user_agent: head.headers.get(header::USER_AGENT).cloned(),
        referer: head.headers.get(header::REFERER).cloned(),
        request_id: context.request_id.take(),
        labels,
        canary: context.alternative().cloned(),
        attempts: context.attempts.take(),
        reason: context.reason,
        tls: client.and_then(|client| client.tls.clone()),
        retries: u32::try_from(retries).unwrap_or(u32::MAX),
        traceparent: trace::of(session, context),
        global: context.take_global(),
        extra,
    }
}
