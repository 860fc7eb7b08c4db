//! What a source hands to the publishing loop.
use std::time::Instant;

use translate::Change;

/// Changes that a source saw together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// When the oldest of them reached this process.
    pub(crate) arrived: Instant,
    /// The changes, oldest first.
    pub(crate) changes: Vec<Change>,
    /// With this batch the source has handed over everything that it found at its start.
    pub(crate) synced: bool,
}

/// How many batches may wait for the loop before a source has to; a batch of a burst holds many changes.
pub(crate) const WAITING_BATCHES: usize = 256;
