//! The loading side of a task: one thread that commits finished batches in order, waits for a
//! database that is away, and says how each batch ended.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::message::Lag;

use super::patience::Patience;
use super::setup::Setup;
use super::{Event, RunError, refused};
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
                let result = self.commit(&job);
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
    fn commit(&mut self, job: &Job) -> Result<Committed, LoadError> {
        let errors = OwnedErrors::collect(job)?;
        let errors = errors.rows();
        let mut patience = Patience::default();
        loop {
            let error = match self.attempt(job, &errors) {
                Err(LoadError::NotCommitted(error)) => error,
                other => return other,
            };
            patience.wait(&self.setup, self.task, error).map_err(LoadError::NotCommitted)?;
        }
    }

    fn attempt(&mut self, job: &Job, errors: &[ErrorRow<'_>]) -> Result<Committed, LoadError> {
        let moves: Vec<Move<'_>> = job
            .moves
            .iter()
            .map(|step| Move { key: &step.key, rev: step.rev, to_value: &step.to })
            .collect();
        let nothing: &[crate::store::RowRef<'_>] = &[];
        let started_at =
            job.staged.as_ref().map_or_else(std::time::SystemTime::now, |it| it.started_at);
        let committed = self.loader.commit(&BatchCommit {
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
        });
        committed.map_err(|error| refused::explain(error, job))
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
        ErrorRow {
            kind: ErrorKind::Transform,
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
