//! W3C Trace Context: which trace a request belongs to, so that endpoints and the access log have the same id.
use features::Trace;
use http::HeaderValue;
use pingora::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use crate::context::Context;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// Gives a request of a rule that is traced its context, once: a further try has the same.
pub(crate) fn begin(session: &Session, context: &mut Context) {
    let Some(trace) = context.rule.as_ref().and_then(|rule| rule.policy.observe.trace.as_ref()) else { return };
    if context.traceparent.is_none() && incoming(session.req_header(), trace).is_none() {
        context.traceparent = Some(made(context.global().tracing.sampled));
    }
}

/// Tells the endpoint of a context that was made here. What the client said of another one goes.
pub(crate) fn tell(head: &mut RequestHeader, context: &Context) -> Result<()> {
    let Some(parent) = &context.traceparent else { return Ok(()) };
    head.remove_header(STATE);
    head.insert_header(PARENT, parent.clone())
}

/// The context that the endpoint got, for the access log.
pub(crate) fn of(session: &Session, context: &mut Context) -> Option<HeaderValue> {
    context.traceparent.take().or_else(|| sound(session.req_header()).cloned())
}

fn incoming<'a>(head: &'a RequestHeader, trace: &Trace) -> Option<&'a HeaderValue> {
    sound(head).filter(|_| trace.trust)
}

/// The only `traceparent` of a request, if it is one that can be gone on with (Trace Context, section 2.2 and 4.3).
fn sound(head: &RequestHeader) -> Option<&HeaderValue> {
    let mut values = head.headers.get_all(PARENT).iter();
    let value = values.next().filter(|value| is_sound(value.as_bytes()))?;
    values.next().is_none().then_some(value)
}

fn is_sound(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b'-');
    let mut hex = |length: usize| {
        let part = parts.next().unwrap_or_default();
        let lower = part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (lower && part.len() == length).then_some(part)
    };
    let (Some(version), Some(trace), Some(span), Some(_)) = (hex(2), hex(32), hex(16), hex(2)) else { return false };
    let set = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
    // Later versions may have more parts.
    version != b"ff" && set(trace) && set(span) && (version != b"00" || parts.next().is_none())
}

/// A new context; `sampled` of a million are sampled.
fn made(sampled: u32) -> HeaderValue {
    // Ids that are all zeros are not valid.
    let (trace, span) = (fastrand::u128(1..), fastrand::u64(1..));
    let flag = u8::from(fastrand::u32(..1_000_000) < sampled);
    let text = format!("00-{trace:032x}-{span:016x}-{flag:02x}");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_sound() {
        for (sampled, flag) in [(0, "-00"), (1_000_000, "-01")] {
            let one = made(sampled);
            assert!(is_sound(one.as_bytes()) && one.to_str().unwrap().ends_with(flag), "{one:?}");
        }
        assert_ne!(made(0), made(0));
    }

    #[test]
    fn only_a_sound_context_is_gone_on_with() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_sound(good.as_bytes()) && is_sound(format!("{}-more", good.replacen("00", "01", 1)).as_bytes()));
        for bad in [
            "",
            "00",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert!(!is_sound(bad.as_bytes()), "{bad}");
        }
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        head.append_header(PARENT, good).unwrap();
        assert!(sound(&head).is_some());
        head.append_header(PARENT, good).unwrap();
        assert!(sound(&head).is_none());
    }
}
