//! Follows a folder: a thread that waits for the kernel's file events and hands changes to the publishing loop.
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use translate::Change;

use crate::Error;
use crate::batch::{Batch, WAITING_BATCHES};
use crate::folder::{Folder, Scan};
use crate::holdoff::Holdoff;
use crate::wake::{Touched, Wake};
use crate::walk::FRESH;

/// Files are read once no event has followed for this long, so that a file is rarely read half written.
const QUIET: Duration = Duration::from_millis(5);
/// Longest time that an event waits.
const MAXIMUM: Duration = Duration::from_millis(50);
/// The folder is looked at this often without any event: some file systems send none.
const RESCAN: Duration = Duration::from_secs(30);
/// The same while it cannot be watched.
const RESCAN_UNWATCHED: Duration = Duration::from_secs(1);

/// Ends the thread when dropped.
#[derive(Debug)]
pub(crate) struct Following(Arc<Wake>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Follows a folder from now on.
///
/// # Errors
/// When there is no such folder.
pub(crate) fn follow(root: &Path) -> Result<(Following, mpsc::Receiver<Batch>), Error> {
    // An absolute path stays right whatever the working directory, and has a parent to watch.
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let folder = Folder::open(&root)?;
    let wake = Arc::new(Wake::default());
    let (batches, receiver) = mpsc::channel(WAITING_BATCHES);
    let follower = Follower::new(folder, wake.clone(), batches);
    std::thread::Builder::new()
        .name("ingora-folder".to_owned())
        .spawn(move || follower.run())
        .map_err(|error| Error(format!("no thread can be started ({error}); raise the limit of processes")))?;
    Ok((Following(wake), receiver))
}

struct Follower {
    folder: Folder,
    wake: Arc<Wake>,
    batches: mpsc::Sender<Batch>,
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the folder that is watched: a link on the way to it may lead elsewhere now, without an event.
    watched: Option<(u64, u64)>,
    holdoff: Holdoff,
    touched: Touched,
    next_scan: Instant,
    /// When files that were being written are looked at again.
    next_look: Option<Instant>,
    /// Everything has been handed over once.
    synced: bool,
    /// The folder could not be listed the last time.
    missing: bool,
}

/// The receiving side is gone.
struct Ended;

impl Follower {
    fn new(folder: Folder, wake: Arc<Wake>, batches: mpsc::Sender<Batch>) -> Self {
        let holdoff = Holdoff::new(QUIET, MAXIMUM);
        Self {
            folder,
            wake,
            batches,
            watcher: None,
            watched: None,
            holdoff,
            touched: Touched { all: true, ..Touched::default() },
            next_scan: Instant::now(),
            next_look: None,
            synced: false,
            missing: false,
        }
    }

    fn run(mut self) {
        // Watch first: what is written while the folder is read makes an event.
        self.watch(true);
        let mut go_on = self.scan(Instant::now());
        while go_on.is_ok() {
            let news = self.wake.wait(self.deadline());
            if news.stop {
                return;
            }
            if let Some((first, last)) = news.events {
                self.holdoff.changed(first);
                self.holdoff.changed(last);
            }
            self.touched.merge(news.touched);
            if news.rewatch {
                self.watcher = None;
            }
            let now = Instant::now();
            let for_long = self.next_scan <= now;
            if self.holdoff.is_due(now) || for_long || self.next_look.is_some_and(|at| at <= now) {
                self.touched.all |= for_long;
                self.watch(false);
                let arrived = self.holdoff.take().unwrap_or(now);
                go_on = self.scan(arrived);
            } else {
                let changes = self.folder.due_changes(now);
                go_on = self.send(now, changes, false);
            }
        }
    }

    fn deadline(&self) -> Instant {
        let others = self.holdoff.due().into_iter().chain(self.folder.next_change()).chain(self.next_look);
        others.fold(self.next_scan, Instant::min)
    }

    /// Watches the folder unless it is watched already.
    fn watch(&mut self, first: bool) {
        let identity = identity(self.folder.root());
        if self.watcher.is_some() && self.watched == identity {
            return;
        }
        (self.watcher, self.watched) = (None, identity);
        // What happened meanwhile made no event.
        self.touched.all = true;
        let was_missing = self.missing;
        match watcher(self.folder.root(), &self.wake) {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) if first || (!was_missing && self.folder.root().is_dir()) => {
                let folder = self.folder.root().display();
                tracing::warn!(%folder, %error, "the folder cannot be watched and is read every second; raise fs.inotify.max_user_watches");
            }
            Err(_) => {}
        }
    }

    fn scan(&mut self, arrived: Instant) -> Result<(), Ended> {
        let (now, clock) = (Instant::now(), SystemTime::now());
        let touched = std::mem::take(&mut self.touched);
        let some = if touched.all { None } else { self.folder.scan_only(&touched.paths, now, clock) };
        let scan = some.map_or_else(|| self.scan_all(now, clock), Ok);
        self.next_look = self.folder.has_fresh().then(|| now + FRESH);
        match scan {
            Ok(scan) => {
                self.log_presence(None);
                scan.read.iter().for_each(|path| self.folder.log(path));
                let first = !std::mem::replace(&mut self.synced, true);
                self.send(arrived, scan.changes, first)
            }
            Err(error) => {
                self.log_presence(Some(&error));
                self.watcher = None;
                self.next_scan = now + RESCAN_UNWATCHED;
                Ok(())
            }
        }
    }

    fn scan_all(&mut self, now: Instant, clock: SystemTime) -> io::Result<Scan> {
        let pause = if self.watcher.is_some() { RESCAN } else { RESCAN_UNWATCHED };
        self.next_scan = now + pause;
        self.folder.scan(now, clock)
    }

    fn log_presence(&mut self, error: Option<&io::Error>) {
        let folder = self.folder.root().display();
        match error {
            Some(error) if !self.missing => {
                tracing::error!(%folder, %error, "the folder of manifests is gone; everything stays as it was until it is back");
            }
            None if self.missing => tracing::info!(%folder, "the folder of manifests is back"),
            _ => {}
        }
        self.missing = error.is_some();
    }

    fn send(&self, arrived: Instant, changes: Vec<Change>, synced: bool) -> Result<(), Ended> {
        if changes.is_empty() && !synced {
            return Ok(());
        }
        self.batches.blocking_send(Batch { arrived, changes, synced }).map_err(|_| Ended)
    }
}

/// Device and inode; `None` when there is no such folder.
fn identity(root: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(root).ok().map(|meta| (meta.dev(), meta.ino()))
}

fn watcher(root: &Path, wake: &Arc<Wake>) -> notify::Result<RecommendedWatcher> {
    let (wake, folder) = (wake.clone(), root.to_owned());
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let at = Instant::now();
        match event {
            Ok(event) if !event.need_rescan() => {
                if let Some(rewatch) = concerns(&folder, &event) {
                    let paths = event.paths.into_iter().filter(|path| path.starts_with(&folder)).collect();
                    wake.event(at, Touched { all: rewatch, paths }, rewatch);
                }
            }
            // Events were lost.
            Ok(_) | Err(_) => wake.event(at, Touched { all: true, ..Touched::default() }, true),
        }
    })?;
    watcher.watch(root, RecursiveMode::Recursive)?;
    if let Some(parent) = root.parent() {
        // Tells when the folder itself is replaced. Without it, that takes until the next look.
        if let Err(error) = watcher.watch(parent, RecursiveMode::NonRecursive) {
            tracing::debug!(parent = %parent.display(), %error, "the parent of the folder cannot be watched");
        }
    }
    Ok(watcher)
}

/// Does an event concern the folder, and must it be watched anew?
fn concerns(folder: &PathBuf, event: &Event) -> Option<bool> {
    // Reading makes events too.
    let is_change = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    };
    if !is_change || !event.paths.iter().any(|path| path.starts_with(folder)) {
        return None;
    }
    let replaces =
        matches!(event.kind, EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
    Some(replaces && event.paths.contains(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_folder_behind_a_link_that_moved_is_watched_anew() {
        let parent = tempfile::tempdir().unwrap();
        let (one, two, link) = (parent.path().join("one"), parent.path().join("two"), parent.path().join("current"));
        for release in [&one, &two] {
            std::fs::create_dir_all(release.join("manifests")).unwrap();
        }
        symlink(&one, &link).unwrap();
        let (wake, (batches, _receiver)) = (Arc::new(Wake::default()), mpsc::channel(1));
        let folder = Folder::open(&link.join("manifests")).unwrap();
        let mut follower = Follower::new(folder, wake.clone(), batches);
        follower.watch(true);
        symlink(&two, parent.path().join("next")).unwrap();
        std::fs::rename(parent.path().join("next"), &link).unwrap();
        follower.watch(false);
        std::fs::write(two.join("manifests/a.yaml"), "").unwrap();
        assert!(wake.wait(Instant::now() + Duration::from_secs(20)).events.is_some());
    }
}
