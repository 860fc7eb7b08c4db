//! Reads a source once, for commands that explain and check.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Instant, SystemTime};

use translate::{Change, Options, Output, Translator};

use crate::folder::Folder;
use crate::publish::unix_time;
use crate::start::runtime;
use crate::{Cluster, Error, Loaded, cluster};

/// Everything that a folder means now.
///
/// # Errors
/// When there is no such folder.
pub(crate) fn folder(root: &Path, options: Options) -> Result<Loaded, Error> {
    let mut folder = Folder::open(root)?;
    let scan = folder.scan(Instant::now(), SystemTime::now()).map_err(|error| {
        Error(format!("the folder {} cannot be listed ({error}); make it readable", root.display()))
    })?;
    let mut loaded = translated(scan.changes, for_folder(options));
    loaded.origins = folder.origins();
    loaded.broken = folder.broken();
    loaded.warnings = folder.warnings();
    Ok(loaded)
}

/// Everything that a cluster means now.
///
/// # Errors
/// When there is no usable configuration, or the API server does not answer.
pub(crate) fn cluster(cluster: &Cluster, options: Options) -> Result<Loaded, Error> {
    let changes = runtime()?.block_on(async {
        let client = cluster::client(cluster).await?;
        cluster::list(&client, cluster, &options).await
    })?;
    Ok(translated(changes, options))
}

/// A folder needs no IngressClass: what lies in it is meant for us.
pub(crate) fn for_folder(options: Options) -> Options {
    Options { classless_without_classes: true, ..options }
}

fn translated(changes: Vec<Change>, options: Options) -> Loaded {
    let mut translator = Translator::new(options);
    changes.into_iter().for_each(|change| translator.apply(change));
    let Output { table, endpoints, policies, .. } = translator.publish(unix_time());
    Loaded {
        table: table.unwrap_or_default(),
        endpoints: endpoints.into_iter().collect(),
        policies: policies.into_iter().collect(),
        notes: translator.notes().cloned().collect(),
        origins: BTreeMap::new(),
        broken: Vec::new(),
        warnings: Vec::new(),
        review: translator.review(),
    }
}
