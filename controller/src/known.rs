//! The objects of one kind as a watch told them: turns its events into changes, and relists into differences.
use std::collections::{BTreeMap, BTreeSet};

use kube::Resource;
use translate::{Change, Object, ObjectRef};

use crate::index::same;
use crate::watched::Watched;

/// What a list or a watch tells.
#[derive(Debug)]
pub(crate) enum Told<K> {
    /// A list begins.
    Begin,
    /// The list names this object.
    Listed(K),
    /// The list is complete: what it did not name is gone.
    End,
    /// An object was created or has changed.
    Set(K),
    /// An object is gone.
    Gone(K),
}

/// What is known of one kind.
#[derive(Debug, Default)]
pub(crate) struct Known {
    objects: BTreeMap<ObjectRef, (Object, Option<u64>)>,
    /// What a list that is under way has named so far.
    listed: BTreeSet<ObjectRef>,
    /// Objects that a watch told gone, with the version that did: an event from before must not bring them back.
    gone: BTreeMap<ObjectRef, u64>,
}

/// Most objects that are remembered to be gone; a list forgets them.
const GRAVES: usize = 1024;

impl Known {
    /// Starts with objects that an earlier process knew; the first list tells what became of them.
    pub(crate) fn with(objects: impl IntoIterator<Item = Object>) -> Self {
        let objects = objects.into_iter().map(|object| (object.reference(), (object, None)));
        Self { objects: objects.collect(), ..Self::default() }
    }

    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Takes an event; adds what it changes.
    pub(crate) fn take<K: Watched>(&mut self, told: Told<K>, changes: &mut Vec<Change>) {
        match told {
            Told::Begin => {
                self.listed.clear();
                self.gone.clear();
            }
            // A list is right even where it is older: a cluster that was restored from a backup counts from there.
            Told::Listed(object) => {
                let version = version(&object);
                let object = object.stripped();
                self.listed.insert(object.reference());
                self.set(object, version, changes);
            }
            Told::End => {
                let listed = std::mem::take(&mut self.listed);
                let gone = self.objects.extract_if(.., |reference, _| !listed.contains(reference));
                changes.extend(gone.map(|(reference, _)| Change::Delete(reference)));
            }
            Told::Set(object) => {
                let version = version(&object);
                let object = object.stripped();
                if !self.is_late(&object.reference(), version) {
                    self.set(object, version, changes);
                }
            }
            Told::Gone(object) => {
                let version = version(&object);
                let reference = object.stripped().reference();
                if !self.is_late(&reference, version) && self.objects.remove(&reference).is_some() {
                    self.bury(reference.clone(), version);
                    changes.push(Change::Delete(reference));
                }
            }
        }
    }

    /// Is something newer known of the object? Resource versions of one kind count up, as the API conventions have it
    /// since Kubernetes 1.35 and every API server did before; what does not look like a number is believed.
    fn is_late(&self, reference: &ObjectRef, version: Option<u64>) -> bool {
        let known = self.objects.get(reference).and_then(|(_, known)| *known);
        let known = known.or_else(|| self.gone.get(reference).copied());
        known.zip(version).is_some_and(|(known, version)| version < known)
    }

    fn bury(&mut self, reference: ObjectRef, version: Option<u64>) {
        let Some(version) = version else { return };
        if self.gone.len() >= GRAVES {
            let oldest = self.gone.iter().min_by_key(|(_, version)| **version).map(|(reference, _)| reference.clone());
            oldest.map(|oldest| self.gone.remove(&oldest));
        }
        self.gone.insert(reference, version);
    }

    fn set(&mut self, object: Object, version: Option<u64>, changes: &mut Vec<Change>) {
        match self.objects.get_mut(&object.reference()) {
            Some((known, known_version)) if same(known, &object) => *known_version = version,
            _ => {
                self.objects.insert(object.reference(), (object.clone(), version));
                changes.push(Change::Set(object));
            }
        }
    }
}

fn version<K: Resource>(object: &K) -> Option<u64> {
    object.meta().resource_version.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;

    fn service(name: &str, version: &str, note: &str) -> Service {
        let mut service = Service::default();
        service.metadata.name = Some(name.to_owned());
        service.metadata.resource_version = Some(version.to_owned());
        service.metadata.annotations = Some([("l".to_owned(), note.to_owned())].into());
        service
    }

    /// Takes events; returns the changes as text.
    fn take(known: &mut Known, events: Vec<Told<Service>>) -> Vec<String> {
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

    fn list(objects: Vec<Service>) -> Vec<Told<Service>> {
        let objects = objects.into_iter().map(Told::Listed);
        [Told::Begin].into_iter().chain(objects).chain([Told::End]).collect()
    }

    #[test]
    fn a_relist_tells_only_differences() {
        let mut known = Known::default();
        let first = vec![service("a", "1", "x"), service("b", "2", "x"), service("c", "3", "x")];
        assert_eq!(take(&mut known, list(first)), ["set a", "set b", "set c"]);
        let second = vec![service("a", "9", "x"), service("c", "8", "y")];
        assert_eq!(take(&mut known, list(second)), ["set c", "delete b"]);
    }

    #[test]
    fn a_list_that_was_interrupted_deletes_nothing() {
        let mut known = Known::default();
        take(&mut known, list(vec![service("a", "1", "x")]));
        let interrupted = vec![Told::Begin, Told::Listed(service("b", "2", "x")), Told::Begin];
        assert_eq!(take(&mut known, interrupted), ["set b"]);
        assert_eq!(take(&mut known, vec![Told::Listed(service("a", "1", "x")), Told::End]), ["delete b"]);
    }

    #[test]
    fn events_become_changes_once() {
        let mut known = Known::default();
        let events = vec![
            Told::Set(service("a", "1", "x")),
            Told::Set(service("a", "2", "x")),
            Told::Gone(service("a", "3", "x")),
            Told::Gone(service("a", "3", "x")),
        ];
        assert_eq!(take(&mut known, events), ["set a", "delete a"]);
    }

    #[test]
    fn events_out_of_order_change_nothing() {
        let mut known = Known::default();
        assert_eq!(take(&mut known, list(vec![service("a", "9", "x")])), ["set a"]);
        let late = vec![Told::Gone(service("a", "7", "w")), Told::Set(service("a", "8", "w"))];
        assert!(take(&mut known, late).is_empty());
        assert_eq!(take(&mut known, vec![Told::Set(service("a", "10", "w"))]), ["set a"]);
        let swapped = vec![Told::Gone(service("a", "12", "w")), Told::Set(service("a", "11", "v"))];
        assert_eq!(take(&mut known, swapped), ["delete a"]);
        assert_eq!(take(&mut known, vec![Told::Set(service("a", "13", "v"))]), ["set a"]);
    }

    #[test]
    fn after_a_restore_from_a_backup_older_versions_count() {
        let mut known = Known::default();
        take(&mut known, list(vec![service("a", "900", "x")]));
        assert_eq!(take(&mut known, list(vec![service("a", "5", "y")])), ["set a"]);
        assert_eq!(take(&mut known, vec![Told::Set(service("a", "6", "z"))]), ["set a"]);
    }

    #[test]
    fn what_an_earlier_process_knew_goes_with_the_first_list() {
        let objects = [service("a", "1", "x"), service("b", "1", "x")].map(Watched::stripped);
        let mut known = Known::with(objects);
        assert_eq!(take(&mut known, list(vec![service("a", "4", "x")])), ["delete b"]);
    }
}
