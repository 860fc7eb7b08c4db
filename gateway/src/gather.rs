//! Where bodies of requests wait that are read whole: in memory, and in a file beyond what one request may keep there.
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use features::BODY_MEMORY;
use spool::Spool;

use crate::metrics::Ungathered;

/// What is asked of the room at once, in bytes.
const STEP: u64 = 64 * 1024;

/// Room for bodies, of which all requests of the process take their shares. The volume that the chart makes for files is a little
/// larger than the default.
#[derive(Debug)]
pub(crate) struct Room {
    memory: Arc<AtomicU64>,
    files: Arc<AtomicU64>,
}

impl Room {
    /// So many bytes of each.
    pub(crate) fn new(memory: u64, files: u64) -> Self {
        Self { memory: Arc::new(AtomicU64::new(memory)), files: Arc::new(AtomicU64::new(files)) }
    }

    /// Is there room in files for so many bytes just now?
    pub(crate) fn is_for(&self, bytes: u64) -> bool {
        bytes <= self.files.load(Ordering::Relaxed)
    }
}

/// What one body has of the room.
#[derive(Debug)]
struct Share {
    left: Arc<AtomicU64>,
    bytes: u64,
}

impl Share {
    fn of(left: &Arc<AtomicU64>) -> Self {
        Self { left: left.clone(), bytes: 0 }
    }

    /// Makes the share so large at least, if there is room.
    fn reach(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes).next_multiple_of(STEP);
        let take = |left: u64| left.checked_sub(more);
        let taken = more == 0 || self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if taken {
            self.bytes += more;
        }
        taken
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes that give their room back when nobody needs them any more.
struct Held<T>(T, #[expect(dead_code, reason = "it is there to be dropped")] Share);

impl<T: AsRef<[u8]>> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

/// A body that is being read.
#[derive(Debug)]
pub(crate) struct Gathering {
    /// The end of it, or all.
    memory: Vec<u8>,
    /// What it may have there.
    most: usize,
    in_memory: Share,
    /// The begin of it, once that does not fit there.
    spool: Option<Spool>,
    in_file: Share,
}

impl Gathering {
    /// A body that may have so many bytes in memory.
    pub(crate) fn new(room: &Room, most: u64) -> Self {
        Self {
            memory: Vec::new(),
            most: usize::try_from(most.max(BODY_MEMORY)).unwrap_or(usize::MAX),
            in_memory: Share::of(&room.memory),
            spool: None,
            in_file: Share::of(&room.files),
        }
    }

    /// Takes a piece in, also when it tells that it can take no more.
    ///
    /// # Errors
    /// When bytes were lost.
    pub(crate) async fn add(&mut self, piece: &Bytes) -> io::Result<Option<Ungathered>> {
        let mut full = None;
        let wanted = self.memory.len().saturating_add(piece.len());
        // The least that each body has is not counted.
        if wanted > self.most || !self.in_memory.reach((wanted as u64).saturating_sub(BODY_MEMORY)) {
            full = self.spill().await?;
        }
        self.memory.extend_from_slice(piece);
        Ok(full)
    }

    /// Writes what is in memory to the file. Not on the worker's own thread, as the disk may be slow.
    async fn spill(&mut self) -> io::Result<Option<Ungathered>> {
        if self.memory.is_empty() {
            return Ok(None);
        }
        if !self.in_file.reach(self.spool.as_ref().map_or(0, Spool::len).saturating_add(self.memory.len()) as u64) {
            return Ok(Some(Ungathered::Room));
        }
        let (spool, memory) = (self.spool.take(), std::mem::take(&mut self.memory));
        let write = move || match spool.map_or_else(Spool::new, Ok) {
            Ok(mut spool) => {
                let written = spool.write(&memory);
                (Some(spool), memory, written)
            }
            Err(error) => (None, memory, Err(error)),
        };
        let (spool, memory, written) = tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?;
        (self.spool, self.memory) = (spool, memory);
        match written {
            Ok(()) => {
                self.memory.clear();
                Ok(None)
            }
            Err(error) => {
                tracing::debug!(%error, "the body of a request cannot be written to a file");
                Ok(Some(Ungathered::Disk))
            }
        }
    }

    /// What was taken in, in order: nearly always one piece.
    ///
    /// # Errors
    /// When bytes were lost.
    pub(crate) async fn finish(mut self) -> io::Result<Vec<Bytes>> {
        if self.spool.is_some() {
            // What cannot be written stays where it is.
            self.spill().await?;
        }
        let mut parts = Vec::with_capacity(1);
        if let Some(spool) = self.spool.filter(|spool| !spool.is_empty()) {
            parts.push(Bytes::from_owner(Held(spool.into_bytes()?, self.in_file)));
        }
        if !self.memory.is_empty() {
            parts.push(Bytes::from_owner(Held(self.memory, self.in_memory)));
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 50_000;
    const MEMORY: u64 = 1 << 20;
    const FILES: u64 = 1 << 20;

    async fn gather(room: &Room, pieces: u8) -> (Vec<Bytes>, Option<Ungathered>) {
        let mut gathering = Gathering::new(room, 0);
        for number in 0..pieces {
            let full = gathering.add(&vec![number; PIECE].into()).await.unwrap();
            if full.is_some() {
                return (gathering.finish().await.unwrap(), full);
            }
        }
        (gathering.finish().await.unwrap(), None)
    }

    fn is_whole(parts: &[Bytes], pieces: u8) -> bool {
        parts.concat() == (0..pieces).flat_map(|number| vec![number; PIECE]).collect::<Vec<_>>()
    }

    #[tokio::test]
    async fn what_does_not_fit_into_memory_goes_to_a_file() {
        let room = Room::new(MEMORY, FILES);
        for pieces in [1, 2, 10] {
            let (parts, full) = gather(&room, pieces).await;
            assert!(is_whole(&parts, pieces) && full.is_none() && parts.len() == 1, "{pieces}");
            assert_eq!(room.files.load(Ordering::Relaxed) < FILES, pieces > 1);
        }
        assert_eq!(room.files.load(Ordering::Relaxed), FILES, "room is given back");
        assert_eq!(room.memory.load(Ordering::Relaxed), MEMORY);
    }

    #[tokio::test]
    async fn without_room_nothing_is_lost() {
        let room = Room::new(0, 4 * STEP);
        let (parts, full) = gather(&room, 10).await;
        assert_eq!(full, Some(Ungathered::Room));
        let pieces = u8::try_from(parts.iter().map(Bytes::len).sum::<usize>() / PIECE).unwrap();
        assert!(pieces > 4 && is_whole(&parts, pieces));
        drop(parts);
        assert!(room.is_for(4 * STEP));
    }
}
