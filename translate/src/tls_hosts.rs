//! The certificate of one host, whichever Ingress wants it.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use table::{Certificate, HostPattern};

use crate::certificates::same;
use crate::notes::Notes;
use crate::object::Kind;
use crate::report::Note;
use crate::seniority::Seniority;
use crate::snapshot::Key;
use crate::text::Quoted;
use crate::tls_entries::Want;

/// Who has a TLS entry for a host, and what was said about those that lost.
#[derive(Debug, Default)]
pub(crate) struct TlsHostState {
    pub(crate) members: BTreeSet<Seniority>,
    /// Notes by Ingress.
    pub(crate) shadowed: BTreeMap<Key, Vec<Note>>,
}

/// Chooses the first usable certificate, given the wants in the order of their Ingresses' seniority.
pub(crate) fn choose(
    host: &HostPattern,
    wants: &[(&Key, &Want)],
) -> (Option<Arc<Certificate>>, BTreeMap<Key, Vec<Note>>) {
    let mut usable =
        wants.iter().filter_map(|(key, want)| want.certificate.as_ref().map(|certificate| (*key, *want, certificate)));
    let mut shadowed = BTreeMap::new();
    let Some((winner, _, chosen)) = usable.next() else { return (None, shadowed) };
    for (key, want, _) in usable.filter(|(_, _, certificate)| !same(certificate, chosen)) {
        let message = format!(
            "host {host} has the certificate of Secret {} already, which Ingress {} wants, so this one has no \
             effect; remove one of them",
            Quoted(&chosen.source),
            Quoted(&winner.to_string())
        );
        let mut notes = Notes::new(key.reference(Kind::Ingress));
        notes.warning("Shadowed", format!("spec.tls[{}].secretName", want.entry), message);
        shadowed.insert(key.clone(), notes.list);
    }
    (Some(chosen.clone()), shadowed)
}
