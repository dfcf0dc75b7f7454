//! The extracting loop of a task: one assignment, credits, finished batches.

use std::collections::HashMap;
use std::sync::Arc;

use super::{
    Answer, CREDITS, Catalogue, DRY_REST, Duration, Extract, Fault, Instant, Job, OffsetKey,
    OffsetValue, REQUEST_WAIT, RunError, Staged, Stop, Task, VecDeque,
};
use crate::catalogue::{Behind, Split};
use crate::run::OnError;
use crate::run::failure::{BadRecord, Lap};
use crate::run::load::PlannedMove;
use crate::run::points::offset_number;
use crate::run::refusals::{FOUND_MAX, is_refused};
use crate::store::{StoreError, StoreErrorKind};
use protocol::avro::ContainerHeader;
use protocol::avro::row::{ERROR_SCHEMA, ERROR_SCHEMA_NUMBER, STATIC_SCHEMA};
use protocol::message::{BatchEnd, PartValue, Reason, Refused};
use protocol::session::host::Finished;

/// How long an EXTRACT may take beyond its interval without a byte, and with PROGRESS.
const STALL: Duration = Duration::from_secs(30);
const STALL_MAX: Duration = Duration::from_secs(300);

/// How long one split alone may give nothing before the others are read with it again. Why 30 s: a source that has
/// something answers sooner, and the others wait meanwhile.
const ALONE_MAX: Duration = Duration::from_secs(30);

/// Splits as they were given to the extractor, with the revision that the next batch moves from.
struct Assignment {
    number: u64,
    epoch: u64,
    splits: Vec<At>,
    /// Open EXTRACTs, oldest first.
    open: VecDeque<Credit>,
    cancelled: bool,
    /// Where splits stop: in the last lap before a bad record, and in a bounded run.
    until: Vec<PartValue>,
    is_lap: bool,
    /// The rows that it names.
    refused: Arc<[Refused]>,
    /// Rows of each split so far, named ones counted.
    passed: Vec<u64>,
    /// One split alone, for one batch that has something.
    is_alone: bool,
    /// When it was given.
    began: Instant,
    /// A credit was given; of one split alone, one whose batch is not known to be empty.
    asked: bool,
    /// Every split with a stop has reached it.
    reached: bool,
}

/// Where a split stands, as far as it was extracted.
struct At {
    key: OffsetKey,
    /// The revision that the next batch moves from.
    rev: u64,
    value: OffsetValue,
}

struct Credit {
    seq: u32,
    staged: Staged,
    began: Instant,
}

impl Task {
    /// Takes an epoch, assigns the splits, and extracts until the run ends, the coordinator gives
    /// other splits, or the splits of a last lap have reached their stops.
    pub(super) fn extract(&mut self, lap: Option<&Lap>) -> Result<(), Stop> {
        let mut catalogue = Catalogue::open(Arc::clone(&self.setup.connect))?;
        self.prepare()?;
        self.look_for_splits(&mut catalogue)?;
        let mut assignment = self.assign(&mut catalogue, lap)?;
        drop(catalogue);
        self.patience.rest();
        loop {
            if self.setup.control.is_now() {
                return Err(RunError::Interrupted.into());
            }
            let closing = self.setup.is_draining() || self.has_order() || self.is_flushed();
            if assignment.is_alone
                && assignment.asked
                && assignment.open.is_empty()
                && self.loading == 0
            {
                return Ok(());
            }
            if assignment.reached || closing && lap.is_none() {
                self.close(&mut assignment)?;
                if assignment.open.is_empty() && self.loading == 0 {
                    self.ended = assignment.reached && lap.is_none();
                    return Ok(());
                }
            } else {
                self.open_credits(&mut assignment)?;
            }
            if let Some(answer) = self.next()?
                && let Some(answer) = self.aside(answer)?
            {
                self.take(&mut assignment, answer)?;
            }
            self.watch(&assignment)?;
        }
    }

    fn assign(&mut self, catalogue: &mut Catalogue, lap: Option<&Lap>) -> Result<Assignment, Stop> {
        let is_ours = |alone: &&str| self.order.keys.iter().any(|key| key == alone);
        let alone = self.refusals.alone().filter(is_ours).filter(|_| lap.is_none());
        let keys: Vec<&str> = match lap {
            Some(lap) => lap.until.iter().map(|(key, _)| key.as_str()).collect(),
            None => {
                let is_read = |key: &&String| alone.is_none_or(|alone| *key == alone);
                self.order.keys.iter().filter(is_read).map(String::as_str).collect()
            }
        };
        let is_alone = alone.is_some();
        let stops: Vec<Option<OffsetValue>> = match lap {
            Some(lap) => lap.until.iter().map(|(_, value)| Some(value.clone())).collect(),
            None => keys.iter().map(|key| self.setup.end_of(key).cloned()).collect(),
        };
        let until = (0..).zip(stops).filter_map(|(part, value)| Some((part, value?)));
        let until = until.map(|(part, value)| PartValue { part, value }).collect();
        let taken =
            catalogue.take_epoch(self.setup.pipeline.id, self.slot, Some(self.claim), &keys)?;
        let parts = taken.splits.iter().map(offset_of).collect::<Result<Vec<_>, _>>()?;
        let (marker, incarnation) = (self.setup.marker, self.setup.incarnation());
        let refused = self.refusals.of(&parts);
        self.link()?.assign(taken.epoch, marker, &incarnation, &parts, &refused)?;
        self.answer(REQUEST_WAIT, |answer| matches!(answer, Answer::Assigned(_)).then_some(()))?;
        self.assignments += 1;
        let revs: Vec<u64> = taken.splits.iter().map(|split| split.rev).collect();
        Ok(Assignment {
            number: self.assignments,
            epoch: taken.epoch,
            splits: parts
                .into_iter()
                .zip(revs)
                .map(|((key, value), rev)| At { key, rev, value })
                .collect(),
            open: VecDeque::new(),
            cancelled: false,
            until,
            is_lap: lap.is_some(),
            refused: refused.into(),
            passed: vec![0; taken.splits.len()],
            is_alone,
            began: Instant::now(),
            asked: false,
            reached: false,
        })
    }

    fn open_credits(&mut self, assignment: &mut Assignment) -> Result<(), Stop> {
        let is_dry = self.dry.is_some_and(|since| since.elapsed() < DRY_REST);
        if is_dry && self.setup.budget.is_some() {
            return Ok(());
        }
        // In a last lap, a second credit would find nothing to read.
        let credits = match assignment {
            Assignment { is_alone: true, asked: true, .. } => 0,
            Assignment { is_alone: true, .. } | Assignment { is_lap: true, .. } => 1,
            _ => CREDITS,
        };
        let rows_max = if assignment.is_alone { FOUND_MAX as u64 } else { u64::MAX };
        while assignment.open.len() + self.loading < credits && self.setup.take_batch() {
            self.held += 1;
            let limits = self.setup.plan.limits;
            let seq = self.link()?.extract(&Extract {
                max_rows: limits.rows.min(rows_max),
                max_bytes: limits.bytes,
                max_interval_ms: u64::try_from(limits.interval.as_millis()).unwrap_or(u64::MAX),
                until: assignment.until.clone(),
            })?;
            let staged = Staged::new(&self.stage, self.setup.marker);
            assignment.open.push_back(Credit { seq, staged, began: Instant::now() });
            assignment.asked = true;
        }
        Ok(())
    }

    /// Asks for an early end of the open credits.
    fn close(&mut self, assignment: &mut Assignment) -> Result<(), Stop> {
        if !assignment.cancelled {
            assignment.cancelled = true;
            for credit in &assignment.open {
                self.link()?.cancel(credit.seq)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, assignment: &mut Assignment, answer: Answer) -> Result<(), Stop> {
        match answer {
            Answer::Schema(header) => require_static(&header),
            Answer::Rows(rows) => {
                let Some(credit) = assignment.open.front_mut() else {
                    return Err(internal("rows came without a credit"));
                };
                credit.staged.add(&rows).map_err(|error| {
                    let text = format!("cannot stage a batch: {error}");
                    StoreError::new(StoreErrorKind::Resource, text).into()
                })
            }
            Answer::BatchEnd(finished) => self.finish(assignment, finished),
            _ => Err(internal("an answer came that nobody asked for")),
        }
    }

    fn finish(&mut self, assignment: &mut Assignment, finished: Finished) -> Result<(), Stop> {
        let Some(credit) = assignment.open.pop_front() else {
            return Err(internal("a batch ended without a credit"));
        };
        if let Some(next) = assignment.open.front_mut() {
            // The next batch begins to be extracted now.
            next.began = Instant::now();
            next.staged.started_at = std::time::SystemTime::now();
        }
        let end = finished.end;
        if end.reason == Reason::Void {
            self.held = self.held.saturating_sub(1);
            self.setup.return_batches(1);
            return Ok(());
        }
        if end.errors > 0 && self.setup.plan.on_error == OnError::Stop {
            return Err(bad_records(&credit.staged));
        }
        // A second credit of a bounded run may have been cancelled since.
        assignment.reached |= end.reason == Reason::Until && !assignment.is_alone;
        if assignment.is_alone && end.offsets.is_empty() {
            let is_over = end.caught_up || end.reason == Reason::Until;
            if is_over || assignment.began.elapsed() > ALONE_MAX {
                self.refusals.together();
            } else {
                assignment.asked = false;
            }
        }
        let moves = plan_moves(assignment, &end, &credit.staged)?;
        self.loading += 1;
        let job = Job {
            assignment: assignment.number,
            epoch: assignment.epoch,
            moves,
            staged: Some(credit.staged),
            rows: end.rows,
            errors: end.errors,
            bytes: end.bytes,
            lag: end.lag,
            lags: lags_of(assignment, &end),
            // Of one split alone, nothing follows for the others.
            caught_up: end.caught_up && !assignment.is_alone,
            refused: Arc::clone(&assignment.refused),
            can_refuse: self.link()?.can_refuse(),
            found: Vec::new(),
        };
        self.jobs.send(job).map_err(|_| internal("the loading thread is gone"))
    }

    /// Gives up on an extractor that lets the oldest credit wait without a sign of work.
    fn watch(&mut self, assignment: &Assignment) -> Result<(), Stop> {
        let Some(credit) = assignment.open.front() else { return Ok(()) };
        let limit = self.setup.plan.limits.interval + STALL;
        let link = self.link()?;
        let sign = credit.began.max(link.last_byte()).max(link.last_progress());
        if sign.elapsed() > limit || credit.began.elapsed() > limit + STALL_MAX {
            let waited = credit.began.elapsed().as_secs();
            let text = format!("extractor does not end a batch within {waited} s");
            return Err(Fault::Gone(text).into());
        }
        Ok(())
    }
}

/// What the batch tells of the lag of each split, by KEY; of a split that is not assigned, nothing.
fn lags_of(assignment: &Assignment, end: &BatchEnd) -> Vec<(String, Behind)> {
    let named = end.lags.iter().filter_map(|lag| {
        let at = assignment.splits.get(lag.part as usize)?;
        let latest = lag.rows.zip(offset_number(&at.value));
        let latest = latest.and_then(|(rows, offset)| offset.checked_add(rows));
        Some((at.key.as_str().to_owned(), Behind { rows: lag.rows, ms: lag.ms, latest }))
    });
    named.collect()
}

fn plan_moves(
    assignment: &mut Assignment,
    end: &BatchEnd,
    staged: &Staged,
) -> Result<Vec<PlannedMove>, Stop> {
    let refused = refused_rows(assignment, staged)?;
    let mut moves = Vec::with_capacity(end.offsets.len());
    for step in &end.offsets {
        let Some(at) = assignment.splits.get_mut(step.part as usize) else {
            return Err(internal("a batch moves a split that was not assigned"));
        };
        moves.push(PlannedMove {
            part: step.part,
            key: at.key.as_str().to_owned(),
            rev: at.rev,
            from: step.from.as_str().to_owned(),
            to: step.to.as_str().to_owned(),
            is_end: step.to.is_end(),
            rows: step.rows,
            refused: refused.get(at.key.as_str()).copied().unwrap_or(0),
            before: 0,
        });
        at.rev += 1;
        at.value = step.to.clone();
        if let (Some(passed), Some(step)) =
            (assignment.passed.get_mut(step.part as usize), moves.last_mut())
        {
            step.before = *passed;
            *passed += step.rows + step.refused;
        }
    }
    Ok(moves)
}

/// How many rows of each split came as error rows because the assignment named them, by KEY.
fn refused_rows(assignment: &Assignment, staged: &Staged) -> Result<HashMap<String, u64>, Stop> {
    let mut counts = HashMap::new();
    if !assignment.refused.is_empty() {
        staged.for_each_error(|row| {
            if is_refused(row.code) {
                *counts.entry(row.split.to_owned()).or_default() += 1;
            }
            Ok(())
        })?;
    }
    Ok(counts)
}

fn offset_of(split: &Split) -> Result<(OffsetKey, OffsetValue), Stop> {
    let read = || Ok((OffsetKey::parse(&split.key)?, OffsetValue::parse(&split.value)?));
    read().map_err(|error: protocol::OffsetError| {
        let text = format!("the catalogue holds an offset that is none: {error}");
        StoreError::new(StoreErrorKind::Internal, text).into()
    })
}

/// The records of a batch that are not what was declared: the first one of each split.
fn bad_records(staged: &Staged) -> Stop {
    let mut records: Vec<BadRecord> = Vec::new();
    let read = staged.for_each_error(|row| {
        if records.iter().all(|record| record.split != row.split) {
            records.push(BadRecord {
                split: row.split.to_owned(),
                position: row.position.to_owned(),
                code: row.code.to_owned(),
                reason: row.reason.to_owned(),
            });
        }
        Ok(())
    });
    read.map_or_else(Stop::from, |()| Stop::BadRecords(records))
}

/// Refuses every schema but the two that this harness can load. Rows of another shape would be taken
/// for topic, id and record.
fn require_static(header: &ContainerHeader) -> Result<(), Stop> {
    let expected = match header.schema {
        ERROR_SCHEMA_NUMBER => ERROR_SCHEMA,
        _ => STATIC_SCHEMA,
    };
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    if read(&header.avro_schema) == read(expected) && header.key_columns.is_empty() {
        return Ok(());
    }
    Err(Fault::Protocol(format!(
        "extractor announces rows (schema {}) that are neither the static row nor the error row; this \
         harness loads no others",
        header.schema
    ))
    .into())
}

fn internal(what: &str) -> Stop {
    RunError::Internal(what.to_owned()).into()
}
