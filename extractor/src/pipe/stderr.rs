//! Text for people. Whatever this process and its libraries print is drained by one thread, passes
//! the redactor, and is dropped when nobody reads: printing never stalls the rows.

use std::fs::File;
use std::io::{PipeReader, Read};
use std::sync::{Arc, Mutex, TryLockError};

use super::{lock, os};
use crate::redact::Redactor;

/// Longest line that is kept together; longer ones are cut into pieces.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// The descriptor where people read.
#[derive(Debug)]
pub struct Stderr {
    file: Mutex<File>,
    redactor: Arc<Redactor>,
}

impl Stderr {
    pub(super) fn new(file: File, redactor: Arc<Redactor>) -> Self {
        Self { file: Mutex::new(file), redactor }
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
        held.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let whole = match held.iter().rposition(|byte| *byte == b'\n') {
            Some(newline) => newline + 1,
            None if held.len() >= LINE_BYTES_MAX => held.len(),
            None => continue,
        };
        stderr.forward(held.get(..whole).unwrap_or_default());
        held.drain(..whole);
    }
}
