//! The loading side of a task: one thread that commits finished batches in order, waits for a
//! database that is away, and says how each batch ended.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::message::{Lag, Refused};

use super::patience::Patience;
use super::refusals::{self, Found};
use super::refused::explain;
use super::setup::Setup;
use super::{Event, OnError, RunError};
use crate::catalogue::{Behind, ErrorKind, ErrorRow};
use crate::stage::Staged;
use crate::store::StoreError;
use crate::transaction::{BatchCommit, Committed, LoadError, Loader, Move};

/// How a split moves in a batch.
#[derive(Clone, Debug)]
pub(super) struct PlannedMove {
    pub part: u32,
    pub key: String,
    pub rev: u64,
    pub from: String,
    pub to: String,
    pub is_end: bool,
    /// Rows of the split in this batch.
    pub rows: u64,
    /// Rows of it that came as error rows because the assignment named them.
    pub refused: u64,
    /// Rows of the split, named ones counted, between the place of the assignment and this batch.
    pub before: u64,
}

/// A finished batch on its way to the store.
#[derive(Debug)]
pub(super) struct Job {
    /// Counts ASSIGNs of the task: after a failed batch, the rest of its assignment is void.
    pub assignment: u64,
    pub epoch: u64,
    pub moves: Vec<PlannedMove>,
    pub staged: Option<Staged>,
    pub rows: u64,
    pub errors: u64,
    pub bytes: u64,
    pub lag: Lag,
    /// Lag of single splits, by KEY.
    pub lags: Vec<(String, Behind)>,
    pub caught_up: bool,
    /// The rows that the assignment named.
    pub refused: Arc<[Refused]>,
    /// Whether the extractor can give a refused row as it was received.
    pub can_refuse: bool,
    /// Rows that the database refuses, once they were looked for.
    pub found: Vec<Found>,
}

/// How a batch ended.
#[derive(Debug)]
pub(super) struct Done {
    pub job: Job,
    /// `None` when an earlier batch of the same assignment failed: it was not tried.
    pub result: Option<Result<Committed, LoadError>>,
}

/// Starts the loading thread. It ends when the sender of jobs is dropped.
pub(super) fn start(
    setup: Arc<Setup>,
    task: u32,
    leaf: u32,
    done: impl Fn(Done) -> bool + Send + 'static,
) -> Result<SyncSender<Job>, RunError> {
    let (jobs, queue) = sync_channel(protocol::limits::CREDITS_MAX);
    std::thread::Builder::new()
        .name(format!("load-{task}"))
        .spawn(move || {
            let loader = Loader::new(Arc::clone(&setup.connect));
            Worker { setup, task, leaf, loader, failed: None }.run(&queue, done);
        })
        .map_err(|e| RunError::Internal(format!("cannot start a thread: {e}")))?;
    Ok(jobs)
}

struct Worker {
    setup: Arc<Setup>,
    task: u32,
    leaf: u32,
    loader: Loader,
    failed: Option<u64>,
}

impl Worker {
    fn run(mut self, queue: &Receiver<Job>, done: impl Fn(Done) -> bool) {
        while let Ok(mut job) = queue.recv() {
            let result = if self.failed == Some(job.assignment) {
                None
            } else {
                let result = self.commit(&mut job);
                if result.is_err() {
                    self.failed = Some(job.assignment);
                }
                Some(result)
            };
            // Memory goes back before anybody waits for the next batch.
            drop(job.staged.take());
            let is_committed = matches!(result, Some(Ok(_)));
            if is_committed {
                self.tell_lag(&mut job);
            }
            if !done(Done { job, result }) {
                return;
            }
        }
    }

    /// Tells how far splits are behind, and which of them have come to their end.
    fn tell_lag(&self, job: &mut Job) {
        let (task, splits) = (self.task, std::mem::take(&mut job.lags));
        self.setup.tell(&Event::Lag { task, splits });
        let ended = job.moves.iter().filter(|step| step.is_end);
        let splits: Vec<String> = ended.map(|step| step.key.clone()).collect();
        if !splits.is_empty() {
            self.setup.tell(&Event::Left { task, splits });
        }
    }

    /// Commits a batch; as long as the database is away, tries the same batch again.
    fn commit(&mut self, job: &mut Job) -> Result<Committed, LoadError> {
        let errors = OwnedErrors::collect(job)?;
        let errors = errors.rows();
        let mut patience = Patience::default();
        loop {
            let tried = self.with_batch(job, &errors, |loader, batch| loader.commit(batch));
            let error = match tried {
                Err(LoadError::NotCommitted(error)) => error,
                Err(LoadError::Refused(error)) if self.is_skipped(&error) => {
                    match self.find(job, &errors) {
                        Err(LoadError::NotCommitted(error)) => error,
                        Ok(()) => return Err(explain(LoadError::Refused(error), job)),
                        Err(other) => return Err(other),
                    }
                }
                Err(other) => return Err(explain(other, job)),
                Ok(committed) => return Ok(committed),
            };
            patience.wait(&self.setup, self.task, error).map_err(LoadError::NotCommitted)?;
        }
    }

    /// Whether rows of which the database says this are put aside.
    fn is_skipped(&self, error: &StoreError) -> bool {
        self.setup.plan.on_error == OnError::Skip && error.is_refusal()
    }

    /// Looks for the rows that the database refuses; nothing of the batch stays.
    fn find(&mut self, job: &mut Job, errors: &[ErrorRow<'_>]) -> Result<(), LoadError> {
        if !job.can_refuse {
            return Ok(());
        }
        let search = |loader: &mut Loader, batch: &BatchCommit<'_>| {
            loader.find_refused(batch, refusals::FOUND_MAX)
        };
        let found = self.with_batch(job, errors, search)?;
        job.found = refusals::located(found, job)?;
        Ok(())
    }

    fn with_batch<T>(
        &mut self,
        job: &Job,
        errors: &[ErrorRow<'_>],
        work: impl FnOnce(&mut Loader, &BatchCommit<'_>) -> Result<T, LoadError>,
    ) -> Result<T, LoadError> {
        let moves: Vec<Move<'_>> = job
            .moves
            .iter()
            .map(|step| Move { key: &step.key, rev: step.rev, to_value: &step.to })
            .collect();
        let nothing: &[crate::store::RowRef<'_>] = &[];
        let started_at =
            job.staged.as_ref().map_or_else(std::time::SystemTime::now, |it| it.started_at);
        let batch = BatchCommit {
            pipeline_id: self.setup.pipeline.id,
            epoch: job.epoch,
            task_id: self.task,
            leaf: self.leaf,
            table: &self.setup.pipeline.target_table,
            moves: &moves,
            rows: match &job.staged {
                Some(staged) => staged,
                None => &nothing,
            },
            row_count: job.rows,
            byte_count: job.bytes,
            errors,
            started_at,
        };
        work(&mut self.loader, &batch)
    }
}

/// Error rows of a batch, copied out of its blocks.
#[derive(Default)]
struct OwnedErrors(Vec<OwnedError>);

struct OwnedError {
    code: String,
    reason: String,
    split: String,
    position: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Option<Vec<u8>>,
}

impl OwnedErrors {
    fn collect(job: &Job) -> Result<Self, StoreError> {
        let mut all = Vec::new();
        if let Some(staged) = &job.staged {
            staged.for_each_error(|row| {
                all.push(OwnedError {
                    code: row.code.to_owned(),
                    reason: row.reason.to_owned(),
                    split: row.split.to_owned(),
                    position: row.position.to_owned(),
                    key: row.key.map(<[u8]>::to_vec),
                    value: row.value.map(<[u8]>::to_vec),
                    headers: headers_json(&row.headers),
                });
                Ok(())
            })?;
        }
        Ok(Self(all))
    }

    fn rows(&self) -> Vec<ErrorRow<'_>> {
        self.0.iter().map(OwnedError::row).collect()
    }
}

impl OwnedError {
    fn row(&self) -> ErrorRow<'_> {
        let kind = match refusals::is_refused(&self.code) {
            true => ErrorKind::Load,
            false => ErrorKind::Transform,
        };
        ErrorRow {
            kind,
            code: &self.code,
            reason: &self.reason,
            split_key: Some(&self.split),
            position: Some(&self.position),
            raw_key: self.key.as_deref(),
            raw_value: self.value.as_deref(),
            raw_headers: self.headers.as_deref(),
        }
    }
}

/// Headers as JSON text, values in base64: nothing of them is lost.
fn headers_json(headers: &[(&str, Option<&[u8]>)]) -> Option<Vec<u8>> {
    if headers.is_empty() {
        return None;
    }
    let entries: Vec<serde_json::Value> = headers
        .iter()
        .map(|(name, value)| {
            serde_json::json!({ "name": name, "value": value.map(|bytes| STANDARD.encode(bytes)) })
        })
        .collect();
    serde_json::to_vec(&entries).ok()
}
