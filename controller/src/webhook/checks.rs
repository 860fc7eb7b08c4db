//! Counts what the webhook has judged, for metrics.
use std::sync::Arc;
use std::time::Duration;

use table::Checks;
use tokio::sync::watch;
use translate::{Kind, ObjectRef};

/// Ingresses that are counted by name: whoever may ask can name as many as it likes.
const MOST: usize = 10_000;

/// Where it is counted.
#[derive(Debug)]
pub(crate) struct Counter(watch::Sender<Arc<Checks>>);

/// How much there was to a check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Ingresses that there were.
    pub(crate) ingresses: usize,
    /// For translating them.
    pub(crate) translation: Duration,
    /// For the answer.
    pub(crate) whole: Duration,
}

impl Counter {
    pub(crate) fn new() -> (Self, watch::Receiver<Arc<Checks>>) {
        let (sender, receiver) = watch::channel(Arc::default());
        (Self(sender), receiver)
    }

    /// An Ingress was let in, or refused.
    pub(crate) fn count(&self, object: &ObjectRef, refused: bool, effort: Effort) {
        self.0.send_modify(|checks| {
            let checks = Arc::make_mut(checks);
            checks.ingresses = effort.ingresses;
            checks.translation = effort.translation;
            checks.whole = effort.whole;
            let name = (object.namespace.to_string(), object.name.to_string());
            if checks.by_name.len() < MOST || checks.by_name.contains_key(&name) {
                let (passed, errors) = checks.by_name.entry(name).or_default();
                *(if refused { errors } else { passed }) += 1;
            }
        });
    }

    /// An object is gone.
    pub(crate) fn forget(&self, object: &ObjectRef) {
        let name = (object.namespace.to_string(), object.name.to_string());
        if object.kind == Kind::Ingress && self.0.borrow().by_name.contains_key(&name) {
            self.0.send_modify(|checks| {
                Arc::make_mut(checks).by_name.remove(&name);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ingresses_are_counted_by_name_until_they_go() {
        let (counter, checks) = Counter::new();
        let object =
            |name: String| ObjectRef { kind: Kind::Ingress, namespace: "d".into(), name: name.as_str().into() };
        let effort = Effort { ingresses: 2, translation: Duration::from_millis(1), whole: Duration::from_millis(2) };
        let a = object("a".to_owned());
        counter.count(&a, false, effort);
        counter.count(&a, true, effort);
        counter.count(&a, true, effort);
        let of = |name: &str| checks.borrow().by_name.get(&("d".to_owned(), name.to_owned())).copied();
        assert_eq!((of("a"), checks.borrow().ingresses), (Some((1, 2)), 2));
        counter.forget(&a);
        assert_eq!(of("a"), None);
        (0..=MOST).for_each(|number| counter.count(&object(number.to_string()), true, effort));
        assert_eq!(checks.borrow().by_name.len(), MOST);
    }
}
