//! What a line of the access log with nginx variables needs of a request besides the rest.
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::sender::Seen;
use super::{body, route};
use crate::access_log::Extra;
use crate::connection::Client;
use crate::context::Context;
use crate::proxy::Proxy;

/// Keeps fields of an endpoint's answer that the line of the request has, before anything changes them.
pub(crate) fn keep_answer(context: &mut Context, head: &ResponseHeader) {
    let Some(format) = &context.global().logging.format else { return };
    if !format.needs.upstream.is_empty() {
        context.upstream_fields = fields(&format.needs.upstream, &head.headers);
    }
}

/// Gathers what the line needs.
pub(super) fn extra(proxy: &Proxy, session: &Session, context: &mut Context) -> Box<Extra> {
    let head = session.req_header();
    let client = Client::of(session.digest());
    let seen = Seen::of(session, context);
    let needs = &context.global().logging.nginx().needs;
    let answer = session.response_written();
    let shown = client.and_then(|client| client.shown.as_ref());
    let mut extra = Extra {
        request: fields(&needs.request, &head.headers),
        response: answer.map(|answer| fields(&needs.response, &answer.headers)).unwrap_or_default(),
        authority: seen.authority(session).into(),
        peer: client.map(|client| client.address),
        port: seen.port(),
        https: seen.is_https(),
        heads: if needs.sizes { (request_bytes(head), answer.map_or(0, answer_bytes)) } else { (0, 0) },
        instead: instead(proxy, context),
        ..Extra::default()
    };
    for (name, value) in shown.map(|shown| shown.fields()).unwrap_or_default() {
        match name.as_str() {
            "ssl-client-verify" => extra.certificate[0] = Some(value),
            "ssl-client-subject-dn" => extra.certificate[1] = Some(value),
            "ssl-client-issuer-dn" => extra.certificate[2] = Some(value),
            _ => {}
        }
    }
    extra.upstream = std::mem::take(&mut context.upstream_fields);
    extra.path = context.path.take();
    Box::new(extra)
}

/// The default backend that took the request, as ingress-nginx names it.
fn instead(proxy: &Proxy, context: &Context) -> Option<String> {
    let (detour, rule) = (context.detour.as_ref()?, context.rule.as_ref()?);
    let own = proxy.handles(rule).and_then(|handles| handles.fallback.as_ref());
    Some(match own {
        Some(own) if std::sync::Arc::ptr_eq(own, &detour.cluster) => {
            format!("custom-default-backend-{}-{}", own.id.namespace(), own.id.service())
        }
        _ => "upstream-default-backend".to_owned(),
    })
}

fn fields(names: &[HeaderName], headers: &HeaderMap) -> Vec<Option<HeaderValue>> {
    names.iter().map(|name| joined(name, headers)).collect()
}

/// The value of a field; several lines of it as the list that they stand for.
fn joined(name: &HeaderName, headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let separator: &[u8] = if *name == header::COOKIE { b"; " } else { b", " };
    let mut all: Vec<u8> = Vec::new();
    for value in values {
        if all.is_empty() {
            all.extend_from_slice(first.as_bytes());
        }
        all.extend_from_slice(separator);
        all.extend_from_slice(value.as_bytes());
    }
    if all.is_empty() { Some(first.clone()) } else { HeaderValue::from_maybe_shared(bytes::Bytes::from(all)).ok() }
}

/// Bytes of a request and of its answer, head and body.
pub(super) fn sizes(session: &Session, context: &Context) -> (u64, u64) {
    let answer = session.response_written().map_or(0, answer_bytes);
    let request = request_bytes(session.req_header()).saturating_add(body::sent_by_client(session, context));
    (request, answer.saturating_add(session.body_bytes_sent() as u64))
}

/// As in HTTP/1, whatever the protocol was.
fn request_bytes(head: &RequestHeader) -> u64 {
    let line = head.method.as_str().len() + head.raw_path().len() + " HTTP/1.1\r\n".len() + 1;
    (line + fields_bytes(&head.headers)) as u64
}

fn answer_bytes(head: &ResponseHeader) -> u64 {
    let line = "HTTP/1.1 200 \r\n".len() + head.status.canonical_reason().unwrap_or_default().len();
    (line + fields_bytes(&head.headers)) as u64
}

/// Bytes of all fields with the empty line after them.
fn fields_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>() + 2
}

/// Does a request have a line?
pub(super) fn is_logged(context: &Context, head: &RequestHeader) -> bool {
    let rule = context.rule.as_ref();
    let matched = rule.is_some_and(|rule| !rule.policy.labels.ingress.is_empty());
    rule.is_none_or(|rule| rule.policy.observe.log)
        && context.global().logging.logs(matched, route::target(head).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_field_are_one_list() {
        let mut headers = HeaderMap::new();
        for value in ["a=1", "b=2"] {
            headers.append("cookie", HeaderValue::from_static(value));
            headers.append("x-a", HeaderValue::from_static(value));
        }
        let names = [header::COOKIE, HeaderName::from_static("x-a"), header::HOST];
        let values = fields(&names, &headers);
        assert_eq!(values[0].as_ref().unwrap(), "a=1; b=2");
        assert_eq!((values[1].as_ref().unwrap(), &values[2]), (&HeaderValue::from_static("a=1, b=2"), &None));
    }

    #[test]
    fn a_head_has_the_size_that_it_has_in_http_1() {
        let mut head = RequestHeader::build("GET", b"/a", None).unwrap();
        head.insert_header("Host", "a.com").unwrap();
        assert_eq!(request_bytes(&head), "GET /a HTTP/1.1\r\nHost: a.com\r\n\r\n".len() as u64);
    }
}
