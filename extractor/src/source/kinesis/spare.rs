//! Memory of pages that were delivered, for the next ones: a fresh page of some MB costs more in page
//! faults than in reading. It lies where the budget is not filled, and a little beside it; nothing is kept
//! that is not used again soon, or while nothing is read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::budget::Budget;
use super::records::Entry;

/// Bytes that are kept beside the budget at most. Why 12 MiB: the largest body of an answer and its places,
/// for the next page while all others wait.
const BYTES_MAX: u64 = 12 * 1024 * 1024;

/// The part of the budget for answers that is kept beside it at most. Why 3/16: all of [`BYTES_MAX`] for the
/// default budget of 64 MiB, and less where there is less.
const PART_OF_BUDGET: (u64, u64) = (3, 16);

/// Pages that are delivered after a piece was given and before it is dropped unused. Why 32: while shards
/// catch up, a piece is taken again within the few pages that are read at a time; one that is not is left
/// over from a time with larger pages.
const PAGES_UNUSED_MAX: u64 = 32;

/// Pieces of each kind that are kept. Why 64: small pages of many shards, some 100 KB each; they are
/// looked through for each answer.
const PIECES_MAX: usize = 64;

/// Bytes below which a piece is not kept. Why 64 KiB: the allocator has those at hand.
const PIECE_BYTES_MIN: usize = 64 * 1024;

/// See the file. Copies share the same memory.
#[derive(Clone, Debug)]
pub(super) struct Spare {
    kept: Arc<Mutex<Kept>>,
    budget: Budget,
}

#[derive(Debug, Default)]
struct Kept {
    bodies: Pieces<u8>,
    entries: Pieces<Entry>,
    /// Bytes of all of them, and how many they may be.
    bytes: usize,
    max: usize,
    /// How many pages were given so far.
    given: u64,
    /// Whether something went to the allocator since nothing was kept.
    dropped: bool,
}

/// Pieces of one kind, the oldest first, each with the number of the page that it was given with.
type Pieces<T> = Vec<(u64, Vec<T>)>;

impl Spare {
    /// Keeps nothing yet; `budget` is that of the answers.
    pub(super) fn new(budget: &Budget) -> Self {
        Self { kept: Arc::default(), budget: budget.clone() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        let (part, of) = PART_OF_BUDGET;
        let beside = (self.budget.bytes() / of).saturating_mul(part).min(BYTES_MAX);
        let beside = usize::try_from(beside).unwrap_or(usize::MAX);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.max = self.budget.unfilled().saturating_add(beside);
        kept
    }

    /// An empty buffer with room for `len` bytes, and for `max` at most; not much larger than needed. It lies
    /// in a room that is filled already.
    pub(super) fn body(&self, len: usize, max: usize) -> Option<Vec<u8>> {
        let mut kept = self.kept();
        let Kept { bodies, bytes, .. } = &mut *kept;
        let body = take(bodies, bytes, len, max);
        kept.make_room(0);
        body
    }

    /// An empty list with room for `count` entries, and not for many more.
    pub(super) fn entries(&self, count: usize) -> Option<Vec<Entry>> {
        let mut kept = self.kept();
        let Kept { entries, bytes, .. } = &mut *kept;
        take(entries, bytes, count, usize::MAX)
    }

    /// Keeps what a page was made of, in place of what was given long ago where there is no room.
    pub(super) fn give(&self, body: Vec<u8>, entries: Vec<Entry>) {
        let mut kept = self.kept();
        kept.given += 1;
        kept.drop_unused();
        if let Some(body) = kept.accept(body) {
            kept.bodies.push(body);
        }
        if let Some(entries) = kept.accept(entries) {
            kept.entries.push(entries);
        }
    }

    /// Gives everything back to the allocator. Whether that, and what went there since the last time, was
    /// something.
    pub(super) fn clear(&self) -> bool {
        let all = std::mem::take(&mut *self.kept());
        all.dropped || all.bytes > 0
    }
}

impl Kept {
    /// Makes room for a piece that is worth keeping.
    fn accept<T>(&mut self, mut piece: Vec<T>) -> Option<(u64, Vec<T>)> {
        let size = bytes_of(&piece);
        if !(PIECE_BYTES_MIN..=self.max).contains(&size) {
            self.dropped |= size > self.max;
            return None;
        }
        while self.is_full() {
            self.drop_oldest();
        }
        self.make_room(size);
        piece.clear();
        self.bytes += size;
        Some((self.given, piece))
    }

    /// Drops what is older until there is room for so many bytes more.
    fn make_room(&mut self, bytes: usize) {
        while self.bytes.saturating_add(bytes) > self.max && self.bytes > 0 {
            self.drop_oldest();
        }
    }

    /// Drops what nobody took for long.
    fn drop_unused(&mut self) {
        let limit = self.given.saturating_sub(PAGES_UNUSED_MAX);
        while self.oldest() < limit {
            self.drop_oldest();
        }
    }

    /// The number of the page that the oldest piece was given with.
    fn oldest(&self) -> u64 {
        let (body, entries) = self.ages();
        body.min(entries)
    }

    fn ages(&self) -> (u64, u64) {
        let age = |given: Option<u64>| given.unwrap_or(u64::MAX);
        let body = age(self.bodies.first().map(|(given, _)| *given));
        (body, age(self.entries.first().map(|(given, _)| *given)))
    }

    const fn is_full(&self) -> bool {
        self.bodies.len() >= PIECES_MAX || self.entries.len() >= PIECES_MAX
    }

    fn drop_oldest(&mut self) {
        let (body, entries) = self.ages();
        let size = if body < entries {
            drop_first(&mut self.bodies)
        } else {
            drop_first(&mut self.entries)
        };
        self.bytes = self.bytes.saturating_sub(size);
        self.dropped = true;
    }
}

fn bytes_of<T>(piece: &Vec<T>) -> usize {
    piece.capacity() * size_of::<T>()
}

/// Drops the oldest piece and says how many bytes it had.
fn drop_first<T>(pieces: &mut Pieces<T>) -> usize {
    if pieces.is_empty() { 0 } else { bytes_of(&pieces.remove(0).1) }
}

fn take<T>(kept: &mut Pieces<T>, bytes: &mut usize, len: usize, max: usize) -> Option<Vec<T>> {
    let most = len.saturating_mul(2).min(max);
    let fits = |(_, piece): &(u64, Vec<T>)| (len..=most).contains(&piece.capacity());
    let (_, piece) = kept.remove(kept.iter().rposition(fits)?);
    *bytes = bytes.saturating_sub(bytes_of(&piece));
    Some(piece)
}

#[cfg(test)]
mod tests;
