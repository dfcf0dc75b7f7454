//! The extractors that the runs of a process keep, and flushing them: each ends between two batches, and its
//! task goes on with a new one from the committed offsets.
//!
//! Touches memory alone. Invariant: an extractor is counted from its start to its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Extractors of some runs, by how many flushes there were before they were started.
#[derive(Clone, Debug, Default)]
pub struct Living(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    flushes: u64,
    by_flush: BTreeMap<u64, usize>,
}

impl Living {
    /// Asks every extractor that runs now to end, and tells how many there are.
    pub fn flush(&self) -> usize {
        let mut counts = self.lock();
        counts.flushes = counts.flushes.saturating_add(1);
        counts.by_flush.values().sum()
    }

    /// How many run still of those that were asked to end.
    pub fn flushed_left(&self) -> usize {
        let counts = self.lock();
        counts.by_flush.range(..counts.flushes).map(|(_, count)| count).sum()
    }

    /// Counts an extractor that was started; the answer is its mark.
    pub(super) fn started(&self) -> u64 {
        let mut counts = self.lock();
        let mark = counts.flushes;
        *counts.by_flush.entry(mark).or_default() += 1;
        mark
    }

    /// Takes an extractor that ended off the count.
    pub(super) fn ended(&self, mark: u64) {
        let mut counts = self.lock();
        if let Some(count) = counts.by_flush.get_mut(&mark) {
            *count = count.saturating_sub(1);
        }
        counts.by_flush.retain(|_, count| *count > 0);
    }

    /// Whether the extractor with this mark was asked to end.
    pub(super) fn is_flushed(&self, mark: u64) -> bool {
        mark < self.lock().flushes
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_is_for_those_that_run_then() {
        let living = Living::default();
        let (old, other) = (living.started(), living.started());
        assert!(!living.is_flushed(old));
        assert_eq!((living.flush(), living.flushed_left()), (2, 2));
        let new = living.started();
        assert!(living.is_flushed(old) && !living.is_flushed(new));
        living.ended(old);
        assert_eq!(living.flushed_left(), 1);
        living.ended(other);
        assert_eq!((living.flushed_left(), living.flush()), (0, 1));
    }
}
