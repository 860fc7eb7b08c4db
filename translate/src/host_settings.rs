//! What holds for a whole host, whichever Ingresses have rules for it.
use features::HostSettings;
use table::HostPattern;

use crate::ingress::Candidate;
use crate::notes::Notes;
use crate::object::Kind;
use crate::report::Note;
use crate::snapshot::Key;
use crate::text::Quoted;

/// An Ingress with what it asks of its hosts and its candidates for this one.
type Want<'a> = (&'a Key, &'a HostSettings, &'a [Candidate]);

/// What holds for a host, given what its Ingresses ask in the order of their seniority, and notes for those that are not
/// heard.
pub(crate) fn merge(host: &HostPattern, wants: &[Want<'_>]) -> (Option<HostSettings>, Vec<(Key, Vec<Note>)>) {
    let mut told = Vec::new();
    let mut tell = |key: &Key, message: String| {
        let mut notes = Notes::new(key.reference(Kind::Ingress));
        notes.warning("PassthroughIgnored", "metadata.annotations".to_owned(), message);
        told.push((key.clone(), notes.list));
    };
    let mut merged = HostSettings::merge(&wants.iter().map(|(_, settings, _)| *settings).collect::<Vec<_>>());
    let mut asking = wants.iter().filter(|(_, settings, _)| settings.passthrough).peekable();
    if *host == HostPattern::Any && asking.peek().is_some() {
        // It would take the TLS of every host that nobody has named.
        if let Some(merged) = &mut merged {
            merged.passthrough = false;
        }
        let message = "annotation ssl-passthrough has no effect on rules without a host; name one";
        asking.for_each(|(key, ..)| tell(key, message.to_owned()));
    } else if merged.as_ref().is_some_and(|merged| merged.passthrough) {
        let root = |candidate: &Candidate| &*candidate.rule.policy.labels.path == "/";
        if let (Some((key, ..)), false) = (wants.first(), wants.iter().any(|(.., list)| list.iter().any(root))) {
            tell(
                key,
                format!(
                    "host {host} has annotation ssl-passthrough but no path / whose Service could end TLS, so its TLS connections are closed; add one"
                ),
            );
        }
    } else if let Some((oldest, ..)) = wants.first() {
        asking.for_each(|(key, ..)| {
            let oldest = Quoted(&oldest.to_string()).to_string();
            tell(key, format!("annotation ssl-passthrough has no effect on host {host}, because the older Ingress {oldest} has not got it; add it there"));
        });
    }
    (merged.filter(|merged| *merged != HostSettings::default()), told)
}
