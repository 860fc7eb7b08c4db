//! Which objects a folder means: definitions by file, one winner for each object, and what changed.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use translate::{Change, Object, ObjectRef};

use crate::Origin;

/// How long an object stays after its last definition went.
///
/// Editors and shells do not replace a file in one step: they empty it and write it again, or move it away and write
/// another one. What is gone for so short a time was never meant to go.
pub(crate) const LINGER: Duration = Duration::from_millis(100);

/// Where a definition stands. The first of several counts: one that was really read before those that are kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    kept: bool,
    file: Arc<Path>,
    /// Place in the file.
    position: usize,
}

/// A definition of an object.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    /// Line in its file.
    pub(crate) line: usize,
    /// It is from an earlier reading of a file that is broken now.
    pub(crate) kept: bool,
    /// The object.
    pub(crate) object: Object,
}

/// An object that is defined more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Duplicate {
    /// The object.
    pub(crate) object: ObjectRef,
    /// The definition that counts.
    pub(crate) first: Origin,
    /// One that does not.
    pub(crate) other: Origin,
}

/// All definitions.
#[derive(Debug, Default)]
pub(crate) struct Index {
    definitions: BTreeMap<ObjectRef, BTreeMap<Place, Definition>>,
    /// Objects whose definitions changed since [`Index::changes`].
    touched: BTreeSet<ObjectRef>,
    /// What has been handed out.
    live: BTreeMap<ObjectRef, Object>,
    /// Live objects without a definition, and when they go.
    leaving: BTreeMap<ObjectRef, Instant>,
}

impl Index {
    /// Replaces the definitions of a file, of which `before` are the objects it held.
    pub(crate) fn replace(&mut self, file: &Arc<Path>, before: &BTreeSet<ObjectRef>, now: Vec<Definition>) {
        for object in before {
            if let Some(places) = self.definitions.get_mut(object) {
                places.retain(|place, _| place.file != *file);
                if places.is_empty() {
                    self.definitions.remove(object);
                }
            }
            self.touched.insert(object.clone());
        }
        for (position, definition) in now.into_iter().enumerate() {
            let object = definition.object.reference();
            self.touched.insert(object.clone());
            let place = Place { kept: definition.kept, file: file.clone(), position };
            self.definitions.entry(object).or_default().insert(place, definition);
        }
    }

    /// What changed since the call before; objects that went are kept until they have been away for [`LINGER`].
    pub(crate) fn changes(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        for reference in std::mem::take(&mut self.touched) {
            match self.winner(&reference).map(|(_, definition)| definition.object.clone()) {
                Some(object) => {
                    self.leaving.remove(&reference);
                    if !self.live.get(&reference).is_some_and(|live| same(live, &object)) {
                        self.live.insert(reference, object.clone());
                        changes.push(Change::Set(object));
                    }
                }
                None if self.live.contains_key(&reference) => {
                    self.leaving.entry(reference).or_insert(now + LINGER);
                }
                None => {}
            }
        }
        changes.append(&mut self.expired(now));
        changes
    }

    /// The objects that have been away for [`LINGER`].
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<Change> {
        let gone = self.leaving.extract_if(.., |_, leaves| *leaves <= now);
        let mut changes = Vec::new();
        for (reference, _) in gone {
            self.live.remove(&reference);
            changes.push(Change::Delete(reference));
        }
        changes
    }

    /// Keeps what is about to go until [`Index::changes`] is asked again: the files cannot be looked at.
    pub(crate) fn postpone(&mut self) {
        self.touched.extend(std::mem::take(&mut self.leaving).into_keys());
    }

    /// When [`Index::expired`] has something to say though no file changes.
    pub(crate) fn next_change(&self) -> Option<Instant> {
        self.leaving.values().min().copied()
    }

    /// The definition of an object in a file, with its place there.
    pub(crate) fn definition(&self, object: &ObjectRef, file: &Arc<Path>) -> Option<&Definition> {
        self.definitions.get(object)?.iter().find(|(place, _)| place.file == *file).map(|(_, definition)| definition)
    }

    /// Where each object stands.
    pub(crate) fn origins(&self) -> BTreeMap<ObjectRef, Origin> {
        self.definitions.keys().filter_map(|object| Some((object.clone(), origin(self.winner(object)?)))).collect()
    }

    /// Definitions of these objects that do not count. What is kept may not stand in its file any more.
    pub(crate) fn duplicates<'a>(&'a self, objects: impl Iterator<Item = &'a ObjectRef>) -> Vec<Duplicate> {
        let mut duplicates = Vec::new();
        for object in objects {
            let mut places = self.definitions.get(object).into_iter().flatten();
            let Some(first) = places.next().map(origin) else { continue };
            duplicates.extend(places.filter(|(place, _)| !place.kept).map(|place| Duplicate {
                object: object.clone(),
                first: first.clone(),
                other: origin(place),
            }));
        }
        duplicates
    }

    /// Every object that is defined.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.definitions.keys()
    }

    fn winner(&self, object: &ObjectRef) -> Option<(&Place, &Definition)> {
        self.definitions.get(object)?.first_key_value()
    }
}

fn origin((place, definition): (&Place, &Definition)) -> Origin {
    Origin { file: place.file.to_path_buf(), line: definition.line }
}

/// Are they equal in everything?
pub(crate) fn same(a: &Object, b: &Object) -> bool {
    match (a, b) {
        (Object::Ingress(a), Object::Ingress(b)) => a == b,
        (Object::IngressClass(a), Object::IngressClass(b)) => a == b,
        (Object::Service(a), Object::Service(b)) => a == b,
        (Object::EndpointSlice(a), Object::EndpointSlice(b)) => a == b,
        (Object::Secret(a), Object::Secret(b)) => a == b,
        (Object::ConfigMap(a), Object::ConfigMap(b)) => a == b,
        (Object::Pod(a), Object::Pod(b)) => a == b,
        (
            Object::Ingress(_)
            | Object::IngressClass(_)
            | Object::Service(_)
            | Object::EndpointSlice(_)
            | Object::Secret(_)
            | Object::ConfigMap(_)
            | Object::Pod(_),
            _,
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;

    fn service(name: &str, label: &str) -> Definition {
        let mut service = Service::default();
        service.metadata.name = Some(name.to_owned());
        service.metadata.labels = Some([("l".to_owned(), label.to_owned())].into());
        Definition { line: 1, kept: false, object: Object::Service(Arc::new(service)) }
    }

    fn refs(definitions: &[Definition]) -> BTreeSet<ObjectRef> {
        definitions.iter().map(|definition| definition.object.reference()).collect()
    }

    /// Replaces a file's definitions; returns the changes as text.
    fn replace(index: &mut Index, file: &str, before: &[Definition], now: Vec<Definition>, at: Instant) -> Vec<String> {
        index.replace(&Path::new(file).into(), &refs(before), now);
        changes(index, at)
    }

    fn changes(index: &mut Index, at: Instant) -> Vec<String> {
        let text = |change: Change| match change {
            Change::Set(object) => match &object {
                Object::Service(service) => {
                    format!("set {} {}", object.reference().name, service.metadata.labels.as_ref().unwrap()["l"])
                }
                other => panic!("{other:?}"),
            },
            Change::Delete(object) => format!("delete {}", object.name),
        };
        index.changes(at).into_iter().map(text).collect()
    }

    #[test]
    fn only_what_changed_is_told() {
        let (mut index, at) = (Index::default(), Instant::now());
        let before = [service("a", "1"), service("b", "1")];
        assert_eq!(replace(&mut index, "f", &[], before.to_vec(), at), ["set a 1", "set b 1"]);
        assert_eq!(replace(&mut index, "f", &before, vec![service("b", "2"), service("a", "1")], at), ["set b 2"]);
    }

    #[test]
    fn what_went_lingers() {
        let (mut index, at) = (Index::default(), Instant::now());
        let before = [service("a", "1")];
        replace(&mut index, "f", &[], before.to_vec(), at);
        assert!(replace(&mut index, "f", &before, vec![], at).is_empty());
        assert_eq!(index.next_change(), Some(at + LINGER));
        assert_eq!(changes(&mut index, at + LINGER), ["delete a"]);
        assert_eq!(index.next_change(), None);
    }

    #[test]
    fn what_comes_back_in_time_never_went() {
        let (mut index, at) = (Index::default(), Instant::now());
        let before = [service("a", "1")];
        replace(&mut index, "f", &[], before.to_vec(), at);
        replace(&mut index, "f", &before, vec![], at);
        assert!(replace(&mut index, "g", &[], before.to_vec(), at).is_empty());
        assert!(changes(&mut index, at + LINGER).is_empty());
    }

    #[test]
    fn the_first_of_two_definitions_counts() {
        let (mut index, at) = (Index::default(), Instant::now());
        let (first, other) = ([service("a", "first")], [service("a", "other")]);
        assert_eq!(replace(&mut index, "g", &[], other.to_vec(), at), ["set a other"]);
        assert_eq!(replace(&mut index, "f", &[], first.to_vec(), at), ["set a first"]);
        let duplicates = index.duplicates(index.objects());
        let place = |file: &str| Origin { file: file.into(), line: 1 };
        let object = first[0].object.reference();
        assert_eq!(duplicates, [Duplicate { object, first: place("f"), other: place("g") }]);
        assert_eq!(replace(&mut index, "f", &first, vec![], at), ["set a other"]);
    }

    #[test]
    fn a_definition_that_is_kept_gives_way_to_one_that_was_read() {
        let (mut index, at) = (Index::default(), Instant::now());
        let (kept, read) = ([Definition { kept: true, ..service("a", "kept") }], [service("a", "read")]);
        assert_eq!(replace(&mut index, "f", &[], kept.to_vec(), at), ["set a kept"]);
        assert_eq!(replace(&mut index, "g", &[], read.to_vec(), at), ["set a read"]);
        assert!(index.duplicates(index.objects()).is_empty());
        assert_eq!(replace(&mut index, "g", &read, vec![], at), ["set a kept"]);
    }

    #[test]
    fn an_object_can_stand_twice_in_one_file() {
        let (mut index, at) = (Index::default(), Instant::now());
        let both = [service("a", "first"), service("a", "other")];
        assert_eq!(replace(&mut index, "f", &[], both.to_vec(), at), ["set a first"]);
        assert_eq!(index.duplicates(index.objects()).len(), 1);
        assert!(replace(&mut index, "f", &both, vec![], at).is_empty());
        assert_eq!(changes(&mut index, at + LINGER), ["delete a"]);
    }
}
