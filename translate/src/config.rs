//! The controller's ConfigMap: what it says, and what is wrong with it.
use std::sync::Arc;

use features::Global;
use features::annotation::{Config, Problem, Support};

use crate::dependents::Dependency;
use crate::notes::Notes;
use crate::object::Kind;
use crate::referred::Referred;
use crate::report::Severity;
use crate::round::Round;
use crate::snapshot::{Dirty, Key};
use crate::text::{Plain, Sentence};
use crate::translator::Translator;

impl Translator {
    /// Reads the ConfigMap anew if it changed, or anything that it refers to. Settings that hold for all go into the table
    /// as soon as they differ.
    pub(crate) fn translate_config(&mut self, dirty: &Dirty, round: &mut Round) {
        let Some((namespace, name)) = &self.options.configmap else { return };
        let key = Key::new(namespace, name);
        let changed = dirty.config_maps.contains(&key);
        let referred = dirty.config_maps.iter().cloned().map(Dependency::ConfigMap);
        if !changed && !referred.into_iter().any(|map| self.config_refers_to.contains(&map)) {
            return;
        }
        if changed {
            let data = self.snapshot.get_config_map(&key).and_then(|map| map.data.clone()).unwrap_or_default();
            let config = Config::new(data);
            round.config_changed = std::mem::replace(&mut self.config, config.clone()) != config;
        }
        let objects = Referred::by_the_operator(&self.snapshot, &key.namespace);
        let (global, mut problems) = Global::read(&self.config, &objects);
        self.config_refers_to = objects.into_parts().0;
        if *round.current.global != global {
            round.edit().global = Arc::new(global);
        }
        problems.extend(features::check_config(&self.config));
        self.note_config(&key, &problems);
    }

    fn note_config(&mut self, key: &Key, problems: &[Problem]) {
        let object = key.reference(Kind::ConfigMap);
        let mut notes = Notes::new(object.clone());
        for problem in problems {
            let colon = if problem.message.starts_with("the ") { ":" } else { "" };
            let message = format!("key {}{colon} {}", Plain(&problem.name), Sentence(&problem.message));
            notes.warning("ConfigIgnored", format!("data[{}]", Plain(&problem.name)), message);
        }
        for (name, _) in self.config.iter().filter(|(name, _)| !problems.iter().any(|problem| problem.name == *name)) {
            let (reason, message) = match features::config_row(name).map(|row| row.support) {
                Some(Support::Approximated(how)) => {
                    ("ConfigApproximated", format!("key {name} is honoured with a difference: {how}"))
                }
                Some(Support::Refused(why)) => ("ConfigRefused", format!("key {name} is not honoured: {why}")),
                Some(Support::Honoured | Support::Inert(_)) | None => continue,
            };
            let severity = if reason == "ConfigRefused" { Severity::Warning } else { Severity::Info };
            let message = message.trim_end_matches('.').to_owned();
            notes.add(severity, reason, format!("data[{name}]"), message);
        }
        self.notes.set(&object, notes.list);
    }
}
