//! The desk between what reads the cluster and what writes to it: what there is to write about, the latest of each only.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use translate::{Note, ObjectRef};

use crate::sighting::Sighting;

/// The notes that hold for an object.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    /// The UID, without which `kubectl describe` does not show an event.
    pub(crate) uid: Option<Arc<str>>,
    /// All that hold now.
    pub(crate) notes: Vec<Note>,
}

/// What waits for the one who writes.
#[derive(Debug, Default)]
pub(crate) struct Tray {
    /// What was last seen of each Ingress' status.
    pub(crate) sightings: BTreeMap<ObjectRef, Sighting>,
    /// The Ingresses that we serve.
    pub(crate) ours: BTreeSet<ObjectRef>,
    /// Ingresses whose status has to be looked at.
    pub(crate) unchecked: BTreeSet<ObjectRef>,
    /// Objects whose notes have changed.
    pub(crate) noted: BTreeMap<ObjectRef, Noted>,
    /// Ingresses of ours that were created or changed, with their UID.
    pub(crate) changed: BTreeMap<ObjectRef, Option<Arc<str>>>,
}

/// The desk.
#[derive(Debug)]
pub(crate) struct Desk {
    /// By what name we write.
    pub(crate) manager: String,
    tray: Mutex<Tray>,
    news: Notify,
}

impl Desk {
    /// An empty desk of one who writes by the name of `manager`.
    pub(crate) fn new(manager: String) -> Self {
        Self { manager, tray: Mutex::default(), news: Notify::new() }
    }

    /// What lies on it. Not to be held across an await.
    pub(crate) fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An Ingress was seen, or is gone.
    pub(crate) fn seen(&self, ingress: ObjectRef, sighting: Option<Sighting>) {
        let mut tray = self.tray();
        if tray.sightings.get(&ingress) != sighting.as_ref() {
            match sighting {
                Some(sighting) => tray.sightings.insert(ingress.clone(), sighting),
                None => tray.sightings.remove(&ingress),
            };
            tray.unchecked.insert(ingress);
            self.news.notify_one();
        }
    }

    /// Some of these were not ours before, or are no longer.
    pub(crate) fn standings(&self, standings: Vec<(ObjectRef, bool)>) {
        let mut tray = self.tray();
        for (ingress, ours) in standings {
            let news = if ours { tray.ours.insert(ingress.clone()) } else { tray.ours.remove(&ingress) };
            if news {
                tray.unchecked.insert(ingress);
                self.news.notify_one();
            }
        }
    }

    /// The notes of an object changed.
    pub(crate) fn noted(&self, object: ObjectRef, noted: Noted) {
        self.tray().noted.insert(object, noted);
        self.news.notify_one();
    }

    /// An Ingress was created or changed.
    pub(crate) fn changed(&self, ingress: ObjectRef, uid: Option<Arc<str>>) {
        let mut tray = self.tray();
        if tray.ours.contains(&ingress) {
            tray.changed.insert(ingress, uid);
            self.news.notify_one();
        }
    }

    /// Every status has to be looked at: the addresses changed, or it is on us to write now.
    pub(crate) fn check_all(&self) {
        let mut tray = self.tray();
        tray.unchecked = tray.sightings.keys().cloned().collect();
        self.news.notify_one();
    }

    /// Waits until something was put on the desk since the call before.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use translate::Kind;

    fn ingress(name: &str) -> ObjectRef {
        ObjectRef { kind: Kind::Ingress, namespace: "d".into(), name: name.into() }
    }

    fn sighting(version: &str) -> Sighting {
        Sighting { version: version.to_owned(), uid: None, addresses: vec![], by_us: false }
    }

    #[test]
    fn only_what_is_new_is_news() {
        let desk = Desk::new(String::new());
        desk.seen(ingress("a"), Some(sighting("1")));
        assert!(desk.news().now_or_never().is_some());
        desk.seen(ingress("a"), Some(sighting("1")));
        desk.standings(vec![(ingress("a"), false)]);
        assert!(desk.news().now_or_never().is_none());
        desk.standings(vec![(ingress("a"), true)]);
        assert!(desk.news().now_or_never().is_some());
        assert_eq!(desk.tray().unchecked.len(), 1);
    }

    #[test]
    fn changes_of_what_others_serve_are_not_kept() {
        let desk = Desk::new(String::new());
        desk.standings(vec![(ingress("a"), true)]);
        desk.changed(ingress("a"), None);
        desk.changed(ingress("b"), None);
        assert_eq!(desk.tray().changed.len(), 1);
    }
}
