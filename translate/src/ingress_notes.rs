//! The notes of an Ingress, collected from all that was said about it.
use crate::notes::Notes;
use crate::object::Kind;
use crate::report::Note;
use crate::round::Round;
use crate::snapshot::Key;
use crate::text::Quoted;
use crate::translator::Translator;

impl Translator {
    /// Writes the notes of every Ingress that may have other ones now.
    pub(crate) fn write_notes(&mut self, round: &mut Round) {
        for key in std::mem::take(&mut round.noted) {
            round.work.notes += 1;
            let notes = self.ingress_notes(&key);
            self.notes.set(&key.reference(Kind::Ingress), notes);
        }
    }

    fn ingress_notes(&self, key: &Key) -> Vec<Note> {
        let Some(state) = self.ingresses.get(key) else { return Vec::new() };
        let mut notes = Notes::new(key.reference(Kind::Ingress));
        notes.list.extend(state.tls_notes.iter().chain(&state.rule_notes).cloned());
        let by_rule_host = state.rules.hosts.keys().filter_map(|host| self.rule_hosts.get(host)?.shadowed.get(key));
        let by_tls_host = state.tls.wants.keys().filter_map(|host| self.tls_hosts.get(host)?.shadowed.get(key));
        notes.list.extend(by_rule_host.chain(by_tls_host).flatten().cloned());
        notes.list.extend(self.further.notes(key, state.rules.hosts.keys()));
        notes.list.extend(self.canaries.notes(key, &state.rules.canary));
        let then = match state.rules.canary.as_slice() {
            [] => "the answer is 503",
            _ => "the requests go to the main Service",
        };
        for (id, place) in state.rules.clusters.iter().filter(|(id, _)| self.clusters.is_empty(id)) {
            let service = Quoted(id.service());
            let message = format!(
                "port {} of Service {service} has no ready endpoints, so {then}; start its pods or correct \
                 its selector and target port",
                id.port()
            );
            notes.warning("NoEndpoints", place.backend(), message);
        }
        notes.list
    }
}
