//! The extractors that the runs of a process keep, and flushing them: each ends between two batches, and its
//! task goes on with a new one from the committed offsets.
//!
//! Touches memory alone. Invariant: an extractor is counted from its start to its end, however its owner ends.

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

    /// Counts an extractor that was started, until what this answers is dropped.
    pub(super) fn started(&self) -> Alive {
        let mut counts = self.lock();
        let mark = counts.flushes;
        *counts.by_flush.entry(mark).or_default() += 1;
        Alive { living: self.clone(), mark }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one extractor. Whoever owns the extractor keeps it as long, and drops it after it.
#[derive(Debug)]
pub(super) struct Alive {
    living: Living,
    /// How many flushes there were before it was started.
    mark: u64,
}

impl Alive {
    /// Whether the extractor was asked to end.
    pub(super) fn is_flushed(&self) -> bool {
        self.mark < self.living.lock().flushes
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let mut counts = self.living.lock();
        if let Some(count) = counts.by_flush.get_mut(&self.mark) {
            *count = count.saturating_sub(1);
        }
        counts.by_flush.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_is_for_those_that_run_then() {
        let living = Living::default();
        let (old, other) = (living.started(), living.started());
        assert!(!old.is_flushed());
        assert_eq!((living.flush(), living.flushed_left()), (2, 2));
        let new = living.started();
        assert!(old.is_flushed() && !new.is_flushed());
        drop(old);
        assert_eq!(living.flushed_left(), 1);
        drop(other);
        assert_eq!((living.flushed_left(), living.flush()), (0, 1));
    }
}
