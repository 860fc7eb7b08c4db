//! Lets through only what lies in the selected namespaces (`--watch-namespace-selector`).
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::Namespace;
use tokio::sync::{mpsc, watch};
use translate::{Change, Object, ObjectRef};

use crate::batch::Batch;
use crate::batches::Unsynced;
use crate::known::Told;
use crate::watch::Keeper;

/// Names of the selected namespaces.
pub(crate) type Names = BTreeSet<Arc<str>>;

/// What is known, and what of it is let through.
#[derive(Debug, Default)]
struct Gate {
    selected: Names,
    objects: BTreeMap<Arc<str>, BTreeMap<ObjectRef, Object>>,
}

impl Gate {
    /// Takes changes in; returns those that are let through. What has no namespace always is.
    fn take(&mut self, changes: Vec<Change>) -> Vec<Change> {
        changes.into_iter().filter_map(|change| self.pass(change)).collect()
    }

    fn pass(&mut self, change: Change) -> Option<Change> {
        let reference = match &change {
            Change::Set(object) => object.reference(),
            Change::Delete(reference) => reference.clone(),
        };
        let namespace = reference.namespace.clone();
        if namespace.is_empty() {
            return Some(change);
        }
        let objects = self.objects.entry(namespace.clone()).or_default();
        match &change {
            Change::Set(object) => drop(objects.insert(reference, object.clone())),
            Change::Delete(reference) => drop(objects.remove(reference)),
        }
        self.selected.contains(&namespace).then_some(change)
    }

    /// Selects exactly these namespaces; returns what that changes.
    fn select(&mut self, names: &Names) -> Vec<Change> {
        let mut changes = Vec::new();
        for gone in self.selected.difference(names) {
            let objects = self.objects.get(gone).into_iter().flatten();
            changes.extend(objects.map(|(reference, _)| Change::Delete(reference.clone())));
        }
        for new in names.difference(&self.selected) {
            let objects = self.objects.get(new).into_iter().flatten();
            changes.extend(objects.map(|(_, object)| Change::Set(object.clone())));
        }
        self.selected.clone_from(names);
        changes
    }
}

/// Forwards batches until one of the two sides is gone.
pub(crate) async fn run(
    mut incoming: mpsc::Receiver<Batch>,
    mut names: watch::Receiver<Names>,
    outgoing: mpsc::Sender<Batch>,
) {
    let mut gate = Gate::default();
    loop {
        let mut batch = tokio::select! {
            batch = incoming.recv() => match batch {
                Some(batch) => batch,
                None => return,
            },
            Ok(()) = names.changed() => Batch { arrived: Instant::now(), changes: Vec::new(), synced: false },
        };
        batch.changes = gate.take(batch.changes);
        // Before anything is called complete, the selection is.
        let selected = names.borrow_and_update().clone();
        batch.changes.extend(gate.select(&selected));
        if (batch.synced || !batch.changes.is_empty()) && outgoing.send(batch).await.is_err() {
            return;
        }
    }
}

/// Keeps the names of the namespaces that a watch selects.
#[derive(Debug)]
pub(crate) struct Selected {
    names: Names,
    listed: Names,
    tell: watch::Sender<Names>,
    batches: mpsc::Sender<Batch>,
    unsynced: Unsynced,
    settled: bool,
    is_told: bool,
}

impl Selected {
    /// Begins with the namespaces that counted before; `batches` gets to know when all are.
    pub(crate) fn new(
        names: Names,
        tell: watch::Sender<Names>,
        batches: mpsc::Sender<Batch>,
        unsynced: Unsynced,
    ) -> Self {
        Self { names, listed: Names::new(), tell, batches, unsynced, settled: false, is_told: false }
    }
}

fn name(namespace: &Namespace) -> Arc<str> {
    namespace.metadata.name.as_deref().unwrap_or_default().into()
}

impl Keeper<Namespace> for Selected {
    fn take(&mut self, told: Told<Namespace>) {
        match told {
            Told::Begin => self.listed.clear(),
            Told::Listed(namespace) => {
                self.listed.insert(name(&namespace));
            }
            Told::End => self.names = std::mem::take(&mut self.listed),
            Told::Set(namespace) => {
                self.names.insert(name(&namespace));
            }
            // A namespace whose labels no longer match is told as gone, too.
            Told::Gone(namespace) => {
                self.names.remove(&name(&namespace));
            }
        }
    }

    fn len(&self) -> usize {
        self.names.len()
    }

    fn settled(&mut self, readable: bool) {
        self.settled |= readable;
    }

    async fn flush(&mut self, arrived: Instant) -> bool {
        self.tell.send_if_modified(|names| {
            let news = *names != self.names;
            names.clone_from(&self.names);
            news
        });
        if self.settled && !std::mem::replace(&mut self.is_told, true) && self.unsynced.done() {
            let all = Batch { arrived, changes: Vec::new(), synced: true };
            return self.batches.send(all).await.is_ok();
        }
        !self.batches.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;
    use k8s_openapi::api::networking::v1::IngressClass;

    fn service(namespace: &str, name: &str) -> Change {
        let mut service = Service::default();
        service.metadata.namespace = Some(namespace.to_owned());
        service.metadata.name = Some(name.to_owned());
        Change::Set(Object::Service(Arc::new(service)))
    }

    fn text(changes: Vec<Change>) -> Vec<String> {
        let text = |change| match change {
            Change::Set(object) => format!("set {}", object.reference()),
            Change::Delete(reference) => format!("delete {reference}"),
        };
        changes.into_iter().map(text).collect()
    }

    fn names(names: &[&str]) -> Names {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn what_lies_elsewhere_waits_until_its_namespace_is_selected() {
        let mut gate = Gate::default();
        assert!(gate.select(&names(&["a"])).is_empty());
        assert_eq!(text(gate.take(vec![service("a", "x"), service("b", "x")])), ["set Service a/x"]);
        assert_eq!(text(gate.select(&names(&["b"]))), ["delete Service a/x", "set Service b/x"]);
        assert!(gate.take(vec![service("a", "y")]).is_empty());
        assert_eq!(text(gate.select(&names(&["a", "b"]))), ["set Service a/x", "set Service a/y"]);
    }

    #[test]
    fn what_has_no_namespace_passes() {
        let class = Change::Set(Object::IngressClass(Arc::new(IngressClass::default())));
        assert_eq!(Gate::default().take(vec![class]).len(), 1);
    }
}
