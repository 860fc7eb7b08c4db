//! The certificates of Secrets in use: each parsed once, and looked at again when its validity begins or ends.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use table::Certificate;

use crate::report::Severity;
use crate::snapshot::{Key, Snapshot};
use crate::text::Quoted;
use crate::tls::{self, Parsed, Validity};

/// Why a Secret does not give a certificate now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    pub(crate) severity: Severity,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

#[derive(Debug)]
struct Entry {
    parsed: Result<Arc<Parsed>, &'static str>,
    validity: Option<Validity>,
    /// Where it stands in `boundaries`.
    boundary: Option<i64>,
}

/// Parsed Secrets by name.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    entries: BTreeMap<Key, Entry>,
    boundaries: BTreeMap<i64, BTreeSet<Key>>,
}

impl Certificates {
    /// The certificate of a Secret.
    pub(crate) fn get(&mut self, key: &Key, snapshot: &Snapshot, now: i64) -> Result<Arc<Parsed>, Unusable> {
        if !self.entries.contains_key(key) {
            let Some(secret) = snapshot.get_secret(key) else {
                let message =
                    format!("Secret {} does not exist; create it or correct the name", Quoted(&key.to_string()));
                return Err(Unusable { severity: Severity::Error, reason: "SecretMissing", message });
            };
            let parsed = tls::parse(secret, key.to_string().into()).map(Arc::new);
            self.insert(key, parsed, now);
        }
        let Some(Entry { parsed, validity, .. }) = self.entries.get(key) else {
            let message = format!("Secret {} could not be kept", Quoted(&key.to_string()));
            return Err(Unusable { severity: Severity::Error, reason: "SecretMissing", message });
        };
        let complaint = match (parsed, validity) {
            (Err(complaint), _) => (Severity::Error, "CertificateBroken", *complaint),
            (Ok(_), Some(Validity::Expired)) => {
                (Severity::Warning, "CertificateExpired", "holds an expired certificate; renew it")
            }
            (Ok(_), Some(Validity::NotYet)) => (
                Severity::Warning,
                "CertificateNotYetValid",
                "holds a certificate that is not valid yet; wait or issue it anew",
            ),
            (Ok(parsed), _) => return Ok(parsed.clone()),
        };
        let (severity, reason, text) = complaint;
        Err(Unusable { severity, reason, message: format!("Secret {} {text}", Quoted(&key.to_string())) })
    }

    /// Drops what a Secret said.
    pub(crate) fn forget(&mut self, key: &Key) {
        if let Some(at) = self.entries.remove(key).and_then(|entry| entry.boundary) {
            self.unschedule(at, key);
        }
    }

    /// Secrets whose validity changed since they were looked at. Costs what has changed.
    pub(crate) fn due(&mut self, now: i64) -> BTreeSet<Key> {
        let mut due = BTreeSet::new();
        while let Some(first) = self.boundaries.first_entry().filter(|first| *first.key() <= now) {
            due.extend(first.remove());
        }
        for key in &due {
            if let Some(entry) = self.entries.remove(key) {
                self.insert(key, entry.parsed, now);
            }
        }
        due
    }

    fn insert(&mut self, key: &Key, parsed: Result<Arc<Parsed>, &'static str>, now: i64) {
        let boundary = parsed.as_ref().ok().and_then(|parsed| parsed.next_boundary(now));
        if let Some(at) = boundary {
            self.boundaries.entry(at).or_default().insert(key.clone());
        }
        let validity = parsed.as_ref().ok().map(|parsed| parsed.validity(now));
        self.entries.insert(key.clone(), Entry { parsed, validity, boundary });
    }

    fn unschedule(&mut self, at: i64, key: &Key) {
        if let Some(keys) = self.boundaries.get_mut(&at) {
            keys.remove(key);
            if keys.is_empty() {
                self.boundaries.remove(&at);
            }
        }
    }
}

/// Do two certificates serve the same?
pub(crate) fn same(a: &Arc<Certificate>, b: &Arc<Certificate>) -> bool {
    Arc::ptr_eq(a, b) || a.chain == b.chain
}
