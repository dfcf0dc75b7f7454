//! How far each split was behind its source when its extractor told it last. For people and monitors:
//! nothing is decided by it.
//!
//! Touches the database through `Store` alone, outside the transactions that load rows, so that a
//! lag that can not be written costs no batch.

use super::ids::{key_hash, now_us};
use super::splits::marks;
use super::{Catalogue, Store};
use crate::store::{Param, StoreError};

/// Rows of one statement. Why 50: as for the rest of the catalogue, 50 × 6 bound values is below every
/// limit.
const CHUNK: usize = 50;

/// The sides of `s2x_source_ends`.
const EARLIEST: &str = "earliest";
const LATEST: &str = "latest";

/// What is left to be read in one split, as far as its source can tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behind {
    /// Records.
    pub rows: Option<u64>,
    /// Milliseconds.
    pub ms: Option<u64>,
    /// The offset after the last record that the source has, where offsets are numbers.
    pub latest: Option<u64>,
}

/// One split of a pipeline, and how far it was behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitLag {
    /// The KEY of its offset.
    pub key: String,
    /// How far it was behind.
    pub behind: Behind,
    /// When that was told, in microseconds since 1970, by the harness's clock.
    pub told_us: u64,
}

impl Catalogue {
    /// How far the splits of a pipeline were behind, by KEY; a split that was not read yet is left out.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn lags(&mut self, pipeline_id: u64) -> Result<Vec<SplitLag>, StoreError> {
        self.read("read how far splits are behind", |store| {
            let sql = "SELECT key_text, lag_rows, lag_ms, told_us FROM s2x_lags \
                       WHERE pipeline_id = ? ORDER BY key_text";
            let answer = store.query(sql, &[Param::from(pipeline_id)])?;
            let lags = answer.rows.iter().map(|row| {
                let (rows, ms) = (row.count_or_null(1)?, row.count_or_null(2)?);
                let behind = Behind { rows, ms, latest: None };
                Ok(SplitLag { key: row.text(0)?.to_owned(), behind, told_us: row.count(3)? })
            });
            lags.collect()
        })
    }

    /// Notes where splits begin at their source, by KEY. Tried once: nothing depends on it.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub(crate) fn note_earliest(
        &mut self,
        pipeline_id: u64,
        places: &[(&str, u64)],
    ) -> Result<(), StoreError> {
        let attempts_max = std::mem::replace(&mut self.attempts_max, 1);
        let noted =
            self.transact("note where splits begin", |store| match is_there(store, pipeline_id)? {
                true => note_ends(store, pipeline_id, EARLIEST, places),
                false => Ok(()),
            });
        self.attempts_max = attempts_max;
        noted
    }
}

/// Notes how far splits are behind now. The caller opens and ends the transaction.
pub(crate) fn note_lags<'a>(
    store: &mut dyn Store,
    pipeline_id: u64,
    lags: impl Iterator<Item = (&'a str, Behind)>,
) -> Result<(), StoreError> {
    if !is_there(store, pipeline_id)? {
        return Ok(());
    }
    let now = now_us();
    let lags: Vec<_> = lags.map(|(key, behind)| (key_hash(key), key, behind)).collect();
    for chunk in lags.chunks(CHUNK) {
        let row = format!("({})", marks(6));
        let rows = vec![row; chunk.len()].join(", ");
        // The four databases have this statement, and no upsert in common.
        let sql = format!(
            "REPLACE INTO s2x_lags (pipeline_id, key_hash, key_text, lag_rows, lag_ms, told_us) \
             VALUES {rows}"
        );
        let number = |number: Option<u64>| number.map_or(Param::Null, Param::from);
        let values = chunk.iter().flat_map(|(hash, key, behind)| {
            [
                Param::from(pipeline_id),
                Param::Bytes(hash),
                Param::Text(key),
                number(behind.rows),
                number(behind.ms),
                Param::from(now),
            ]
        });
        store.execute(&sql, &values.collect::<Vec<_>>())?;
    }
    let latest: Vec<_> =
        lags.iter().filter_map(|(_, key, behind)| Some((*key, behind.latest?))).collect();
    note_ends(store, pipeline_id, LATEST, &latest)
}

/// Whether a pipeline was not dropped meanwhile. Locked, so that it is not dropped before the rows are there.
fn is_there(store: &mut dyn Store, pipeline_id: u64) -> Result<bool, StoreError> {
    let lock = store.dialect().for_update();
    let sql = format!("SELECT 1 FROM s2x_pipelines WHERE pipeline_id = ?{lock}");
    Ok(store.query(&sql, &[Param::from(pipeline_id)])?.first().is_some())
}

/// Notes one end of splits at their source.
fn note_ends(
    store: &mut dyn Store,
    pipeline_id: u64,
    side: &str,
    places: &[(&str, u64)],
) -> Result<(), StoreError> {
    let now = now_us();
    let places: Vec<_> = places.iter().map(|(key, place)| (key_hash(key), *place)).collect();
    for chunk in places.chunks(CHUNK) {
        let row = format!("({})", marks(5));
        let rows = vec![row; chunk.len()].join(", ");
        let sql = format!(
            "REPLACE INTO s2x_source_ends (pipeline_id, key_hash, side, place, told_us) VALUES {rows}"
        );
        let values = chunk.iter().flat_map(|(hash, place)| {
            [
                Param::from(pipeline_id),
                Param::Bytes(hash),
                Param::Text(side),
                Param::from(*place),
                Param::from(now),
            ]
        });
        store.execute(&sql, &values.collect::<Vec<_>>())?;
    }
    Ok(())
}
