//! Bytes that are written to a file which has no name, and read back as memory.
//!
//! They cost no memory of the process: the kernel may write them out and read them again when it needs the room.
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memmap2::{Mmap, MmapOptions};

/// A file in the folder for temporary files (`TMPDIR`, else `/tmp`) that has no name, so that it goes with its last user.
#[derive(Debug)]
pub struct Spool {
    file: File,
    len: usize,
}

impl Spool {
    /// Makes an empty file.
    ///
    /// # Errors
    /// When there is no folder for it that can be written to.
    pub fn new() -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile()?, len: 0 })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When they could not be written whole; then none of them count.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = u64::try_from(self.len).map_err(io::Error::other)?;
        self.file.write_all_at(bytes, end)?;
        self.len += bytes.len();
        Ok(())
    }

    /// How many bytes have been written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Has nothing been written?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was written, as memory.
    ///
    /// # Errors
    /// When the kernel does not map the file.
    #[expect(unsafe_code, reason = "a map is memory that someone with the file could change")]
    pub fn into_bytes(self) -> io::Result<Mapped> {
        // SAFETY: The file never had a name that others could open, its only handle ends here, and what is mapped is within
        // what was written: nobody can change or cut off the bytes.
        unsafe { MmapOptions::new().len(self.len).map(&self.file) }.map(Mapped)
    }
}

/// The bytes of a [`Spool`].
#[derive(Debug)]
pub struct Mapped(Mmap);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut spool = Spool::new().unwrap();
        assert!(spool.is_empty());
        spool.write(b"one, ").unwrap();
        spool.write(&[b'x'; 100_000]).unwrap();
        assert_eq!(spool.len(), 100_005);
        let bytes = spool.into_bytes().unwrap();
        assert_eq!((bytes.as_ref().len(), &bytes.as_ref()[..6]), (100_005, b"one, x".as_slice()));
    }
}
