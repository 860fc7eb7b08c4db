//! The objects of one kind as a watch told them: turns its events into changes, and relists into differences.
use std::collections::{BTreeMap, BTreeSet};

use kube::runtime::watcher::Event;
use translate::{Change, Object, ObjectRef};

use crate::index::same;
use crate::watched::Watched;

/// What is known of one kind.
#[derive(Debug, Default)]
pub(crate) struct Known {
    objects: BTreeMap<ObjectRef, Object>,
    /// What a list that is under way has named so far.
    listed: BTreeSet<ObjectRef>,
}

impl Known {
    /// Takes an event; adds what it changes. True when a list is complete.
    pub(crate) fn take<K: Watched>(&mut self, event: Event<K>, changes: &mut Vec<Change>) -> bool {
        match event {
            Event::Apply(object) => self.set(object.stripped(), changes),
            Event::Delete(object) => {
                let reference = object.stripped().reference();
                if self.objects.remove(&reference).is_some() {
                    changes.push(Change::Delete(reference));
                }
            }
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                let object = object.stripped();
                self.listed.insert(object.reference());
                self.set(object, changes);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let gone = self.objects.extract_if(.., |reference, _| !listed.contains(reference));
                changes.extend(gone.map(|(reference, _)| Change::Delete(reference)));
                return true;
            }
        }
        false
    }

    fn set(&mut self, object: Object, changes: &mut Vec<Change>) {
        let reference = object.reference();
        if !self.objects.get(&reference).is_some_and(|known| same(known, &object)) {
            self.objects.insert(reference, object.clone());
            changes.push(Change::Set(object));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;

    fn service(name: &str, version: &str, label: &str) -> Service {
        let mut service = Service::default();
        service.metadata.name = Some(name.to_owned());
        service.metadata.resource_version = Some(version.to_owned());
        service.metadata.labels = Some([("l".to_owned(), label.to_owned())].into());
        service
    }

    /// Takes events; returns the changes as text.
    fn take(known: &mut Known, events: Vec<Event<Service>>) -> Vec<String> {
        let mut changes = Vec::new();
        for event in events {
            known.take(event, &mut changes);
        }
        let text = |change| match change {
            Change::Set(object) => format!("set {}", object.reference().name),
            Change::Delete(object) => format!("delete {}", object.name),
        };
        changes.into_iter().map(text).collect()
    }

    #[test]
    fn a_relist_tells_only_differences() {
        let mut known = Known::default();
        let list = |objects: Vec<Service>| {
            let objects = objects.into_iter().map(Event::InitApply);
            [Event::Init].into_iter().chain(objects).chain([Event::InitDone]).collect()
        };
        let first = vec![service("a", "1", "x"), service("b", "2", "x"), service("c", "3", "x")];
        assert_eq!(take(&mut known, list(first)), ["set a", "set b", "set c"]);
        let second = vec![service("a", "9", "x"), service("c", "8", "y")];
        assert_eq!(take(&mut known, list(second)), ["set c", "delete b"]);
    }

    #[test]
    fn a_list_that_was_interrupted_deletes_nothing() {
        let mut known = Known::default();
        take(&mut known, vec![Event::Init, Event::InitApply(service("a", "1", "x")), Event::InitDone]);
        let interrupted = vec![Event::Init, Event::InitApply(service("b", "2", "x")), Event::Init];
        assert_eq!(take(&mut known, interrupted), ["set b"]);
        assert_eq!(take(&mut known, vec![Event::InitApply(service("a", "1", "x")), Event::InitDone]), ["delete b"]);
    }

    #[test]
    fn events_become_changes_once() {
        let mut known = Known::default();
        let events = vec![
            Event::Apply(service("a", "1", "x")),
            Event::Apply(service("a", "2", "x")),
            Event::Delete(service("a", "3", "x")),
            Event::Delete(service("a", "3", "x")),
        ];
        assert_eq!(take(&mut known, events), ["set a", "delete a"]);
    }
}
