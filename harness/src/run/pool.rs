//! Extractors that wait for the next run of their pipeline: a run that ended well leaves them here, and the next
//! one in this process goes on with them.
//!
//! May touch: the extractors that it keeps, and one thread for each of them, which follows what it says. Invariants:
//! an extractor serves again only what it was configured for, to the letter (E12); how many wait, and how long, is
//! bounded; none outlives the process, nor a [`Pool::close`].

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use protocol::message::{Configure, Object};
use serde_json::Value;

use super::task::{Parked, Waker};
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
    /// The program, and the files that the configuration names, as they were when it was started.
    pub files: Files,
}

/// Which files there were: a certificate or a program may be replaced under its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files(Vec<(PathBuf, Option<Mark>)>);

/// What tells two files of one name apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

/// How keys of CONFIG and CREDENTIALS end whose value names a file that is read once (`ssl.ca.location`). Files of
/// tokens are read for each use.
const FILE_KEYS: [&str; 2] = [".location", ".profile.file"];

impl Files {
    /// The program of an extractor, and what its configuration names, as they are now.
    pub(super) fn of(program: &Path, configure: &Configure) -> Self {
        let named = |object: &Object| -> Vec<PathBuf> {
            let is_file =
                |(key, _): &(&String, &Value)| FILE_KEYS.iter().any(|it| key.ends_with(it));
            object.iter().filter(is_file).filter_map(|it| Some(it.1.as_str()?.into())).collect()
        };
        let paths = [program.to_owned()].into_iter();
        let paths = paths.chain(named(&configure.config)).chain(named(&configure.credentials));
        Self(paths.map(|path| (path.clone(), mark(&path))).collect())
    }
}

/// `None`: there is no such file.
fn mark(path: &Path) -> Option<Mark> {
    let found = fs::metadata(path).ok()?;
    Some(Mark {
        device: found.dev(),
        inode: found.ino(),
        len: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
    })
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
    keeper: JoinHandle<Option<Parked>>,
}

/// What the keeper of an extractor is to do with it.
const KEEP: u8 = 0;
const GIVE: u8 = 1;
const END: u8 = 2;

impl Pool {
    /// Keeps an extractor that reads nothing, or ends it: there are too many, or the process ends. One that waits
    /// for the same task already makes room for it.
    pub(super) fn park(&self, purpose: Purpose, parked: Parked) {
        let over =
            self.remove(|idle| idle.keeper.is_finished() || idle.purpose.is_place_of(&purpose));
        if let Some(parked) = self.keep(purpose, parked) {
            parked.end();
        }
        over.into_iter().for_each(Idle::end);
    }

    /// Gives back what finds no room.
    fn keep(&self, purpose: Purpose, parked: Parked) -> Option<Parked> {
        let mut state = self.lock();
        if state.is_closed || state.idle.len() >= IDLE_MAX {
            return Some(parked);
        }
        let wish = Arc::new(AtomicU8::new(KEEP));
        let waker = parked.waker();
        let (pool, of_keeper) = (self.clone(), Arc::clone(&wish));
        let keep = move || {
            let kept = keep(parked, &of_keeper);
            if kept.is_none() {
                // Secrets of its configuration stay in memory no longer than it lives.
                drop(pool.remove(|idle| Arc::ptr_eq(&idle.wish, &of_keeper)));
            }
            kept
        };
        let thread = thread::Builder::new().name("idle-extractor".to_owned());
        // Without a thread it is gone: a process that is dropped is killed and waited for.
        if let Ok(keeper) = thread.spawn(keep) {
            state.idle.push(Idle { purpose, wish, waker, keeper });
        }
        None
    }

    /// An extractor that was configured for exactly this, and lives. One of the same task that was configured in
    /// another way ends.
    pub(super) fn take(&self, purpose: &Purpose) -> Option<Parked> {
        let mut found = None;
        for idle in self.remove(|idle| idle.purpose.is_place_of(purpose)) {
            match idle.purpose == *purpose && found.is_none() {
                true => found = idle.give(),
                false => idle.end(),
            }
        }
        found.and_then(Parked::if_alive)
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
    fn give(self) -> Option<Parked> {
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
fn keep(mut parked: Parked, wish: &AtomicU8) -> Option<Parked> {
    let since = Instant::now();
    loop {
        let wish = wish.load(Ordering::Acquire);
        let is_over = wish == END || since.elapsed() > IDLE_WAIT || parked.is_flushed();
        if !is_over && wish == GIVE {
            return Some(parked);
        }
        if is_over || !parked.follow(TICK) {
            parked.end();
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::message::Settings;

    use super::*;

    #[test]
    fn a_file_that_is_replaced_under_its_name_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let [program, authority, other] =
            ["program", "ca.pem", "new"].map(|it| folder.path().join(it));
        fs::write(&program, "one").unwrap();
        fs::write(&authority, "one").unwrap();
        let mut configure = Configure {
            config: Object::new(),
            credentials: Object::new(),
            settings: Settings::default(),
        };
        let named = Value::from(authority.to_str().unwrap());
        configure.config.insert("ssl.ca.location".to_owned(), named);
        let first = Files::of(&program, &configure);
        assert_eq!(Files::of(&program, &configure), first);
        for path in [&program, &authority] {
            let before = Files::of(&program, &configure);
            fs::write(&other, "two").unwrap();
            fs::rename(&other, path).unwrap();
            assert_ne!(Files::of(&program, &configure), before, "{}", path.display());
        }
        fs::remove_file(&authority).unwrap();
        let gone = Files::of(&program, &configure);
        assert_eq!(Files::of(&program, &configure), gone);
    }
}
