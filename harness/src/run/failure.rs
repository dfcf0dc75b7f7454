//! What a task does after a failure: try again, hand over, or end the run with a reason.

use std::sync::Arc;
use std::time::Duration;

use protocol::{Class, Failure, OffsetKey, OffsetValue};

use super::load::Job;
use super::patience::{Patience, persist};
use super::task::Task;
use super::{Event, RunError};
use crate::catalogue::{Catalogue, ErrorKind, ErrorRow, FailedBatch};
use crate::link::Fault;
use crate::store::{StoreError, StoreErrorKind};
use crate::transaction::{LoadError, fenced_pause};

/// First pause before a task tries again; doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How often an extractor that breaks the protocol is started again.
const PROTOCOL_FAULTS_MAX: u32 = 1;

/// Why a task left its extracting loop.
#[derive(Debug)]
pub(super) enum Stop {
    /// The extractor.
    Fault(Fault),
    /// A batch could not be committed.
    Load { error: LoadError, job: Box<Job> },
    /// Records are not what was declared, and the pipeline stops before the first of each split.
    BadRecords(Vec<BadRecord>),
    /// The run.
    Run(RunError),
    /// The run is to end, and nothing was under way.
    Drained,
}

/// What is still read when a bad record stops the pipeline: its splits, up to their first bad record.
#[derive(Debug)]
pub(super) struct Lap {
    /// Splits, and where each of them stops.
    pub until: Vec<(OffsetKey, OffsetValue)>,
    /// Why the pipeline stops.
    pub error: RunError,
}

/// Kinds of failures, each with its own patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The extractor went away, or its source fails.
    Away,
    /// The extractor breaks the protocol.
    Protocol,
    /// The extractor has a bug.
    Bug,
}

/// Failures in a row. They are forgotten with every batch that brings rows or has read everything: an
/// idle pipeline lives as long as a busy one, and one that only moves offsets between two crashes does
/// not.
#[derive(Debug, Default)]
pub(super) struct Failures {
    counts: [u32; 3],
    /// How a source that is away is waited for.
    source: Patience,
}

impl Failures {
    /// The extractor did its work.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Counts a failure and tells how many of its kind there were in a row.
    fn count(&mut self, kind: Kind) -> u32 {
        let [away, protocol, bug] = &mut self.counts;
        let count = match kind {
            Kind::Away => away,
            Kind::Protocol => protocol,
            Kind::Bug => bug,
        };
        *count = count.saturating_add(1);
        *count
    }
}

/// A record that is not what was declared.
#[derive(Clone, Debug)]
pub(super) struct BadRecord {
    pub split: String,
    pub position: String,
    pub code: String,
    pub reason: String,
}

impl BadRecord {
    fn error(&self) -> RunError {
        let Self { split, position, code, reason } = self;
        RunError::BadRecord(format!(
            "the record at {position} of split {split} cannot be loaded: {code}: {reason}; the \
             pipeline stops before it; declare what its records are (key.format, value.format: json, \
             string, bytes, avro-confluent, avro, csv or json-schema), or put such records into the errors table with --on-error skip \
             (errors.tolerance=all)"
        ))
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<RunError> for Stop {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Run(error.into())
    }
}

impl Stop {
    /// The error of a run that cannot go on; for the steps before the tasks start.
    pub(super) fn into_error(self) -> RunError {
        match self {
            Self::Fault(Fault::Spawn(error)) => RunError::Internal(error.to_string()),
            Self::Fault(Fault::Gone(text)) => RunError::Crashed(text),
            Self::Fault(Fault::Killed(text)) => RunError::Killed(text),
            Self::Fault(Fault::Protocol(text)) => RunError::Protocol(text),
            Self::Fault(Fault::Failed(failure)) => RunError::Extractor(failure),
            Self::Load { error, .. } => RunError::Store(error.store_error().clone()),
            Self::BadRecords(records) => records.first().map_or_else(
                || RunError::Internal("a batch counts error rows and has none".to_owned()),
                BadRecord::error,
            ),
            Self::Drained => RunError::Interrupted,
            Self::Run(error) => error,
        }
    }
}

impl Task {
    /// Decides what follows a failure before anything was read. A source that cannot be reached at
    /// the start ends the run: the extractor has tried for a while, and a person waits.
    pub(super) fn after_first(&mut self, stop: Stop) -> Result<(), RunError> {
        match stop {
            Stop::Fault(Fault::Failed(failure)) => Err(RunError::Extractor(failure)),
            other => self.after(other),
        }
    }

    /// Decides what follows a failure: `Ok` to try again.
    pub(super) fn after(&mut self, stop: Stop) -> Result<(), RunError> {
        match stop {
            Stop::Fault(Fault::Failed(failure)) => self.after_failure(failure),
            Stop::Fault(fault) => {
                self.forget_link();
                let (kind, limit) = match fault {
                    Fault::Protocol(_) => (Kind::Protocol, PROTOCOL_FAULTS_MAX),
                    _ => (Kind::Away, self.setup.plan.retry.attempts),
                };
                self.try_again(kind, limit, Stop::Fault(fault))
            }
            Stop::Load { error: LoadError::Fenced(error), .. } => self.after_fence(&error),
            Stop::Run(RunError::Store(error)) if error.kind() == StoreErrorKind::Fenced => {
                self.after_fence(&error)
            }
            // The next epoch waits for the lost transaction, and its offsets tell.
            Stop::Load { error: LoadError::InDoubt(error), .. }
            | Stop::Run(RunError::Store(error))
                if error.may_pass() =>
            {
                Ok(self.patience.wait(&self.setup, self.slot, error)?)
            }
            Stop::BadRecords(records) => {
                self.lap = Some(lap(&records)?);
                Ok(())
            }
            // Its rows are named to the extractor, which gives the records as they were received.
            Stop::Load { job, .. } if !job.found.is_empty() && self.refusals.note(&job) => Ok(()),
            Stop::Load { error, job } => {
                self.book_failed(&job, error.store_error());
                Err(Stop::Load { error, job }.into_error())
            }
            other => Err(other.into_error()),
        }
    }

    fn after_failure(&mut self, failure: Failure) -> Result<(), RunError> {
        if failure.fatal {
            self.forget_link();
        }
        let retry = self.setup.plan.retry;
        if failure.class == Class::Transient && retry.pauses.is_none() {
            return self.wait_for_source(failure);
        }
        let (kind, limit) = match failure.class {
            Class::Resource | Class::Transient => (Kind::Away, retry.attempts),
            Class::Internal => (Kind::Bug, 1),
            Class::Usage
            | Class::Protocol
            | Class::Config
            | Class::Auth
            | Class::Source
            | Class::Offset
            | Class::Data
            | Class::Cancelled => (Kind::Away, 0),
        };
        self.try_again(kind, limit, Fault::Failed(failure).into())
    }

    /// Pauses for a source that is away, as long as for a database.
    fn wait_for_source(&mut self, failure: Failure) -> Result<(), RunError> {
        let Some(pause) = self.failures.source.next(&self.setup) else {
            return Err(RunError::Extractor(failure));
        };
        let asked = failure.retry_after_ms.map_or(Duration::ZERO, Duration::from_millis);
        self.pause(failure.to_string(), pause.max(asked.min(PAUSE_MAX)));
        Ok(())
    }

    fn pause(&self, reason: String, pause: Duration) {
        self.setup.counters.retries.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        self.setup.tell(&Event::Retrying { task: self.slot, reason, pause });
        self.setup.pause(pause);
    }

    /// Pauses and lets the task try again, unless it failed too often in a row.
    fn try_again(&mut self, kind: Kind, limit: u32, stop: Stop) -> Result<(), RunError> {
        let failures = self.failures.count(kind);
        let error = stop.into_error();
        if failures > limit {
            return Err(if limit == 0 { error } else { often(error, failures) });
        }
        let pause = match self.setup.plan.retry.pauses {
            // As it was said, to the millisecond.
            Some(pauses) => pauses.after(failures),
            None => {
                let pause = PAUSE_FIRST.saturating_mul(1 << (failures - 1).min(16)).min(PAUSE_MAX);
                pause.mul_f64(0.5 + fastrand::f64())
            }
        };
        self.pause(error.to_string(), pause);
        Ok(())
    }

    /// Something moved or took a split. This process goes on if it still holds its leaf (offsets
    /// were set by hand, or its own lost transaction came through); otherwise a newer one runs the
    /// leaf, and this one ends: exactly one of the two goes on (E13).
    fn after_fence(&mut self, error: &StoreError) -> Result<(), RunError> {
        self.setup.tell(&Event::Fenced { task: self.slot });
        // A scheduler that starts ended copies again must not make a storm of two rivals.
        self.setup.pause(fenced_pause(self.fences));
        self.fences = self.fences.saturating_add(1);
        let (setup, claim) = (&self.setup, self.claim);
        let held = persist(setup, self.slot, || {
            Catalogue::open(Arc::clone(&setup.connect))?.holds(setup.pipeline.id, claim)
        })?;
        if held {
            return Ok(());
        }
        Err(RunError::Fenced(format!(
            "a newer harness runs leaf {} of pipeline {:?}, or the pipeline was dropped ({error}); \
             this one ends, nothing is lost or doubled; give each copy its own --leaf I/N",
            self.claim.leaf, self.setup.plan.name
        )))
    }

    /// Writes down a batch that the database refused; what cannot be written is in the error of
    /// the run anyway. Of a database that was waited for in vain it is tried once.
    fn book_failed(&self, job: &Job, error: &StoreError) {
        let connect = Arc::clone(&self.setup.connect);
        let catalogue = match error.may_pass() {
            true => Catalogue::for_last_words(connect),
            false => Catalogue::open(connect),
        };
        let Ok(mut catalogue) = catalogue else { return };
        let code = error.kind().class().name();
        let reason = error.to_string();
        let _best_effort = catalogue.record_failed_batch(
            self.setup.pipeline.id,
            &FailedBatch {
                task_id: self.slot,
                leaf: self.claim.leaf,
                epoch: job.epoch,
                start_us: 0,
                row_count: job.rows,
                byte_count: job.bytes,
                error: ErrorRow {
                    kind: ErrorKind::Load,
                    code,
                    reason: &reason,
                    split_key: None,
                    position: None,
                    raw_key: None,
                    raw_value: None,
                    raw_headers: None,
                },
            },
        );
    }
}

/// The last lap before bad records: the earliest one of each split.
fn lap(records: &[BadRecord]) -> Result<Lap, RunError> {
    let first = records
        .first()
        .ok_or_else(|| RunError::Internal("a batch counts error rows and has none".to_owned()))?;
    let mut until: Vec<(OffsetKey, OffsetValue)> = Vec::new();
    for record in records {
        let read = || Ok((OffsetKey::parse(&record.split)?, OffsetValue::parse(&record.position)?));
        let place = read().map_err(|error: protocol::OffsetError| {
            RunError::Protocol(format!("an error row names no place: {error}"))
        })?;
        // Rows of a split come in its order: the first one is the earliest.
        if until.iter().all(|(key, _)| *key != place.0) {
            until.push(place);
        }
    }
    Ok(Lap { until, error: first.error() })
}

fn often(error: RunError, failures: u32) -> RunError {
    let times = format!(" ({failures} times in a row)");
    match error {
        RunError::Crashed(text) => RunError::Crashed(text + &times),
        RunError::Killed(text) => RunError::Killed(text + &times),
        RunError::Protocol(text) => RunError::Protocol(text + &times),
        RunError::Extractor(failure) => {
            let message = failure.message.clone() + &times;
            RunError::Extractor(Failure { message, ..failure })
        }
        other => other,
    }
}
