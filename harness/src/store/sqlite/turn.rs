//! Turns of this process's connections at a file: one writes, the others stand in line.
//!
//! May touch: memory and the clock. Invariants: SQLite's own lock decides who writes, a turn only spares the
//! wait for it; a turn ends with its value, so a connection that is dropped holds nobody up; the line is
//! first come, first served.
//!
//! Why: SQLite waits for a lock by sleeping up to 100 ms and looking again, so that tasks that load into one
//! file leave it idle most of the time between them, and the one that looks at the right moment goes first.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The line at each file that is open. As long as the connections of this process, and no longer: a line
/// that nobody stands at is removed when the next file is opened.
static LINES: LazyLock<Mutex<HashMap<PathBuf, Weak<Line>>>> = LazyLock::new(Mutex::default);

/// Those who want to write to one file.
#[derive(Debug, Default)]
pub(super) struct Line {
    queue: Mutex<Queue>,
    moved: Condvar,
}

/// Tickets, oldest first; the first one writes. Its length is bounded by the connections: each waits once.
#[derive(Debug, Default)]
struct Queue {
    tickets: VecDeque<u64>,
    last: u64,
}

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    line: Arc<Line>,
    ticket: u64,
}

impl Line {
    /// The line at this file, which exists: one for all of its names.
    pub(super) fn at(path: &Path) -> Arc<Self> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&path).and_then(Weak::upgrade) {
            return line;
        }
        lines.retain(|_, line| line.strong_count() > 0);
        let line = Arc::new(Self::default());
        lines.insert(path, Arc::downgrade(&line));
        line
    }

    /// Waits for its turn; `None` when it did not come in time.
    pub(super) fn wait(self: &Arc<Self>, longest: Duration) -> Option<Turn> {
        let until = Instant::now() + longest;
        let mut queue = self.lock();
        queue.last += 1;
        let ticket = queue.last;
        queue.tickets.push_back(ticket);
        // Made before the wait: whatever happens, the ticket goes with it.
        let turn = Turn { line: Arc::clone(self), ticket };
        while queue.tickets.front() != Some(&ticket) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(queue);
                return None;
            }
            let waited = self.moved.wait_timeout(queue, left);
            (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        drop(queue);
        Some(turn)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.line.lock().tickets.retain(|ticket| *ticket != self.ticket);
        self.line.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn the_line_is_first_come_first_served() {
        let line = Arc::new(Line::default());
        let first = line.wait(LONG).unwrap();
        let (said, order) = sync_channel(4);
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (line, said) = (Arc::clone(&line), said.clone());
                let before = line.lock().tickets.len();
                let thread = std::thread::spawn({
                    let line = Arc::clone(&line);
                    move || {
                        let _turn = line.wait(LONG).unwrap();
                        said.send(number).unwrap();
                    }
                });
                while line.lock().tickets.len() == before {
                    std::thread::yield_now();
                }
                thread
            })
            .collect();
        assert!(order.try_recv().is_err(), "nobody overtakes");
        drop(first);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn who_gives_up_is_no_longer_in_line() {
        let line = Arc::new(Line::default());
        let first = line.wait(LONG).unwrap();
        assert!(line.wait(Duration::from_millis(10)).is_none());
        drop(first);
        assert!(line.wait(Duration::ZERO).is_some(), "the ticket that gave up is gone");
    }

    #[test]
    fn a_file_has_one_line_under_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a.db"), folder.path().join("b.db"));
        std::fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &other).unwrap();
        let line = Line::at(&path);
        assert!(Arc::ptr_eq(&line, &Line::at(&other)));
        std::fs::write(folder.path().join("c.db"), "").unwrap();
        assert!(!Arc::ptr_eq(&line, &Line::at(&folder.path().join("c.db"))));
    }
}
