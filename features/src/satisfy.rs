//! Whether every check of a client must pass, or one is enough.
//!
//! The checks stand before this in the list: addresses, passwords, an authentication service. With `any`, each tells
//! what it found, and this decides at the end.
use crate::annotation::{Key, OnError, Reader, Row, Support};
use crate::{Answer, Edits, Feature, Keys, Request, RuleFacts, Verdict};

const SATISFY: Key<bool> = Key {
    row: Row {
        name: "satisfy",
        sentence: "Whether `all` checks of a client must pass (its address, its password, the authentication service), or `any` one is enough.",
        default: "all",
        example: "any",
        support: Support::Honoured,
    },
    parse: |text| match text {
        "all" => Ok(false),
        "any" => Ok(true),
        _ => Err("is neither all nor any".to_owned()),
    },
    on_error: OnError::Default,
};

/// Is one check enough? For the checks, which must know.
pub(crate) fn any(reader: &mut Reader<'_>) -> bool {
    reader.take(&SATISFY).unwrap_or(false)
}

/// A check that has not passed. With `any`, the next may pass; of what failed, 401 is answered before 403, as nginx does.
pub(crate) fn denied(any: bool, edits: &mut Edits, answer: Answer) -> Verdict {
    if !any {
        return Verdict::Answer(Box::new(answer));
    }
    if edits.denied.as_ref().is_none_or(|before| before.status != 401) {
        edits.denied = Some(Box::new(answer));
    }
    Verdict::Continue
}

/// A check that has passed. With `any`, the others need not.
pub(crate) fn passed(any: bool, edits: &mut Edits) -> Verdict {
    edits.satisfied |= any;
    Verdict::Continue
}

/// Present when one check is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Satisfy;

impl Feature for Satisfy {
    const KEYS: Keys = &[&SATISFY];

    fn read(reader: &mut Reader<'_>, _: &RuleFacts) -> Option<Self> {
        any(reader).then_some(Self)
    }

    fn on_request(&self, _: &Request<'_>, edits: &mut Edits) -> Verdict {
        match edits.denied.take() {
            Some(answer) if !edits.satisfied => Verdict::Answer(answer),
            _ => Verdict::Continue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Labels;

    fn answer(status: u16) -> Answer {
        Answer { status, fields: Vec::new(), body: None, reason: "" }
    }

    fn decide(edits: &mut Edits) -> Option<u16> {
        let (headers, labels) = (http::HeaderMap::new(), Labels::default());
        match Satisfy.on_request(&crate::request::tests::plain(&headers, &labels), edits) {
            Verdict::Answer(answer) => Some(answer.status),
            Verdict::Continue | Verdict::Ask(_) => None,
        }
    }

    #[test]
    fn one_check_that_passed_is_enough() {
        let mut edits = Edits::default();
        assert_eq!(denied(true, &mut edits, answer(403)), Verdict::Continue);
        assert_eq!(passed(true, &mut edits), Verdict::Continue);
        assert_eq!(decide(&mut edits), None);
    }

    #[test]
    fn when_none_passes_401_goes_before_403() {
        for statuses in [[401, 403], [403, 401]] {
            let mut edits = Edits::default();
            for status in statuses {
                assert_eq!(denied(true, &mut edits, answer(status)), Verdict::Continue);
            }
            assert_eq!(decide(&mut edits), Some(401));
        }
    }

    #[test]
    fn with_all_the_first_that_fails_answers() {
        assert_eq!(denied(false, &mut Edits::default(), answer(403)), Verdict::Answer(Box::new(answer(403))));
    }
}
