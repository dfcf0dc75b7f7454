//! An extractor with the queue that its frames come by: what a task hands over when it ends, and takes over when
//! it begins.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Answer, Event, FromChild, Link, Ordering, Setup, TICK, Task, Wake};
use crate::catalogue::Claim;
use crate::link::STOP_WAIT;
use crate::run::ExtractorCommand;
use crate::run::living::Living;
use crate::run::pool::Purpose;
use protocol::message::{Configure, Settings};

/// How long an extractor may take to let go of its splits, and to show that it lives. Why as long as STOP: who stops a
/// pipeline waits; one that asks a slow source takes longer, and is ended instead.
const REST_WAIT: Duration = STOP_WAIT;

/// The epoch under which an extractor has nothing to read. Those of the catalogue begin at 1.
const EPOCH_OF_REST: u64 = 0;

/// Where the lines of an extractor's standard error go: to the run that it serves, if any.
#[derive(Clone, Default)]
pub(in crate::run) struct Lines(Arc<Mutex<Option<Arc<Setup>>>>);

impl Lines {
    pub(super) fn set(&self, to: Option<Arc<Setup>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    pub(super) fn tell(&self, line: &str) {
        let to = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(setup) = to {
            setup.tell(&Event::Log { level: "stderr".to_owned(), line: line.to_owned() });
        }
    }
}

/// Wakes whoever listens to an extractor.
#[derive(Clone)]
pub(in crate::run) struct Waker(SyncSender<Wake>);

impl Waker {
    pub(super) fn of(wake: &SyncSender<Wake>) -> Self {
        Self(wake.clone())
    }

    /// One whose queue is full is awake anyway.
    pub(in crate::run) fn wake(&self) {
        let _awake_or_gone = self.0.try_send(Wake::Look);
    }
}

/// What came of listening to an extractor.
enum Said {
    Answer(Answer),
    Nothing,
    /// It ended, failed or broke the protocol.
    Gone,
}

/// An extractor that is between two tasks.
pub(in crate::run) struct Line {
    own: Own,
    queue: Queue,
}

/// An extractor.
pub(super) struct Own {
    link: Link,
    /// Its number among those of its queue.
    number: u64,
    /// Its mark among those that live.
    mark: u64,
    /// What it said to its configuration.
    told: Vec<String>,
}

/// Where what it says comes by.
pub(super) struct Queue {
    pub wake: SyncSender<Wake>,
    pub events: Receiver<Wake>,
    pub lines: Lines,
}

impl Line {
    pub(super) fn split(self) -> (Option<Own>, Queue) {
        (Some(self.own), self.queue)
    }

    pub(in crate::run) fn waker(&self) -> Waker {
        Waker::of(&self.queue.wake)
    }

    pub(in crate::run) const fn mark(&self) -> u64 {
        self.own.mark
    }

    /// Follows what it says, for a moment; what it says to nobody is forgotten, and asked for again by the next
    /// run. `false`: it ended, or is broken.
    pub(in crate::run) fn follow(&mut self, wait: Duration) -> bool {
        !matches!(self.listen(wait), Said::Gone) && self.own.link.tick().is_ok()
    }

    /// Itself, if it answers.
    pub(in crate::run) fn if_alive(mut self, living: &Living) -> Option<Self> {
        let is_alive = self.own.link.ping().is_ok()
            && self.says(&|answer| matches!(answer, Answer::Pong(_)), Instant::now() + REST_WAIT);
        if !is_alive {
            self.end(living);
            return None;
        }
        Some(self)
    }

    /// Lets it answer what is open, and takes all splits from it. Whether it has let go of them, so that it may
    /// wait.
    fn rests(&mut self, setup: &Setup) -> bool {
        let until = Instant::now() + REST_WAIT;
        while self.own.link.is_waiting() {
            if Instant::now() > until || matches!(self.listen(TICK), Said::Gone) {
                return false;
            }
        }
        if !self.own.link.has_splits() {
            return true;
        }
        let (marker, incarnation) = (setup.marker, setup.incarnation());
        self.own.link.assign(EPOCH_OF_REST, marker, &incarnation, &[], &[]).is_ok()
            && self.says(&|answer| matches!(answer, Answer::Assigned(_)), until)
    }

    /// Whether it says this in time.
    fn says(&mut self, is_it: &dyn Fn(&Answer) -> bool, until: Instant) -> bool {
        while Instant::now() < until {
            match self.listen(TICK) {
                Said::Answer(answer) if is_it(&answer) => return true,
                Said::Answer(_) | Said::Nothing => {}
                Said::Gone => return false,
            }
        }
        false
    }

    fn listen(&mut self, wait: Duration) -> Said {
        match self.queue.events.recv_timeout(wait) {
            Ok(Wake::Child { number, what }) if number == self.own.number => match what {
                FromChild::Frame(frame) => match self.own.link.receive(&frame) {
                    Ok(Answer::Failed { .. } | Answer::Stopped(_)) | Err(_) => Said::Gone,
                    Ok(answer) => Said::Answer(answer),
                },
                FromChild::End(_) => Said::Gone,
            },
            Ok(_) | Err(RecvTimeoutError::Timeout) => Said::Nothing,
            Err(RecvTimeoutError::Disconnected) => Said::Gone,
        }
    }

    /// Ends it, and takes it off the count.
    pub(in crate::run) fn end(mut self, living: &Living) {
        self.own.link.end();
        living.ended(self.own.mark);
    }
}

/// How the extractor of a task is started.
pub(super) fn command(setup: &Setup, slot: u32) -> ExtractorCommand {
    let mut command = setup.plan.extractor.clone();
    // Nobody reads them: they tell the processes of a machine apart.
    let name = ["--pipeline".to_owned(), setup.plan.name.clone()];
    command.args.extend(name.into_iter().chain(["--task".to_owned(), slot.to_string()]));
    command
}

/// What the extractor of a task is configured with.
pub(super) fn configure(setup: &Setup, slot: u32, claim: Claim) -> Configure {
    let plan = &setup.plan;
    Configure {
        config: plan.source.config.clone(),
        credentials: plan.source.credentials.clone(),
        settings: Settings {
            pipeline: plan.name.clone(),
            leaf: claim.leaf,
            task: slot,
            max_row_bytes: plan.limits.row_bytes,
            retry_ms: super::session::retry_ms(plan.retry),
        },
    }
}

/// What extractors of a task that wait must have been started for; `None` where none are kept.
fn purpose(setup: &Setup, slot: u32, claim: Claim) -> Option<Purpose> {
    let pipeline = setup.plan.pooled.clone()?;
    Some(Purpose {
        pipeline,
        command: command(setup, slot),
        configure: configure(setup, slot, claim),
    })
}

/// An extractor that waits for this task.
pub(super) fn take(setup: &Setup, slot: u32, claim: Claim) -> Option<Line> {
    let purpose = purpose(setup, slot, claim)?;
    setup.control.pool().take(&purpose, setup.control.living())
}

impl Task {
    /// Goes on with an extractor that waited: it was configured, and has nothing to read.
    pub(super) fn take_over(&mut self, own: Own) {
        let Own { link, number, mark, told } = own;
        (self.link, self.link_number, self.mark, self.told) = (Some(link), number, mark, told);
        self.lines.set(Some(Arc::clone(&self.setup)));
        self.looked = false;
        self.setup.tell(&Event::Started { task: self.slot });
        self.tell_warnings();
    }

    /// Whether the extractor was asked to end by FLUSH EXTRACTOR POOLS.
    pub(super) fn is_marked(&self) -> bool {
        self.setup.control.living().is_flushed(self.mark)
    }

    /// Lets the extractor of a task that is over go: to wait for another run of the pipeline, or to its end.
    pub(super) fn release(mut self, mut link: Link) {
        let purpose = purpose(&self.setup, self.slot, self.claim);
        let is_kept = link.is_configured() && !self.setup.control.is_now() && !self.is_marked();
        let Some(purpose) = purpose.filter(|_| is_kept) else {
            self.stop(&mut link);
            self.drop_link(link);
            return;
        };
        self.setup.counters.peak_memory.fetch_max(link.peak_memory(), Ordering::AcqRel);
        self.lines.set(None);
        let Self { setup, events, wake, lines, told, mark, link_number, .. } = self;
        let own = Own { link, number: link_number, mark, told };
        let mut line = Line { own, queue: Queue { wake, events, lines } };
        let living = setup.control.living();
        match line.rests(&setup) {
            true => setup.control.pool().park(purpose, line, living),
            false => line.end(living),
        }
    }
}
