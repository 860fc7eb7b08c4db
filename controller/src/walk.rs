//! Finds the manifest files below a folder.
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::manifest::Format;

/// For how long after a write another write may leave no trace but the content.
pub(crate) const FRESH: Duration = Duration::from_millis(50);

/// What tells a file from an earlier version of itself without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: SystemTime,
    /// When the kernel noted the last change, of permissions too; unlike `modified`, nobody can set it back.
    changed: SystemTime,
    length: u64,
    inode: (u64, u64),
}

impl Stamp {
    fn of(meta: &Metadata) -> io::Result<Self> {
        Ok(Self {
            modified: meta.modified()?,
            changed: changed(meta),
            length: meta.len(),
            inode: (meta.dev(), meta.ino()),
        })
    }

    /// Length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Could a later write leave the same stamp? File systems count in steps of some milliseconds.
    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        let age = |time| now.duration_since(time).unwrap_or_else(|future| future.duration());
        age(self.modified) < FRESH || age(self.changed) < FRESH
    }
}

fn changed(meta: &Metadata) -> SystemTime {
    let seconds = u64::try_from(meta.ctime()).unwrap_or_default();
    let nanoseconds = u32::try_from(meta.ctime_nsec()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Manifest files, in order.
    pub(crate) files: BTreeMap<Arc<Path>, Stamp>,
    /// What could not be looked at; files at or below these may exist all the same.
    pub(crate) unreadable: BTreeMap<PathBuf, String>,
}

/// The format of a file that is a manifest by its name.
pub(crate) fn format(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "yaml" | "yml" => Some(Format::Yaml),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// The stamp of a file as a walk would find it; `None` when it is no regular file now, or cannot be looked at.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    meta.is_file().then(|| Stamp::of(&meta).ok())?
}

/// Walks a folder. Names that begin with a dot are not looked at; symbolic links are followed, so that a mounted
/// ConfigMap, whose files are links into `..data`, is read once and through its visible names.
///
/// # Errors
/// When the folder itself cannot be listed.
pub(crate) fn walk(root: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    let meta = std::fs::metadata(root)?;
    list(root, &mut vec![(meta.dev(), meta.ino())], &mut found)?;
    Ok(found)
}

/// `ancestors` are the folders on the way here: a link back to one of them is not followed again.
fn list(folder: &Path, ancestors: &mut Vec<(u64, u64)>, found: &mut Found) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if let Err(error) = look_at(&path, ancestors, found) {
            // Gone since it was listed, or a link to nothing: not there.
            if error.kind() != io::ErrorKind::NotFound {
                found.unreadable.insert(path, error.to_string());
            }
        }
    }
    Ok(())
}

fn look_at(path: &Path, ancestors: &mut Vec<(u64, u64)>, found: &mut Found) -> io::Result<()> {
    let meta = std::fs::metadata(path)?;
    if meta.is_dir() {
        let id = (meta.dev(), meta.ino());
        if ancestors.contains(&id) {
            return Ok(());
        }
        ancestors.push(id);
        let listed = list(path, ancestors, found);
        ancestors.pop();
        return listed;
    }
    if meta.is_file() && format(path).is_some() {
        found.files.insert(path.into(), Stamp::of(&meta)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(root: &Path) -> Vec<String> {
        let found = walk(root).unwrap();
        found.files.keys().map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect()
    }

    #[test]
    fn a_change_shows_though_time_and_length_are_set_back() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.yaml");
        std::fs::write(&path, "a: 1").unwrap();
        let before = std::fs::metadata(&path).unwrap();
        let mut after = before.clone();
        // Until the kernel's clock, which counts in milliseconds, has moved on.
        while (after.ctime(), after.ctime_nsec()) == (before.ctime(), before.ctime_nsec()) {
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            std::io::Write::write_all(&mut &file, b"a: 2").unwrap();
            file.set_modified(before.modified().unwrap()).unwrap();
            after = std::fs::metadata(&path).unwrap();
        }
        assert_eq!(after.modified().unwrap(), before.modified().unwrap());
        assert_ne!(Stamp::of(&after).unwrap(), Stamp::of(&before).unwrap());
        std::fs::File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let stamp = Stamp::of(&std::fs::metadata(&path).unwrap()).unwrap();
        assert!(stamp.is_fresh(stamp.changed));
    }

    #[test]
    fn manifests_are_found_below_in_order() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("sub/deep")).unwrap();
        for name in ["b.yml", "a.yaml", "c.json", "readme.md", "sub/deep/d.yaml", ".hidden.yaml", "noextension"] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        assert_eq!(names(root.path()), ["a.yaml", "b.yml", "c.json", "sub/deep/d.yaml"]);
    }

    #[test]
    fn a_mounted_config_map_is_read_once() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("..2026_01")).unwrap();
        std::fs::write(root.path().join("..2026_01/a.yaml"), "").unwrap();
        symlink("..2026_01", root.path().join("..data")).unwrap();
        symlink("..data/a.yaml", root.path().join("a.yaml")).unwrap();
        assert_eq!(names(root.path()), ["a.yaml"]);
    }

    #[test]
    fn links_in_a_circle_end() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.yaml"), "").unwrap();
        symlink(".", root.path().join("loop")).unwrap();
        symlink("nowhere.yaml", root.path().join("broken.yaml")).unwrap();
        assert_eq!(names(root.path()), ["a.yaml"]);
    }
}
