//! The numbers of a run while it runs.
//!
//! Touches nothing; the time is handed in. Invariant: rows and bytes are those of committed batches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::format::rate;
use crate::run::{Batch, Event};

/// The time over which the current speed is taken. Why 5 s: batches come in bursts of a second.
const WINDOW: Duration = Duration::from_secs(5);

/// The time between two samples of the window.
const SAMPLE: Duration = Duration::from_millis(100);

/// What a run does before the source answered for the first time.
pub(super) const REACHING: &str = "connecting to the source";

/// What the numbers are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Rows committed.
    pub rows: u64,
    /// Rows that there will be, where that is known.
    pub total: Option<u64>,
    /// Error rows committed.
    pub errors: u64,
    /// Payload bytes committed.
    pub bytes: u64,
    /// Batches committed.
    pub batches: u64,
    /// Since the start.
    pub elapsed: Duration,
    /// Rows per second over the last few seconds.
    pub rows_per_s: u64,
    /// Bytes per second over the last few seconds.
    pub bytes_per_s: u64,
    /// Records still to be read, where every task can tell.
    pub lag_rows: Option<u64>,
    /// What a task waits for, where one said why.
    pub waiting: Option<String>,
    /// The source has answered.
    pub is_reached: bool,
}

impl Snapshot {
    /// How long the rest takes at the current speed.
    pub fn remaining(&self) -> Option<Duration> {
        let left = self.total?.saturating_sub(self.rows);
        left.checked_div(self.rows_per_s).map(Duration::from_secs)
    }
}

/// Adds up what happens.
pub struct Tally {
    started: Instant,
    total: Option<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rows: u64,
    errors: u64,
    bytes: u64,
    batches: u64,
    tasks: usize,
    lag: BTreeMap<u32, u64>,
    waiting: BTreeMap<u32, String>,
    /// Tasks that do not reach the source.
    away: BTreeSet<u32>,
    /// Time, rows and bytes, oldest first.
    samples: VecDeque<(Instant, u64, u64)>,
}

impl Tally {
    /// Nothing has happened at this time.
    pub fn new(started: Instant, total: Option<u64>) -> Self {
        let mut state = State::default();
        state.samples.push_back((started, 0, 0));
        Self { started, total, state: Mutex::new(state) }
    }

    /// Something happened at this time. Tells whether every task reaches the source again.
    pub fn add(&self, event: &Event, now: Instant) -> bool {
        let mut state = self.state();
        let was_away = !state.away.is_empty();
        match event {
            Event::Discovered { tasks, .. } => state.tasks = *tasks,
            Event::Committed(batch) => state.commit(batch, now),
            Event::Waiting { task, phase, reason: Some(reason) } => {
                state.waiting.insert(*task, format!("task {task} {}: {reason}", busy_with(phase)));
                if !is_reading(phase) {
                    state.away.insert(*task);
                }
            }
            Event::Waiting { task, phase, reason: None } => {
                state.waiting.remove(task);
                // An extractor that was started again connects without a reason at first.
                if is_reading(phase) {
                    state.away.remove(task);
                }
            }
            Event::Warning(_)
            | Event::Log { .. }
            | Event::Retrying { .. }
            | Event::Fenced { .. }
            | Event::StoreRetry { .. } => {}
        }
        was_away && state.away.is_empty()
    }

    /// The numbers at this time.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let mut state = self.state();
        state.forget(now);
        let (since, rows, bytes) = state.samples.front().copied().unwrap_or((self.started, 0, 0));
        let window = now.saturating_duration_since(since);
        let is_known = state.tasks > 0 && state.lag.len() >= state.tasks;
        Snapshot {
            rows: state.rows,
            total: self.total,
            errors: state.errors,
            bytes: state.bytes,
            batches: state.batches,
            elapsed: now.saturating_duration_since(self.started),
            rows_per_s: rate(state.rows.saturating_sub(rows), window),
            bytes_per_s: rate(state.bytes.saturating_sub(bytes), window),
            lag_rows: is_known.then(|| state.lag.values().sum()),
            waiting: state.waiting.values().next().cloned(),
            is_reached: state.tasks > 0 || state.batches > 0,
        }
    }

    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers for people stay usable after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A phase of the protocol, for people.
fn busy_with(phase: &str) -> String {
    match phase {
        "backoff" => "waits and tries again".to_owned(),
        "throttled" => "is slowed down by the source".to_owned(),
        other => format!("is {other}"),
    }
}

/// Whether a task in this phase reaches its source.
fn is_reading(phase: &str) -> bool {
    matches!(phase, "polling" | "throttled")
}

impl State {
    fn commit(&mut self, batch: &Batch, now: Instant) {
        self.rows += batch.rows;
        self.errors += batch.errors;
        self.bytes += batch.bytes;
        // Without a number nothing was written: the catalogue has no such batch.
        self.batches += u64::from(batch.id.is_some());
        self.waiting.remove(&batch.task);
        self.away.remove(&batch.task);
        if let Some(lag) = batch.lag_rows {
            self.lag.insert(batch.task, lag);
        }
        let is_due = self
            .samples
            .back()
            .is_none_or(|(last, ..)| now.saturating_duration_since(*last) >= SAMPLE);
        if is_due {
            self.samples.push_back((now, self.rows, self.bytes));
        }
        self.forget(now);
    }

    /// Keeps one sample that is as old as the window or older.
    fn forget(&mut self, now: Instant) {
        while let Some((second, ..)) = self.samples.get(1) {
            if now.saturating_duration_since(*second) < WINDOW {
                break;
            }
            self.samples.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
