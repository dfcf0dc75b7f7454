//! One task: owns one extractor, keeps its credits open, stages what comes, hands finished batches
//! to the loading thread, and starts again after a failure that may pass.
//!
//! ```text
//!            ┌───────────── reading thread ── frames ──┐
//! extractor ─┤                                         ├─► events ─► task ─► jobs ─► loading thread
//!            └── stderr thread ── observer             │                               │
//!                        coordinator ── new splits ────┘◄──────── how batches ended ───┘
//! ```

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::message::{Extract, Partitions, Split};
use protocol::session::host::Event as Answer;
use protocol::{OffsetKey, OffsetValue};

use super::failure::{Failures, Lap, Stop};
use super::living::Alive;
use super::load::{self, Done, Job};
use super::patience::Patience;
use super::pool::Files;
use super::refusals::Refusals;
use super::setup::Setup;
use super::{Batch, Event, RunError};
use crate::catalogue::{Catalogue, Claim};
use crate::child::FromChild;
use crate::link::{Fault, Link, REQUEST_WAIT};
use crate::stage::{StageBudget, Staged};

pub(super) mod extract;
mod line;
mod session;

use line::{Lines, Queue};
pub(super) use line::{Parked, Waker};

/// Batches that are extracted or loaded at the same time: one is loaded while the next one is
/// extracted.
pub(super) const CREDITS: usize = 2;

/// How often a waiting task looks at the clock and at the wish to end.
const TICK: Duration = Duration::from_millis(50);

/// How often the memory of the extractor is told.
const MEASURE: Duration = Duration::from_secs(1);
/// How long a task without rows leaves the batches of a run of so many to the others. Why 500 ms: ten times as
/// long as they take to look for one.
const DRY_REST: Duration = Duration::from_millis(500);

/// Events that wait for a task. The task never blocks on the store, so they are taken at once.
const EVENTS_MAX: usize = 64;

/// What wakes a task.
pub(super) enum Wake {
    /// The extractor with this number sent something.
    Child { number: u64, what: FromChild },
    /// A batch ended.
    Loaded(Box<Done>),
    /// There are other splits to read, or the run is complete: look at once, and not at the next tick.
    Look,
}

/// What a task tells the coordinator.
pub(super) enum News {
    /// The set of splits changed at the source.
    Partitions(Partitions),
    /// All splits that the source lists, asked under an order.
    Listed { task: u32, order: u64, splits: Vec<Split> },
    /// A split was read to its end and that is committed.
    SplitEnded,
    /// Every split of the task was read to the end of what is there, or not any more. Said of one
    /// order: what was said of an earlier one does not count.
    CaughtUp { task: u32, order: u64, caught_up: bool },
    /// The task ended.
    Finished { task: u32, result: Result<(), RunError> },
}

/// Which splits a task reads.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Counts the orders to this task, from 1.
    pub number: u64,
    pub keys: Vec<String>,
    /// Ask the source which splits there are, before reading on.
    pub look: bool,
}

/// Splits that the coordinator wants a task to read; `None` when there is nothing new.
type Wanted = Arc<Mutex<Option<Order>>>;

/// Gives a task its splits.
#[derive(Clone)]
pub(super) struct Orders {
    wanted: Wanted,
    waker: Waker,
}

impl Orders {
    /// Replaces the splits of the task. A task that is gone does not mind.
    pub(super) fn assign(&self, order: Order) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(order);
        self.waker.wake();
    }

    /// Has the task see at once that the run is complete.
    pub(super) fn complete(&self) {
        self.waker.wake();
    }
}

/// One task and its extractor.
pub(super) struct Task {
    pub slot: u32,
    pub claim: Claim,
    pub setup: Arc<Setup>,
    events: Receiver<Wake>,
    wake: SyncSender<Wake>,
    news: SyncSender<News>,
    link: Option<Link>,
    link_number: u64,
    /// Counts the extractor. After it, so that it is dropped after it.
    alive: Option<Alive>,
    /// Whether what it answered to CONFIGURE was accepted.
    is_configured: bool,
    /// Where its lines of standard error go.
    lines: Lines,
    /// What the extractor said to its configuration.
    told: Vec<String>,
    /// The files that the extractor was started with.
    files: Files,
    wanted: Wanted,
    order: Order,
    jobs: SyncSender<Job>,
    loading: usize,
    assignments: u64,
    stage: StageBudget,
    /// Batches taken from the budget and not yet committed.
    held: usize,
    pub failures: Failures,
    /// How the database is waited for between assignments.
    pub patience: Patience,
    /// When a batch came last that had no rows, in a run of so many batches.
    dry: Option<Instant>,
    /// Set when a bad record stops the pipeline: what to read before that.
    pub lap: Option<Lap>,
    /// Rows that the database refuses, until they are written down.
    pub refusals: Refusals,
    /// Whether the extractor was asked which splits there are.
    pub looked: bool,
    /// Whether all splits of the order have come to the ends of a bounded run, and that is committed.
    ended: bool,
    pub fences: u32,
    was_caught_up: bool,
    tick: Instant,
    /// When the memory of the extractor was last told.
    measured: Instant,
}

impl Task {
    /// A task with an extractor that waited for this pipeline, or without one.
    pub(super) fn new(
        slot: u32,
        claim: Claim,
        setup: Arc<Setup>,
        news: SyncSender<News>,
    ) -> Result<Self, RunError> {
        let waited = line::take(&setup, slot, claim);
        let (wake, events) = sync_channel(EVENTS_MAX);
        let none = || (None, Queue { wake, events, lines: Lines::default() });
        let (own, Queue { wake, events, lines }) = waited.map_or_else(none, Parked::split);
        let loaded = wake.clone();
        let done = move |done| loaded.send(Wake::Loaded(Box::new(done))).is_ok();
        let jobs = load::start(Arc::clone(&setup), slot, claim.leaf, done)?;
        let mut task = Self {
            slot,
            claim,
            setup,
            events,
            wake,
            news,
            link: None,
            link_number: 0,
            alive: None,
            is_configured: false,
            lines,
            told: Vec::new(),
            files: Files::default(),
            wanted: Wanted::default(),
            order: Order::default(),
            jobs,
            loading: 0,
            assignments: 0,
            stage: StageBudget::default(),
            held: 0,
            failures: Failures::default(),
            patience: Patience::default(),
            dry: None,
            lap: None,
            refusals: Refusals::default(),
            looked: true,
            ended: false,
            fences: 0,
            was_caught_up: false,
            tick: Instant::now(),
            measured: Instant::now(),
        };
        if let Some(own) = own {
            task.take_over(own);
        }
        Ok(task)
    }

    /// Lets the coordinator give it splits.
    pub(super) fn orders(&self) -> Orders {
        Orders { wanted: Arc::clone(&self.wanted), waker: Waker::of(&self.wake) }
    }

    /// Runs until the run ends, and tells the coordinator how.
    pub(super) fn run(mut self) {
        let result = self.serve();
        let (task, news) = (self.slot, self.news.clone());
        match self.link.take() {
            Some(link) if result.is_ok() => self.release(link),
            Some(link) => self.drop_link(link),
            None => {}
        }
        let _gone = news.send(News::Finished { task, result });
    }

    fn serve(&mut self) -> Result<(), RunError> {
        loop {
            if self.setup.control.is_now() {
                return Err(RunError::Interrupted);
            }
            let wanted = self.order_of_coordinator().take();
            if let Some(order) = wanted {
                self.looked &= !order.look;
                self.leave(&order);
                self.order = order;
                self.was_caught_up = false;
                self.ended = false;
            }
            if self.setup.is_draining() {
                return Ok(());
            }
            if self.is_flushed()
                && let Some(mut link) = self.link.take()
            {
                self.stop(&mut link);
                self.drop_link(link);
            }
            let ended = if let Some(lap) = self.lap.take() {
                // The last thing a task does: everything before the bad record, then its error.
                let ended = self.extract(Some(&lap));
                self.settle();
                return Err(ended.map_or_else(Stop::into_error, |()| lap.error));
            } else if (self.order.keys.is_empty() || self.ended) && self.looked {
                self.wait_for_splits()
            } else if self.order.keys.is_empty() || self.ended {
                self.look()
            } else {
                self.extract(None)
            };
            match ended {
                Ok(()) => {}
                Err(Stop::Drained) => self.settle(),
                Err(stop) => {
                    self.settle();
                    self.after(stop)?;
                }
            }
        }
    }

    /// Tells which splits this task reads no more.
    fn leave(&self, order: &Order) {
        let stays: HashSet<&String> = order.keys.iter().collect();
        let left = self.order.keys.iter().filter(|key| !stays.contains(key));
        let splits: Vec<String> = left.cloned().collect();
        if !splits.is_empty() {
            self.setup.tell(&Event::Left { task: self.slot, splits });
        }
    }

    /// Nothing to read: tells so, and waits for splits or the end. An extractor that it still has is
    /// listened to: it may have news, and it may end.
    fn wait_for_splits(&mut self) -> Result<(), Stop> {
        self.tell_caught_up(true);
        if self.link.is_some() {
            if let Some(answer) = self.next()? {
                self.aside(answer)?;
            }
        } else {
            let _woken_or_not = self.events.recv_timeout(TICK);
        }
        Ok(())
    }

    /// Waits until the loading thread has nothing more of this task. Finished batches of an
    /// extractor that died are committed: a BATCH_END stands on its own. When the run is ended at
    /// once, nothing is waited for.
    pub(super) fn settle(&mut self) {
        while self.loading > 0 && !self.setup.control.is_now() {
            match self.events.recv_timeout(TICK) {
                Ok(Wake::Loaded(done)) => {
                    // What failed is read again from the committed offsets.
                    let _read_again = self.loaded(*done);
                }
                Ok(Wake::Child { number, what }) => self.keep_up(number, what),
                Ok(Wake::Look) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        self.setup.return_batches(std::mem::take(&mut self.held));
    }

    /// Follows an extractor that goes on while the task settles: its session must not miss a frame,
    /// and its news count.
    fn keep_up(&mut self, number: u64, what: FromChild) {
        let Some(link) = self.link.as_mut().filter(|_| number == self.link_number) else { return };
        let followed = match what {
            FromChild::Frame(frame) => {
                link.receive(&frame).map_err(Stop::from).and_then(|answer| self.aside(answer))
            }
            FromChild::End(error) => Err(link.ended(error).into()),
        };
        if followed.is_err() {
            self.forget_link();
        }
    }

    /// Books a batch that ended.
    fn loaded(&mut self, done: Done) -> Result<(), Stop> {
        self.loading -= 1;
        let Done { job, result } = done;
        let committed = match result {
            Some(Ok(committed)) => {
                // A batch of nothing is no progress: what was refused is still ahead.
                if committed.batch_id.is_some() {
                    self.refusals.forget();
                }
                committed
            }
            Some(Err(error)) => return Err(Stop::Load { error, job: Box::new(job) }),
            None => return Ok(()),
        };
        // A bounded run is complete at its ends, wherever the source's are.
        let caught_up = job.caught_up && !self.setup.is_bounded();
        let counters = &self.setup.counters;
        if committed.batch_id.is_some() {
            counters.rows.fetch_add(job.rows, Ordering::AcqRel);
            counters.errors.fetch_add(job.errors, Ordering::AcqRel);
            counters.bytes.fetch_add(job.bytes, Ordering::AcqRel);
            counters.batches.fetch_add(1, Ordering::AcqRel);
        }
        if job.rows > 0 || job.caught_up {
            self.failures.forget();
        }
        if job.rows > 0 {
            counters.batches_with_rows.fetch_add(1, Ordering::AcqRel);
            self.held = self.held.saturating_sub(1);
        } else if self.held > 0 {
            self.held -= 1;
            self.setup.return_batches(1);
            self.dry = Some(Instant::now());
        }
        if job.moves.iter().any(|step| step.is_end) {
            let _gone = self.news.send(News::SplitEnded);
        }
        if committed.batch_id.is_some() || caught_up != self.was_caught_up {
            self.setup.tell(&Event::Committed(Batch {
                id: committed.batch_id,
                task: self.slot,
                rows: job.rows,
                errors: job.errors,
                bytes: job.bytes,
                lag_rows: job.lag.rows,
                caught_up,
            }));
        }
        self.tell_caught_up(caught_up);
        Ok(())
    }

    fn tell_caught_up(&mut self, caught_up: bool) {
        if self.was_caught_up != caught_up {
            self.was_caught_up = caught_up;
            let (task, order) = (self.slot, self.order.number);
            let _gone = self.news.send(News::CaughtUp { task, order, caught_up });
        }
    }

    fn link(&mut self) -> Result<&mut Link, Stop> {
        let gone = || RunError::Internal("a task has no extractor".to_owned());
        self.link.as_mut().ok_or_else(|| gone().into())
    }

    /// The next answer of the extractor, waiting a tick at most; everything else that wakes the
    /// task is done here.
    fn next(&mut self) -> Result<Option<Answer>, Stop> {
        let woken = self.events.recv_timeout(TICK);
        if self.tick.elapsed() >= TICK {
            self.tick = Instant::now();
            self.link()?.tick()?;
            self.tell_memory()?;
        }
        match woken {
            Ok(Wake::Child { number, what }) if number == self.link_number => match what {
                FromChild::Frame(frame) => Ok(Some(self.link()?.receive(&frame)?)),
                FromChild::End(error) => Err(self.link()?.ended(error).into()),
            },
            Ok(Wake::Loaded(done)) => self.loaded(*done).map(|()| None),
            // An extractor that was replaced, or something that the loop looks at anyway.
            Ok(Wake::Child { .. } | Wake::Look) | Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err(RunError::Internal("the event queue of a task is gone".to_owned()).into())
            }
        }
    }

    /// Tells what the extractor uses, about once a second.
    fn tell_memory(&mut self) -> Result<(), Stop> {
        if self.measured.elapsed() >= MEASURE {
            self.measured = Instant::now();
            let (bytes, peak_bytes) = (self.link()?.memory(), self.link()?.peak_memory());
            self.setup.tell(&Event::Memory { task: self.slot, bytes, peak_bytes });
        }
        Ok(())
    }

    /// Handles what may come at any time; gives back everything else.
    fn aside(&mut self, answer: Answer) -> Result<Option<Answer>, Stop> {
        match answer {
            Answer::Progress(progress) => self.setup.tell(&Event::Waiting {
                task: self.slot,
                phase: format!("{:?}", progress.phase).to_lowercase(),
                reason: progress.message,
            }),
            Answer::Log(log) => {
                self.setup.tell(&Event::Log { level: log.level, line: log.message });
            }
            Answer::Partitions(partitions) => {
                let _gone = self.news.send(News::Partitions(partitions));
            }
            Answer::Failed { failure, .. } => return Err(Fault::Failed(failure).into()),
            Answer::Pong(_) | Answer::Stale => {}
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    /// The order that the coordinator gave last, until it is taken.
    fn order_of_coordinator(&self) -> MutexGuard<'_, Option<Order>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are other splits to read.
    pub(super) fn has_order(&self) -> bool {
        self.order_of_coordinator().is_some()
    }

    /// Whether the extractor is to end between two batches, and another one to take its place.
    pub(super) fn is_flushed(&self) -> bool {
        self.link.is_some() && self.is_marked()
    }

    /// Lets an extractor that is of no use go.
    pub(super) fn forget_link(&mut self) {
        if let Some(link) = self.link.take() {
            self.drop_link(link);
        }
    }

    /// Ends an extractor and remembers its peak memory.
    fn drop_link(&mut self, mut link: Link) {
        link.end();
        (self.alive, self.is_configured) = (None, false);
        self.setup.counters.peak_memory.fetch_max(link.peak_memory(), Ordering::AcqRel);
    }
}
