//! How far each partition is committed, and how far the producer may be ahead of that.
//!
//! Touches the store through the catalogue. Invariant: a number here is one that the database holds,
//! never one that a run reported.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::record::RECORD_BYTES_MAX;
use crate::catalogue::Catalogue;
use crate::store::StoreError;

/// The time between two looks at the store.
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct Pace {
    catalogue: Catalogue,
    pipeline: String,
    pipeline_id: Option<u64>,
    /// Records that the producer may be ahead in one partition.
    window: Option<u64>,
    /// Next offset by partition, as committed.
    committed: Vec<u64>,
    looked: Option<Instant>,
    /// When a committed offset moved last.
    moved: Instant,
}

impl Pace {
    pub(super) fn new(catalogue: Catalogue, pipeline: &str, window_bytes: Option<u64>) -> Self {
        Self {
            catalogue,
            pipeline: pipeline.to_owned(),
            pipeline_id: None,
            window: window_bytes.map(|bytes| bytes / RECORD_BYTES_MAX),
            committed: Vec::new(),
            looked: None,
            moved: Instant::now(),
        }
    }

    /// Whether one more record may be produced for a partition that holds `produced` of them.
    pub(super) fn is_open(&self, partition: usize, produced: u64) -> bool {
        let Some(window) = self.window else { return true };
        produced < self.committed(partition).saturating_add(window)
    }

    /// The next offset of a partition, as committed.
    pub(super) fn committed(&self, partition: usize) -> u64 {
        self.committed.get(partition).copied().unwrap_or(0)
    }

    /// How long no offset has moved.
    pub(super) fn still(&self) -> Duration {
        self.moved.elapsed()
    }

    /// Reads the committed offsets, unless that was just done.
    pub(super) fn look(&mut self) -> Result<(), StoreError> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let id = match self.pipeline_id {
            Some(id) => id,
            None => match self.catalogue.pipeline(&self.pipeline)? {
                Some(pipeline) => *self.pipeline_id.insert(pipeline.id),
                None => return Ok(()),
            },
        };
        for split in self.catalogue.splits(id)? {
            let Some((partition, offset)) = place(&split.key, &split.value) else { continue };
            if self.committed.len() <= partition {
                self.committed.resize(partition + 1, 0);
            }
            if let Some(known) = self.committed.get_mut(partition).filter(|known| **known < offset)
            {
                *known = offset;
                self.moved = Instant::now();
            }
        }
        Ok(())
    }
}

/// Partitions of a topic are fewer. Why: a key that is not ours must not size a list.
const PARTITIONS_MAX: usize = 65_536;

/// Partition and next offset of an offset row.
fn place(key: &str, value: &str) -> Option<(usize, u64)> {
    let number = |text: &str, field: &str| -> Option<u64> {
        serde_json::from_str::<Value>(text).ok()?.get(field)?.as_u64()
    };
    let partition = usize::try_from(number(key, "partition")?).ok()?;
    (partition < PARTITIONS_MAX).then_some((partition, number(value, "offset")?))
}
