//! What happened: batches, errors, the history of offsets, and the variables that govern them.
//!
//! Touches the database through `Store` alone. Invariants: batch and error numbers of a pipeline only
//! grow; pruning never removes the newest offset of a split nor an error row, which stands for a record
//! that was skipped.

use super::Catalogue;
use super::ids::{key_hash, now_us};
use super::pipelines::gone;
use super::record::{Batch, BatchState, ErrorEntry, ErrorKind, ErrorRow, Split};
use super::splits::marks;
use crate::store::{CellRow, Param, Store, StoreError, StoreErrorKind};

/// The variable that says how many batches of a pipeline are kept.
pub const VARIABLE_BATCHES_KEPT: &str = "pipelines_batches_metadata_to_keep";

/// How many batches of a pipeline are kept where the variable is not set. Why 1000: as documented.
pub const BATCHES_KEPT_DEFAULT: u64 = 1000;

/// How often old batches and offsets are pruned: at every 64th.
const PRUNE_EVERY: u64 = 64;

/// Rows of one multi-row insert into the catalogue. Why 50: 50 × 15 bound values is below every limit.
const CHUNK: usize = 50;

/// A batch to be written.
pub(crate) struct NewBatch<'a> {
    pub(crate) task_id: u32,
    pub(crate) leaf: u32,
    pub(crate) state: BatchState,
    pub(crate) epoch: u64,
    pub(crate) start_us: u64,
    pub(crate) batch_us: u64,
    pub(crate) load_us: u64,
    pub(crate) row_count: u64,
    pub(crate) byte_count: u64,
    pub(crate) error_count: u64,
    pub(crate) split_count: u64,
    pub(crate) error: Option<&'a str>,
}

/// One line of the offsets' history.
pub(crate) struct Trace<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
    pub(crate) rev: u64,
    pub(crate) task_id: u32,
}

impl<'a> Trace<'a> {
    pub(super) fn of(split: &'a Split) -> Self {
        Self { key: &split.key, value: &split.value, rev: split.rev, task_id: split.task_id }
    }
}

/// Numbers that a batch takes from its pipeline.
pub(crate) struct Numbers {
    /// The batch's own.
    pub(crate) batch_id: u64,
    /// The first of its error rows.
    pub(crate) first_error_id: u64,
}

/// A batch that was rolled back, to be shown to people.
#[derive(Debug, Clone, Copy)]
pub struct FailedBatch<'a> {
    /// The task that extracted it.
    pub task_id: u32,
    /// The leaf that tried to load it.
    pub leaf: u32,
    /// The epoch of its owner.
    pub epoch: u64,
    /// When its extraction began, in microseconds since 1970.
    pub start_us: u64,
    /// Rows that were extracted.
    pub row_count: u64,
    /// Bytes that were extracted.
    pub byte_count: u64,
    /// Why it failed.
    pub error: ErrorRow<'a>,
}

impl Catalogue {
    /// The newest batches of a pipeline, newest first.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn batches(&mut self, pipeline_id: u64, limit: u32) -> Result<Vec<Batch>, StoreError> {
        self.read("read the batches", |store| {
            let sql = "SELECT batch_id, task_id, leaf, state, epoch, start_us, batch_us, load_us, \
                       row_count, byte_count, error_count, split_count, error FROM s2x_batches \
                       WHERE pipeline_id = ? ORDER BY batch_id DESC LIMIT ?";
            let answer = store.query(sql, &[Param::from(pipeline_id), Param::from(limit)])?;
            answer.rows.iter().map(batch_of).collect()
        })
    }

    /// The newest errors of a pipeline, newest first.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn errors(&mut self, pipeline_id: u64, limit: u32) -> Result<Vec<ErrorEntry>, StoreError> {
        self.read("read the errors", |store| {
            let sql = "SELECT error_id, batch_id, task_id, leaf, time_us, kind, code, reason, \
                       split_key, position, raw_key, raw_value, raw_headers FROM s2x_errors \
                       WHERE pipeline_id = ? ORDER BY error_id DESC LIMIT ?";
            let answer = store.query(sql, &[Param::from(pipeline_id), Param::from(limit)])?;
            answer.rows.iter().map(error_of).collect()
        })
    }

    /// How many batches of a pipeline are kept.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn batch_count(&mut self, pipeline_id: u64) -> Result<u64, StoreError> {
        self.rows_of("s2x_batches", pipeline_id)
    }

    /// How many errors of a pipeline are kept.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn error_count(&mut self, pipeline_id: u64) -> Result<u64, StoreError> {
        self.rows_of("s2x_errors", pipeline_id)
    }

    fn rows_of(&mut self, table: &'static str, pipeline_id: u64) -> Result<u64, StoreError> {
        self.read("count the rows of the catalogue", |store| {
            let sql = format!("SELECT COUNT(*) FROM {table} WHERE pipeline_id = ?");
            let answer = store.query(&sql, &[Param::from(pipeline_id)])?;
            answer.first().map_or(Ok(0), |row| row.count(0))
        })
    }

    /// Writes a batch that was rolled back, with the reason, in a transaction of its own. It moves nothing.
    ///
    /// # Errors
    /// The pipeline was dropped, or the database cannot be reached.
    pub fn record_failed_batch(
        &mut self,
        pipeline_id: u64,
        failed: &FailedBatch<'_>,
    ) -> Result<u64, StoreError> {
        self.transact("record the failed batch", |store| {
            let numbers = next_batch(store, pipeline_id, 0, 0, 1)?;
            let batch = NewBatch {
                task_id: failed.task_id,
                leaf: failed.leaf,
                state: BatchState::Failed,
                epoch: failed.epoch,
                start_us: failed.start_us,
                batch_us: now_us().saturating_sub(failed.start_us),
                load_us: 0,
                row_count: failed.row_count,
                byte_count: failed.byte_count,
                error_count: 1,
                split_count: 0,
                error: Some(failed.error.reason),
            };
            insert_batch(store, pipeline_id, numbers.batch_id, &batch)?;
            let place = (failed.task_id, failed.leaf);
            insert_errors(store, pipeline_id, &numbers, place, &[failed.error])?;
            let kept = batches_kept(store)?;
            prune_batches(store, pipeline_id, numbers.batch_id, kept)?;
            Ok(numbers.batch_id)
        })
    }

    /// Removes the errors of every pipeline, because a person said so; the totals of pipelines stay.
    /// Answers how many there were.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn clear_errors(&mut self) -> Result<u64, StoreError> {
        self.transact("clear the errors", |store| store.execute("DELETE FROM s2x_errors", &[]))
    }

    /// The value of a variable, if it was set.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn variable(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        self.read("read a variable", |store| read_variable(store, name))
    }

    /// Every variable that was set, by name.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn variables(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        self.read("read the variables", |store| {
            let answer = store.query("SELECT name, value FROM s2x_variables ORDER BY name", &[])?;
            let pair = |row: &CellRow| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
            answer.rows.iter().map(pair).collect()
        })
    }

    /// Sets a variable.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn set_variable(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        self.transact("set a variable", |store| {
            store.execute("DELETE FROM s2x_variables WHERE name = ?", &[Param::Text(name)])?;
            let sql = "INSERT INTO s2x_variables (name, value) VALUES (?, ?)";
            store.execute(sql, &[Param::Text(name), Param::Text(value)]).map(|_| ())
        })
    }
}

fn read_variable(store: &mut dyn Store, name: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT value FROM s2x_variables WHERE name = ?";
    let answer = store.query(sql, &[Param::Text(name)])?;
    answer.first().map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// How many batches are kept; a value that is no number counts as not set.
pub(crate) fn batches_kept(store: &mut dyn Store) -> Result<u64, StoreError> {
    let value = read_variable(store, VARIABLE_BATCHES_KEPT)?;
    Ok(value.and_then(|value| value.trim().parse().ok()).unwrap_or(BATCHES_KEPT_DEFAULT))
}

/// Takes the next batch number and as many error numbers, and adds to the pipeline's totals.
///
/// The pipeline's row stays locked until the commit, so this comes as late as possible.
pub(crate) fn next_batch(
    store: &mut dyn Store,
    pipeline_id: u64,
    row_count: u64,
    byte_count: u64,
    error_count: u64,
) -> Result<Numbers, StoreError> {
    let changed = store.execute(
        "UPDATE s2x_pipelines SET last_batch_id = last_batch_id + 1, \
         last_error_id = last_error_id + ?, row_total = row_total + ?, \
         byte_total = byte_total + ?, error_total = error_total + ? WHERE pipeline_id = ?",
        &[
            Param::from(error_count),
            Param::from(row_count),
            Param::from(byte_count),
            Param::from(error_count),
            Param::from(pipeline_id),
        ],
    )?;
    if changed != 1 {
        return Err(gone(pipeline_id));
    }
    let sql = "SELECT last_batch_id, last_error_id FROM s2x_pipelines WHERE pipeline_id = ?";
    let answer = store.query(sql, &[Param::from(pipeline_id)])?;
    let row = answer.first().ok_or_else(|| gone(pipeline_id))?;
    let last_error_id = row.count(1)?;
    Ok(Numbers {
        batch_id: row.count(0)?,
        first_error_id: (last_error_id + 1).saturating_sub(error_count),
    })
}

/// Writes a batch.
pub(crate) fn insert_batch(
    store: &mut dyn Store,
    pipeline_id: u64,
    batch_id: u64,
    batch: &NewBatch<'_>,
) -> Result<(), StoreError> {
    store
        .execute(
            "INSERT INTO s2x_batches (pipeline_id, batch_id, task_id, leaf, state, epoch, start_us, \
             batch_us, load_us, row_count, byte_count, error_count, split_count, error) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            &[
                Param::from(pipeline_id),
                Param::from(batch_id),
                Param::from(batch.task_id),
                Param::from(batch.leaf),
                Param::Text(batch.state.as_str()),
                Param::from(batch.epoch),
                Param::from(batch.start_us),
                Param::from(batch.batch_us),
                Param::from(batch.load_us),
                Param::from(batch.row_count),
                Param::from(batch.byte_count),
                Param::from(batch.error_count),
                Param::from(batch.split_count),
                Param::from(batch.error),
            ],
        )
        .map(|_| ())
}

/// Writes the history rows of a batch. Their primary key is the second gate of the swap (E4): two
/// commits that lead to the same revision of a split cannot both pass.
pub(crate) fn insert_history(
    store: &mut dyn Store,
    pipeline_id: u64,
    batch_id: u64,
    traces: &[Trace<'_>],
) -> Result<(), StoreError> {
    for chunk in traces.chunks(CHUNK) {
        let hashes: Vec<[u8; 32]> = chunk.iter().map(|trace| key_hash(trace.key)).collect();
        let mut params = Vec::with_capacity(chunk.len() * 7);
        for (trace, hash) in chunk.iter().zip(&hashes) {
            params.extend([
                Param::from(pipeline_id),
                Param::Bytes(hash),
                Param::from(trace.rev),
                Param::from(batch_id),
                Param::from(trace.task_id),
                Param::Text(trace.key),
                Param::Text(trace.value),
            ]);
        }
        let sql = format!(
            "INSERT INTO s2x_offset_history (pipeline_id, key_hash, rev, batch_id, task_id, \
             key_text, value_text) VALUES {}",
            rows_of_marks(chunk.len(), 7)
        );
        store.execute(&sql, &params)?;
    }
    Ok(())
}

/// Writes error rows; `place` is the task and the leaf.
pub(crate) fn insert_errors(
    store: &mut dyn Store,
    pipeline_id: u64,
    numbers: &Numbers,
    place: (u32, u32),
    errors: &[ErrorRow<'_>],
) -> Result<(), StoreError> {
    for (error_id, error) in (numbers.first_error_id..).zip(errors) {
        let ids = (pipeline_id, error_id, numbers.batch_id);
        let written = insert_error(store, ids, place, error);
        let Err(too_large) = written else { continue };
        let is_too_large = matches!(too_large.kind(), StoreErrorKind::TooLarge { .. });
        if !is_too_large || error.split_key.is_none() || error.position.is_none() {
            return Err(too_large);
        }
        // Nothing was sent: a record that no statement can hold is found by its place (E14).
        let reason = format!("{}; left out here, being too large: {LEFT_OUT}", error.reason);
        let small = ErrorRow {
            reason: &reason,
            raw_key: None,
            raw_value: None,
            raw_headers: None,
            ..*error
        };
        insert_error(store, ids, place, &small)?;
    }
    Ok(())
}

/// What an error row has not where its record is larger than a statement may be.
const LEFT_OUT: &str = "its key, value and headers";

/// `ids` are those of the pipeline, the error and the batch; `place` is the task and the leaf.
fn insert_error(
    store: &mut dyn Store,
    ids: (u64, u64, u64),
    place: (u32, u32),
    error: &ErrorRow<'_>,
) -> Result<(), StoreError> {
    store
        .execute(
            "INSERT INTO s2x_errors (pipeline_id, error_id, batch_id, task_id, leaf, time_us, \
             error_type, kind, code, reason, split_key, position, raw_key, raw_value, raw_headers) \
             VALUES (?, ?, ?, ?, ?, ?, 'Error', ?, ?, ?, ?, ?, ?, ?, ?)",
            &[
                Param::from(ids.0),
                Param::from(ids.1),
                Param::from(ids.2),
                Param::from(place.0),
                Param::from(place.1),
                Param::from(now_us()),
                Param::Text(error.kind.as_str()),
                Param::Text(error.code),
                Param::Text(error.reason),
                Param::from(error.split_key),
                Param::from(error.position),
                Param::from(error.raw_key),
                Param::from(error.raw_value),
                Param::from(error.raw_headers),
            ],
        )
        .map(|_| ())
}

/// Removes batches that are older than the number kept, now and then.
pub(crate) fn prune_batches(
    store: &mut dyn Store,
    pipeline_id: u64,
    batch_id: u64,
    kept: u64,
) -> Result<(), StoreError> {
    if !batch_id.is_multiple_of(PRUNE_EVERY) {
        return Ok(());
    }
    store
        .execute(
            "DELETE FROM s2x_batches WHERE pipeline_id = ? AND batch_id <= ?",
            &[Param::from(pipeline_id), Param::from(batch_id.saturating_sub(kept))],
        )
        .map(|_| ())
}

/// Removes old offsets of the splits that this batch moved, each at every 64th revision; the revision just
/// written is newer than what is removed. Only these splits: their rows are locked already.
pub(crate) fn prune_history(
    store: &mut dyn Store,
    pipeline_id: u64,
    oldest_kept: u64,
    traces: &[Trace<'_>],
) -> Result<(), StoreError> {
    for trace in traces.iter().filter(|trace| trace.rev.is_multiple_of(PRUNE_EVERY)) {
        let hash = key_hash(trace.key);
        store.execute(
            "DELETE FROM s2x_offset_history \
             WHERE pipeline_id = ? AND key_hash = ? AND rev < ? AND batch_id < ?",
            &[
                Param::from(pipeline_id),
                Param::Bytes(&hash),
                Param::from(trace.rev),
                Param::from(oldest_kept),
            ],
        )?;
    }
    Ok(())
}

/// `(?, ?), (?, ?), …`.
fn rows_of_marks(rows: usize, columns: usize) -> String {
    let row = format!("({}), ", marks(columns));
    let mut text = row.repeat(rows);
    text.truncate(text.len().saturating_sub(2));
    text
}

fn batch_of(row: &CellRow) -> Result<Batch, StoreError> {
    Ok(Batch {
        id: row.count(0)?,
        task_id: row.count32(1)?,
        leaf: row.count32(2)?,
        state: BatchState::parse(row.text(3)?)?,
        epoch: row.count(4)?,
        start_us: row.count(5)?,
        batch_us: row.count(6)?,
        load_us: row.count(7)?,
        row_count: row.count(8)?,
        byte_count: row.count(9)?,
        error_count: row.count(10)?,
        split_count: row.count(11)?,
        error: row.text_or_null(12)?.map(str::to_owned),
    })
}

fn error_of(row: &CellRow) -> Result<ErrorEntry, StoreError> {
    let text = |index| row.text_or_null(index).map(|text| text.map(str::to_owned));
    let bytes = |index| row.bytes_or_null(index).map(|bytes| bytes.map(<[u8]>::to_vec));
    let batch_id = match row.cell(1)? {
        crate::store::Cell::Null => None,
        _ => Some(row.count(1)?),
    };
    Ok(ErrorEntry {
        id: row.count(0)?,
        batch_id,
        task_id: row.count32(2)?,
        leaf: row.count32(3)?,
        time_us: row.count(4)?,
        kind: ErrorKind::parse(row.text(5)?)?,
        code: row.text(6)?.to_owned(),
        reason: row.text(7)?.to_owned(),
        split_key: text(8)?,
        position: text(9)?,
        raw_key: bytes(10)?,
        raw_value: bytes(11)?,
        raw_headers: bytes(12)?,
    })
}
