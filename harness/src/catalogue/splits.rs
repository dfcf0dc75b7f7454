//! Splits and their offsets: pin, own, set by hand.
//!
//! Touches the database through `Store` alone. Invariants (EXACTLY-ONCE E4, E5): an offset is found by its
//! pipeline's id and the hash of its key, and changed only together with `rev`; its value is never null; an
//! owner's epoch is written into the rows in the transaction that takes it.

use super::alter::write_incarnation;
use super::claims::{Claim, require_held};
use super::ids::{key_hash, now_us};
use super::pipelines::gone;
use super::record::Split;
use super::report::{NewBatch, Trace, insert_batch, insert_history, next_batch};
use super::{BatchState, Catalogue};
use crate::store::{CellRow, Param, Store, StoreError, StoreErrorKind};

/// Longest KEY of an offset, in bytes. Why 1 KiB: the limit of the pipe (PROTOCOL 1.6).
pub const KEY_LEN_MAX: usize = 1024;

/// Longest VALUE of an offset, in bytes. Why 4 KiB: the limit of the pipe (PROTOCOL 1.6).
pub const VALUE_LEN_MAX: usize = 4096;

/// Most splits of one pipeline, and most moves of one batch.
///
/// Why 65,535: sixteen full assignments of the pipe, and more partitions than any one topic of
/// sense has. How many one task may have is `protocol::limits::PARTS_MAX`, checked at ASSIGN.
pub const SPLITS_MAX: usize = 65_535;

/// Splits named in one statement. Why 100: far below every limit on bound values.
const CHUNK: usize = 100;

const COLUMNS: &str = "key_text, value_text, rev, epoch, ordinal, task_id";

/// An epoch that was taken, and the splits as they stand for its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenEpoch {
    /// The epoch.
    pub epoch: u64,
    /// The splits in the order of the keys asked for.
    pub splits: Vec<Split>,
}

/// A key with its hash.
#[derive(Clone, Copy)]
struct Hashed<'a> {
    hash: [u8; 32],
    key: &'a str,
}

impl Catalogue {
    /// Makes sure that every split has a committed offset, and answers them in the order given.
    ///
    /// A split that is there keeps its value (a pin is taken once, EXACTLY-ONCE E5); a new one gets the
    /// value given and the next ordinal. What is answered was committed and read again.
    ///
    /// # Errors
    /// A key or value is empty or too long, there are too many, or the pipeline was dropped.
    pub fn insert_splits(
        &mut self,
        pipeline_id: u64,
        starts: &[(&str, &str)],
    ) -> Result<Vec<Split>, StoreError> {
        let keys: Vec<&str> = starts.iter().map(|(key, _)| *key).collect();
        let hashed = hash_keys(&keys)?;
        for (key, value) in starts {
            check_value(key, value)?;
        }
        self.transact("insert the splits", |store| {
            insert_absent(store, pipeline_id, starts, &hashed)
        })?;
        self.read("read the splits again", |store| read_splits(store, pipeline_id, &keys))
    }

    /// Every split of the pipeline, in the order of its ordinals.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn splits(&mut self, pipeline_id: u64) -> Result<Vec<Split>, StoreError> {
        self.read("read the splits", |store| {
            let sql =
                format!("SELECT {COLUMNS} FROM s2x_offsets WHERE pipeline_id = ? ORDER BY ordinal");
            store.query(&sql, &[Param::from(pipeline_id)])?.rows.iter().map(split_of).collect()
        })
    }

    /// Takes the pipeline's next epoch for a task and writes it into its splits, in one transaction
    /// (EXACTLY-ONCE E4). From then on every older owner of these splits loses its swap.
    ///
    /// A process that shares the pipeline with others gives its claim on the leaf.
    ///
    /// # Errors
    /// Another process claimed the leaf, a split is not in the catalogue, or the pipeline was dropped.
    pub fn take_epoch(
        &mut self,
        pipeline_id: u64,
        task_id: u32,
        claim: Option<Claim>,
        keys: &[&str],
    ) -> Result<TakenEpoch, StoreError> {
        let hashed = hash_keys(keys)?;
        self.transact("take an epoch", |store| {
            // A load locks its offsets before the pipeline's row; the same order here avoids deadlocks.
            lock_offsets(store, pipeline_id, &hashed)?;
            let epoch = next_epoch(store, pipeline_id)?;
            if let Some(claim) = claim {
                require_held(store, pipeline_id, claim)?;
            }
            for chunk in hashed.chunks(CHUNK) {
                let sql = format!(
                    "UPDATE s2x_offsets SET epoch = ?, task_id = ? \
                     WHERE pipeline_id = ? AND key_hash IN ({})",
                    marks(chunk.len())
                );
                let mut params =
                    vec![Param::from(epoch), Param::from(task_id), Param::from(pipeline_id)];
                params.extend(chunk.iter().map(|key| Param::Bytes(&key.hash)));
                let changed = store.execute(&sql, &params)?;
                if usize::try_from(changed) != Ok(chunk.len()) {
                    return Err(StoreError::internal(format!(
                        "{changed} of {} splits took the epoch; insert the splits first",
                        chunk.len()
                    )));
                }
            }
            Ok(TakenEpoch { epoch, splits: read_splits(store, pipeline_id, keys)? })
        })
    }

    /// Sets offsets by hand (ALTER PIPELINE … SET OFFSETS): takes the next epoch, writes it into every split
    /// of the pipeline, and records the change as a batch without rows. Splits that are not in the
    /// catalogue are added.
    ///
    /// # Errors
    /// A key or value is not usable, or the pipeline was dropped.
    pub fn set_offsets(
        &mut self,
        pipeline_id: u64,
        values: &[(&str, &str)],
    ) -> Result<Vec<Split>, StoreError> {
        self.place(pipeline_id, Places { values, incarnation: None })
    }

    /// The same, together with the life of the source that the offsets are of.
    ///
    /// # Errors
    /// As [`Self::set_offsets`].
    pub(crate) fn place(
        &mut self,
        pipeline_id: u64,
        places: Places<'_>,
    ) -> Result<Vec<Split>, StoreError> {
        places.check()?;
        self.transact("set the offsets", |store| {
            let epoch = fence_all(store, pipeline_id)?;
            places.write(store, pipeline_id, epoch)
        })
    }
}

/// Offsets that are set by hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    /// KEYs and VALUEs.
    pub(crate) values: &'a [(&'a str, &'a str)],
    /// The life of the source that they are of, where another one may have been stored.
    pub(crate) incarnation: Option<&'a str>,
}

impl Places<'_> {
    /// Refuses what is no offset, before anything is begun.
    pub(super) fn check(self) -> Result<(), StoreError> {
        hash_keys(&self.keys())?;
        self.values.iter().try_for_each(|(key, value)| check_value(key, value))
    }

    /// Inside a transaction that has fenced all owners under this epoch.
    pub(super) fn write(
        self,
        store: &mut dyn Store,
        pipeline_id: u64,
        epoch: u64,
    ) -> Result<Vec<Split>, StoreError> {
        let keys = self.keys();
        insert_absent(store, pipeline_id, self.values, &hash_keys(&keys)?)?;
        let batch_id = next_batch(store, pipeline_id, 0, 0, 0)?.batch_id;
        for (key, value) in self.values {
            set_value(store, pipeline_id, (key, value), epoch)?;
        }
        let splits = read_splits(store, pipeline_id, &keys)?;
        let traces: Vec<Trace<'_>> = splits.iter().map(Trace::of).collect();
        insert_history(store, pipeline_id, batch_id, &traces)?;
        let batch = NewBatch {
            task_id: 0,
            leaf: 0,
            state: BatchState::Succeeded,
            epoch,
            start_us: now_us(),
            batch_us: 0,
            load_us: 0,
            row_count: 0,
            byte_count: 0,
            error_count: 0,
            split_count: splits.len() as u64,
            error: None,
        };
        insert_batch(store, pipeline_id, batch_id, &batch)?;
        if let Some(incarnation) = self.incarnation {
            forget_ends_of_other(store, pipeline_id, incarnation)?;
            write_incarnation(store, pipeline_id, incarnation)?;
        }
        Ok(splits)
    }

    fn keys(&self) -> Vec<&str> {
        self.values.iter().map(|(key, _)| *key).collect()
    }
}

/// Forgets where splits of another life of the source begin and end.
fn forget_ends_of_other(
    store: &mut dyn Store,
    pipeline_id: u64,
    incarnation: &str,
) -> Result<(), StoreError> {
    let same = "SELECT 1 FROM s2x_pipelines WHERE pipeline_id = ? AND incarnation = ?";
    let id = Param::from(pipeline_id);
    if store.query(same, &[id, Param::Text(incarnation)])?.first().is_none() {
        store.execute("DELETE FROM s2x_source_ends WHERE pipeline_id = ?", &[id])?;
    }
    Ok(())
}

/// Takes the next epoch and writes it into every split, so that no owner's swap passes any more.
pub(super) fn fence_all(store: &mut dyn Store, pipeline_id: u64) -> Result<u64, StoreError> {
    let lock = store.dialect().for_update();
    let sql = format!("SELECT rev FROM s2x_offsets WHERE pipeline_id = ? ORDER BY key_hash{lock}");
    store.query(&sql, &[Param::from(pipeline_id)])?;
    let epoch = next_epoch(store, pipeline_id)?;
    store.execute(
        "UPDATE s2x_offsets SET epoch = ? WHERE pipeline_id = ?",
        &[Param::from(epoch), Param::from(pipeline_id)],
    )?;
    Ok(epoch)
}

/// Checks a KEY before it travels to the database.
pub(crate) fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() || key.len() > KEY_LEN_MAX {
        return Err(StoreError::new(
            StoreErrorKind::Config,
            format!("the KEY of an offset has 1 to {KEY_LEN_MAX} bytes, this one {}", key.len()),
        ));
    }
    Ok(())
}

/// Checks a VALUE before it travels to the database; an empty one would match nothing for ever (E5).
pub(crate) fn check_value(key: &str, value: &str) -> Result<(), StoreError> {
    if value.is_empty() || value == "null" || value.len() > VALUE_LEN_MAX {
        return Err(StoreError::new(
            StoreErrorKind::Config,
            format!(
                "the VALUE of offset {key} must be JSON other than null, 1 to {VALUE_LEN_MAX} bytes; \
                 this one has {}",
                value.len()
            ),
        ));
    }
    Ok(())
}

/// Hashes keys and sorts them by hash: the order in which rows are locked.
fn hash_keys<'a>(keys: &[&'a str]) -> Result<Vec<Hashed<'a>>, StoreError> {
    if keys.len() > SPLITS_MAX {
        return Err(StoreError::new(
            StoreErrorKind::Config,
            format!("{} splits; a pipeline has at most {SPLITS_MAX}", keys.len()),
        ));
    }
    let mut hashed = Vec::with_capacity(keys.len());
    for key in keys {
        check_key(key)?;
        hashed.push(Hashed { hash: key_hash(key), key });
    }
    hashed.sort_unstable_by_key(|key| key.hash);
    let twice = hashed.iter().zip(hashed.iter().skip(1)).find(|(a, b)| a.hash == b.hash);
    if let Some((split, _)) = twice {
        return Err(StoreError::internal(format!("split {} is named twice", split.key)));
    }
    Ok(hashed)
}

pub(super) fn next_epoch(store: &mut dyn Store, pipeline_id: u64) -> Result<u64, StoreError> {
    let changed = store.execute(
        "UPDATE s2x_pipelines SET epoch = epoch + 1 WHERE pipeline_id = ?",
        &[Param::from(pipeline_id)],
    )?;
    if changed != 1 {
        return Err(gone(pipeline_id));
    }
    let sql = "SELECT epoch FROM s2x_pipelines WHERE pipeline_id = ?";
    let answer = store.query(sql, &[Param::from(pipeline_id)])?;
    answer.first().ok_or_else(|| gone(pipeline_id))?.count(0)
}

fn lock_offsets(
    store: &mut dyn Store,
    pipeline_id: u64,
    hashed: &[Hashed<'_>],
) -> Result<(), StoreError> {
    let lock = store.dialect().for_update();
    for chunk in hashed.chunks(CHUNK) {
        let sql = format!(
            "SELECT rev FROM s2x_offsets WHERE pipeline_id = ? AND key_hash IN ({}) \
             ORDER BY key_hash{lock}",
            marks(chunk.len())
        );
        let mut params = vec![Param::from(pipeline_id)];
        params.extend(chunk.iter().map(|key| Param::Bytes(&key.hash)));
        let found = store.query(&sql, &params)?.rows.len();
        if found != chunk.len() {
            return Err(StoreError::internal(format!(
                "{found} of {} splits are in the catalogue; insert the splits first",
                chunk.len()
            )));
        }
    }
    Ok(())
}

/// Inserts the splits that are not there, under the lock of the pipeline's row.
fn insert_absent(
    store: &mut dyn Store,
    pipeline_id: u64,
    starts: &[(&str, &str)],
    hashed: &[Hashed<'_>],
) -> Result<(), StoreError> {
    let lock = store.dialect().for_update();
    let sql = format!(
        "SELECT next_ordinal, epoch, tasks_max FROM s2x_pipelines WHERE pipeline_id = ?{lock}"
    );
    let answer = store.query(&sql, &[Param::from(pipeline_id)])?;
    let row = answer.first().ok_or_else(|| gone(pipeline_id))?;
    let (first_ordinal, epoch, tasks_max) = (row.count(0)?, row.count(1)?, row.count(2)?.max(1));

    let mut there = std::collections::HashSet::new();
    for chunk in hashed.chunks(CHUNK) {
        let sql = format!(
            "SELECT key_text FROM s2x_offsets WHERE pipeline_id = ? AND key_hash IN ({})",
            marks(chunk.len())
        );
        let mut params = vec![Param::from(pipeline_id)];
        params.extend(chunk.iter().map(|key| Param::Bytes(&key.hash)));
        for row in store.query(&sql, &params)?.rows {
            there.insert(row.text(0)?.to_owned());
        }
    }
    let mut ordinal = first_ordinal;
    let now = now_us();
    for (key, value) in starts.iter().filter(|(key, _)| !there.contains(*key)) {
        let hash = key_hash(key);
        store.execute(
            "INSERT INTO s2x_offsets (pipeline_id, key_hash, key_text, value_text, rev, epoch, \
             ordinal, task_id, updated_us) VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?)",
            &[
                Param::from(pipeline_id),
                Param::Bytes(&hash),
                Param::Text(key),
                Param::Text(value),
                Param::from(epoch),
                Param::from(ordinal),
                Param::from(ordinal % tasks_max),
                Param::from(now),
            ],
        )?;
        ordinal += 1;
    }
    if usize::try_from(ordinal).map_or(true, |count| count > SPLITS_MAX) {
        return Err(StoreError::new(
            StoreErrorKind::Config,
            format!("the pipeline would have {ordinal} splits; it has at most {SPLITS_MAX}"),
        ));
    }
    if ordinal > first_ordinal {
        let sql = "UPDATE s2x_pipelines SET next_ordinal = ? WHERE pipeline_id = ?";
        store.execute(sql, &[Param::from(ordinal), Param::from(pipeline_id)])?;
    }
    Ok(())
}

fn set_value(
    store: &mut dyn Store,
    pipeline_id: u64,
    (key, value): (&str, &str),
    epoch: u64,
) -> Result<(), StoreError> {
    let hash = key_hash(key);
    let changed = store.execute(
        "UPDATE s2x_offsets SET value_text = ?, rev = rev + 1, epoch = ?, commit_id = NULL, \
         updated_us = ? WHERE pipeline_id = ? AND key_hash = ?",
        &[
            Param::Text(value),
            Param::from(epoch),
            Param::from(now_us()),
            Param::from(pipeline_id),
            Param::Bytes(&hash),
        ],
    )?;
    match changed {
        1 => Ok(()),
        _ => Err(StoreError::internal(format!("offset {key} changed {changed} rows, wanted 1"))),
    }
}

/// Reads splits and answers them in the order of `keys`.
fn read_splits(
    store: &mut dyn Store,
    pipeline_id: u64,
    keys: &[&str],
) -> Result<Vec<Split>, StoreError> {
    let mut found = std::collections::HashMap::with_capacity(keys.len());
    for chunk in keys.chunks(CHUNK) {
        let sql = format!(
            "SELECT {COLUMNS} FROM s2x_offsets WHERE pipeline_id = ? AND key_hash IN ({})",
            marks(chunk.len())
        );
        let hashes: Vec<[u8; 32]> = chunk.iter().map(|key| key_hash(key)).collect();
        let mut params = vec![Param::from(pipeline_id)];
        params.extend(hashes.iter().map(|hash| Param::Bytes(hash)));
        for row in &store.query(&sql, &params)?.rows {
            let split = split_of(row)?;
            found.insert(split.key.clone(), split);
        }
    }
    keys.iter()
        .map(|key| {
            found.remove(*key).ok_or_else(|| {
                StoreError::new(
                    StoreErrorKind::Fenced,
                    format!("split {key} is not in the catalogue any more"),
                )
            })
        })
        .collect()
}

fn split_of(row: &CellRow) -> Result<Split, StoreError> {
    let split = Split {
        key: row.text(0)?.to_owned(),
        value: row.text(1)?.to_owned(),
        rev: row.count(2)?,
        epoch: row.count(3)?,
        ordinal: row.count(4)?,
        task_id: row.count32(5)?,
    };
    check_value(&split.key, &split.value)?;
    Ok(split)
}

/// `?, ?, …` for this many values.
pub(super) fn marks(count: usize) -> String {
    let mut text = "?, ".repeat(count);
    text.truncate(text.len().saturating_sub(2));
    text
}
