//! Rows that the database refuses, on their way to the errors table: which rows the next assignment names, so that
//! the extractor gives the records as they were received in their place. Pure.
//!
//! ```text
//! batch refused ─► its rows found, all rolled back ─► noted ─► ASSIGN names them ─► they come as error rows,
//! which are committed together with the move past them
//! ```
//!
//! Invariants (EXACTLY-ONCE E8): a row is named by its place behind a committed offset and by its bytes, so
//! that no other record is put aside; what is noted here is lost with the process, and found again.

use std::collections::{BTreeMap, HashMap};

use protocol::limits::{REFUSED_MAX, REFUSED_REASON_BYTES_MAX};
use protocol::message::Refused;
use protocol::{Code, OffsetKey, OffsetValue};

use super::load::Job;
use crate::store::StoreError;

/// Rows that are looked for in one batch, and rows of a batch of a single split. Why as many as an ASSIGN names:
/// every row of such a batch may be refused.
pub(super) const FOUND_MAX: usize = REFUSED_MAX;

/// Refused batches in a row after which one split is read alone. Why 3: rows that came behind those that were
/// named, or beside them from other splits, need a second round; more rounds find a moving target.
const ROUNDS_TOGETHER: u32 = 3;

/// Refused batches in a row after which the pipeline stops. Why 8: alone, a split needs two.
const ROUNDS_MAX: u32 = 8;

/// A row of a batch that the database refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub part: u32,
    /// How many rows of the part came before it in the batch.
    pub nth: u64,
    pub digest: String,
    pub reason: String,
}

/// What is refused of one split, behind a committed offset.
#[derive(Debug, Default)]
struct OfSplit {
    from: String,
    /// Digest and reason, by row.
    rows: BTreeMap<u64, (String, String)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    splits: HashMap<String, OfSplit>,
    rounds: u32,
    alone: Option<String>,
}

impl Refusals {
    /// The split that the next assignment reads alone, if one is.
    pub(super) fn alone(&self) -> Option<&str> {
        self.alone.as_deref()
    }

    /// What the next assignment names. A split that stands elsewhere by now is read as it comes.
    pub(super) fn of(&self, parts: &[(OffsetKey, OffsetValue)]) -> Vec<Refused> {
        let mut named = Vec::new();
        for (part, (key, value)) in (0..).zip(parts) {
            let Some(split) = self.splits.get(key.as_str()) else { continue };
            if split.from != value.as_str() {
                continue;
            }
            named.extend(split.rows.iter().map(|(row, (digest, reason))| Refused {
                part,
                row: *row,
                digest: digest.clone(),
                reason: reason.clone(),
            }));
        }
        named.truncate(REFUSED_MAX);
        named
    }

    /// Notes the rows that were found in a batch which was rolled back. Tells whether it may be tried again.
    pub(super) fn note(&mut self, job: &Job) -> bool {
        self.splits.clear();
        let mut is_as_named = true;
        for step in &job.moves {
            let named: Vec<&Refused> = job
                .refused
                .iter()
                .filter(|it| it.part == step.part && it.row >= step.before)
                .collect();
            let passed = step.rows + step.refused;
            let here = named.iter().filter(|it| it.row < step.before + passed).count();
            is_as_named &= here as u64 == step.refused;
            let mut rows: BTreeMap<u64, (String, String)> = BTreeMap::new();
            for it in named {
                rows.insert(it.row - step.before, (it.digest.clone(), it.reason.clone()));
            }
            let old: Vec<u64> = rows.keys().copied().collect();
            for it in job.found.iter().filter(|it| it.part == step.part) {
                // Rows that came as error rows already are in their places between the others.
                let row = old.iter().fold(it.nth, |row, named| row + u64::from(*named <= row));
                rows.insert(row, (it.digest.clone(), it.reason.clone()));
            }
            if !rows.is_empty() {
                let from = step.from.clone();
                self.splits.insert(step.key.clone(), OfSplit { from, rows });
            }
        }
        if !is_as_named {
            // The log was compacted meanwhile: counting begins anew.
            self.splits.clear();
        }
        self.rounds += 1;
        if self.rounds > ROUNDS_TOGETHER || job.found.len() >= FOUND_MAX {
            let first = job.found.first().map(|it| it.part);
            let split = job.moves.iter().find(|step| Some(step.part) == first);
            self.alone = split.map(|step| step.key.clone());
        }
        self.rounds <= ROUNDS_MAX
    }

    /// The split that is read alone has nothing now: all are read again. The rounds go on counting, so that this
    /// ends too.
    pub(super) fn together(&mut self) {
        self.alone = None;
    }

    /// A batch was committed that moved something.
    pub(super) fn forget(&mut self) {
        (self.rounds, self.alone) = (0, None);
    }
}

/// Whether an error row stands for a row that the database refused.
pub(super) fn is_refused(code: &str) -> bool {
    code == Code::RowRefused.name()
}

/// What the database said of a row, as the error row tells it.
pub(super) fn reason(text: &str) -> String {
    let end = text.floor_char_boundary(REFUSED_REASON_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

/// The rows of a batch that were found, with their places.
pub(super) fn located(
    found: Vec<crate::transaction::Refused>,
    job: &Job,
) -> Result<Vec<Found>, StoreError> {
    let Some(staged) = &job.staged else { return Ok(Vec::new()) };
    let wanted = found.iter().map(|row| row.index).collect();
    let mut digests = staged.digests(&wanted)?;
    let located = found.into_iter().filter_map(|row| {
        let (part, nth) = staged.place_of(row.index)?;
        let digest = digests.remove(&row.index)?;
        Some(Found { part, nth, digest, reason: reason(&row.reason) })
    });
    Ok(located.collect())
}

#[cfg(test)]
mod tests;
