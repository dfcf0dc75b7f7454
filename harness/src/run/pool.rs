//! Extractors that wait for the next run of their pipeline: a run that ended well leaves them here, and the next
//! one in this process goes on with them.
//!
//! May touch: the extractors that it keeps, and one thread for each of them, which follows what it says. Invariants:
//! an extractor serves again only what it was configured for, to the letter (E12); how many wait, and how long, is
//! bounded; none outlives the process, nor a [`Pool::close`].

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use protocol::message::Configure;

use super::living::Living;
use super::task::{Line, Waker};
use super::{ExtractorCommand, PooledFor};

/// How long an extractor waits for another run. Why 60 s: whoever stops a pipeline to start it again, or tests it
/// before, does so by then; one that waits holds some 20 MiB.
const IDLE_WAIT: Duration = Duration::from_secs(60);

/// Most extractors of one process that wait. Why 64: the tasks of a few pipelines, in 1.5 GiB at most.
const IDLE_MAX: usize = 64;

/// How often one that waits looks whether it is to end. Why 100 ms: soon for a person, nothing for a processor.
const TICK: Duration = Duration::from_millis(100);

/// What an extractor was started and configured for. Debug would show secrets, so there is none.
#[derive(Clone, PartialEq)]
pub(super) struct Purpose {
    /// The pipeline, and how it was defined.
    pub pipeline: PooledFor,
    /// The program.
    pub command: ExtractorCommand,
    /// The whole CONFIGURE, credentials resolved, leaf and task included.
    pub configure: Configure,
}

impl Purpose {
    /// Whether it is for the same task of the same pipeline, defined in whatever way.
    fn is_place_of(&self, other: &Self) -> bool {
        self.pipeline.id == other.pipeline.id
            && self.configure.settings.task == other.configure.settings.task
    }
}

/// The extractors of some runs that wait.
#[derive(Clone, Debug, Default)]
pub struct Pool(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    is_closed: bool,
    idle: Vec<Idle>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("idle", &self.idle.len()).finish_non_exhaustive()
    }
}

/// One that waits.
struct Idle {
    purpose: Purpose,
    wish: Arc<AtomicU8>,
    waker: Waker,
    keeper: JoinHandle<Option<Line>>,
}

/// What the keeper of an extractor is to do with it.
const KEEP: u8 = 0;
const GIVE: u8 = 1;
const END: u8 = 2;

impl Pool {
    /// Keeps an extractor that reads nothing, or ends it: there are too many, or the process ends. One that waits
    /// for the same task already makes room for it.
    pub(super) fn park(&self, purpose: Purpose, line: Line, living: &Living) {
        let over =
            self.remove(|idle| idle.keeper.is_finished() || idle.purpose.is_place_of(&purpose));
        if let Some(line) = self.keep(purpose, line, living) {
            line.end(living);
        }
        over.into_iter().for_each(Idle::end);
    }

    /// Gives back what finds no room.
    fn keep(&self, purpose: Purpose, line: Line, living: &Living) -> Option<Line> {
        let mut state = self.lock();
        if state.is_closed || state.idle.len() >= IDLE_MAX {
            return Some(line);
        }
        let wish = Arc::new(AtomicU8::new(KEEP));
        let (waker, mark) = (line.waker(), line.mark());
        let (of_keeper, living_of_keeper) = (Arc::clone(&wish), living.clone());
        let keep = move || keep(line, &of_keeper, &living_of_keeper);
        match thread::Builder::new().name("idle-extractor".to_owned()).spawn(keep) {
            Ok(keeper) => state.idle.push(Idle { purpose, wish, waker, keeper }),
            // Without a thread it is gone: a process that is dropped is killed and waited for.
            Err(_) => living.ended(mark),
        }
        None
    }

    /// An extractor that was configured for exactly this, and lives. One of the same task that was configured in
    /// another way ends.
    pub(super) fn take(&self, purpose: &Purpose, living: &Living) -> Option<Line> {
        let mut found = None;
        for idle in self.remove(|idle| idle.purpose.is_place_of(purpose)) {
            match idle.purpose == *purpose && found.is_none() {
                true => found = idle.give(),
                false => idle.end(),
            }
        }
        found.and_then(|line| line.if_alive(living))
    }

    /// Ends those that wait for a pipeline: it is altered, replaced or dropped.
    pub(crate) fn let_go(&self, pipeline_id: u64) {
        let gone = self.remove(|idle| idle.purpose.pipeline.id == pipeline_id);
        gone.into_iter().for_each(Idle::end);
    }

    /// Ends all that wait, and keeps none from now on: the process ends.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        let all = self.remove(|_| true);
        all.iter().for_each(|idle| idle.wish(END));
        all.into_iter().for_each(Idle::end);
    }

    fn remove(&self, is_meant: impl Fn(&Idle) -> bool) -> Vec<Idle> {
        let mut state = self.lock();
        let (gone, stay) = std::mem::take(&mut state.idle).into_iter().partition(is_meant);
        state.idle = stay;
        gone
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn wish(&self, wish: u8) {
        self.wish.store(wish, Ordering::Release);
        self.waker.wake();
    }

    /// The extractor, unless it ended meanwhile.
    fn give(self) -> Option<Line> {
        self.wish(GIVE);
        self.keeper.join().ok().flatten()
    }

    /// Ends it, and waits until it has.
    fn end(self) {
        self.wish(END);
        drop(self.keeper.join());
    }
}

/// Follows an extractor that waits, until somebody wants it, or it ends: by itself, because its time is over, or
/// because it is told to.
fn keep(mut line: Line, wish: &AtomicU8, living: &Living) -> Option<Line> {
    let since = Instant::now();
    loop {
        let wish = wish.load(Ordering::Acquire);
        let is_over = wish == END || since.elapsed() > IDLE_WAIT || living.is_flushed(line.mark());
        if !is_over && wish == GIVE {
            return Some(line);
        }
        if is_over || !line.follow(TICK) {
            line.end(living);
            return None;
        }
    }
}
