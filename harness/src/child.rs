//! One extractor process: it inherits nothing, its standard error is always read, and it is never
//! left behind. `SPEC.md` section 12.
//!
//! May touch: processes, pipes, `/proc`. It knows no message; `link` speaks with the process.

mod spawn;

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStderr, ChildStdin, ChildStdout, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use protocol::wire::{Direction, Frame, FrameDecoder, FrameError};

pub use spawn::SpawnError;
pub(crate) use spawn::spawn;

use crate::run::ExtractorCommand;

/// How long the group may take to end after SIGTERM.
const TERM_WAIT: Duration = Duration::from_millis(500);

/// Standard error that is kept for an error report, bytes (SingleStore keeps 65,535).
const STDERR_KEPT: usize = 64 * 1024;

/// Lines of standard error that an error message quotes, and characters of each.
const LAST_WORDS_LINES: usize = 3;
const LAST_WORDS_CHARS: usize = 160;

/// How long the rest of standard error is waited for; something that the extractor started may hold
/// its other end.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(200);

/// Longest line of standard error that is passed on; the rest of the line is dropped.
const STDERR_LINE_MAX: u64 = 4096;

/// Pipe size asked for; the kernel's default of 64 KiB costs a third of the speed.
const PIPE_BYTES: i32 = 1 << 20;

/// Bytes asked for in one read.
const READ_BYTES: usize = 256 * 1024;

/// How long a write of one request may take: the extractor always reads its standard input.
const WRITE_WAIT: Duration = Duration::from_secs(5);

/// What the reader of an extractor's frames reports.
#[derive(Debug)]
pub enum FromChild {
    /// A whole frame.
    Frame(Frame),
    /// The stream ended; with an error when it ended inside a frame or held no frames.
    End(Option<FrameError>),
}

/// The end of what an extractor wrote to standard error.
#[derive(Debug, Default)]
struct Stderr {
    kept: Mutex<VecDeque<u8>>,
    ended: AtomicBool,
}

/// A running extractor. Dropping it kills it with everything it started, and waits for it.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    stdin: Option<ChildStdin>,
    stderr: Arc<Stderr>,
    reaped: Option<ExitStatus>,
}

impl Child {
    /// Starts an extractor. Frames go to `frames` and lines of standard error to `lines`, both
    /// from threads that end with the process; `frames` returns false to end the reading.
    pub fn start(
        command: &ExtractorCommand,
        frames: impl FnMut(FromChild) -> bool + Send + 'static,
        bytes_read: impl Fn(usize) + Send + 'static,
        lines: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, SpawnError> {
        let mut process = spawn(command)?;
        let stderr = Arc::new(Stderr::default());
        if let Some(pipe) = process.stderr.take() {
            let kept = Arc::clone(&stderr);
            let read = move || read_stderr(pipe, &kept, lines);
            spawn::thread("extractor-stderr", read)?;
        }
        if let Some(pipe) = process.stdout.take() {
            // Smaller is only slower: the quota for large pipes may be used up.
            let _small = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
            spawn::thread("extractor-frames", move || read_frames(pipe, frames, bytes_read))?;
        }
        let stdin = process.stdin.take();
        if let Some(pipe) = &stdin {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(SpawnError::from)?;
        }
        Ok(Self { process, stdin, stderr, reaped: None })
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Writes a request. Whether it was taken is judged on the read side: an extractor that is
    /// gone shows there.
    ///
    /// # Errors
    /// The extractor does not read its standard input.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        use std::io::Write;
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        let deadline = Instant::now() + WRITE_WAIT;
        let mut rest = bytes;
        while !rest.is_empty() {
            #[expect(clippy::disallowed_methods, reason = "the loop handles short writes")]
            match stdin.write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    wait_writable(stdin, deadline)?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // Broken pipe: the end of its frames tells the rest.
                Err(_) => {
                    self.stdin = None;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The end of what it wrote to standard error, as text on one line. Waits a moment for what is
    /// still on its way from a process that has ended.
    pub fn last_words(&self) -> String {
        let deadline = Instant::now() + LAST_WORDS_WAIT;
        while self.reaped.is_some()
            && !self.stderr.ended.load(Ordering::Acquire)
            && Instant::now() < deadline
        {
            wait_a_little();
        }
        let kept = self.stderr.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let short = |line: &str| line.trim().chars().take(LAST_WORDS_CHARS).collect::<String>();
        let lines: Vec<String> = text.lines().map(short).filter(|line| !line.is_empty()).collect();
        lines.get(lines.len().saturating_sub(LAST_WORDS_LINES)..).unwrap_or_default().join(" | ")
    }

    /// Resident memory in bytes, now and at its peak; `None` when the process is gone.
    pub fn memory(&self) -> Option<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib * 1024)
        };
        Some((bytes("VmRSS:")?, bytes("VmHWM:")?))
    }

    /// Closes its standard input, which ends it, and waits at most `wait`; then asks the group by
    /// SIGTERM, and then kills it (`SPEC.md` section 12). Tells how it ended.
    pub fn end(&mut self, wait: Duration) -> Ending {
        self.stdin = None;
        let by_itself = self.ends_within(wait);
        if !by_itself {
            self.signal(Signal::SIGTERM);
            self.ends_within(TERM_WAIT);
        }
        self.kill();
        Ending { status: self.reaped, by_itself }
    }

    fn ends_within(&mut self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        loop {
            if self.poll_exit().is_some() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            wait_a_little();
        }
    }

    /// Kills it and everything in its process group, and waits for it.
    fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        if self.reaped.is_none() {
            self.reaped = self.process.wait().ok();
        }
    }

    fn signal(&self, signal: Signal) {
        if let Ok(group) = i32::try_from(self.id()) {
            // The group outlives its leader when the extractor started something.
            let _gone = killpg(Pid::from_raw(group), signal);
        }
    }

    fn poll_exit(&mut self) -> Option<ExitStatus> {
        if self.reaped.is_none() {
            self.reaped = self.process.try_wait().ok().flatten();
        }
        self.reaped
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stdin = None;
        self.kill();
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    status: Option<ExitStatus>,
    /// Not because the host sent it a signal.
    by_itself: bool,
}

impl Ending {
    /// Whether somebody else killed it: a signal that no fault of its own code raises.
    pub fn is_killed_from_outside(&self) -> bool {
        const FAULTS: [Signal; 7] = [
            Signal::SIGABRT,
            Signal::SIGBUS,
            Signal::SIGFPE,
            Signal::SIGILL,
            Signal::SIGSEGV,
            Signal::SIGSYS,
            Signal::SIGTRAP,
        ];
        let signal = self.status.and_then(|status| status.signal());
        self.by_itself && signal.is_some_and(|number| FAULTS.iter().all(|it| *it as i32 != number))
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(status) = self.status else { return f.write_str("did not end") };
        if !self.by_itself {
            f.write_str("did not end with its standard input; after a signal of the host it ")?;
        }
        match (status.code(), status.signal()) {
            (Some(code), _) => write!(f, "exited with code {code}")?,
            (None, Some(number)) => {
                let name = Signal::try_from(number).map_or("unknown", Signal::as_str);
                write!(f, "was killed by signal {number} ({name})")?;
            }
            (None, None) => f.write_str("ended")?,
        }
        if self.by_itself && status.signal() == Some(Signal::SIGKILL as i32) {
            f.write_str(
                ", most likely by the kernel because memory ran out (see dmesg); give it more \
                 memory, or set batch.bytes or tasks.max lower",
            )?;
        }
        Ok(())
    }
}

/// A pause while waiting for a process to end; there is no event to wait for without a signal
/// handler, which belongs to the program.
fn wait_a_little() {
    thread::sleep(Duration::from_millis(5));
}

fn wait_writable(stdin: &ChildStdin, deadline: Instant) -> Result<(), String> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLOUT)];
    match poll(&mut fds, timeout) {
        Ok(0) => Err(format!(
            "does not read its standard input (descriptor {}) for {} s",
            stdin.as_raw_fd(),
            WRITE_WAIT.as_secs()
        )),
        _ => Ok(()),
    }
}

fn read_frames(
    mut pipe: ChildStdout,
    mut frames: impl FnMut(FromChild) -> bool,
    bytes_read: impl Fn(usize),
) {
    let mut decoder = FrameDecoder::new(Direction::FromExtractor);
    let mut buf = BytesMut::with_capacity(4 * READ_BYTES);
    loop {
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(frame)) => {
                    if !frames(FromChild::Frame(frame)) {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    frames(FromChild::End(Some(error)));
                    return;
                }
            }
        }
        let filled = buf.len();
        buf.resize(filled + READ_BYTES, 0);
        let spare = buf.get_mut(filled..).unwrap_or_default();
        let taken = match pipe.read(spare) {
            Ok(taken) => taken,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                buf.truncate(filled);
                continue;
            }
            Err(_) => 0,
        };
        buf.truncate(filled + taken);
        if taken == 0 {
            frames(FromChild::End(decoder.end(&buf).err()));
            return;
        }
        bytes_read(taken);
    }
}

fn read_stderr(pipe: ChildStderr, stderr: &Stderr, line: impl Fn(&str)) {
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(STDERR_LINE_MAX).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let mut kept = stderr.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&bytes);
        let surplus = kept.len().saturating_sub(STDERR_KEPT);
        kept.drain(..surplus);
        drop(kept);
        line(String::from_utf8_lossy(&bytes).trim_end());
    }
    stderr.ended.store(true, Ordering::Release);
}

#[cfg(test)]
mod tests;
