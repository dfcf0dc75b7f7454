//! Signs of life: what a process that runs a pipeline knows and the other tables do not.
//!
//! Touches the database through `Store` alone. Invariants: one row for each leaf, written outside the
//! transactions that load rows; only a server that looks which pipelines nobody runs goes by them; times are those of the database's clock, so
//! that two machines need not agree on theirs.

use super::record::PipelineState;
use super::{Catalogue, pipelines};
use crate::store::{CellRow, Dialect, Param, Store, StoreError};

/// The table.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS s2x_heartbeats (
        pipeline_id BIGINT NOT NULL,
        leaf BIGINT NOT NULL,
        process {name} NOT NULL,
        started_us BIGINT NOT NULL,
        beat_us BIGINT NOT NULL,
        health {name} NOT NULL,
        reason {long},
        rows_per_s BIGINT NOT NULL,
        bytes_per_s BIGINT NOT NULL,
        memory_bytes BIGINT NOT NULL,
        retries BIGINT NOT NULL,
        restarts BIGINT NOT NULL,
        PRIMARY KEY (pipeline_id, leaf)
    ){engine}";

/// What a process says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// The leaf, or 0 where one process runs all of them.
    pub leaf: u32,
    /// The process: host and number.
    pub process: String,
    /// Whether rows can flow, in one word.
    pub health: String,
    /// Why not.
    pub reason: Option<String>,
    /// Rows per second over the last few seconds.
    pub rows_per_s: u64,
    /// Bytes per second over the last few seconds.
    pub bytes_per_s: u64,
    /// Resident memory of the extractors, bytes.
    pub memory_bytes: u64,
    /// Times that a task tried again.
    pub retries: u64,
    /// Extractors that were started in the place of another.
    pub restarts: u64,
}

/// A sign of life as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// What it says.
    pub pulse: Pulse,
    /// How old it is, in microseconds, by the database's clock.
    pub age_us: u64,
    /// When it was written, in microseconds since 1970, by the database's clock.
    pub beat_us: u64,
    /// When the process began, likewise.
    pub started_us: u64,
}

/// The database's clock in microseconds since 1970.
fn clock(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
        Dialect::Mysql | Dialect::Mariadb | Dialect::SingleStore => {
            "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"
        }
    }
}

/// Writes a sign of life. `is_first` says that the process begins: where it runs every leaf, what others left
/// behind goes.
///
/// # Errors
/// The database refuses it or cannot be reached.
pub(crate) fn beat(
    store: &mut dyn Store,
    pipeline_id: u64,
    pulse: &Pulse,
    is_first: Option<First>,
) -> Result<(), StoreError> {
    let now = clock(store.dialect());
    if is_first == Some(First::OfAllLeaves) {
        let sql = "DELETE FROM s2x_heartbeats WHERE pipeline_id = ?";
        store.execute(sql, &[Param::from(pipeline_id)])?;
    }
    let started = if is_first.is_some() { now } else { "started_us" };
    let sql = format!(
        "UPDATE s2x_heartbeats SET process = ?, health = ?, reason = ?, rows_per_s = ?, \
         bytes_per_s = ?, memory_bytes = ?, retries = ?, restarts = ?, beat_us = {now}, started_us = {started} WHERE pipeline_id = ? AND leaf = ?"
    );
    let params = [
        Param::Text(&pulse.process),
        Param::Text(&pulse.health),
        Param::from(pulse.reason.as_deref()),
        Param::from(pulse.rows_per_s),
        Param::from(pulse.bytes_per_s),
        Param::from(pulse.memory_bytes),
        Param::from(pulse.retries),
        Param::from(pulse.restarts),
        Param::from(pipeline_id),
        Param::from(pulse.leaf),
    ];
    if store.execute(&sql, &params)? > 0 {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO s2x_heartbeats (process, health, reason, rows_per_s, bytes_per_s, memory_bytes, \
         retries, restarts, pipeline_id, leaf, beat_us, started_us) \
         SELECT ?, ?, ?, ?, ?, ?, ?, ?, pipeline_id, ?, {now}, {now} FROM s2x_pipelines \
         WHERE pipeline_id = ?"
    );
    // Nothing is left of a pipeline that was dropped.
    let [before @ .., pipeline, leaf] = params;
    let params: Vec<Param<'_>> = before.into_iter().chain([leaf, pipeline]).collect();
    store.execute(&sql, &params).map(|_| ())
}

/// The first sign of life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// It runs one leaf.
    OfOneLeaf,
    /// It runs every leaf.
    OfAllLeaves,
}

/// Takes the sign of life of a process that ends back, unless another one has written its own.
///
/// # Errors
/// The database refuses it or cannot be reached.
pub(crate) fn fall_silent(
    store: &mut dyn Store,
    pipeline_id: u64,
    pulse: &Pulse,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM s2x_heartbeats WHERE pipeline_id = ? AND leaf = ? AND process = ?";
    let of = [Param::from(pipeline_id), Param::from(pulse.leaf), Param::Text(&pulse.process)];
    store.execute(sql, &of).map(|_| ())
}

impl Catalogue {
    /// Says that a pipeline runs, together with the first sign of life of the process that runs it: whoever sees
    /// the one sees the other.
    ///
    /// # Errors
    /// It was dropped, or the database cannot be reached.
    pub(crate) fn begin_running(
        &mut self,
        pipeline_id: u64,
        pulse: &Pulse,
        first: First,
    ) -> Result<(), StoreError> {
        self.transact("set the pipeline's state", |store| {
            pipelines::write_state(store, pipeline_id, PipelineState::Running, None)?;
            beat(store, pipeline_id, pulse, Some(first))
        })
    }

    /// Gives a sign of life for a pipeline that is called Running, where `is_free` says of those that there are that
    /// nobody runs it: of several who do so at once, one is answered `true`.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub(crate) fn take_where_free(
        &mut self,
        pipeline_id: u64,
        pulse: &Pulse,
        is_free: impl Fn(&[Heartbeat]) -> bool,
    ) -> Result<bool, StoreError> {
        self.transact("take the pipeline over", |store| {
            let lock = store.dialect().for_update();
            let sql = format!("SELECT state FROM s2x_pipelines WHERE pipeline_id = ?{lock}");
            let answer = store.query(&sql, &[Param::from(pipeline_id)])?;
            let state = answer.first().map(|row| PipelineState::parse(row.text(0)?)).transpose()?;
            let is_ours =
                state == Some(PipelineState::Running) && is_free(&read(store, pipeline_id, lock)?);
            if is_ours {
                beat(store, pipeline_id, pulse, Some(First::OfAllLeaves))?;
            }
            Ok(is_ours)
        })
    }

    /// Takes a sign of life back that was given for a pipeline.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub(crate) fn take_back(&mut self, pipeline_id: u64, pulse: &Pulse) -> Result<(), StoreError> {
        self.transact("take the sign of life back", |store| fall_silent(store, pipeline_id, pulse))
    }

    /// The signs of life of a pipeline, by leaf.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub fn heartbeats(&mut self, pipeline_id: u64) -> Result<Vec<Heartbeat>, StoreError> {
        self.read("read the signs of life", |store| read(store, pipeline_id, ""))
    }
}

/// The signs of life of a pipeline; `lock` is how their rows are locked.
fn read(store: &mut dyn Store, pipeline_id: u64, lock: &str) -> Result<Vec<Heartbeat>, StoreError> {
    let now = clock(store.dialect());
    let sql = format!(
        "SELECT leaf, process, health, reason, rows_per_s, bytes_per_s, memory_bytes, \
         retries, restarts, beat_us, started_us, {now} - beat_us \
         FROM s2x_heartbeats WHERE pipeline_id = ? ORDER BY leaf{lock}"
    );
    let answer = store.query(&sql, &[Param::from(pipeline_id)])?;
    answer.rows.iter().map(heartbeat_of).collect()
}

fn heartbeat_of(row: &CellRow) -> Result<Heartbeat, StoreError> {
    Ok(Heartbeat {
        pulse: Pulse {
            leaf: row.count32(0)?,
            process: row.text(1)?.to_owned(),
            health: row.text(2)?.to_owned(),
            reason: row.text_or_null(3)?.map(str::to_owned),
            rows_per_s: row.count(4)?,
            bytes_per_s: row.count(5)?,
            memory_bytes: row.count(6)?,
            retries: row.count(7)?,
            restarts: row.count(8)?,
        },
        beat_us: row.count(9)?,
        started_us: row.count(10)?,
        // A clock that was set back makes no sign of life older than it is.
        age_us: u64::try_from(row.int(11)?).unwrap_or(0),
    })
}
