//! Text for people. Whatever this process and its libraries print is drained by one thread, passes
//! the redactor, and is dropped when nobody reads: printing never stalls the rows.

use std::fs::File;
use std::io::{PipeReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use super::{lock, os};
use crate::redact::Redactor;

/// Longest line that is kept together; longer ones are cut into pieces.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// How long an ending process waits for what was printed to be passed on.
const DRAIN_MAX: Duration = Duration::from_millis(50);

/// The descriptor where people read.
#[derive(Debug)]
pub struct Stderr {
    file: Mutex<File>,
    redactor: Arc<Redactor>,
    /// What was printed and not yet drained, to look at only.
    printed: Option<PipeReader>,
    /// The draining thread has something in its hands.
    busy: AtomicBool,
}

impl Stderr {
    pub(super) fn new(file: File, redactor: Arc<Redactor>, printed: Option<PipeReader>) -> Self {
        Self { file: Mutex::new(file), redactor, printed, busy: AtomicBool::new(false) }
    }

    /// Waits a moment until the last words of libraries are passed on.
    pub(super) fn drain(&self) {
        let tick = Duration::from_millis(1);
        let mut quiet = 0;
        let mut waited = Duration::ZERO;
        // Twice in a row: between the end of a read and `busy` nothing can be seen.
        while quiet < 2 && waited < DRAIN_MAX {
            let waiting = self.printed.as_ref().is_some_and(os::is_readable);
            let idle = !waiting && !self.busy.load(Ordering::Acquire);
            quiet = if idle { quiet + 1 } else { 0 };
            os::pause(tick);
            waited += tick;
        }
    }

    /// Writes one line, or drops it when that would block.
    pub fn say(&self, line: &str) {
        let file = match self.file.try_lock() {
            Ok(file) => file,
            Err(TryLockError::Poisoned(file)) => file.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let text = format!("extractor: {}\n", self.redactor.text(line));
        Self::put(&file, text.as_bytes());
    }

    /// Writes what fits without blocking; `false` when nothing more does.
    fn put(file: &File, bytes: &[u8]) -> bool {
        bytes.chunks(os::ATOMIC_BYTES).all(|chunk| {
            // A reader that is gone is nobody's problem.
            os::is_writable(file) && os::write_whole(file, chunk).is_ok()
        })
    }

    /// Passes whole lines on; the redactor needs them whole.
    fn forward(&self, lines: &[u8]) {
        let file = lock(&self.file);
        if os::is_writable(&file) {
            let text = String::from_utf8_lossy(lines);
            Self::put(&file, self.redactor.text(&text).as_bytes());
        }
    }
}

/// Drains what is printed until the process ends.
pub(super) fn run(stderr: &Stderr, mut printed: PipeReader) {
    let mut held: Vec<u8> = Vec::new();
    let mut chunk = vec![0; READ_BYTES];
    while let Ok(count @ 1..) = printed.read(&mut chunk) {
        stderr.busy.store(true, Ordering::Release);
        held.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let whole = match held.iter().rposition(|byte| *byte == b'\n') {
            Some(newline) => newline + 1,
            None if held.len() >= LINE_BYTES_MAX => held.len(),
            None => 0,
        };
        if whole > 0 {
            stderr.forward(held.get(..whole).unwrap_or_default());
            held.drain(..whole);
        }
        stderr.busy.store(false, Ordering::Release);
    }
}
