//! What to write into an Ingress' status, and how.
use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use translate::ObjectRef;

use crate::fault::Fault;
use crate::sighting::{Address, Sighting};
use crate::watch::within;

/// What is to be done about one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Nothing,
    /// Write our addresses.
    Write,
    /// Take back what we wrote.
    Remove,
}

/// Decides for one Ingress, of which `ours` says whether we serve it. What others wrote stays.
pub(crate) fn decide(seen: &Sighting, ours: bool, addresses: &[Address]) -> Deed {
    if ours && !addresses.is_empty() {
        let mut now: Vec<_> = seen.addresses.iter().collect();
        now.sort();
        now.dedup();
        return if now.into_iter().eq(addresses) { Deed::Nothing } else { Deed::Write };
    }
    if seen.by_us && !seen.addresses.is_empty() { Deed::Remove } else { Deed::Nothing }
}

/// Why a status was not written.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Somebody else's name stands for it, as the message tells.
    Theirs(String),
    /// It changed meanwhile, or is gone: it will be seen anew.
    Outdated,
    Failed(Fault),
}

/// Statuses that belong to others, as they were then: they are left alone until they change.
#[derive(Debug, Default)]
pub(crate) struct Respected(BTreeMap<ObjectRef, (Vec<Address>, Vec<Address>)>);

impl Respected {
    /// Remembers that a status belongs to somebody else; is that new?
    pub(crate) fn add(&mut self, ingress: ObjectRef, seen: &Sighting, wanted: &[Address]) -> bool {
        let now = (seen.addresses.clone(), wanted.to_vec());
        self.0.insert(ingress, now.clone()) != Some(now)
    }

    /// Is it still as it was when it was refused, and do we want the same?
    pub(crate) fn holds(&self, ingress: &ObjectRef, seen: &Sighting, wanted: &[Address]) -> bool {
        self.0.get(ingress).is_some_and(|(theirs, ours)| *theirs == seen.addresses && ours == wanted)
    }

    /// It could be written, or is gone.
    pub(crate) fn forget(&mut self, ingress: &ObjectRef) {
        self.0.remove(ingress);
    }
}

/// Writes by server-side apply under one name and without force, so that the API server keeps track of what is whose.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) client: Client,
    pub(crate) manager: String,
}

impl Writer {
    /// Writes the addresses, or with none takes back what was written.
    ///
    /// # Errors
    /// When it was not written.
    pub(crate) async fn write(
        &self,
        ingress: &ObjectRef,
        version: &str,
        addresses: &[Address],
        limit: std::time::Duration,
    ) -> Result<(), Refusal> {
        let ingresses: Api<Ingress> = Api::namespaced(self.client.clone(), &ingress.namespace);
        let patch = Patch::Apply(status(ingress, version, addresses));
        let parameters = PatchParams::apply(&self.manager);
        let written = ingresses.patch_status(&ingress.name, &parameters, &patch);
        match within(limit, "a status", written).await {
            Ok(_) => Ok(()),
            Err(fault) if fault.is_not_found() => Err(Refusal::Outdated),
            Err(fault) if fault.is_conflict() => Err(match whose(&fault) {
                Some(message) => Refusal::Theirs(message),
                None => Refusal::Outdated,
            }),
            Err(fault) => Err(Refusal::Failed(fault)),
        }
    }
}

fn status(ingress: &ObjectRef, version: &str, addresses: &[Address]) -> Value {
    let entry = |address: &Address| match address {
        Address::Ip(ip) => json!({"ip": ip}),
        Address::Hostname(name) => json!({"hostname": name}),
    };
    let entries: Vec<_> = addresses.iter().map(entry).collect();
    let status = if entries.is_empty() { json!({}) } else { json!({"loadBalancer": {"ingress": entries}}) };
    let metadata = json!({"name": &*ingress.name, "namespace": &*ingress.namespace, "resourceVersion": version});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "status": status})
}

/// The first cause of a conflict that is about who wrote a field, not about a version.
fn whose(fault: &Fault) -> Option<String> {
    let causes = &fault.status()?.details.as_ref()?.causes;
    causes.iter().find(|cause| cause.reason == "FieldManagerConflict").map(|cause| cause.message.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use translate::Kind;

    fn ip(last: u8) -> Address {
        Address::Ip(format!("192.0.2.{last}"))
    }

    fn seen(addresses: &[Address], by_us: bool) -> Sighting {
        Sighting { version: "1".to_owned(), uid: None, addresses: addresses.to_vec(), by_us }
    }

    #[test]
    fn only_a_difference_is_written() {
        let want = [ip(1), ip(2)];
        assert_eq!(decide(&seen(&[], false), true, &want), Deed::Write);
        assert_eq!(decide(&seen(&[ip(2), ip(1)], true), true, &want), Deed::Nothing);
        assert_eq!(decide(&seen(&[ip(2), ip(1)], false), true, &want), Deed::Nothing);
        assert_eq!(decide(&seen(&[ip(3)], true), true, &want), Deed::Write);
    }

    #[test]
    fn what_we_wrote_goes_with_our_task() {
        assert_eq!(decide(&seen(&[ip(1)], true), false, &[ip(1)]), Deed::Remove);
        assert_eq!(decide(&seen(&[ip(1)], false), false, &[ip(1)]), Deed::Nothing);
        assert_eq!(decide(&seen(&[ip(1)], true), true, &[]), Deed::Remove);
        assert_eq!(decide(&seen(&[], true), true, &[]), Deed::Nothing);
    }

    #[test]
    fn what_belongs_to_others_is_left_alone_until_it_changes() {
        let object = ObjectRef { kind: Kind::Ingress, namespace: "d".into(), name: "a".into() };
        let mut respected = Respected::default();
        let theirs = seen(&[ip(9)], false);
        assert!(respected.add(object.clone(), &theirs, &[ip(1)]));
        assert!(!respected.add(object.clone(), &theirs, &[ip(1)]));
        assert!(respected.holds(&object, &theirs, &[ip(1)]));
        assert!(!respected.holds(&object, &seen(&[], false), &[ip(1)]));
        assert!(!respected.holds(&object, &theirs, &[ip(2)]));
    }

    #[test]
    fn an_empty_status_names_nothing() {
        let object = ObjectRef { kind: Kind::Ingress, namespace: "d".into(), name: "a".into() };
        assert_eq!(status(&object, "7", &[])["status"], json!({}));
        let written = status(&object, "7", &[ip(1), Address::Hostname("lb.test".to_owned())]);
        assert_eq!(
            written["status"],
            json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.test"}]}})
        );
        assert_eq!(written["metadata"]["resourceVersion"], "7");
    }
}
