//! The numbers of a run while it runs.
//!
//! Touches nothing; the time is handed in. Invariant: rows and bytes are those of committed batches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Batch, Event};
use crate::catalogue::Behind;

/// The time over which the current speed is taken. Why 5 s: batches come in bursts of a second.
const WINDOW: Duration = Duration::from_secs(5);

/// The time between two samples of the window.
const SAMPLE: Duration = Duration::from_millis(100);

/// How long after the pause before a retry trouble still counts as such, where nothing else is heard.
///
/// Why 30 s: an attempt at a server or a lock that does not answer takes ten, and is told when it failed.
const TROUBLE_KEPT: Duration = Duration::from_secs(30);

/// What a run does before the source answered for the first time.
pub(crate) const REACHING: &str = "connecting to the source";

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
    /// How far the split that is farthest behind is behind, milliseconds, where a source tells time.
    pub lag_ms: Option<u64>,
    /// What a task waits for, where one said why.
    pub waiting: Option<String>,
    /// The source has answered.
    pub is_reached: bool,
    /// Extractors that this process runs, once the source has answered.
    pub tasks: usize,
    /// Splits of the whole pipeline, as the source listed them at the start.
    pub splits: usize,
    /// Times that a task tried again from the committed offsets.
    pub retries: u64,
    /// Times that a batch was sent to the database again.
    pub store_retries: u64,
    /// Times that another harness took splits.
    pub fences: u64,
    /// Extractors that were started after the first one of their task.
    pub restarts: u64,
    /// Resident memory of all extractors, bytes, as they were last seen.
    pub memory_bytes: u64,
    /// The largest that one extractor has been, bytes.
    pub memory_peak_bytes: u64,
    /// Time since the newest commit.
    pub since_commit: Option<Duration>,
    /// Whether rows can flow.
    pub health: Health,
}

/// Whether rows can flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The source has not answered yet.
    Starting,
    /// Rows are loaded, or there are none.
    Running,
    /// Something is waited for; why.
    Waiting(String),
    /// The run is over.
    Stopped,
    /// The run ended by itself; why.
    Failed(String),
}

impl Health {
    /// One word of it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting(_) => "waiting",
            Self::Stopped => "stopped",
            Self::Failed(_) => "failed",
        }
    }

    /// Every word.
    pub const WORDS: [&'static str; 5] = ["starting", "running", "waiting", "stopped", "failed"];

    /// Why rows do not flow.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Starting => Some("the source has not answered yet"),
            Self::Running => None,
            Self::Waiting(why) | Self::Failed(why) => Some(why),
            Self::Stopped => Some("the run is over"),
        }
    }
}

/// How many per second; 0 for no time at all.
pub fn rate(number: u64, time: Duration) -> u64 {
    let micros = time.as_micros();
    let per_second = (u128::from(number) * 1_000_000).checked_div(micros).unwrap_or(0);
    u64::try_from(per_second).unwrap_or(u64::MAX)
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
    splits: usize,
    lag: BTreeMap<u32, u64>,
    /// The task that reads a split, and how far it is behind; as many as the pipeline has splits.
    lags: BTreeMap<String, (u32, Behind)>,
    /// Splits whose lag is not written down yet.
    unwritten: BTreeSet<String>,
    waiting: BTreeMap<u32, String>,
    /// Tasks that do not reach the source.
    away: BTreeSet<u32>,
    /// Tasks that try again, why, and until when that counts.
    trouble: BTreeMap<u32, (String, Instant)>,
    /// Tasks whose extractor was started, and how often.
    starts: BTreeMap<u32, u64>,
    /// Resident memory of the extractor of a task.
    memory: BTreeMap<u32, u64>,
    memory_peak: u64,
    retries: u64,
    store_retries: u64,
    fences: u64,
    committed: Option<Instant>,
    /// How the run ended: why it failed, if it did.
    ended: Option<Option<String>>,
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
            Event::Discovered { splits, tasks } => (state.splits, state.tasks) = (*splits, *tasks),
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
            Event::Retrying { task, reason, pause } => {
                state.retries += 1;
                state.memory.remove(task);
                state.trouble(*task, reason, now + *pause);
            }
            Event::StoreRetry { task, reason, pause } => {
                state.store_retries += 1;
                state.trouble(*task, reason, now + *pause);
            }
            Event::Lag { task, splits } => {
                for (key, behind) in splits {
                    state.unwritten.insert(key.clone());
                    state.lags.insert(key.clone(), (*task, *behind));
                }
            }
            Event::Left { task, splits } => {
                for key in splits {
                    // Another task may have told of it already.
                    if state.lags.get(key).is_some_and(|(of, _)| of == task) {
                        state.lags.remove(key);
                        state.unwritten.remove(key);
                    }
                }
            }
            Event::Fenced { .. } => state.fences += 1,
            Event::Started { task } => *state.starts.entry(*task).or_default() += 1,
            Event::Memory { task, bytes, peak_bytes } => {
                state.memory.insert(*task, *bytes);
                state.memory_peak = state.memory_peak.max(*peak_bytes);
            }
            Event::Warning(_) | Event::Log { .. } => {}
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
            health: state.health(now),
            tasks: state.tasks,
            splits: state.splits,
            retries: state.retries,
            store_retries: state.store_retries,
            fences: state.fences,
            restarts: state.starts.values().map(|count| count.saturating_sub(1)).sum(),
            memory_bytes: state.memory.values().sum(),
            memory_peak_bytes: state.memory_peak,
            since_commit: state.committed.map(|at| now.saturating_duration_since(at)),
            rows: state.rows,
            total: self.total,
            errors: state.errors,
            bytes: state.bytes,
            batches: state.batches,
            elapsed: now.saturating_duration_since(self.started),
            rows_per_s: rate(state.rows.saturating_sub(rows), window),
            bytes_per_s: rate(state.bytes.saturating_sub(bytes), window),
            lag_rows: is_known.then(|| state.lag.values().sum()),
            lag_ms: state.lags.values().filter_map(|(_, behind)| behind.ms).max(),
            waiting: state.waiting.values().next().cloned(),
            is_reached: state.tasks > 0 || state.batches > 0,
        }
    }

    /// How far each split is behind, by KEY, as far as that was told.
    pub fn lags(&self) -> BTreeMap<String, Behind> {
        self.state().lags.iter().map(|(key, (_, behind))| (key.clone(), *behind)).collect()
    }

    /// What was told of lag since this was last asked.
    pub(super) fn take_unwritten(&self) -> Vec<(String, Behind)> {
        let mut state = self.state();
        let keys = std::mem::take(&mut state.unwritten);
        let known = |key: String| state.lags.get(&key).map(|(_, behind)| (key, *behind));
        keys.into_iter().filter_map(known).collect()
    }

    /// Takes lag back that could not be written.
    pub(super) fn put_back(&self, lags: Vec<(String, Behind)>) {
        self.state().unwritten.extend(lags.into_iter().map(|(key, _)| key));
    }

    /// The run is over; `why` it failed, if it did.
    pub fn end(&self, why: Option<String>) {
        self.state().ended = Some(why);
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
        if batch.id.is_some() {
            self.committed = Some(now);
        }
        self.waiting.remove(&batch.task);
        self.away.remove(&batch.task);
        self.trouble.remove(&batch.task);
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

    fn trouble(&mut self, task: u32, reason: &str, next: Instant) {
        self.trouble.insert(task, (reason.to_owned(), next + TROUBLE_KEPT));
    }

    fn health(&self, now: Instant) -> Health {
        match &self.ended {
            Some(None) => return Health::Stopped,
            Some(Some(why)) => return Health::Failed(why.clone()),
            None => {}
        }
        let trouble = self.trouble.iter().find(|(_, (_, until))| now < *until);
        if let Some((task, (reason, _))) = trouble {
            return Health::Waiting(format!("task {task} tries again: {reason}"));
        }
        let away = self.away.iter().find_map(|task| self.waiting.get(task));
        match away {
            Some(why) => Health::Waiting(why.clone()),
            None if self.tasks == 0 && self.batches == 0 => Health::Starting,
            None => Health::Running,
        }
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
