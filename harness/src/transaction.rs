//! One batch, one transaction: the swap of its offsets, its rows, its error rows.
//!
//! Touches the database through `Store` alone. Invariants (EXACTLY-ONCE E3, E4): the swap comes first, so
//! that an owner that was replaced loads nothing; any error rolls everything back and lets go of the
//! connection; nothing inside a transaction is tried again; an answer that was lost is found out before
//! this returns.
//!
//! ```text
//! begin ─► swap each move ─► same transaction? ─► rows, counted ─► same transaction? ─► batch number
//!            │ not one row                          │ refused                              │
//!            ▼                                      ▼                                      ▼
//!          Fenced ◄─────────────── rollback, connection dropped          error rows, history, batch ─► commit
//!                                                                          answer lost ─► resolve
//! ```

mod find;
mod insert;
mod place;
mod resolve;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::catalogue::{
    BATCHES_KEPT_DEFAULT, BatchState, ErrorRow, NONCE_LEN, NewBatch, Numbers, SPLITS_MAX, Trace,
    batches_kept, check_key, check_value, fresh, insert_batch, insert_errors, insert_history,
    key_hash, next_batch, now_us, prune_batches, prune_history, us,
};
use crate::route::Route;
use crate::store::{
    Connect, LoadMethod, Param, Rows, Store, StoreError, StoreErrorKind, Transaction,
};

pub use find::Refused;

/// One split's step from the revision that its owner read to a new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move<'a> {
    /// The KEY of the offset.
    pub key: &'a str,
    /// The revision from which the batch was extracted.
    pub rev: u64,
    /// The new VALUE; the revision becomes `rev + 1`.
    pub to_value: &'a str,
}

/// A batch to be committed.
#[derive(Clone, Copy)]
pub struct BatchCommit<'a> {
    /// The pipeline.
    pub pipeline_id: u64,
    /// The epoch of the owner.
    pub epoch: u64,
    /// The task that extracted it.
    pub task_id: u32,
    /// The leaf that loads it.
    pub leaf: u32,
    /// The table that its rows go to.
    pub table: &'a str,
    /// Every split that it moves.
    pub moves: &'a [Move<'a>],
    /// Its rows.
    pub rows: &'a dyn Rows,
    /// How many rows there are; checked against what the database took.
    pub row_count: u64,
    /// Bytes of payload, for the books.
    pub byte_count: u64,
    /// Records that it skips, each with its place (EXACTLY-ONCE E8).
    pub errors: &'a [ErrorRow<'a>],
    /// When its extraction began.
    pub started_at: SystemTime,
}

/// A batch that is in the database, exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Its number; none for a batch that neither moved nor carried anything, which is not written.
    pub batch_id: Option<u64>,
}

/// Why a batch is not known to be in the database, by what its owner does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Another owner moved a split on or took it over: nothing was written. Drop what was extracted, take
    /// a new epoch after a jittered pause, and go on from the offsets that it answers.
    #[error("fenced: {0}")]
    Fenced(StoreError),
    /// Nothing was written; the same batch may be sent again.
    #[error("not committed: {0}")]
    NotCommitted(StoreError),
    /// Nothing was written, and the same batch is refused again until what the error names is changed.
    #[error("refused: {0}")]
    Refused(StoreError),
    /// The answer to the commit was lost and the database cannot be asked. Take a new epoch: it waits
    /// for the lost transaction to end, and its offsets tell where things stand.
    #[error("in doubt: {0}")]
    InDoubt(StoreError),
}

impl LoadError {
    /// What happened in the database.
    pub fn store_error(&self) -> &StoreError {
        match self {
            Self::Fenced(error)
            | Self::NotCommitted(error)
            | Self::Refused(error)
            | Self::InDoubt(error) => error,
        }
    }
}

impl From<StoreError> for LoadError {
    /// For an error after which everything was rolled back.
    fn from(error: StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::Fenced => Self::Fenced(error),
            StoreErrorKind::Transient => Self::NotCommitted(error),
            StoreErrorKind::InDoubt => Self::InDoubt(error),
            StoreErrorKind::Data { .. }
            | StoreErrorKind::TooLarge { .. }
            | StoreErrorKind::LoadMismatch
            | StoreErrorKind::Schema
            | StoreErrorKind::Resource
            | StoreErrorKind::Config
            | StoreErrorKind::Auth
            | StoreErrorKind::Internal => Self::Refused(error),
        }
    }
}

/// How long an owner that was fenced waits before it takes its splits again (EXACTLY-ONCE E13: two copies
/// that own the same split must not fence each other in step). `fenced` counts the times in a row.
pub fn fenced_pause(fenced: u32) -> Duration {
    let longest = FENCED_PAUSE_FIRST.saturating_mul(1 << fenced.min(6));
    longest.mul_f64(fastrand::f64())
}

/// The longest pause after the first time; each next one is up to twice as long, 64 times at most.
const FENCED_PAUSE_FIRST: Duration = Duration::from_millis(200);

/// What is done last before a commit.
pub type Last<'a> = dyn FnMut(&mut dyn Store) -> Result<(), StoreError> + 'a;

/// Commits batches over one connection; one per task.
///
/// It connects when it needs to, and again between transactions when the connection is lost.
pub struct Loader {
    connect: Arc<dyn Connect>,
    store: Option<Box<dyn Store>>,
    batches_kept: u64,
    /// Where rows go, unless it is as they are into the batch's table.
    route: Option<Arc<Route>>,
}

/// One move with what the database needs of it.
struct Swap<'a> {
    hash: [u8; 32],
    to: &'a Move<'a>,
}

impl Loader {
    /// A loader that has not connected yet.
    pub fn new(connect: Arc<dyn Connect>) -> Self {
        Self { connect, store: None, batches_kept: BATCHES_KEPT_DEFAULT, route: None }
    }

    /// The same, with rows going where the route says.
    #[must_use]
    pub fn by(self, route: Arc<Route>) -> Self {
        Self { route: Some(route).filter(|route| !route.is_plain()), ..self }
    }

    /// Commits a batch, or leaves no trace of it.
    ///
    /// # Errors
    /// See [`LoadError`]: each variant says what the owner does next.
    pub fn commit(&mut self, batch: &BatchCommit<'_>) -> Result<Committed, LoadError> {
        self.commit_after(batch, &mut |_| Ok(()))
    }

    /// As [`Loader::commit`]; `last` is done inside the transaction when everything else in it is, and the commit
    /// follows only where it succeeds. It may be done again where an attempt fails after it.
    ///
    /// # Errors
    /// As [`Loader::commit`]; whatever `last` reports ends the transaction.
    pub fn commit_after(
        &mut self,
        batch: &BatchCommit<'_>,
        last: &mut Last<'_>,
    ) -> Result<Committed, LoadError> {
        if batch.moves.is_empty() && batch.row_count == 0 && batch.errors.is_empty() {
            return Ok(Committed { batch_id: None });
        }
        let swaps = swaps(batch)?;
        match self.attempt(batch, &swaps, None, last) {
            // The fast load miscounted: load again by checked inserts, which name the row (E2).
            Err(LoadError::Refused(error)) if error.kind() == StoreErrorKind::LoadMismatch => {
                self.attempt(batch, &swaps, Some(LoadMethod::Insert), last)
            }
            other => other,
        }
    }

    /// The first `most` rows of a batch that the database refuses, after [`Loader::commit`] said that it
    /// refuses one. Looked for in a transaction that holds the batch's splits and is rolled back.
    ///
    /// # Errors
    /// Anything but the refusal of a row; it is then not known whether there is one.
    pub fn find_refused(
        &mut self,
        batch: &BatchCommit<'_>,
        most: usize,
    ) -> Result<Vec<Refused>, LoadError> {
        let swaps = swaps(batch)?;
        let nonce = fresh();
        let mut store = self.begin()?;
        let proof = Proof { pipeline_id: batch.pipeline_id, swap: swaps.first(), nonce: &nonce };
        let found = swaps
            .iter()
            .try_for_each(|swap| swap_offset(store.as_mut(), batch, swap, &nonce))
            .and_then(|()| require_transaction(store.as_mut(), &proof, "after the swap"))
            .and_then(|()| find::find(store.as_mut(), batch, self.route.as_deref(), most));
        // The connection is dropped whatever this says (E3).
        drop(store.rollback());
        Ok(found?)
    }

    fn attempt(
        &mut self,
        batch: &BatchCommit<'_>,
        swaps: &[Swap<'_>],
        method: Option<LoadMethod>,
        last: &mut Last<'_>,
    ) -> Result<Committed, LoadError> {
        let nonce = fresh();
        let mut store = self.begin()?;
        let method = method.unwrap_or_else(|| store.load_method());
        let written = write(
            store.as_mut(),
            batch,
            swaps,
            &Attempt {
                nonce,
                method,
                batches_kept: self.batches_kept,
                route: self.route.as_deref(),
            },
        );
        let written = written.and_then(|batch_id| last(store.as_mut()).map(|()| batch_id));
        let batch_id = match written {
            Ok(batch_id) => batch_id,
            Err(error) => {
                // The first error is the one to report. The connection is dropped whatever this says (E3).
                drop(store.rollback());
                return Err(error.into());
            }
        };
        match store.commit() {
            Ok(()) => {
                self.store = Some(store);
                Ok(Committed { batch_id: Some(batch_id) })
            }
            Err(lost) => {
                drop(store);
                resolve::resolve(self.connect.as_ref(), batch, swaps, &nonce, lost)?;
                Ok(Committed { batch_id: Some(batch_id) })
            }
        }
    }

    /// An open transaction. A kept connection may have died since; nothing has been sent in it, so one
    /// new connection is tried.
    fn begin(&mut self) -> Result<Box<dyn Store>, StoreError> {
        if let Some(mut store) = self.store.take() {
            match store.begin() {
                Ok(()) => return Ok(store),
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error.context("begin")),
            }
        }
        let mut store = self.connect.connect()?;
        self.batches_kept = batches_kept(store.as_mut())?;
        store.begin().map_err(|error| error.context("begin"))?;
        Ok(store)
    }
}

/// What is special to one attempt.
struct Attempt<'a> {
    nonce: [u8; NONCE_LEN],
    method: LoadMethod,
    batches_kept: u64,
    route: Option<&'a Route>,
}

/// Checks a batch and sorts its moves by key hash, the order in which everyone locks them.
fn swaps<'a>(batch: &'a BatchCommit<'a>) -> Result<Vec<Swap<'a>>, StoreError> {
    if batch.moves.is_empty() {
        return Err(StoreError::internal(format!(
            "a batch of {} rows and {} errors moves no offset; it could be loaded twice",
            batch.row_count,
            batch.errors.len()
        )));
    }
    if batch.moves.len() > SPLITS_MAX {
        return Err(StoreError::internal(format!(
            "a batch moves {} splits; at most {SPLITS_MAX}",
            batch.moves.len()
        )));
    }
    let mut swaps = Vec::with_capacity(batch.moves.len());
    for to in batch.moves {
        check_key(to.key)?;
        check_value(to.key, to.to_value)?;
        swaps.push(Swap { hash: key_hash(to.key), to });
    }
    swaps.sort_unstable_by_key(|swap| swap.hash);
    let twice = swaps.iter().zip(swaps.iter().skip(1)).find(|(a, b)| a.hash == b.hash);
    if let Some((swap, _)) = twice {
        return Err(StoreError::internal(format!("a batch moves split {} twice", swap.to.key)));
    }
    Ok(swaps)
}

/// Everything between begin and commit; answers the batch's number.
fn write(
    store: &mut dyn Store,
    batch: &BatchCommit<'_>,
    swaps: &[Swap<'_>],
    attempt: &Attempt<'_>,
) -> Result<u64, StoreError> {
    let begun = Instant::now();
    for swap in swaps {
        swap_offset(store, batch, swap, &attempt.nonce)?;
    }
    let proof =
        Proof { pipeline_id: batch.pipeline_id, swap: swaps.first(), nonce: &attempt.nonce };
    require_transaction(store, &proof, "after the swap")?;
    if batch.row_count > 0 {
        load_rows(store, batch, attempt)?;
    }
    require_transaction(store, &proof, "after the load")?;
    let error_count = batch.errors.len() as u64;
    let numbers =
        next_batch(store, batch.pipeline_id, batch.row_count, batch.byte_count, error_count)?;
    let place = (batch.task_id, batch.leaf);
    insert_errors(store, batch.pipeline_id, &numbers, place, batch.errors)?;
    write_books(store, batch, swaps, &numbers, begun)?;
    let traces = traces(batch, swaps);
    let Numbers { batch_id, .. } = numbers;
    prune_batches(store, batch.pipeline_id, batch_id, attempt.batches_kept)?;
    let oldest_kept = batch_id.saturating_sub(attempt.batches_kept);
    prune_history(store, batch.pipeline_id, oldest_kept, &traces)?;
    Ok(batch_id)
}

/// The compare-and-swap of one offset: one row changes, or this owner is fenced.
fn swap_offset(
    store: &mut dyn Store,
    batch: &BatchCommit<'_>,
    swap: &Swap<'_>,
    nonce: &[u8; NONCE_LEN],
) -> Result<(), StoreError> {
    let changed = store.execute(
        "UPDATE s2x_offsets SET value_text = ?, rev = rev + 1, commit_id = ?, task_id = ?, \
         updated_us = ? WHERE pipeline_id = ? AND key_hash = ? AND rev = ? AND epoch <= ?",
        &[
            Param::Text(swap.to.to_value),
            Param::Bytes(nonce),
            Param::from(batch.task_id),
            Param::from(now_us()),
            Param::from(batch.pipeline_id),
            Param::Bytes(&swap.hash),
            Param::from(swap.to.rev),
            Param::from(batch.epoch),
        ],
    )?;
    if changed == 1 {
        return Ok(());
    }
    let answer = store.query(
        "SELECT rev, epoch FROM s2x_offsets WHERE pipeline_id = ? AND key_hash = ?",
        &[Param::from(batch.pipeline_id), Param::Bytes(&swap.hash)],
    )?;
    let found = match answer.first() {
        Some(row) => format!("it stands at revision {} of epoch {}", row.count(0)?, row.count(1)?),
        None => "it is not in the catalogue any more".to_owned(),
    };
    Err(StoreError::new(
        StoreErrorKind::Fenced,
        format!(
            "split {}: this owner holds revision {} of epoch {}, {found}; another owner took over",
            swap.to.key, swap.to.rev, batch.epoch
        ),
    ))
}

/// What only a transaction that did the swap can see of it: the id of this attempt.
struct Proof<'a> {
    pipeline_id: u64,
    swap: Option<&'a Swap<'a>>,
    nonce: &'a [u8; NONCE_LEN],
}

impl Proof<'_> {
    /// Whether the swap is still there, as this connection sees it.
    fn is_there(&self, store: &mut dyn Store) -> Result<bool, StoreError> {
        let Some(swap) = self.swap else { return Ok(false) };
        let answer = store.query(
            "SELECT 1 FROM s2x_offsets WHERE pipeline_id = ? AND key_hash = ? AND commit_id = ?",
            &[Param::from(self.pipeline_id), Param::Bytes(&swap.hash), Param::Bytes(self.nonce)],
        )?;
        Ok(answer.first().is_some())
    }
}

/// A server may end a transaction without telling; whatever is sent after that commits by itself (E3), or, where
/// nothing does, is committed without the swap.
fn require_transaction(
    store: &mut dyn Store,
    proof: &Proof<'_>,
    when: &str,
) -> Result<(), StoreError> {
    let is_open = match store.in_transaction()? {
        Transaction::Open => true,
        Transaction::Ended => false,
        Transaction::Untold => proof.is_there(store)?,
    };
    if is_open {
        return Ok(());
    }
    Err(StoreError::new(
        StoreErrorKind::Transient,
        format!("the database ended the transaction {when}; nothing was committed"),
    ))
}

/// Loads the rows and compares three counts: promised, handed over, taken by the database (E2).
fn load_rows(
    store: &mut dyn Store,
    batch: &BatchCommit<'_>,
    attempt: &Attempt<'_>,
) -> Result<(), StoreError> {
    let taken = match attempt.route {
        None => store
            .load(batch.table, batch.rows, attempt.method)
            .map_err(|error| error.context(format!("load into {}", batch.table)))?,
        Some(route) => place::load(store, route, batch.rows, attempt.method)?,
    };
    if taken == batch.row_count {
        return Ok(());
    }
    Err(StoreError::internal(format!(
        "table {} took {taken} rows of a batch of {}; nothing was committed",
        batch.table, batch.row_count
    )))
}

/// Writes the history of the moved offsets and the batch itself.
fn write_books(
    store: &mut dyn Store,
    batch: &BatchCommit<'_>,
    swaps: &[Swap<'_>],
    numbers: &Numbers,
    begun: Instant,
) -> Result<(), StoreError> {
    insert_history(store, batch.pipeline_id, numbers.batch_id, &traces(batch, swaps))?;
    let start_us = us(batch.started_at);
    let entry = NewBatch {
        task_id: batch.task_id,
        leaf: batch.leaf,
        state: BatchState::Succeeded,
        epoch: batch.epoch,
        start_us,
        batch_us: now_us().saturating_sub(start_us),
        load_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        row_count: batch.row_count,
        byte_count: batch.byte_count,
        error_count: batch.errors.len() as u64,
        split_count: batch.moves.len() as u64,
        error: None,
    };
    insert_batch(store, batch.pipeline_id, numbers.batch_id, &entry)
}

fn traces<'a>(batch: &BatchCommit<'_>, swaps: &[Swap<'a>]) -> Vec<Trace<'a>> {
    let task_id = batch.task_id;
    let trace = |swap: &Swap<'a>| Trace {
        key: swap.to.key,
        value: swap.to.to_value,
        rev: swap.to.rev + 1,
        task_id,
    };
    swaps.iter().map(trace).collect()
}

#[cfg(test)]
mod tests;
