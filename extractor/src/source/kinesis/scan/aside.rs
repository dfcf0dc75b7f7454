//! Texts of a body that were written with escapes, as rows have them. Pure.

use super::cursor::Cursor;
use super::{NO_ROOM, ScanError};

/// See the file. It takes no memory before there is such a text, and never more than it may.
#[derive(Debug, Default)]
pub(super) struct Aside {
    bytes: Vec<u8>,
    max: usize,
}

impl Aside {
    /// Room for `max` bytes.
    pub(super) const fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), max }
    }

    /// Bytes in it.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds what `write` writes, which has `most` bytes at most.
    pub(super) fn add(
        &mut self,
        cursor: &Cursor<'_>,
        most: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), ScanError> {
        let left = self.max.saturating_sub(self.bytes.len());
        if most > left {
            return Err(cursor.error(NO_ROOM));
        }
        if most > self.bytes.capacity().saturating_sub(self.bytes.len()) {
            // The texts to come are about as long as the rest of the body at most, so that a second
            // reservation, which may move what there is, is rare.
            self.bytes.reserve_exact(most.saturating_add(cursor.left()).min(left));
        }
        write(&mut self.bytes);
        Ok(())
    }

    /// All of them, without the room that was not needed.
    pub(super) fn whole(mut self) -> Vec<u8> {
        self.bytes.shrink_to_fit();
        self.bytes
    }
}
