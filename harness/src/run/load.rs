//! The loading side of a task: one thread that commits finished batches in order, waits for a
//! database that is away, and says how each batch ended.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use protocol::message::{Lag, Refused};

use super::aside::Records;
use super::patience::Patience;
use super::refusals::{self, Found};
use super::refused::explain;
use super::setup::Setup;
use super::{Event, OnError, RunError, metadata};
use crate::catalogue::{Behind, ErrorRow};
use crate::deadletter::{PUT_WITHIN, Producer, Sender};
use crate::stage::Staged;
use crate::store::{Store, StoreError, StoreErrorKind};
use crate::transaction::{BatchCommit, Committed, LoadError, Loader, Move};

/// How long letters may take inside the transaction. Why 2 s: a broker that is there answers sooner, and others wait
/// ten seconds for a lock of the database.
const SENT_WITHIN: Duration = Duration::from_secs(2);

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
            let route = Arc::new(setup.plan.route.clone());
            let loader = Loader::new(Arc::clone(&setup.connect)).by(route);
            let pipeline = setup.plan.name.clone();
            let letters = setup.plan.aside.letters.clone();
            let producer = letters.map(|to| Producer::new(to, Sender { pipeline, task }));
            Worker { setup, task, leaf, loader, producer, failed: None }.run(&queue, done);
        })
        .map_err(|e| RunError::Internal(format!("cannot start a thread: {e}")))?;
    Ok(jobs)
}

struct Worker {
    setup: Arc<Setup>,
    task: u32,
    leaf: u32,
    loader: Loader,
    producer: Option<Producer>,
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
        let records = Records::collect(job)?;
        let mut producer = self.producer.take();
        let result = self.persist(job, &records, producer.as_mut());
        self.producer = producer;
        if result.is_ok() && self.setup.plan.aside.is_logged {
            records.lines().for_each(|line| self.setup.tell(&Event::Warning(line)));
        }
        result
    }

    fn persist(
        &mut self,
        job: &mut Job,
        records: &Records,
        mut producer: Option<&mut Producer>,
    ) -> Result<Committed, LoadError> {
        let errors = records.rows();
        let mut patience = Patience::default();
        let mut is_sent = errors.is_empty();
        let control = self.setup.control.clone();
        loop {
            // Inside the transaction: a batch that is refused or fenced sends nothing, and one that is committed
            // was acknowledged.
            let metadata = self.setup.plan.route.metadata.clone();
            let moves = job.moves.clone();
            let mut is_late = false;
            let mut send = |store: &mut dyn Store| {
                if let Some(table) = &metadata {
                    metadata::write(store, table, &moves)?;
                }
                if let Some(producer) = producer.as_mut().filter(|_| !is_sent) {
                    is_sent = producer.put(&records.letters, SENT_WITHIN, &|| control.is_now())?;
                    is_late = !is_sent;
                    if is_late {
                        return Err(late());
                    }
                }
                Ok(())
            };
            let tried = self
                .with_batch(job, &errors, |loader, batch| loader.commit_after(batch, &mut send));
            if let Some(producer) = producer.as_mut().filter(|_| is_late) {
                is_sent = self.send_rest(producer, records, &mut patience)?;
                continue;
            }
            let error = match tried {
                Err(LoadError::NotCommitted(error)) => error,
                Err(LoadError::Refused(error)) if self.is_skipped(&error) => {
                    match self.find(job, &errors) {
                        Err(LoadError::NotCommitted(error)) => error,
                        Ok(()) => {
                            return Err(self.explained(LoadError::Refused(error), job, &errors));
                        }
                        Err(other) => return Err(other),
                    }
                }
                Err(other) => return Err(self.explained(other, job, &errors)),
                Ok(committed) => return Ok(committed),
            };
            patience.wait(&self.setup, self.task, error).map_err(LoadError::NotCommitted)?;
        }
    }

    /// Waits for a broker that was too slow for the transaction: nobody waits for the database meanwhile.
    fn send_rest(
        &self,
        producer: &mut Producer,
        records: &Records,
        patience: &mut Patience,
    ) -> Result<bool, LoadError> {
        let is_over = || self.setup.control.is_now();
        match producer.put(&records.letters, PUT_WITHIN, &is_over) {
            Ok(is_sent) => Ok(is_sent),
            Err(error) if !error.may_pass() => Err(error.into()),
            Err(error) => {
                let waited = patience.wait(&self.setup, self.task, error);
                waited.map(|()| false).map_err(LoadError::NotCommitted)
            }
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

    /// The error with the record that it is about; where the database did not count, the row is looked for.
    fn explained(&mut self, error: LoadError, job: &Job, errors: &[ErrorRow<'_>]) -> LoadError {
        let on_error = self.setup.plan.on_error;
        let LoadError::Refused(refusal) = error else { return error };
        let is_looked_for = on_error == OnError::Skip && job.can_refuse;
        if !refusal.is_refusal() || refusal.row().is_some() || is_looked_for {
            return explain(LoadError::Refused(refusal), job, on_error);
        }
        let search = |loader: &mut Loader, batch: &BatchCommit<'_>| loader.find_refused(batch, 1);
        // What hinders the search changes nothing about the refusal.
        let found = self.with_batch(job, errors, search).ok();
        let Some(first) = found.and_then(|found| found.into_iter().next()) else {
            return explain(LoadError::Refused(refusal), job, on_error);
        };
        let row = Some(first.index);
        let kind = match refusal.kind() {
            StoreErrorKind::TooLarge { .. } => StoreErrorKind::TooLarge { row },
            _ => StoreErrorKind::Data { row },
        };
        // The first row that is refused may be another one than the statement told of: its own reason is shown.
        explain(LoadError::Refused(StoreError::new(kind, first.reason)), job, on_error)
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

/// Ends a transaction whose letters are not acknowledged yet.
fn late() -> StoreError {
    let text = "the dead-letter topic has not acknowledged the records of a batch yet";
    StoreError::new(StoreErrorKind::Transient, text)
}
