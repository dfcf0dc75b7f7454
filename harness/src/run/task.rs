//! One task: owns one extractor, keeps its credits open, stages what comes, hands finished batches
//! to the loading thread, and starts again after a failure that may pass.
//!
//! ```text
//!            ┌───────────── reading thread ── frames ──┐
//! extractor ─┤                                         ├─► events ─► task ─► jobs ─► loading thread
//!            └── stderr thread ── observer             │                               │
//!                        coordinator ── new splits ────┘◄──────── how batches ended ───┘
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use protocol::message::{
    AddedSplit, Configure, Configured, Discovered, Extract, GetOffsets, OffsetEntry, Partitions,
    Settings, Start,
};
use protocol::session::host::Event as Answer;
use protocol::{OffsetKey, OffsetValue};

use super::failure::Stop;
use super::load::{self, Done, Job};
use super::setup::Setup;
use super::{Batch, Event, RunError};
use crate::catalogue::{Catalogue, Claim, Split};
use crate::child::FromChild;
use crate::link::{
    CONFIGURE_WAIT, Fault, HELLO_WAIT, Link, REQUEST_WAIT, REQUEST_WAIT_MAX, STOP_WAIT,
};
use crate::stage::{StageBudget, Staged};

mod extract;

/// Batches that are extracted or loaded at the same time: one is loaded while the next one is
/// extracted.
pub(super) const CREDITS: usize = 2;

/// How often a waiting task looks at the clock and at the wish to end.
const TICK: Duration = Duration::from_millis(50);

/// Events that wait for a task. The task never blocks on the store, so they are taken at once.
const EVENTS_MAX: usize = 64;

/// What wakes a task.
enum Wake {
    /// The extractor with this number sent something.
    Child { number: u64, what: FromChild },
    /// A batch ended.
    Loaded(Box<Done>),
    /// The coordinator decided which splits this task reads.
    Assign(Order),
}

/// What a task tells the coordinator.
pub(super) enum News {
    /// The set of splits changed at the source.
    Partitions(Partitions),
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
}

/// Gives a task its splits.
#[derive(Clone)]
pub(super) struct Orders(SyncSender<Wake>);

impl Orders {
    /// Replaces the splits of the task. A task that is gone does not mind.
    pub(super) fn assign(&self, order: Order) {
        let _gone = self.0.send(Wake::Assign(order));
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
    /// Splits that the coordinator wants read; `None` when there is nothing new.
    wanted: Option<Order>,
    order: Order,
    jobs: SyncSender<Job>,
    loading: usize,
    assignments: u64,
    stage: StageBudget,
    /// Batches taken from the budget and not yet committed.
    held: usize,
    pub failures: u32,
    pub fences: u32,
    was_caught_up: bool,
    tick: Instant,
}

impl Task {
    /// A task without an extractor.
    pub(super) fn new(
        slot: u32,
        claim: Claim,
        setup: Arc<Setup>,
        news: SyncSender<News>,
    ) -> Result<Self, RunError> {
        let (wake, events) = sync_channel(EVENTS_MAX);
        let loaded = wake.clone();
        let done = move |done| loaded.send(Wake::Loaded(Box::new(done))).is_ok();
        let jobs = load::start(Arc::clone(&setup), slot, claim.leaf, done)?;
        Ok(Self {
            slot,
            claim,
            setup,
            events,
            wake,
            news,
            link: None,
            link_number: 0,
            wanted: None,
            order: Order::default(),
            jobs,
            loading: 0,
            assignments: 0,
            stage: StageBudget::default(),
            held: 0,
            failures: 0,
            fences: 0,
            was_caught_up: false,
            tick: Instant::now(),
        })
    }

    /// Lets the coordinator give it splits.
    pub(super) fn orders(&self) -> Orders {
        Orders(self.wake.clone())
    }

    /// Runs until the run ends, and tells the coordinator how.
    pub(super) fn run(mut self) {
        let result = self.serve();
        if let Some(mut link) = self.link.take() {
            if result.is_ok() {
                self.stop(&mut link);
            }
            self.drop_link(link);
        }
        let _gone = self.news.send(News::Finished { task: self.slot, result });
    }

    fn serve(&mut self) -> Result<(), RunError> {
        loop {
            if self.setup.control.is_now() {
                return Err(RunError::Interrupted);
            }
            if let Some(order) = self.wanted.take() {
                self.order = order;
                self.was_caught_up = false;
            }
            if self.setup.is_draining() {
                return Ok(());
            }
            if self.order.keys.is_empty() {
                self.wait_for_splits();
                continue;
            }
            if let Err(stop) = self.extract() {
                self.settle();
                self.after(stop)?;
            }
        }
    }

    /// Nothing to read: tells so, and waits for splits or the end.
    fn wait_for_splits(&mut self) {
        self.tell_caught_up(true);
        if let Ok(Wake::Assign(order)) = self.events.recv_timeout(TICK) {
            self.wanted = Some(order);
        }
    }

    /// Waits until the loading thread has nothing more of this task. Finished batches of an
    /// extractor that died are committed: a BATCH_END stands on its own.
    pub(super) fn settle(&mut self) {
        while self.loading > 0 {
            match self.events.recv() {
                Ok(Wake::Loaded(done)) => {
                    // What failed is read again from the committed offsets.
                    let _read_again = self.loaded(*done);
                }
                Ok(Wake::Assign(order)) => self.wanted = Some(order),
                Ok(Wake::Child { .. }) => {}
                Err(_) => return,
            }
        }
        self.setup.return_batches(std::mem::take(&mut self.held));
    }

    /// Books a batch that ended.
    fn loaded(&mut self, done: Done) -> Result<(), Stop> {
        self.loading -= 1;
        let Done { job, result } = done;
        let committed = match result {
            Some(Ok(committed)) => committed,
            Some(Err(error)) => return Err(Stop::Load { error, job: Box::new(job) }),
            None => return Ok(()),
        };
        let counters = &self.setup.counters;
        if committed.batch_id.is_some() {
            counters.rows.fetch_add(job.rows, Ordering::AcqRel);
            counters.errors.fetch_add(job.errors, Ordering::AcqRel);
            counters.bytes.fetch_add(job.bytes, Ordering::AcqRel);
            counters.batches.fetch_add(1, Ordering::AcqRel);
            self.failures = 0;
        }
        if job.rows > 0 {
            counters.batches_with_rows.fetch_add(1, Ordering::AcqRel);
            self.held = self.held.saturating_sub(1);
        } else if self.held > 0 {
            self.held -= 1;
            self.setup.return_batches(1);
        }
        if job.moves.iter().any(|step| step.is_end) {
            let _gone = self.news.send(News::SplitEnded);
        }
        if committed.batch_id.is_some() || job.caught_up != self.was_caught_up {
            self.setup.tell(&Event::Committed(Batch {
                id: committed.batch_id,
                task: self.slot,
                rows: job.rows,
                errors: job.errors,
                bytes: job.bytes,
                lag_rows: job.lag.rows,
                caught_up: job.caught_up,
            }));
        }
        self.tell_caught_up(job.caught_up);
        Ok(())
    }

    fn tell_caught_up(&mut self, caught_up: bool) {
        if self.was_caught_up != caught_up {
            self.was_caught_up = caught_up;
            let (task, order) = (self.slot, self.order.number);
            let _gone = self.news.send(News::CaughtUp { task, order, caught_up });
        }
    }

    /// Starts an extractor if none runs: HELLO, CONFIGURE. Tells whether it did.
    pub(super) fn prepare(&mut self) -> Result<bool, Stop> {
        if self.link.is_some() {
            return Ok(false);
        }
        self.link_number += 1;
        let number = self.link_number;
        let wake = self.wake.clone();
        let setup = Arc::clone(&self.setup);
        let frames = move |what| wake.send(Wake::Child { number, what }).is_ok();
        let lines = move |line: &str| {
            setup.tell(&Event::Log { level: "stderr".to_owned(), line: line.to_owned() });
        };
        let mut command = self.setup.plan.extractor.clone();
        // Nobody reads them: they tell the processes of a machine apart.
        let name = ["--pipeline".to_owned(), self.setup.plan.name.clone()];
        command.args.extend(name.into_iter().chain(["--task".to_owned(), self.slot.to_string()]));
        let link = Link::start(&command, frames, lines).map_err(|error| {
            let program = command.program.display().to_string();
            RunError::Spawn { program, reason: error.to_string() }
        })?;
        self.link = Some(link);
        let session = format!("{:016x}", fastrand::u64(..));
        self.link()?.hello(&session, "info")?;
        self.answer(HELLO_WAIT, |answer| matches!(answer, Answer::HelloOk(_)).then_some(()))?;
        let plan = &self.setup.plan;
        let configure = Configure {
            config: plan.source.config.clone(),
            credentials: plan.source.credentials.clone(),
            settings: Settings {
                pipeline: plan.name.clone(),
                leaf: self.claim.leaf,
                task: self.slot,
                max_row_bytes: plan.limits.row_bytes,
                ..Settings::default()
            },
        };
        self.link()?.configure(&configure)?;
        let configured = self.answer(CONFIGURE_WAIT, |answer| match answer {
            Answer::Configured(configured) => Some(configured),
            _ => None,
        })?;
        self.accept(&configured)?;
        Ok(true)
    }

    /// Asks a new extractor which splits there are: the one before may have died with the news of
    /// some. A split that the catalogue does not know starts at its beginning (E5).
    pub(super) fn look_for_splits(&mut self, catalogue: &mut Catalogue) -> Result<(), Stop> {
        let discovered = self.discover()?;
        let known = catalogue.splits(self.setup.pipeline.id)?;
        let mut new = discovered.splits;
        new.retain(|split| known.iter().all(|it| it.key != split.key.as_str()));
        if new.is_empty() {
            return Ok(());
        }
        let keys = new.iter().map(|split| split.key.clone()).collect();
        let starts = self.offsets(Start::Earliest, keys)?;
        let added = new.into_iter().zip(starts);
        let added = added.map(|(split, start)| AddedSplit {
            key: split.key,
            parents: split.parents,
            value: start.value,
        });
        let news = Partitions { closed: Vec::new(), added: added.collect() };
        let _gone = self.news.send(News::Partitions(news));
        Ok(())
    }

    fn accept(&self, configured: &Configured) -> Result<(), Stop> {
        for warning in &configured.warnings {
            self.setup.tell(&Event::Warning(warning.clone()));
        }
        let Some(unknown) = configured.unknown_config.first() else { return Ok(()) };
        let nearest =
            unknown.nearest.clone().or_else(|| crate::pipeline::nearest_key(&unknown.key));
        let hint = nearest.map_or_else(String::new, |key| format!("; did you mean {key:?}?"));
        let text = format!("unknown key {:?} in the pipeline's configuration{hint}", unknown.key);
        Err(RunError::Config(text).into())
    }

    /// CHECK.
    pub(super) fn check(&mut self) -> Result<(), Stop> {
        self.link()?.check()?;
        self.answer(REQUEST_WAIT, |answer| matches!(answer, Answer::Checked(_)).then_some(()))
    }

    /// DISCOVER.
    pub(super) fn discover(&mut self) -> Result<Discovered, Stop> {
        self.link()?.discover()?;
        self.answer(REQUEST_WAIT, |answer| match answer {
            Answer::Discovered(discovered) => Some(discovered),
            _ => None,
        })
    }

    /// GET_OFFSETS.
    pub(super) fn offsets(
        &mut self,
        start: Start,
        keys: Vec<OffsetKey>,
    ) -> Result<Vec<OffsetEntry>, Stop> {
        let wanted = keys.len();
        self.link()?.get_offsets(&GetOffsets { start, keys })?;
        let entries = self.answer(REQUEST_WAIT, |answer| match answer {
            Answer::Offsets(offsets) => Some(offsets.offsets),
            _ => None,
        })?;
        if entries.len() == wanted {
            return Ok(entries);
        }
        let what = format!("OFFSETS has {} entries, {wanted} were asked for", entries.len());
        Err(Fault::Protocol(what).into())
    }

    fn link(&mut self) -> Result<&mut Link, Stop> {
        let gone = || RunError::Internal("a task has no extractor".to_owned());
        self.link.as_mut().ok_or_else(|| gone().into())
    }

    /// Waits for the answer that `pick` takes. PROGRESS extends the wait.
    fn answer<T>(
        &mut self,
        wait: Duration,
        mut pick: impl FnMut(Answer) -> Option<T>,
    ) -> Result<T, Stop> {
        let asked = Instant::now();
        loop {
            if let Some(answer) = self.next()? {
                let Some(answer) = self.aside(answer)? else { continue };
                if let Some(picked) = pick(answer) {
                    return Ok(picked);
                }
            }
            let extended = self.link()?.last_progress().max(asked) + wait;
            if Instant::now() > extended.min(asked + wait.max(REQUEST_WAIT_MAX)) {
                let text = format!("extractor does not answer within {} s", wait.as_secs());
                return Err(Fault::Gone(text).into());
            }
            if self.setup.control.is_now() {
                return Err(RunError::Interrupted.into());
            }
        }
    }

    /// The next answer of the extractor, waiting a tick at most; everything else that wakes the
    /// task is done here.
    fn next(&mut self) -> Result<Option<Answer>, Stop> {
        let woken = self.events.recv_timeout(TICK);
        if self.tick.elapsed() >= TICK {
            self.tick = Instant::now();
            self.link()?.tick()?;
        }
        match woken {
            Ok(Wake::Child { number, what }) if number == self.link_number => match what {
                FromChild::Frame(frame) => Ok(Some(self.link()?.receive(&frame)?)),
                FromChild::End(error) => Err(self.link()?.ended(error).into()),
            },
            Ok(Wake::Loaded(done)) => self.loaded(*done).map(|()| None),
            Ok(Wake::Assign(order)) => {
                self.wanted = Some(order);
                Ok(None)
            }
            // An extractor that was replaced.
            Ok(Wake::Child { .. }) | Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err(RunError::Internal("the event queue of a task is gone".to_owned()).into())
            }
        }
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

    /// STOP, as far as the extractor still listens.
    fn stop(&mut self, link: &mut Link) {
        if link.stop().is_err() {
            return;
        }
        let deadline = Instant::now() + STOP_WAIT;
        while Instant::now() < deadline {
            let Ok(Wake::Child { number, what: FromChild::Frame(frame) }) =
                self.events.recv_timeout(TICK)
            else {
                continue;
            };
            if number == self.link_number && matches!(link.receive(&frame), Ok(Answer::Stopped(_)))
            {
                return;
            }
        }
    }

    /// Lets an extractor that is of no use go.
    pub(super) fn forget_link(&mut self) {
        if let Some(link) = self.link.take() {
            self.drop_link(link);
        }
    }

    /// Ends an extractor and remembers its peak memory.
    fn drop_link(&self, mut link: Link) {
        link.end();
        self.setup.counters.peak_memory.fetch_max(link.peak_memory(), Ordering::AcqRel);
    }
}
