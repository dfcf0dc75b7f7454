//! Memory of pages that were delivered, for the next ones: a fresh page of some MB costs more in page
//! faults than in reading. Bounded, and empty while nothing is read.

use std::sync::{Arc, Mutex, PoisonError};

use super::records::Entry;

/// Bytes that are kept at most. Why 12 MiB: the largest body of an answer and its places; while shards
/// catch up, a page is delivered for each one that is asked for, so that more is of no use.
const BYTES_MAX: u64 = 12 * 1024 * 1024;

/// The part of the budget for answers that is kept beside it at most. Why 3/16: all of [`BYTES_MAX`] for the
/// default budget of 64 MiB, and less where there is less.
const PART_OF_BUDGET: (u64, u64) = (3, 16);

/// Pieces of each kind that are kept. Why 64: small pages of many shards, some 100 KB each; they are
/// looked through for each answer.
const PIECES_MAX: usize = 64;

/// Bytes below which a piece is not kept. Why 64 KiB: the allocator has those at hand.
const PIECE_BYTES_MIN: usize = 64 * 1024;

/// See the file. Copies share the same memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Spare(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bodies: Pieces<u8>,
    entries: Pieces<Entry>,
    /// Bytes of all of them, and how many they may be.
    bytes: usize,
    max: usize,
    /// How many pieces were given so far.
    given: u64,
}

/// Pieces of one kind, the oldest first, each with the count of those that were given before it.
type Pieces<T> = Vec<(u64, Vec<T>)>;

impl Spare {
    /// Keeps nothing yet; `budget` is the memory of all answers, in bytes.
    pub(super) fn new(budget: u64) -> Self {
        let (part, of) = PART_OF_BUDGET;
        let max = (budget / of).saturating_mul(part).min(BYTES_MAX);
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Self(Arc::new(Mutex::new(Kept { max, ..Kept::default() })))
    }

    /// An empty buffer with room for `len` bytes, and for `max` at most; not much larger than needed.
    pub(super) fn body(&self, len: usize, max: usize) -> Option<Vec<u8>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { bodies, bytes, .. } = &mut *kept;
        take(bodies, bytes, len, max)
    }

    /// An empty list with room for `count` entries, and not for many more.
    pub(super) fn entries(&self, count: usize) -> Option<Vec<Entry>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { entries, bytes, .. } = &mut *kept;
        take(entries, bytes, count, usize::MAX)
    }

    /// Keeps what a page was made of, in place of what was given long ago where there is no room.
    pub(super) fn give(&self, body: Vec<u8>, entries: Vec<Entry>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(body) = kept.accept(body) {
            kept.bodies.push(body);
        }
        if let Some(entries) = kept.accept(entries) {
            kept.entries.push(entries);
        }
    }

    /// Gives everything back to the allocator. Whether there was something.
    pub(super) fn clear(&self) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let max = kept.max;
        std::mem::replace(&mut *kept, Kept { max, ..Kept::default() }).bytes > 0
    }
}

impl Kept {
    /// Makes room for a piece that is worth keeping.
    fn accept<T>(&mut self, mut piece: Vec<T>) -> Option<(u64, Vec<T>)> {
        let size = bytes_of(&piece);
        if !(PIECE_BYTES_MIN..=self.max).contains(&size) {
            return None;
        }
        while self.bytes.saturating_add(size) > self.max || self.is_full() {
            self.drop_oldest();
        }
        piece.clear();
        self.bytes += size;
        self.given += 1;
        Some((self.given, piece))
    }

    const fn is_full(&self) -> bool {
        self.bodies.len() >= PIECES_MAX || self.entries.len() >= PIECES_MAX
    }

    fn drop_oldest(&mut self) {
        let age = |given: Option<u64>| given.unwrap_or(u64::MAX);
        let body = age(self.bodies.first().map(|(given, _)| *given));
        let entries = age(self.entries.first().map(|(given, _)| *given));
        let size = if body < entries {
            drop_first(&mut self.bodies)
        } else {
            drop_first(&mut self.entries)
        };
        self.bytes = self.bytes.saturating_sub(size);
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
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_what_is_taken_fits() {
        const MIB: usize = 1024 * 1024;
        let spare = Spare::new(64 * MIB as u64);
        assert!(spare.body(MIB, MIB).is_none());
        for _ in 0..20 {
            let mut body = Vec::with_capacity(MIB);
            body.push(7);
            spare.give(body, Vec::new());
        }
        assert!(spare.body(MIB + 1, 2 * MIB).is_none(), "too small");
        assert!(spare.body(MIB / 4, MIB).is_none(), "much too large");
        assert!(spare.body(MIB - 1, MIB - 1).is_none(), "more than there may be");
        for _ in 0..12 {
            let body = spare.body(MIB - 1, MIB).unwrap();
            assert!(body.is_empty() && body.capacity() == MIB);
        }
        assert!(spare.body(MIB, MIB).is_none(), "12 MiB are kept and no more");
        spare.give(Vec::with_capacity(1_000), Vec::with_capacity(10_000));
        assert!(spare.body(1_000, 1_000).is_none(), "small ones are not kept");
        assert!(spare.entries(9_000).is_some_and(|list| list.capacity() == 10_000));
        spare.give(Vec::with_capacity(MIB), Vec::with_capacity(10_000));
        spare.clear();
        assert!(spare.body(MIB, MIB).is_none() && spare.entries(10_000).is_none());
        for _ in 0..100 {
            spare.give(Vec::with_capacity(PIECE_BYTES_MIN), Vec::new());
        }
        let count = std::iter::from_fn(|| spare.body(PIECE_BYTES_MIN, MIB)).count();
        assert_eq!(count, PIECES_MAX);
    }

    #[test]
    fn what_is_older_makes_room_and_a_small_budget_keeps_less() {
        const MIB: usize = 1024 * 1024;
        let spare = Spare::new(16 * MIB as u64);
        for _ in 0..3 {
            spare.give(Vec::with_capacity(MIB), Vec::new());
        }
        spare.give(Vec::with_capacity(4 * MIB), Vec::new());
        assert!(spare.body(4 * MIB, 4 * MIB).is_none(), "3 MiB beside 16 and no more");
        spare.give(Vec::with_capacity(2 * MIB), Vec::with_capacity(20_000));
        assert!(spare.body(2 * MIB, 2 * MIB).is_some(), "it is newer than the small ones");
        assert!(spare.entries(20_000).is_some());
        assert!(spare.body(MIB, MIB).is_none(), "which went for it");
        for size in [MIB, 2 * MIB, 3 * MIB] {
            spare.give(Vec::with_capacity(size), Vec::new());
        }
        assert!(spare.body(3 * MIB, 3 * MIB).is_some());
        assert!(spare.body(MIB, 2 * MIB).is_none());
    }
}
