//! An extractor with the queue that its frames come by: what a task hands over when it ends, and takes over when
//! it begins.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Answer, Event, FromChild, Link, Ordering, Setup, TICK, Task, Wake};
use crate::catalogue::Claim;
use crate::link::STOP_WAIT;
use crate::run::ExtractorCommand;
use crate::run::living::Alive;
use crate::run::pool::{Files, Purpose};
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
pub(in crate::run) struct Parked {
    own: Own,
    queue: Queue,
}

/// An extractor.
pub(super) struct Own {
    link: Link,
    /// Its number among those of its queue.
    number: u64,
    /// Counts it. After it, so that it is dropped after it.
    alive: Alive,
    /// What it said to its configuration.
    told: Vec<String>,
    /// Which files it was started with.
    files: Files,
}

/// Where what it says comes by.
pub(super) struct Queue {
    pub wake: SyncSender<Wake>,
    pub events: Receiver<Wake>,
    pub lines: Lines,
}

impl Parked {
    pub(super) fn split(self) -> (Option<Own>, Queue) {
        (Some(self.own), self.queue)
    }

    pub(in crate::run) fn waker(&self) -> Waker {
        Waker::of(&self.queue.wake)
    }

    /// Whether it was asked to end by FLUSH EXTRACTOR POOLS.
    pub(in crate::run) fn is_flushed(&self) -> bool {
        self.own.alive.is_flushed()
    }

    /// Follows what it says, for a moment; what it says to nobody is forgotten, and asked for again by the next
    /// run. `false`: it ended, or is broken.
    pub(in crate::run) fn follow(&mut self, wait: Duration) -> bool {
        !matches!(self.listen(wait), Said::Gone) && self.own.link.tick().is_ok()
    }

    /// Itself, if it answers.
    pub(in crate::run) fn if_alive(mut self) -> Option<Self> {
        let is_alive = self.own.link.ping().is_ok()
            && self.says(&|answer| matches!(answer, Answer::Pong(_)), Instant::now() + REST_WAIT);
        if !is_alive {
            self.end();
            return None;
        }
        Some(self)
    }

    /// Takes all splits from it, and lets it answer what is open. Whether it has let go of them, so that it may
    /// wait. One that has none is asked nothing: its epoch is the one of rest already, or it never had another.
    fn rests(&mut self, setup: &Setup) -> bool {
        let until = Instant::now() + REST_WAIT;
        let has_splits = self.own.link.has_splits();
        let (marker, incarnation) = (setup.marker, setup.incarnation());
        if has_splits
            && self.own.link.assign(EPOCH_OF_REST, marker, &incarnation, &[], &[]).is_err()
        {
            return false;
        }
        // Answers come in the order of the questions: what came last answers the one without splits.
        let mut has_let_go = !has_splits;
        while self.own.link.is_waiting() {
            if Instant::now() > until {
                return false;
            }
            match self.listen(TICK) {
                Said::Answer(Answer::Assigned(assigned)) => has_let_go |= assigned.parts == 0,
                Said::Answer(_) | Said::Nothing => {}
                Said::Gone => return false,
            }
        }
        has_let_go
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
                    Ok(Answer::Failed { request: Some(_), failure }) if !failure.fatal => {
                        // A question of the run that is over.
                        Said::Nothing
                    }
                    Ok(Answer::Failed { .. } | Answer::Stopped(_)) | Err(_) => Said::Gone,
                    Ok(answer) => Said::Answer(answer),
                },
                FromChild::End(_) => Said::Gone,
            },
            Ok(_) | Err(RecvTimeoutError::Timeout) => Said::Nothing,
            Err(RecvTimeoutError::Disconnected) => Said::Gone,
        }
    }

    /// Ends it; it is counted until then.
    pub(in crate::run) fn end(mut self) {
        self.own.link.end();
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

/// What extractors of a task that wait must have been started for, with the files that there are now if none are
/// said; `None` where none are kept.
fn purpose(setup: &Setup, slot: u32, claim: Claim, files: Option<Files>) -> Option<Purpose> {
    let pipeline = setup.plan.pooled.clone()?;
    let (command, configure) = (command(setup, slot), configure(setup, slot, claim));
    let files = files.unwrap_or_else(|| Files::of(&command.program, &configure));
    Some(Purpose { pipeline, command, configure, files })
}

/// An extractor that waits for this task.
pub(super) fn take(setup: &Setup, slot: u32, claim: Claim) -> Option<Parked> {
    // What is tried is tried anew: whether the source can be reached and lets one in.
    let purpose = purpose(setup, slot, claim, None).filter(|_| !setup.plan.is_probe)?;
    setup.control.pool().take(&purpose)
}

impl Task {
    /// Goes on with an extractor that waited: it was configured, and has nothing to read.
    pub(super) fn take_over(&mut self, own: Own) {
        let Own { link, number, alive, told, files } = own;
        (self.link, self.link_number, self.told, self.files) = (Some(link), number, told, files);
        (self.alive, self.is_configured) = (Some(alive), true);
        self.lines.set(Some(Arc::clone(&self.setup)));
        self.looked = false;
        self.setup.tell(&Event::Started { task: self.slot });
        self.tell_warnings();
    }

    /// Whether the extractor was asked to end by FLUSH EXTRACTOR POOLS.
    pub(super) fn is_marked(&self) -> bool {
        self.alive.as_ref().is_some_and(Alive::is_flushed)
    }

    /// Lets the extractor of a task that is over go: to wait for another run of the pipeline, or to its end.
    pub(super) fn release(mut self, mut link: Link) {
        let files = std::mem::take(&mut self.files);
        let purpose = purpose(&self.setup, self.slot, self.claim, Some(files.clone()));
        let is_kept = self.is_configured && !self.setup.control.is_now() && !self.is_marked();
        let kept = purpose.filter(|_| is_kept).and_then(|it| Some((it, self.alive.take()?)));
        let Some((purpose, alive)) = kept else {
            self.stop(&mut link);
            self.drop_link(link);
            return;
        };
        self.setup.counters.peak_memory.fetch_max(link.peak_memory(), Ordering::AcqRel);
        self.lines.set(None);
        let Self { setup, events, wake, lines, told, link_number, .. } = self;
        let own = Own { link, number: link_number, alive, told, files };
        let mut parked = Parked { own, queue: Queue { wake, events, lines } };
        match parked.rests(&setup) {
            true => setup.control.pool().park(purpose, parked),
            false => parked.end(),
        }
    }
}
