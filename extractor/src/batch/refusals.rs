//! Rows that the host could not load, by their place: they come as error rows instead (SPEC.md section 4.6).
//!
//! Pure. Invariant: a row is refused by its place *and* its bytes; where a log was compacted since the host
//! counted, no other row is put aside in its place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use protocol::message::Refused;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Parts that have some left.
    parts: BTreeMap<u32, Left>,
}

/// What is left of a part.
#[derive(Debug, Default)]
struct Left {
    /// Rows since the assignment, refused ones counted.
    at: u64,
    /// Row, digest and reason, in order.
    rows: VecDeque<(u64, String, Arc<str>)>,
}

impl Refusals {
    /// Of an assignment.
    pub(super) fn new(refused: &[Refused]) -> Self {
        let mut parts: BTreeMap<u32, Left> = BTreeMap::new();
        for it in refused {
            let rows = &mut parts.entry(it.part).or_default().rows;
            rows.push_back((it.row, it.digest.clone(), it.reason.as_str().into()));
        }
        Self { parts }
    }

    /// Whether no row is refused any more, which is how it is nearly always.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether the next row of the part is refused.
    pub(super) fn has(&self, part: u32, datum: &[u8]) -> bool {
        self.next(part).is_some_and(|(_, digest, _)| *digest == Refused::digest_of(datum))
    }

    /// Why the next row of the part is refused.
    pub(super) fn reason(&self, part: u32) -> Arc<str> {
        self.next(part).map_or_else(|| "the host refuses this row".into(), |it| Arc::clone(&it.2))
    }

    /// The entry of the row that comes next, if there is one.
    fn next(&self, part: u32) -> Option<&(u64, String, Arc<str>)> {
        let left = self.parts.get(&part)?;
        left.rows.front().filter(|(row, ..)| *row == left.at)
    }

    /// A row of the part was delivered, as one or as an error row.
    pub(super) fn pass(&mut self, part: u32) {
        let Some(left) = self.parts.get_mut(&part) else { return };
        left.at += 1;
        let at = left.at;
        while left.rows.front().is_some_and(|(row, ..)| *row < at) {
            left.rows.pop_front();
        }
        if left.rows.is_empty() {
            self.parts.remove(&part);
        }
    }
}
