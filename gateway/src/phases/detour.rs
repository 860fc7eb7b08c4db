//! Requests that another Service answers: the default backend while a rule has no endpoint, or with a page in the place of a
//! status (ingress-nginx's `default-backend` and `custom-http-errors`).
use std::sync::Arc;

use features::{Answer, Fallback, Labels, Route};
use http::header::{ACCEPT, HOST};
use http::{HeaderName, HeaderValue};
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use table::Rule;

use super::request::{Decision, NO_ENDPOINTS};
use super::{response, route};
use crate::context::Context;
use crate::proxy::Proxy;
use crate::upstream::Cluster;

/// Where a request goes instead.
pub(crate) struct Detour {
    /// Who answers.
    pub(crate) cluster: Arc<Cluster>,
    /// The status that led here.
    status: u16,
    /// A page in its place; otherwise the request as it is.
    pub(crate) page: bool,
}

/// An answer of the gateway's own may give way to the default backend's.
pub(crate) fn instead(proxy: &Proxy, decision: Decision, context: &mut Context) -> Decision {
    let Decision::Answer(answer) = decision else { return decision };
    let Some(rule) = &context.rule else { return Decision::Answer(answer) };
    let Some(fallback) = &rule.policy.fallback else { return Decision::Answer(answer) };
    if let Some(detour) = for_answer(proxy, context, rule, fallback, &answer) {
        context.reason = answer.reason;
        context.detour = Some(detour);
        return Decision::Proceed;
    }
    if fallback.replaces(answer.status) {
        return Decision::answer(without_page(context, rule), answer.reason);
    }
    Decision::Answer(answer)
}

/// What is answered when nobody gives the page for a status, as in ingress-nginx: 500 without a default backend, 503 when it has
/// no endpoint.
fn without_page(context: &Context, rule: &Rule<Route>) -> u16 {
    let own = rule.policy.fallback.as_ref().is_some_and(|fallback| fallback.backend.is_some());
    if own || context.default_backend.is_some() { 503 } else { 500 }
}

fn for_answer(
    proxy: &Proxy,
    context: &Context,
    rule: &Rule<Route>,
    fallback: &Fallback,
    answer: &Answer,
) -> Option<Box<Detour>> {
    let whole = answer.reason == NO_ENDPOINTS && fallback.backend.is_some();
    let page = !whole && fallback.replaces(answer.status);
    let cluster = (whole || page).then(|| cluster(proxy, context, rule)).flatten()?;
    Some(Box::new(Detour { cluster, status: answer.status, page }))
}

/// Whoever has endpoints of the rule's own default backend and the controller's.
fn cluster(proxy: &Proxy, context: &Context, rule: &Rule<Route>) -> Option<Arc<Cluster>> {
    let own = proxy.handles(rule).and_then(|handles| handles.fallback.as_ref());
    let global = context.default_backend.as_ref().and_then(|rule| proxy.handles(rule)?.cluster.as_ref());
    [own, global].into_iter().flatten().find(|cluster| cluster.has_untried(&[])).cloned()
}

/// The head of an endpoint's answer may give way to a page.
///
/// # Errors
/// When it does: the request is sent to the default backend then.
pub(crate) fn after_head(proxy: &Proxy, session: &Session, head: &ResponseHeader, context: &mut Context) -> Result<()> {
    let status = head.status.as_u16();
    let Some(rule) = &context.rule else { return Ok(()) };
    let listed = rule.policy.fallback.as_ref().is_some_and(|fallback| fallback.intercept && fallback.replaces(status));
    if !listed || !may_turn(session, context) {
        return Ok(());
    }
    if let Err(instead) = take(proxy, context, status) {
        let mut error =
            Error::explain(ErrorType::HTTPStatus(instead), "nobody gives a page for the status of the answer");
        error.esource = ErrorSource::Upstream;
        return Err(error);
    }
    context.again.grant();
    let mut error = Error::explain(ErrorType::HTTPStatus(status), "a page takes the place of the answer");
    error.esource = ErrorSource::Upstream;
    error.set_retry(true);
    Err(error)
}

/// A request that no endpoint could answer may get a page: then it is sent once more.
pub(crate) fn after_failure(proxy: &Proxy, session: &Session, context: &mut Context, error: &mut Error) -> bool {
    let status = response::failure(error).0;
    let fallback = context.rule.as_ref().and_then(|rule| rule.policy.fallback.as_ref());
    if !fallback.is_some_and(|fallback| fallback.replaces(status)) || !may_turn(session, context) {
        return false;
    }
    match take(proxy, context, status) {
        Ok(()) => true,
        Err(instead) => {
            error.etype = ErrorType::HTTPStatus(instead);
            false
        }
    }
}

/// Can the request be sent to the default backend, to which it has not been sent yet?
fn may_turn(session: &Session, context: &Context) -> bool {
    let begun = session.response_written().is_some_and(|head| !head.status.is_informational());
    !begun && context.detour.is_none() && !session.as_ref().retry_buffer_truncated()
}

/// Turns to the default backend, or tells the status to answer with without one.
fn take(proxy: &Proxy, context: &mut Context, status: u16) -> Result<(), u16> {
    let Some(rule) = &context.rule else { return Err(status) };
    let Some(cluster) = cluster(proxy, context, rule) else { return Err(without_page(context, rule)) };
    context.tried.clear();
    context.detour = Some(Box::new(Detour { cluster, status, page: true }));
    Ok(())
}

/// Tells the default backend what happened. A page is asked for at `/`, with the client's query, method and body.
pub(crate) fn edit(session: &Session, head: &mut RequestHeader, context: &Context, detour: &Detour) -> Result<()> {
    let Some(rule) = &context.rule else { return Ok(()) };
    let target = route::target(session.req_header()).unwrap_or("/").to_owned();
    if detour.page {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let page = if query.is_empty() { "/".to_owned() } else { format!("/?{query}") };
        head.set_raw_path(page.as_bytes())?;
        for name in PAGE_REMOVES {
            head.remove_header(*name);
        }
        // The name that a feature gave is for the rule's own endpoints.
        let named = context.edits.as_ref().is_some_and(|edits| edits.host.is_some());
        if let (true, Ok(host)) = (named, HeaderValue::from_bytes(route::authority(session.req_header()))) {
            head.insert_header(HOST, host)?;
        }
    }
    let accept = session.req_header().headers.get(ACCEPT).cloned();
    for (name, value) in said(&rule.policy.labels, detour.status, &target) {
        match HeaderValue::from_str(&value) {
            Ok(value) if !value.is_empty() => head.insert_header(name, value)?,
            _ => drop(head.remove_header(&name)),
        }
    }
    match accept {
        Some(accept) => head.insert_header("X-Format", accept),
        None => {
            head.remove_header("x-format");
            Ok(())
        }
    }
}

/// A page's request has only `X-Forwarded-For` of what is said about the client.
const PAGE_REMOVES: &[&str] = &[
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-scheme",
    "x-real-ip",
    "x-original-forwarded-for",
    "x-original-forwarded-host",
];

fn said(labels: &Labels, status: u16, target: &str) -> [(HeaderName, String); 6] {
    [
        (HeaderName::from_static("x-code"), status.to_string()),
        (HeaderName::from_static("x-original-uri"), target.to_owned()),
        (HeaderName::from_static("x-namespace"), labels.namespace.to_string()),
        (HeaderName::from_static("x-ingress-name"), labels.ingress.to_string()),
        (HeaderName::from_static("x-service-name"), labels.service.to_string()),
        (HeaderName::from_static("x-service-port"), labels.service_port.to_string()),
    ]
}
