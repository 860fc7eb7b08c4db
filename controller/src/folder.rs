//! A folder of manifests: what it holds now, and what changed since it was last looked at.
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use translate::{Change, ObjectRef};

use crate::index::{Definition, Duplicate, Index};
use crate::manifest::{self, Format, Manifest, Problem};
use crate::node::MAX_FILE;
use crate::walk::{self, Found, Stamp, format, walk};
use crate::{BrokenDocument, Error, Origin};

/// A folder as it was last looked at.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    files: BTreeMap<Arc<Path>, File>,
    index: Index,
    unreadable: BTreeMap<PathBuf, String>,
    /// Files that were being written when they were read: they are looked at again soon.
    fresh: BTreeSet<Arc<Path>>,
}

/// A file as it was last read.
#[derive(Debug, Default)]
struct File {
    /// `None` when it must be read again, whatever its stamp.
    stamp: Option<Stamp>,
    /// Hash of what was read.
    hash: u64,
    /// What the index has of it.
    objects: BTreeSet<ObjectRef>,
    /// Objects among these that are kept from an earlier reading.
    kept: usize,
    broken: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// What a look at the folder found.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Changes of objects.
    pub(crate) changes: Vec<Change>,
    /// Files whose content is new.
    pub(crate) read: Vec<Arc<Path>>,
}

impl Folder {
    /// A folder that has not been looked at.
    ///
    /// # Errors
    /// When there is no such folder.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let name = root.display();
        match std::fs::metadata(root) {
            Ok(meta) if meta.is_dir() => Ok(Self {
                root: root.to_owned(),
                files: BTreeMap::new(),
                index: Index::default(),
                unreadable: BTreeMap::new(),
                fresh: BTreeSet::new(),
            }),
            Ok(_) => Err(Error(format!("{name} is not a folder; name the folder that holds the manifests"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error(format!("the folder {name} does not exist; create it or name another one")))
            }
            Err(error) => Err(Error(format!("the folder {name} cannot be opened ({error}); make it readable"))),
        }
    }

    /// Where it is.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Reads what changed. Costs one `stat` for each file and one reading for each that changed.
    ///
    /// # Errors
    /// When the folder itself cannot be listed; everything stays as it was.
    pub(crate) fn scan(&mut self, now: Instant, clock: SystemTime) -> io::Result<Scan> {
        let Found { files, unreadable } = walk(&self.root).inspect_err(|_| self.index.postpone())?;
        let gone: Vec<_> = self.files.keys().filter(|path| !files.contains_key(*path)).cloned().collect();
        for path in gone.into_iter().filter(|path| !unreadable.keys().any(|above| path.starts_with(above))) {
            let file = self.files.remove(&path).unwrap_or_default();
            self.index.replace(&path, &file.objects, Vec::new());
        }
        self.unreadable = unreadable;
        self.fresh.clear();
        let read = files.into_iter().filter_map(|(path, stamp)| self.read_if_new(path, stamp, clock)).collect();
        Ok(Scan { changes: self.index.changes(now), read })
    }

    /// Reads what changed at these paths and in files that were being written; costs nothing for other files. `None` when
    /// only a walk can tell what the folder holds: files came or went, or folders and links changed.
    pub(crate) fn scan_only(&mut self, paths: &BTreeSet<PathBuf>, now: Instant, clock: SystemTime) -> Option<Scan> {
        if !self.unreadable.is_empty() {
            return None;
        }
        let mut files = std::mem::take(&mut self.fresh);
        for path in paths {
            match self.files.get_key_value(path.as_path()) {
                Some((known, _)) => drop(files.insert(known.clone())),
                None if self.is_without_files(path) => {}
                None => return None,
            }
        }
        let files: Option<Vec<_>> =
            files.into_iter().map(|path| walk::stamp(&path).map(|stamp| (path, stamp))).collect();
        let read = files?.into_iter().filter_map(|(path, stamp)| self.read_if_new(path, stamp, clock)).collect();
        Some(Scan { changes: self.index.changes(now), read })
    }

    /// Has something at an unknown path nothing to do with what a walk finds, now and before? Editors write such files first.
    fn is_without_files(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.root) else { return false };
        let is_hidden = below.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
        let mut after = self.files.range::<Path, _>((Bound::Excluded(path), Bound::Unbounded));
        if is_hidden || format(path).is_some() || after.next().is_some_and(|(file, _)| file.starts_with(path)) {
            return false;
        }
        match std::fs::symlink_metadata(path) {
            Ok(meta) => meta.is_file(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Are there files that were being written when they were read?
    pub(crate) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// What is due though no file changes; see [`Folder::next_change`].
    pub(crate) fn due_changes(&mut self, now: Instant) -> Vec<Change> {
        self.index.expired(now)
    }

    /// When objects go whose definitions went.
    pub(crate) fn next_change(&self) -> Option<Instant> {
        self.index.next_change()
    }

    /// Reads a file whose stamp is not the known one; its path when the content is new.
    fn read_if_new(&mut self, path: Arc<Path>, stamp: Stamp, clock: SystemTime) -> Option<Arc<Path>> {
        let known = self.files.get(&path).and_then(|file| file.stamp);
        let is_new = known != Some(stamp) && self.read(&path, stamp, clock);
        if self.files.get(&path).is_some_and(|file| file.stamp.is_none()) {
            self.fresh.insert(path.clone());
        }
        is_new.then_some(path)
    }

    /// Reads a file; is its content new?
    fn read(&mut self, path: &Arc<Path>, stamp: Stamp, clock: SystemTime) -> bool {
        let file = self.files.entry(path.clone()).or_default();
        let before = std::mem::take(&mut file.hash);
        file.stamp = (!stamp.is_fresh(clock)).then_some(stamp);
        let manifest = match read_text(path, stamp) {
            Ok(text) => {
                let mut hasher = DefaultHasher::new();
                hasher.write(text.as_bytes());
                // Zero stands for "not read".
                file.hash = hasher.finish() | 1;
                if file.hash == before {
                    return false;
                }
                if text.is_empty() && !file.objects.is_empty() {
                    // Slow writers empty a file first; who means it deletes the file.
                    Manifest { broken: vec![emptied()], ..Manifest::default() }
                } else {
                    manifest::read(&text, format(path).unwrap_or(Format::Yaml))
                }
            }
            Err(problem) if file.broken == [problem.clone()] => return false,
            Err(problem) => Manifest { broken: vec![problem], ..Manifest::default() },
        };
        let mut definitions: Vec<_> =
            manifest.objects.into_iter().map(|(line, object)| Definition { line, kept: false, object }).collect();
        let mut objects: BTreeSet<_> = definitions.iter().map(|definition| definition.object.reference()).collect();
        let readable = objects.len();
        if !manifest.broken.is_empty() {
            // A half-saved or mistaken edit takes nothing away that worked before.
            for object in file.objects.difference(&objects) {
                let before = self.index.definition(object, path).cloned();
                definitions.extend(before.map(|definition| Definition { kept: true, ..definition }));
            }
            objects.extend(file.objects.iter().cloned());
        }
        self.index.replace(path, &file.objects, definitions);
        file.kept = objects.len() - readable;
        file.objects = objects;
        file.broken = manifest.broken;
        file.warnings = manifest.warnings;
        true
    }

    /// Where each object stands.
    pub(crate) fn origins(&self) -> BTreeMap<ObjectRef, Origin> {
        self.index.origins()
    }

    /// Everything that could not be read, and definitions that do not count.
    pub(crate) fn broken(&self) -> Vec<BrokenDocument> {
        let of_files =
            self.files.iter().flat_map(|(path, file)| file.broken.iter().map(|problem| place(path, problem)));
        let duplicates = self.index.duplicates(self.index.objects()).into_iter().map(duplicate);
        let unreadable = self.unreadable.iter().map(|(path, error)| BrokenDocument {
            origin: Origin { file: path.clone(), line: 1 },
            message: format!("cannot be looked at: {error}; make it readable"),
        });
        let mut broken: Vec<_> = of_files.chain(duplicates).chain(unreadable).collect();
        broken.sort();
        broken
    }

    /// Unknown fields.
    pub(crate) fn warnings(&self) -> Vec<BrokenDocument> {
        let of_file = |(path, file): (&Arc<Path>, &File)| -> Vec<_> {
            file.warnings.iter().map(|problem| place(path, problem)).collect()
        };
        self.files.iter().flat_map(of_file).collect()
    }

    /// Logs what there is to say about a file that was read.
    pub(crate) fn log(&self, path: &Arc<Path>) {
        let Some(file) = self.files.get(path) else { return };
        for problem in &file.broken {
            tracing::error!(file = %path.display(), line = problem.line, "{}", problem.message);
        }
        if file.kept > 0 {
            let (file, kept) = (path.display(), file.kept);
            tracing::warn!(%file, kept, "objects of a broken file stay as they were until it is readable again");
        }
        for problem in &file.warnings {
            tracing::warn!(file = %path.display(), line = problem.line, "{}", problem.message);
        }
        for BrokenDocument { origin, message } in self.index.duplicates(file.objects.iter()).into_iter().map(duplicate)
        {
            tracing::warn!(file = %origin.file.display(), line = origin.line, "{message}");
        }
    }
}

fn place(path: &Path, problem: &Problem) -> BrokenDocument {
    BrokenDocument { origin: Origin { file: path.to_owned(), line: problem.line }, message: problem.message.clone() }
}

fn duplicate(duplicate: Duplicate) -> BrokenDocument {
    let Duplicate { object, first, other } = duplicate;
    let message = format!("{object} is already defined at {first}, which counts; remove one of the two");
    BrokenDocument { origin: other, message }
}

fn emptied() -> Problem {
    let message = "is empty but held objects, which stay; fill the file again, or delete it to remove them";
    Problem { line: 1, message: message.to_owned() }
}

fn read_text(path: &Path, stamp: Stamp) -> Result<String, Problem> {
    let problem = |line, message| Problem { line, message };
    let too_large = || problem(1, format!("is larger than {} MiB; split the file", MAX_FILE >> 20));
    if stamp.length() > MAX_FILE as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| problem(1, format!("cannot be read: {error}; make the file readable")))?;
    if bytes.len() > MAX_FILE {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count();
        problem(line, "is not UTF-8 text; save the file as UTF-8".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::LINGER;

    struct Temp {
        root: tempfile::TempDir,
        folder: Folder,
        now: Instant,
    }

    impl Temp {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let folder = Folder::open(root.path()).unwrap();
            Self { root, folder, now: Instant::now() }
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.root.path().join(name), text).unwrap();
        }

        /// Scans some time later; returns the changes as text. Every file counts as written just now.
        fn scan(&mut self) -> Vec<String> {
            self.now += 2 * LINGER;
            let newest = self.root.path().read_dir().unwrap().map(|entry| entry.unwrap().metadata().unwrap());
            let clock = newest.map(|meta| meta.modified().unwrap()).max().unwrap_or(SystemTime::UNIX_EPOCH);
            let scan = self.folder.scan(self.now, clock).unwrap();
            scan.changes.into_iter().map(text).collect()
        }
    }

    fn text(change: Change) -> String {
        match change {
            Change::Set(object) => format!("set {}", object.reference()),
            Change::Delete(object) => format!("delete {object}"),
        }
    }

    fn service(name: &str, port: u16) -> String {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n---\n")
    }

    #[test]
    fn only_files_that_are_named_are_looked_at_as_long_as_none_came_or_went() {
        let mut temp = Temp::new();
        let path = |name: &str| temp.root.path().join(name);
        let only = |folder: &mut Folder, names: &[&str]| {
            let paths = names.iter().map(|name| path(name)).collect();
            let later = SystemTime::now() + std::time::Duration::from_secs(9);
            let scan = folder.scan_only(&paths, Instant::now() + 2 * LINGER, later);
            scan.map(|scan| scan.changes.into_iter().map(text).collect::<Vec<_>>())
        };
        let folder = &mut temp.folder;
        std::fs::create_dir(path("sub")).unwrap();
        for name in ["a", "b", "sub/c"] {
            std::fs::write(path(&format!("{name}.yaml")), service(&name.replace('/', "-"), 1)).unwrap();
        }
        folder.scan(Instant::now(), SystemTime::now() + std::time::Duration::from_secs(9)).unwrap();
        std::fs::write(path("a.yaml"), service("a", 10)).unwrap();
        std::fs::write(path("b.yaml"), service("b", 10)).unwrap();
        std::fs::write(path("b.yaml.tmp"), "").unwrap();
        assert_eq!(only(folder, &["a.yaml", "b.yaml.tmp", "gone.tmp"]).unwrap(), ["set Service default/a"]);
        assert_eq!(only(folder, &["b.yaml"]).unwrap(), ["set Service default/b"]);
        for unclear in ["new.yaml", "sub", "..data", "", ".hidden/a"] {
            assert_eq!(only(folder, &[unclear]), None, "{unclear}");
        }
        std::fs::rename(path("sub"), path("away")).unwrap();
        assert_eq!((only(folder, &["sub"]), only(folder, &["away"])), (None, None));
        std::fs::remove_file(path("a.yaml")).unwrap();
        assert_eq!(only(folder, &["a.yaml"]), None);
    }

    #[test]
    fn a_file_that_was_being_written_is_looked_at_again() {
        let temp = Temp::new();
        let mut folder = Folder::open(temp.root.path()).unwrap();
        temp.write("a.yaml", &service("a", 1));
        let written = std::fs::metadata(temp.root.path().join("a.yaml")).unwrap().modified().unwrap();
        folder.scan(Instant::now(), written).unwrap();
        assert!(folder.has_fresh());
        let later = written + std::time::Duration::from_secs(9);
        assert!(folder.scan_only(&BTreeSet::new(), Instant::now(), later).unwrap().read.is_empty());
        assert!(!folder.has_fresh());
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = Folder::open(Path::new("/no/such/folder")).unwrap_err();
        assert_eq!(error.0, "the folder /no/such/folder does not exist; create it or name another one");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Folder::open(file.path()).unwrap_err().0.contains("is not a folder"));
    }

    #[test]
    fn files_come_change_and_go() {
        let mut temp = Temp::new();
        temp.write("a.yaml", &(service("a", 1) + &service("b", 1)));
        assert_eq!(temp.scan(), ["set Service default/a", "set Service default/b"]);
        assert!(temp.scan().is_empty());
        temp.write("a.yaml", &(service("a", 1) + &service("b", 2)));
        assert_eq!(temp.scan(), ["set Service default/b"]);
        std::fs::remove_file(temp.root.path().join("a.yaml")).unwrap();
        assert!(temp.scan().is_empty());
        assert_eq!(temp.scan(), ["delete Service default/a", "delete Service default/b"]);
    }

    #[test]
    fn a_broken_edit_keeps_what_was_there() {
        let mut temp = Temp::new();
        temp.write("a.yaml", &(service("a", 1) + &service("b", 1)));
        temp.scan();
        temp.write("a.yaml", &(service("a", 2) + "kind: [\n"));
        assert_eq!(temp.scan(), ["set Service default/a"]);
        assert_eq!(temp.folder.broken().len(), 1);
        temp.write("a.yaml", "kind: [[\n");
        assert!(temp.scan().is_empty());
        assert!(temp.scan().is_empty());
        temp.write("a.yaml", &(service("a", 2) + &service("b", 3)));
        assert_eq!(temp.scan(), ["set Service default/b"]);
        assert!(temp.folder.broken().is_empty());
        temp.write("a.yaml", &service("a", 2));
        temp.scan();
        assert_eq!(temp.scan(), ["delete Service default/b"]);
    }

    #[test]
    fn a_file_that_is_emptied_keeps_its_objects_until_it_is_filled_or_deleted() {
        for without in ["# only a comment\n", ""] {
            let mut temp = Temp::new();
            temp.write("a.yaml", "");
            assert!(temp.scan().is_empty() && temp.folder.broken().is_empty());
            temp.write("a.yaml", &service("a", 1));
            assert_eq!(temp.scan(), ["set Service default/a"]);
            temp.write("a.yaml", "");
            assert!(temp.scan().is_empty() && temp.scan().is_empty());
            let message = &temp.folder.broken()[0].message;
            assert!(message.starts_with("is empty but held objects"), "{message}");
            temp.write("a.yaml", without);
            if without.is_empty() {
                std::fs::remove_file(temp.root.path().join("a.yaml")).unwrap();
            }
            assert!(temp.scan().is_empty() && temp.folder.broken().is_empty());
            assert_eq!(temp.scan(), ["delete Service default/a"]);
        }
    }

    #[test]
    fn an_object_that_moves_out_of_a_broken_file_is_read_where_it_is_now() {
        let mut temp = Temp::new();
        temp.write("a.yaml", &(service("a", 1) + &service("b", 1)));
        temp.scan();
        temp.write("a.yaml", &(service("b", 1) + "kind: [\n"));
        temp.write("z.yaml", &service("a", 2));
        assert_eq!(temp.scan(), ["set Service default/a"]);
        assert_eq!(temp.folder.broken().len(), 1);
    }

    #[test]
    fn a_write_that_leaves_length_and_time_alone_is_seen() {
        let mut temp = Temp::new();
        temp.write("a.yaml", &service("a", 1));
        temp.scan();
        let file = std::fs::File::open(temp.root.path().join("a.yaml")).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        temp.write("a.yaml", &service("a", 2));
        let file = std::fs::OpenOptions::new().write(true).open(temp.root.path().join("a.yaml")).unwrap();
        file.set_modified(modified).unwrap();
        assert_eq!(temp.scan(), ["set Service default/a"]);
    }

    #[test]
    fn a_folder_that_is_deleted_file_by_file_takes_nothing_away() {
        let mut temp = Temp::new();
        temp.write("a.yaml", &service("a", 1));
        temp.write("b.yaml", &service("b", 1));
        temp.scan();
        std::fs::remove_file(temp.root.path().join("a.yaml")).unwrap();
        temp.scan();
        std::fs::remove_dir_all(temp.root.path()).unwrap();
        assert!(temp.folder.scan(temp.now, SystemTime::UNIX_EPOCH).is_err());
        assert!(temp.folder.due_changes(temp.now + 2 * LINGER).is_empty());
        std::fs::create_dir(temp.root.path()).unwrap();
        temp.write("b.yaml", &service("b", 1));
        assert!(temp.scan().is_empty());
        assert_eq!(temp.scan(), ["delete Service default/a"]);
    }

    #[test]
    fn duplicates_are_reported_with_both_places() {
        let mut temp = Temp::new();
        temp.write("a.yaml", &service("x", 1));
        temp.write("b.yaml", &("\n".to_owned() + &service("x", 2)));
        assert_eq!(temp.scan(), ["set Service default/x"]);
        let (a, b) = (temp.root.path().join("a.yaml"), temp.root.path().join("b.yaml"));
        let want =
            format!("Service default/x is already defined at {}:1, which counts; remove one of the two", a.display());
        assert_eq!(temp.folder.broken(), [BrokenDocument { origin: Origin { file: b, line: 2 }, message: want }]);
    }

    #[test]
    fn files_that_are_no_text_or_too_large_are_reported() {
        let mut temp = Temp::new();
        std::fs::write(temp.root.path().join("a.yaml"), b"a: 1\nb: \xff\n").unwrap();
        temp.write("b.yaml", &"#".repeat(MAX_FILE + 1));
        temp.write("c.yaml", &service("c", 1));
        assert_eq!(temp.scan(), ["set Service default/c"]);
        let broken: Vec<_> = temp.folder.broken().into_iter().map(|b| (b.origin.line, b.message)).collect();
        let want = [(2, "is not UTF-8 text; save the file as UTF-8"), (1, "is larger than 10 MiB; split the file")];
        assert_eq!(broken, want.map(|(line, message)| (line, message.to_owned())));
    }
}
