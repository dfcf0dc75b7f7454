//! Running a pipeline: what is asked for, what happens meanwhile, and how it ended.
//!
//! `run` reads no file, argument or environment: the command line builds a [`Plan`], watches
//! through an [`Observer`] and stops through a [`Control`].

mod aside;
mod execute;
mod failure;
mod heartbeat;
mod incarnation;
mod living;
mod load;
mod metadata;
mod patience;
mod points;
mod pool;
mod refusals;
mod refused;
mod setup;
mod share;
mod tally;
mod task;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use protocol::message::Object;
use protocol::{Class, Failure};

use crate::catalogue::Behind;
use crate::route::Route;
use crate::store::{StoreError, StoreUrl};

pub use aside::Aside;
pub use execute::execute;
pub(crate) use execute::require_fit;
pub use heartbeat::SILENT_AFTER;
pub(crate) use heartbeat::{announcement, is_silent};
pub use living::Living;
pub use points::{Point, Points};
pub use pool::Pool;
pub(crate) use tally::REACHING;
pub use tally::{Health, Snapshot, Tally, rate};

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the pipeline.
    pub name: String,
    /// Table that the rows go to; created when missing.
    pub table: String,
    /// Where rows and offsets go.
    pub store: StoreUrl,
    /// What the extractor gets as CONFIG, and as CREDENTIALS; may hold secrets.
    pub source: SourceConfig,
    /// The extractor.
    pub extractor: ExtractorCommand,
    /// Which part of the pipeline this process runs.
    pub share: Share,
    /// What one batch holds at most.
    pub limits: BatchLimits,
    /// Where the splits of the first run start; at their beginning where the user said nothing.
    pub start: Option<Points>,
    /// Where a bounded run ends; splits without an end are not read then.
    pub end: Option<Points>,
    /// When to stop by itself.
    pub until: Until,
    /// What happens to a record that is not what was declared.
    pub on_error: OnError,
    /// What becomes of records that are put aside.
    pub aside: Aside,
    /// Which tables and columns rows go to.
    pub route: Route,
    /// How long failures that may pass are retried.
    pub retry: Retry,
    /// Where numbers and health are answered meanwhile, by whoever runs it.
    pub metrics: Option<SocketAddr>,
    /// What the catalogue keeps of a pipeline that was created by SQL: the run then needs the pipeline to
    /// be there with this definition, and ends when STOP PIPELINE says so. `None` for a pipeline file.
    pub definition: Option<String>,
    /// Whose extractors that wait in this process may serve it, and whose its own are when it has ended well;
    /// `None` keeps none.
    pub pooled: Option<PooledFor>,
    /// Whether the run only tries what the plan says, into a store that goes away with it.
    pub is_probe: bool,
}

/// A pipeline as it is in the catalogue now: one that is altered is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PooledFor {
    /// Its id, which is never used again.
    pub id: u64,
    /// Its definition.
    pub definition: String,
}

impl Plan {
    /// Whether other processes run the other leaves of a pipeline that SQL made; it is theirs as well to say
    /// that the pipeline runs.
    pub(super) const fn is_one_of_many(&self) -> bool {
        self.definition.is_some() && self.share.leaf.is_some()
    }
}

/// Configuration of the source. Debug shows key names only.
#[derive(Clone, Default)]
pub struct SourceConfig {
    /// CONFIG.
    pub config: Object,
    /// CREDENTIALS, references resolved.
    pub credentials: Object,
    /// CONFIG as the catalogue shows it: secrets replaced, JSON text.
    pub redacted_json: String,
}

impl std::fmt::Debug for SourceConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.config.keys()).entries(self.credentials.keys()).finish()
    }
}

/// How the extractor is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtractorCommand {
    /// The program; an absolute path.
    pub program: PathBuf,
    /// Its arguments. No configuration, no secrets.
    pub args: Vec<String>,
}

/// Which tasks of the pipeline this process runs. Splits are spread over `leaves × tasks` tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Leaves of the whole pipeline; kept in the catalogue.
    pub leaves: u32,
    /// The leaf of this process; `None` runs all of them.
    pub leaf: Option<u32>,
    /// Tasks per leaf (`tasks.max`).
    pub tasks: u32,
}

/// What one batch holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Rows (`pipelines_extractor_batch_size`).
    pub rows: u64,
    /// Bytes of encoded rows.
    pub bytes: u64,
    /// Time (`pipelines_extractor_max_batch_interval_ms`).
    pub interval: Duration,
    /// Largest row in bytes.
    pub row_bytes: u64,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            rows: 10_000,
            bytes: 16 << 20,
            interval: Duration::from_millis(1000),
            row_bytes: 32 << 20,
        }
    }
}

/// When a run ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Never.
    Stopped,
    /// Every split was read to its end and that is committed.
    CaughtUp,
    /// This many batches with rows are committed, over all tasks.
    Batches(u64),
}

/// What happens to a record that is not what was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The pipeline stops before it.
    Stop,
    /// It is written to the errors table, in the transaction that moves past it.
    Skip,
}

/// How long failures that may pass are retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Failures in a row at the same offsets before the pipeline stops
    /// (`pipelines_max_retries_per_batch_partition`).
    pub attempts: u32,
    /// How long a database or a source that does not answer is waited for, once the run has begun.
    pub away: Duration,
    /// Attempts at a database that does not answer, and the pause between them, where they were said
    /// (`max.retries`, `retry.backoff.ms`): then that, and not a time, is how long it is waited for.
    pub store: Option<(u32, Duration)>,
    /// Pauses that were asked for (`RETRY_OPTIONS`). A source that does not answer then counts as a failure
    /// as well, and is not waited for any longer than other failures.
    pub pauses: Option<Pauses>,
}

/// Pauses before a failed batch is tried again, as `RETRY_OPTIONS` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// Before the first retry.
    pub first: Duration,
    /// Before any.
    pub longest: Duration,
    /// Each is twice as long as the one before; otherwise all are as the first.
    pub is_exponential: bool,
}

impl Pauses {
    /// The pause after this many failures in a row, from 1.
    pub fn after(self, failures: u32) -> Duration {
        let doubled = if self.is_exponential { failures.saturating_sub(1).min(31) } else { 0 };
        self.first.saturating_mul(1_u32 << doubled).min(self.longest)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 4, away: Duration::from_secs(300), store: None, pauses: None }
    }
}

/// Lets a signal handler or another thread end a run.
#[derive(Clone, Debug, Default)]
pub struct Control {
    wish: Arc<AtomicU8>,
    /// Those that end this run together with others, the nearest last.
    parents: Vec<Arc<AtomicU8>>,
    living: Living,
    pool: Pool,
    /// Whether a pipeline that ends with its parent stays Running.
    stays: bool,
}

impl Control {
    /// One for another run, which this one ends too.
    #[must_use]
    pub fn child(&self) -> Self {
        let mut parents = self.parents.clone();
        parents.push(Arc::clone(&self.wish));
        let (living, pool) = (self.living.clone(), self.pool.clone());
        Self { wish: Arc::default(), parents, living, pool, stays: false }
    }

    /// The extractors of this run and of those that it was made beside.
    pub const fn living(&self) -> &Living {
        &self.living
    }

    /// The extractors that wait for another run beside this one.
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// One for a run that the end of a server interrupts only: its pipeline stays Running, and the next
    /// server starts it again.
    #[must_use]
    pub fn server_child(&self) -> Self {
        Self { stays: true, ..self.child() }
    }

    /// Whether the run ends because its server does, and for no other reason.
    pub(crate) fn is_server_ending(&self) -> bool {
        self.stays && self.is_draining() && self.wish.load(Ordering::Acquire) == 0
    }

    /// Ends the run after what was extracted is committed.
    pub fn drain(&self) {
        self.wish.fetch_max(1, Ordering::AcqRel);
    }

    /// Ends the run at once; what is not committed is read again next time.
    pub fn now(&self) {
        self.wish.fetch_max(2, Ordering::AcqRel);
    }

    /// Whether the run should end.
    pub fn is_draining(&self) -> bool {
        self.wish() >= 1
    }

    /// Whether the run should end at once.
    pub fn is_now(&self) -> bool {
        self.wish() >= 2
    }

    fn wish(&self) -> u8 {
        let all = self.parents.iter().chain([&self.wish]);
        all.map(|wish| wish.load(Ordering::Acquire)).max().unwrap_or(0)
    }
}

/// What a run tells while it runs. Called from several threads; must not block for long.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event);
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The source answered.
    Discovered {
        /// Splits of the whole pipeline.
        splits: usize,
        /// Extractors that this process starts.
        tasks: usize,
    },
    /// A batch is committed.
    Committed(Batch),
    /// A person should know.
    Warning(String),
    /// A line from an extractor's log or standard error.
    Log {
        /// `error`, `warn`, `info`, `debug`, `trace`, or `stderr`.
        level: String,
        /// The line, redacted.
        line: String,
    },
    /// An extractor or its source failed, and the task tries again from the committed offsets.
    Retrying {
        /// The task.
        task: u32,
        /// Why.
        reason: String,
        /// The pause before it.
        pause: Duration,
    },
    /// Another harness took splits of this one.
    Fenced {
        /// The task.
        task: u32,
    },
    /// The database does not answer; the batch is kept and sent again.
    StoreRetry {
        /// The task.
        task: u32,
        /// Why.
        reason: String,
        /// The pause before it.
        pause: Duration,
    },
    /// How far splits are behind; those whose lag is not told anew are left out.
    Lag {
        /// The task that reads them.
        task: u32,
        /// KEY and lag.
        splits: Vec<(String, Behind)>,
    },
    /// Splits that a task reads no more: their ends are committed, or others read them.
    Left {
        /// The task.
        task: u32,
        /// Their KEYs.
        splits: Vec<String>,
    },
    /// An extractor was started: the first one of a task, or one in the place of another.
    Started {
        /// The task.
        task: u32,
    },
    /// What an extractor uses; told about once a second.
    Memory {
        /// The task.
        task: u32,
        /// Resident memory, bytes.
        bytes: u64,
        /// The largest that it has been, bytes.
        peak_bytes: u64,
    },
    /// A task waits or is slowed down.
    Waiting {
        /// The task.
        task: u32,
        /// What it is busy with.
        phase: String,
        /// What the last attempt failed with.
        reason: Option<String>,
    },
}

/// A batch that is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its number in the catalogue; `None` when there was nothing to write.
    pub id: Option<u64>,
    /// The task.
    pub task: u32,
    /// Rows.
    pub rows: u64,
    /// Error rows.
    pub errors: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Records still to be read by this task, where the source can tell.
    pub lag_rows: Option<u64>,
    /// The task has read its splits to their end.
    pub caught_up: bool,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows committed.
    pub rows: u64,
    /// Error rows committed.
    pub errors: u64,
    /// Payload bytes committed.
    pub bytes: u64,
    /// Batches committed, those without rows included.
    pub batches: u64,
    /// Time from the first to the last moment.
    pub elapsed: Duration,
    /// Largest resident memory of one extractor, bytes; 0 when none could tell.
    pub extractor_peak_bytes: u64,
    /// Times that a task tried again from the committed offsets.
    pub retries: u64,
    /// Every split was read to its end.
    pub caught_up: bool,
}

/// Why a run failed. The text is one line: what, where, why, what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RunError {
    /// The extractor could not be started.
    #[error("cannot start the extractor {program}: {reason}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        reason: String,
    },
    /// The extractor answered with a failure.
    #[error("{0}")]
    Extractor(Failure),
    /// The extractor broke the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The extractor ended again and again.
    #[error("{0}")]
    Crashed(String),
    /// The extractor was killed by somebody else, again and again.
    #[error("{0}")]
    Killed(String),
    /// A key of the configuration that nobody knows.
    #[error("{0}")]
    Config(String),
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A record is not what was declared.
    #[error("{0}")]
    BadRecord(String),
    /// Another harness runs the same part of the pipeline.
    #[error("{0}")]
    Fenced(String),
    /// The run was ended at once.
    #[error("stopped at once; what was not committed is read again by the next run")]
    Interrupted,
    /// A bug of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

impl RunError {
    /// The class that decides the exit code.
    pub fn class(&self) -> Class {
        match self {
            Self::Spawn { .. } | Self::Config(_) => Class::Config,
            Self::Extractor(failure) => failure.class,
            Self::Protocol(_) => Class::Protocol,
            Self::Crashed(_) | Self::Internal(_) => Class::Internal,
            Self::Store(error) => error.kind().class(),
            Self::BadRecord(_) => Class::Data,
            Self::Fenced(_) | Self::Killed(_) => Class::Transient,
            Self::Interrupted => Class::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_with_everything_above_it() {
        let root = Control::default();
        let statement = root.child();
        let run = statement.child();
        statement.drain();
        assert!(run.is_draining() && !run.is_now() && !root.is_draining());
        root.now();
        assert!(run.is_now() && root.child().child().child().is_now());
    }

    #[test]
    fn pauses_grow_to_the_longest_one_or_stay_as_they_are() {
        let ms = |first, longest, is_exponential| {
            let pauses = Pauses {
                first: Duration::from_millis(first),
                longest: Duration::from_millis(longest),
                is_exponential,
            };
            [1, 2, 3, 4, 1000].map(|failures| pauses.after(failures).as_millis())
        };
        assert_eq!(ms(100, 500, true), [100, 200, 400, 500, 500]);
        assert_eq!(ms(100, 500, false), [100; 5]);
        assert_eq!(ms(0, 0, true), [0; 5]);
    }
}
