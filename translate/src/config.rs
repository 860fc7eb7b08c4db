//! The controller's ConfigMap: what it says, and what is wrong with it.
use features::annotation::Config;

use crate::notes::Notes;
use crate::object::Kind;
use crate::snapshot::{Dirty, Key};
use crate::text::Plain;
use crate::translator::Translator;

impl Translator {
    /// Reads the ConfigMap anew if it changed; tells whether it now says something else.
    pub(crate) fn read_config(&mut self, dirty: &Dirty) -> bool {
        let Some((namespace, name)) = &self.options.configmap else { return false };
        let key = Key::new(namespace, name);
        if !dirty.config_maps.contains(&key) {
            return false;
        }
        let data = self.snapshot.get_config_map(&key).and_then(|map| map.data.clone()).unwrap_or_default();
        let config = Config::new(data);
        let object = key.reference(Kind::ConfigMap);
        let mut notes = Notes::new(object.clone());
        for problem in features::check_config(&config) {
            let colon = if problem.message.starts_with("the ") { ":" } else { "" };
            let message = format!("key {}{colon} {}", Plain(&problem.name), problem.message);
            notes.warning("ConfigIgnored", format!("data[{}]", Plain(&problem.name)), message);
        }
        self.notes.set(&object, notes.list);
        std::mem::replace(&mut self.config, config.clone()) != config
    }
}
