//! EXTRACT: asks the source for rows until the batch is full, its time is over, or something else
//! ends it.

use std::time::{Duration, Instant};

use protocol::limits::CONTROL_FRAME_BYTES_MAX;
use protocol::message::{BatchEnd, Extract, Lag, Move, PartLag, Phase, Reason, StopMode, encode};
use protocol::{Code, Failure};

use super::{End, Pump, Queued, void};
use crate::batch::Counts;
use crate::pipe::{self, OutFrame};
use crate::source::{Polled, Source};

/// Longest wait in one call of the source: how late CANCEL, ASSIGN and STOP may be seen.
const SLICE: Duration = Duration::from_millis(50);

/// How the work on a credit ended.
enum Outcome {
    /// With BATCH_END.
    Ended { reason: Reason, caught_up: bool },
    /// The rows count for nothing.
    Voided,
    /// The source failed.
    Failed(Failure),
}

/// What one look at the source told.
enum Look {
    Again,
    Ended(Reason),
}

impl Pump {
    pub(super) fn extract(&mut self, item: &Queued, extract: &Extract) -> Result<(), End> {
        if self.assignment.as_ref().is_none_or(|assignment| assignment.epoch != item.epoch) {
            // Its ASSIGN failed, and has said why.
            self.answer(item.epoch, &void());
            return Ok(());
        }
        if let Some(failure) = self.cannot_extract(extract) {
            self.answer_error(item.epoch, failure);
            return Ok(());
        }
        self.begin(item, Phase::Polling);
        self.batch.begin(item.epoch, item.seq, extract);
        let outcome = self.fill(extract)?;
        self.end();
        match outcome {
            Outcome::Ended { reason, caught_up } => self.finish(item, reason, caught_up),
            Outcome::Voided => {
                self.batch.drop_rows();
                self.void_queued();
                self.answer(item.epoch, &void());
                Ok(())
            }
            Outcome::Failed(failure) if self.batch.taken() > 0 => {
                self.failure = Some(failure);
                self.finish(item, Reason::Other, false)
            }
            Outcome::Failed(failure) => {
                self.batch.drop_rows();
                self.answer_error(item.epoch, failure);
                Ok(())
            }
        }
    }

    /// Why no row can be delivered for this credit, if so.
    fn cannot_extract(&mut self, extract: &Extract) -> Option<Failure> {
        if let Some(failure) = self.failure.take() {
            return Some(failure);
        }
        let until: Vec<_> =
            extract.until.iter().map(|until| (until.part, until.value.clone())).collect();
        self.source.as_deref_mut().and_then(|source| source.set_until(&until).err())
    }

    fn fill(&mut self, extract: &Extract) -> Result<Outcome, End> {
        let interval = Duration::from_millis(extract.max_interval_ms);
        let mut began = Instant::now();
        let mut caught_up = false;
        loop {
            self.receive()?;
            if let Some(outcome) = self.interruption(caught_up) {
                return Ok(outcome);
            }
            if let Some(reason) = self.batch.full() {
                return Ok(Outcome::Ended { reason, caught_up: false });
            }
            // While the host does not read, an answer would not reach it either.
            if self.batch.waits_for_pipe() {
                self.link.outbox.wait_room(SLICE);
                self.batch.resume();
                continue;
            }
            let left = interval.saturating_sub(began.elapsed());
            if left.is_zero() {
                let reason = if self.batch.taken() > 0 { Reason::Interval } else { Reason::Idle };
                return Ok(Outcome::Ended { reason, caught_up });
            }
            let empty = self.batch.taken() == 0;
            match self.look(left.min(SLICE), &mut caught_up) {
                Ok(Look::Again) => {}
                Ok(Look::Ended(reason)) => return Ok(Outcome::Ended { reason, caught_up }),
                Err(failure) => return Ok(Outcome::Failed(failure)),
            }
            // The time of a batch counts from its first row.
            if empty && self.batch.taken() > 0 {
                began = Instant::now();
            }
        }
    }

    /// What the host wants instead.
    fn interruption(&self, caught_up: bool) -> Option<Outcome> {
        let ended = |reason| Some(Outcome::Ended { reason, caught_up });
        if self.assign_waits() || self.stop == Some(StopMode::Now) {
            return Some(Outcome::Voided);
        }
        if self.stop.is_some() {
            return ended(Reason::Stop);
        }
        if self.running_cancelled { ended(Reason::Cancel) } else { None }
    }

    /// Polls the source once, or waits for the time of the next attempt.
    fn look(&mut self, wait: Duration, caught_up: &mut bool) -> Result<Look, Failure> {
        if let Some(left) = self.retry.as_ref().map(|retry| retry.at) {
            let left = left.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                self.link.inbox.wait(left.min(wait));
                return Ok(Look::Again);
            }
        }
        let Some(source) = self.source.as_deref_mut() else {
            return Err(Failure::new(Code::Bug, "no source although configured"));
        };
        let polled = match source.poll(&mut self.batch, wait) {
            Ok(polled) => polled,
            Err(failure) => return self.back_off(failure),
        };
        if source.has_freed() {
            pipe::give_back_memory();
        }
        if self.retry.take().is_some() {
            self.link.polling();
        }
        *caught_up = polled == Polled::Idle { caught_up: true };
        self.take_news();
        Ok(match polled {
            Polled::ReachedUntil => Look::Ended(Reason::Until),
            Polled::Idle { caught_up: true } if self.is_at_end() => Look::Ended(Reason::Eof),
            Polled::Idle { .. } | Polled::Progress | Polled::Full => Look::Again,
        })
    }

    /// Plans another attempt, or reports the failure.
    fn back_off(&mut self, failure: Failure) -> Result<Look, Failure> {
        let (retry, failure) = super::Retry::next(self.retry.take(), failure, self.retry_within)?;
        if retry.attempts == 1 {
            // PROGRESS repeats it for as long as it lasts.
            let code = failure.code.name();
            tracing::warn!(code, "source failed, trying again: {}", failure.message);
        }
        let phase = match failure.code {
            Code::SourceThrottled => Phase::Throttled,
            _ => Phase::Backoff,
        };
        self.link.back_off(retry.at, phase, failure.to_string());
        self.retry = Some(retry);
        Ok(Look::Again)
    }

    /// Whether every assigned split is closed and was read to its end.
    fn is_at_end(&self) -> bool {
        self.assignment.as_ref().is_some_and(|assignment| {
            let closed = |key| assignment.closed.contains(key);
            !assignment.keys.is_empty() && assignment.keys.iter().all(closed)
        })
    }

    /// What is new of the lag of each part.
    fn lags(&mut self, at_end: bool) -> Vec<PartLag> {
        let (Some(source), Some(assignment)) = (self.source.as_deref(), &mut self.assignment)
        else {
            return Vec::new();
        };
        assignment.lags.news(|| source.lags(), at_end)
    }

    /// Answers the credit with what was delivered.
    fn finish(&mut self, item: &Queued, reason: Reason, caught_up: bool) -> Result<(), End> {
        let (counts, moves) = self.close_batch();
        if let Some(lost) = moves.iter().find(|step| step.from == step.to) {
            let text = format!("rows of part {} came, its position did not move", lost.part);
            return Err(self.end_with(item.epoch, Failure::new(Code::Bug, text)));
        }
        let lag = self.source.as_deref().map(Source::lag).unwrap_or_default();
        self.batches += 1;
        let mut end = BatchEnd {
            batch: self.batches,
            rows: counts.rows,
            errors: counts.errors,
            bytes: counts.payload_bytes,
            frames: counts.frames,
            reason,
            offsets: moves,
            lag: Lag { rows: lag.rows, ms: lag.ms },
            lags: self.lags(caught_up),
            caught_up,
        };
        if encode(&end).len() > CONTROL_FRAME_BYTES_MAX as usize {
            // Advice, and moves without rows, which a later batch can tell.
            let lags = std::mem::take(&mut end.lags);
            if let Some(assignment) = &mut self.assignment {
                assignment.lags.untold(&lags);
            }
            end.offsets.retain(|step| step.rows + step.errors > 0);
        }
        if let Some(assignment) = &mut self.assignment {
            for step in &end.offsets {
                if let Some(stands) = assignment.stands.get_mut(step.part as usize) {
                    *stands = step.to.clone();
                }
            }
        }
        self.rows += end.rows;
        let payload = encode(&end);
        if payload.len() > CONTROL_FRAME_BYTES_MAX as usize {
            let text = "one batch moves too many splits; give the task fewer";
            return Err(self.end_with(item.epoch, Failure::new(Code::BufferLimit, text)));
        }
        if let Some(mut head) = self.session.answer() {
            head.epoch = item.epoch;
            self.link.outbox.push(OutFrame::control(head, &payload));
        }
        self.report_news();
        Ok(())
    }

    /// Ends the batch and tells where each split stood and stands.
    fn close_batch(&mut self) -> (Counts, Vec<Move>) {
        let (Some(assignment), Some(source)) = (&self.assignment, self.source.as_deref()) else {
            return (Counts::default(), Vec::new());
        };
        let places = (0u32..).zip(&assignment.stands).map(|(part, stands)| {
            let to = source.position(part).unwrap_or_else(|| stands.clone());
            (stands.clone(), to)
        });
        self.batch.finish(places)
    }
}
