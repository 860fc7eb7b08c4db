//! Reads a folder once, for commands that explain and check.
use std::path::Path;
use std::time::{Instant, SystemTime};

use translate::{Change, Options, Output, Translator};

use crate::folder::Folder;
use crate::publish::unix_time;
use crate::{Error, Loaded};

/// Everything that a folder means now.
///
/// # Errors
/// When there is no such folder.
pub(crate) fn folder(root: &Path, options: Options) -> Result<Loaded, Error> {
    let mut folder = Folder::open(root)?;
    let scan = folder.scan(Instant::now(), SystemTime::now()).map_err(|error| {
        Error(format!("the folder {} cannot be listed ({error}); make it readable", root.display()))
    })?;
    let mut loaded = translated(scan.changes, options);
    loaded.origins = folder.origins();
    loaded.broken = folder.broken();
    loaded.warnings = folder.warnings();
    Ok(loaded)
}

/// What objects mean.
pub(crate) fn translated(changes: Vec<Change>, options: Options) -> Loaded {
    let mut translator = Translator::new(options);
    changes.into_iter().for_each(|change| translator.apply(change));
    let Output { table, endpoints, .. } = translator.publish(unix_time());
    Loaded {
        table: table.unwrap_or_default(),
        endpoints: endpoints.into_iter().collect(),
        notes: translator.notes().cloned().collect(),
        origins: Default::default(),
        broken: Vec::new(),
        warnings: Vec::new(),
    }
}
