//! Memory of pages that were delivered, for the next ones: a fresh page of some MB costs more in page
//! faults than in reading. Bounded, and empty while nothing is read.

use std::sync::{Arc, Mutex, PoisonError};

use super::records::Entry;

/// Bytes that are kept. Why 12 MiB: the largest body of an answer and its places; while shards catch up,
/// a page is delivered for each one that is asked for, so that more is of no use.
const BYTES_MAX: usize = 12 * 1024 * 1024;

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
    bodies: Vec<Vec<u8>>,
    entries: Vec<Vec<Entry>>,
    bytes: usize,
}

impl Spare {
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

    /// Keeps what a page was made of, as far as there is room.
    pub(super) fn give(&self, body: Vec<u8>, entries: Vec<Entry>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { bodies, entries: lists, bytes } = &mut *kept;
        put(bodies, bytes, body);
        put(lists, bytes, entries);
    }

    /// Gives everything back to the allocator.
    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }
}

fn take<T>(kept: &mut Vec<Vec<T>>, bytes: &mut usize, len: usize, max: usize) -> Option<Vec<T>> {
    let most = len.saturating_mul(2).min(max);
    let fits = |piece: &Vec<T>| (len..=most).contains(&piece.capacity());
    let piece = kept.swap_remove(kept.iter().rposition(fits)?);
    *bytes = bytes.saturating_sub(piece.capacity() * size_of::<T>());
    Some(piece)
}

fn put<T>(kept: &mut Vec<Vec<T>>, bytes: &mut usize, mut piece: Vec<T>) {
    let size = piece.capacity() * size_of::<T>();
    let has_room = kept.len() < PIECES_MAX && *bytes + size <= BYTES_MAX;
    if size >= PIECE_BYTES_MIN && has_room {
        piece.clear();
        *bytes += size;
        kept.push(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_what_is_taken_fits() {
        const MIB: usize = 1024 * 1024;
        let spare = Spare::default();
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
}
