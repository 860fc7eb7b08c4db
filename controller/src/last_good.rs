//! The last good state on disk (`--state-dir`): what a restart serves while no API server answers.
//!
//! One file with the objects that translation was fed, behind a line that names version and checksum. A file that is not
//! exactly what was written is never served: it is set aside, and told.
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use translate::Object;

use crate::Error;
use crate::hash::fnv;

/// The file in the folder.
const FILE: &str = "last-good.state";
/// First words of the file.
const MAGIC: &str = "ingora-state";
/// Raised with each change of what follows.
const VERSION: u32 = 1;
/// Shortest time between two writes.
const PAUSE: Duration = Duration::from_secs(5);

/// Where the last good state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    /// The folder; made if it does not exist.
    pub folder: PathBuf,
    /// Keep Secrets, too, with the keys in them? Without, hosts get the default certificate until the API server answers,
    /// and rules that need a Secret answer 503.
    pub secrets: bool,
}

impl StateDir {
    fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Reads what was kept. Nothing when there is no file, or one that cannot be used: that one is set aside.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(crate) fn read(&self) -> Result<Vec<Object>, Error> {
        let (folder, file) = (self.folder.display(), self.file());
        fs::create_dir_all(&self.folder).map_err(|error| {
            Error(format!("the folder {folder} of --state-dir cannot be made ({error}); name one that can be written"))
        })?;
        let problem = match fs::read(&file) {
            Ok(bytes) => match parse(&bytes) {
                Ok(objects) => return Ok(objects),
                Err(problem) => problem,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Error(format!(
                    "{} cannot be read ({error}); make it readable or remove it",
                    file.display()
                )));
            }
        };
        let aside = self.folder.join(format!("{FILE}.bad"));
        let moved = fs::rename(&file, &aside);
        tracing::error!(
            "the last good state in {} is not used: {problem}; it was set aside as {}{}",
            file.display(),
            aside.display(),
            moved.err().map_or_else(String::new, |error| format!(", which failed: {error}")),
        );
        Ok(Vec::new())
    }

    fn write(&self, objects: &[Object]) -> io::Result<()> {
        let mut body = Vec::new();
        let mut count = 0;
        for object in objects.iter().filter(|object| self.secrets || !matches!(object, Object::Secret(_))) {
            line(object, &mut body)?;
            count += 1;
        }
        let head = format!("{MAGIC} {VERSION} {:016x} {count}\n", fnv([&body[..]]));
        let new = self.folder.join(format!(".{FILE}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        // One that an earlier process left there may have other rights.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(head.as_bytes())?;
        file.write_all(&body)?;
        file.sync_all()?;
        fs::rename(&new, self.file())?;
        File::open(&self.folder)?.sync_all()
    }
}

fn line(object: &Object, body: &mut Vec<u8>) -> io::Result<()> {
    match object {
        Object::Ingress(object) => serde_json::to_writer(&mut *body, &**object),
        Object::IngressClass(object) => serde_json::to_writer(&mut *body, &**object),
        Object::Service(object) => serde_json::to_writer(&mut *body, &**object),
        Object::EndpointSlice(object) => serde_json::to_writer(&mut *body, &**object),
        Object::Secret(object) => serde_json::to_writer(&mut *body, &**object),
        Object::ConfigMap(object) => serde_json::to_writer(&mut *body, &**object),
        Object::Pod(object) => serde_json::to_writer(&mut *body, &**object),
    }?;
    body.push(b'\n');
    Ok(())
}

#[derive(Deserialize)]
struct Header {
    kind: String,
}

/// The objects of a file, or why it cannot be used. Never shows what is in it.
fn parse(bytes: &[u8]) -> Result<Vec<Object>, String> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("it is cut off")?;
    let (head, body) = bytes.split_at(end);
    let body = body.get(1..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| "it is no state of this program")?;
    let words: Vec<_> = head.split(' ').collect();
    let [MAGIC, version, checksum, count] = words[..] else { return Err("it is no state of this program".to_owned()) };
    if version != VERSION.to_string() {
        return Err(format!("it is of version {version}, and this program writes version {VERSION}"));
    }
    if *checksum != format!("{:016x}", fnv([body])) {
        return Err("its checksum does not fit: it is damaged".to_owned());
    }
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let objects = lines.map(read).collect::<Result<Vec<_>, _>>()?;
    if *count != objects.len().to_string() {
        return Err("it does not hold as many objects as it says".to_owned());
    }
    Ok(objects)
}

fn read(line: &[u8]) -> Result<Object, String> {
    let Header { kind } = typed(line)?;
    match kind.as_str() {
        "Ingress" => Ok(Object::Ingress(Arc::new(typed(line)?))),
        "IngressClass" => Ok(Object::IngressClass(Arc::new(typed(line)?))),
        "Service" => Ok(Object::Service(Arc::new(typed(line)?))),
        "EndpointSlice" => Ok(Object::EndpointSlice(Arc::new(typed(line)?))),
        "Secret" => Ok(Object::Secret(Arc::new(typed(line)?))),
        "ConfigMap" => Ok(Object::ConfigMap(Arc::new(typed(line)?))),
        "Pod" => Ok(Object::Pod(Arc::new(typed(line)?))),
        _ => Err("it holds an object of a kind that is not read".to_owned()),
    }
}

fn typed<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    // The parser's message could quote a Secret.
    serde_json::from_slice(line).map_err(|_| "it holds an object that cannot be read".to_owned())
}

/// Keeps the state on disk, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Recorder {
    offers: SyncSender<Vec<Object>>,
    /// Something changed since the last offer.
    changed: bool,
    next: Instant,
}

impl Recorder {
    /// Writes from now on. The thread ends with the recorder, after its last write.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(state: StateDir, now: Instant) -> Result<Self, Error> {
        let (offers, offered) = sync_channel(1);
        std::thread::Builder::new()
            .name("ingora-state".to_owned())
            .spawn(move || record(&state, &offered))
            .map_err(|error| Error(format!("no thread can be started ({error}); raise the limit of processes")))?;
        Ok(Self { offers, changed: false, next: now })
    }

    /// Something changed.
    pub(crate) fn changed(&mut self) {
        self.changed = true;
    }

    /// When to call [`Recorder::offer`].
    pub(crate) fn due(&self) -> Option<Instant> {
        self.changed.then_some(self.next)
    }

    /// Hands over the objects if it is time; while the last ones are being written, the next ones wait.
    pub(crate) fn offer(&mut self, now: Instant, objects: impl FnOnce() -> Vec<Object>) {
        if !self.changed || now < self.next {
            return;
        }
        self.next = now + PAUSE;
        self.changed = matches!(self.offers.try_send(objects()), Err(TrySendError::Full(_)));
    }
}

fn record(state: &StateDir, offered: &Receiver<Vec<Object>>) {
    let mut failing = false;
    while let Ok(objects) = offered.recv() {
        match state.write(&objects) {
            Ok(()) => failing = false,
            Err(error) if !std::mem::replace(&mut failing, true) => {
                let folder = state.folder.display();
                tracing::error!(%error, "the last good state cannot be written to {folder}; make it writable and see that it has room");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Format, read as read_manifest};
    use translate::Kind;

    const KEPT: [Kind; 7] = [
        Kind::Ingress,
        Kind::IngressClass,
        Kind::Service,
        Kind::EndpointSlice,
        Kind::Secret,
        Kind::ConfigMap,
        Kind::Pod,
    ];

    fn objects() -> Vec<Object> {
        let groups = ["networking.k8s.io/v1", "networking.k8s.io/v1", "v1", "discovery.k8s.io/v1", "v1", "v1", "v1"];
        let document = |(kind, group): (Kind, &str)| {
            let more = if kind == Kind::EndpointSlice { "\naddressType: IPv4\nendpoints: []" } else { "" };
            format!("apiVersion: {group}\nkind: {kind}\nmetadata: {{name: x}}{more}\n---\n")
        };
        let text: String = KEPT.into_iter().zip(groups).map(document).collect();
        let manifest = read_manifest(&text, Format::Yaml);
        assert!(manifest.broken.is_empty(), "{:?}", manifest.broken);
        manifest.objects.into_iter().map(|(_, object)| object).collect()
    }

    fn names(objects: &[Object]) -> Vec<String> {
        objects.iter().map(|object| object.reference().to_string()).collect()
    }

    fn state(secrets: bool) -> (tempfile::TempDir, StateDir) {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir { folder: folder.path().join("deep/er"), secrets };
        assert!(state.read().unwrap().is_empty());
        (folder, state)
    }

    #[test]
    fn what_was_written_is_read_back() {
        let (_folder, state) = state(true);
        state.write(&objects()).unwrap();
        assert_eq!(names(&state.read().unwrap()), names(&objects()));
        assert_eq!(fs::metadata(state.file()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn secrets_are_written_only_if_asked() {
        let (_folder, state) = state(false);
        state.write(&objects()).unwrap();
        let kept = state.read().unwrap();
        assert_eq!(kept.len(), objects().len() - 1);
        assert!(!kept.iter().any(|object| matches!(object, Object::Secret(_))));
    }

    #[test]
    fn a_damaged_file_is_refused_wherever_the_damage_is() {
        let (_folder, state) = state(true);
        state.write(&objects()).unwrap();
        let good = fs::read(state.file()).unwrap();
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 1;
            assert!(parse(&bad).is_err(), "byte {index}");
            assert!(parse(&good[..index]).is_err(), "{index} bytes");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_set_aside() {
        let (_folder, state) = state(true);
        fs::write(state.file(), "ingora-state 0 0000000000000000 0\n").unwrap();
        assert!(parse(&fs::read(state.file()).unwrap()).unwrap_err().contains("of version 0"));
        assert!(state.read().unwrap().is_empty());
        assert!(!state.file().exists() && state.folder.join("last-good.state.bad").exists());
    }

    #[test]
    fn changes_are_written_once_and_not_too_often() {
        let (_folder, state) = state(true);
        let now = Instant::now();
        let mut recorder = Recorder::start(state, now).unwrap();
        assert_eq!(recorder.due(), None);
        recorder.changed();
        recorder.offer(now, objects);
        assert_eq!(recorder.due(), None);
        recorder.changed();
        assert_eq!(recorder.due(), Some(now + PAUSE));
        recorder.offer(now, || panic!("too soon"));
    }
}
