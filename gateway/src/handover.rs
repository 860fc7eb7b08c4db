//! Handing the listening sockets over to the next process on the same host, so that an upgrade refuses nobody.
//!
//! The next process connects to a Unix socket and gets the sockets themselves (SCM_RIGHTS, `unix(7)`): what waits in their
//! queues is accepted by one of the two. It accepts nothing before its first full table is live; then it says so, and the
//! process before drains. If it dies before, nothing has happened.
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;

use crate::Error;

/// First word of the message that the sockets come with; the number changes with its form.
const GREETING: &str = "ingora-upgrade-1";
/// What the next process says when it serves.
const READY: &[u8] = b"ready\n";
/// Most sockets that the kernel passes at a time (SCM_MAX_FD).
const MOST: usize = 253;
/// Longest time that the process before may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// All listening sockets of a gateway.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// Plain text, one for each worker.
    pub(crate) http: Vec<TcpListener>,
    /// TLS, one for each worker.
    pub(crate) https: Vec<TcpListener>,
    /// The operator's port.
    pub(crate) healthz: Vec<TcpListener>,
}

impl Sockets {
    /// The same sockets once more.
    pub(crate) fn share(&self) -> io::Result<Self> {
        let share = |list: &[TcpListener]| list.iter().map(TcpListener::try_clone).collect::<io::Result<_>>();
        Ok(Self { http: share(&self.http)?, https: share(&self.https)?, healthz: share(&self.healthz)? })
    }

    fn send(&self, stream: impl AsFd) -> io::Result<()> {
        let all: Vec<_> = self.http.iter().chain(&self.https).chain(&self.healthz).map(AsFd::as_fd).collect();
        let text = format!("{GREETING} {} {}\n", self.http.len(), self.https.len());
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if all.len() > MOST || !control.push(SendAncillaryMessage::ScmRights(&all)) {
            return Err(io::Error::other("there are more sockets than can be passed; use fewer threads"));
        }
        sendmsg(stream, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn receive(stream: &UnixStream) -> io::Result<Self> {
        let mut text = [0; 64];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(stream, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let mut all: Vec<OwnedFd> = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                all.extend(fds);
            }
        }
        let text = std::str::from_utf8(text.get(..got.bytes).unwrap_or_default()).unwrap_or_default();
        let bad = || io::Error::other("it speaks another form of this protocol; stop it with SIGTERM instead");
        let [GREETING, http, https] = text.trim_end().split(' ').collect::<Vec<_>>()[..] else { return Err(bad()) };
        let (http, https): (usize, usize) = http.parse().ok().zip(https.parse().ok()).ok_or_else(bad)?;
        if http == 0 || http != https || all.len() <= http + https {
            return Err(bad());
        }
        let mut all = all.into_iter().map(TcpListener::from);
        Ok(Self {
            http: all.by_ref().take(http).collect(),
            https: all.by_ref().take(https).collect(),
            healthz: all.collect(),
        })
    }
}

/// The process before, which serves until it is told that this one does.
#[derive(Debug)]
pub(crate) struct Predecessor(UnixStream);

impl Predecessor {
    /// Asks whoever listens at a path for its sockets; nothing when nobody does.
    ///
    /// # Errors
    /// When somebody does, but they cannot be had.
    pub(crate) fn ask(path: &Path) -> Result<Option<(Self, Sockets)>, Error> {
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(failed(path, &error)),
        };
        let sockets = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| Sockets::receive(&stream));
        sockets.map(|sockets| Some((Self(stream), sockets))).map_err(|error| failed(path, &error))
    }

    /// Tells it that this process serves.
    pub(crate) fn relieve(mut self) {
        // One that has ended meanwhile needs no telling. It closes its end once it has read the word.
        let told = self.0.write_all(READY).and_then(|()| self.0.read(&mut [0]));
        if let Err(error) = told {
            tracing::warn!(%error, "the process before may not have noticed that this one serves");
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    Error(format!("the sockets of the process that listens at {path} cannot be taken over: {error}"))
}

/// Gives the sockets to whoever asks, until one of them says that it serves.
///
/// # Errors
/// When the path cannot be listened at.
pub(crate) async fn offer(path: &Path, sockets: &Sockets) -> io::Result<()> {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(path)?;
    // Whoever gets the sockets gets the requests.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        if let Err(error) = sockets.send(&stream) {
            tracing::warn!(%error, "the sockets could not be handed over");
            continue;
        }
        tracing::info!("the sockets were handed over; this process serves until the next one does");
        let mut word = [0; READY.len()];
        match stream.read_exact(&mut word).await {
            Ok(_) if word == READY => return Ok(()),
            Ok(_) | Err(_) => tracing::warn!("the next process ended before it served; this one goes on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    fn ports(list: &[TcpListener]) -> Vec<u16> {
        list.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
    }

    #[test]
    fn sockets_arrive_as_what_they_were() {
        let sockets =
            Sockets { http: vec![listen(), listen()], https: vec![listen(), listen()], healthz: vec![listen()] };
        let (ours, theirs) = UnixStream::pair().unwrap();
        sockets.send(&ours).unwrap();
        let got = Sockets::receive(&theirs).unwrap();
        assert_eq!(ports(&got.http), ports(&sockets.http));
        assert_eq!(ports(&got.https), ports(&sockets.https));
        assert_eq!(ports(&got.healthz), ports(&sockets.healthz));
    }

    #[test]
    fn nobody_is_asked_where_nobody_listens() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Predecessor::ask(&folder.path().join("none")).unwrap().is_none());
        let path = folder.path().join("stale");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(Predecessor::ask(&path).unwrap().is_none());
    }

    #[test]
    fn another_protocol_is_refused() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"hello\n").unwrap();
        assert!(Sockets::receive(&theirs).is_err());
    }

    #[tokio::test]
    async fn a_successor_that_dies_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upgrade");
        let sockets = Sockets { http: vec![listen()], https: vec![listen()], healthz: vec![listen()] };
        let offered = path.clone();
        let offering = tokio::spawn(async move { offer(&offered, &sockets).await });
        let ask = |path: std::path::PathBuf| async move {
            loop {
                let path = path.clone();
                if let Some(found) =
                    tokio::task::spawn_blocking(move || Predecessor::ask(&path)).await.unwrap().unwrap()
                {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        drop(ask(path.clone()).await);
        let (predecessor, _) = ask(path).await;
        assert!(!offering.is_finished());
        tokio::task::spawn_blocking(|| predecessor.relieve()).await.unwrap();
        offering.await.unwrap().unwrap();
    }
}
