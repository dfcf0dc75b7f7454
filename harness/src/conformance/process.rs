//! The program under test as a process: three pipes, bounded waits, nothing left behind.
//!
//! May touch: processes, pipes, signals. Invariant: dropping it kills the process group.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::fault::{Fault, miss};
use crate::child;
use crate::run::ExtractorCommand;

/// Bytes of standard error that are kept.
const STDERR_KEPT: usize = 1 << 20;

/// A pause between two looks at a process that is about to end.
const LOOK: Duration = Duration::from_millis(5);

/// How long a program that talks to nobody may take.
const PLAIN_WAIT: Duration = Duration::from_secs(20);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        status.code().map_or_else(|| Self::Signal(status.signal().unwrap_or(0)), Self::Code)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "death by signal {number}"),
        }
    }
}

/// A running program.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// Kept unread when the check wants so.
    unread_stderr: Option<ChildStderr>,
    stderr: Arc<Mutex<Vec<u8>>>,
    stderr_thread: Option<thread::JoinHandle<()>>,
    ended: Option<Ended>,
}

impl Process {
    /// Starts the program as a host does; with `reads_stderr` its standard error is read all the time.
    pub(super) fn start(command: &ExtractorCommand, reads_stderr: bool) -> Result<Self, Fault> {
        let mut child = child::spawn(command)?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            return Err(Fault::Skip("a process without pipes".to_owned()));
        };
        if let Some(pipe) = &stdin {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let kept = Arc::new(Mutex::new(Vec::new()));
        let mut process = Self {
            child,
            stdin,
            stdout,
            unread_stderr: None,
            stderr: Arc::clone(&kept),
            stderr_thread: None,
            ended: None,
        };
        match reads_stderr {
            true => {
                let read = move || read_stderr(stderr, &kept);
                let thread = thread::Builder::new().name("stderr".to_owned()).spawn(read)?;
                process.stderr_thread = Some(thread);
            }
            false => process.unread_stderr = Some(stderr),
        }
        Ok(process)
    }

    pub(super) fn id(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// Writes everything, or says that the program does not read. A program that is gone shows where its
    /// frames are read.
    pub(super) fn write(&mut self, bytes: &[u8], wait: Duration) -> Result<(), Fault> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        let deadline = Instant::now() + wait;
        let mut rest = bytes;
        while !rest.is_empty() {
            #[expect(clippy::disallowed_methods, reason = "the loop handles short writes")]
            match stdin.write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !is_ready(stdin.as_fd(), PollFlags::POLLOUT, until(deadline))? {
                        let seen = format!("it does not read for {} s", wait.as_secs());
                        return Err(miss("a program that always reads its input", seen));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.stdin = None;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Makes the pipe to the program one page, so that [`Self::wait_until_read`] can tell.
    fn narrow(&self) -> Result<(), Fault> {
        if let Some(stdin) = &self.stdin {
            fcntl(stdin, FcntlArg::F_SETPIPE_SZ(1))?;
        }
        Ok(())
    }

    /// Waits until the program has taken all that was written: a pipe of one page takes more only when it is
    /// empty.
    pub(super) fn wait_until_read(&self, wait: Duration) -> Result<(), Fault> {
        let Some(stdin) = &self.stdin else { return Ok(()) };
        let deadline = Instant::now() + wait;
        // A pipe that holds more than a page cannot be made smaller.
        while self.narrow().is_err() {
            if Instant::now() > deadline {
                return Err(miss("a program that always reads its input", "it does not read"));
            }
            thread::sleep(LOOK);
        }
        match is_ready(stdin.as_fd(), PollFlags::POLLOUT, until(deadline))? {
            true => Ok(()),
            false => Err(miss("a program that always reads its input", "it does not read")),
        }
    }

    pub(super) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Whether something can be read within this time.
    pub(super) fn is_readable(&self, wait: Duration) -> Result<bool, Fault> {
        is_ready(self.stdout.as_fd(), PollFlags::POLLIN, wait)
    }

    /// Reads what is there, at most `max` bytes; 0 at the end.
    pub(super) fn read(&mut self, max: usize) -> Result<Vec<u8>, Fault> {
        let mut bytes = vec![0; max];
        let taken = match self.stdout.read(&mut bytes) {
            Ok(taken) => taken,
            Err(error) if error.kind() == ErrorKind::Interrupted => return self.read(max),
            Err(_) => 0,
        };
        bytes.truncate(taken);
        Ok(bytes)
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), Fault> {
        if self.ended.is_none() {
            kill(Pid::from_raw(self.id()), signal)?;
        }
        Ok(())
    }

    /// How it ends, if it does within this time.
    pub(super) fn wait(&mut self, wait: Duration) -> Option<Ended> {
        let deadline = Instant::now() + wait;
        while self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten().map(Ended::from);
            if self.ended.is_some() || Instant::now() >= deadline {
                break;
            }
            thread::sleep(LOOK);
        }
        self.ended
    }

    /// What it wrote to standard error so far; all of it once it has ended.
    pub(super) fn stderr(&mut self) -> Vec<u8> {
        if self.ended.is_some()
            && let Some(thread) = self.stderr_thread.take()
        {
            self.kill_group();
            drop(thread.join());
        }
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn kill_group(&self) {
        let _gone = killpg(Pid::from_raw(self.id()), Signal::SIGKILL);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
        if self.ended.is_none() {
            drop(self.child.wait());
        }
    }
}

fn read_stderr(mut pipe: ChildStderr, kept: &Mutex<Vec<u8>>) {
    let mut bytes = [0; 16 << 10];
    while let Ok(taken @ 1..) = pipe.read(&mut bytes) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = STDERR_KEPT.saturating_sub(kept.len()).min(taken);
        kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }
}

fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn is_ready(
    fd: std::os::fd::BorrowedFd<'_>,
    flags: PollFlags,
    wait: Duration,
) -> Result<bool, Fault> {
    let deadline = Instant::now() + wait;
    loop {
        let timeout = PollTimeout::try_from(until(deadline)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, flags)], timeout) {
            Ok(count) => return Ok(count > 0),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a program did that was started without a host.
pub(super) struct Plain {
    pub(super) ended: Ended,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs the program with `more` arguments, and an input that is not a pipe unless `pipe`.
pub(super) fn plain(command: &ExtractorCommand, more: &[&str], pipe: bool) -> Result<Plain, Fault> {
    let stdin = if pipe { Stdio::piped() } else { Stdio::null() };
    let child = Command::new(&command.program)
        .args(&command.args)
        .args(more)
        .current_dir("/")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child =
        child.map_err(|error| miss("a program that can be started", error.to_string()))?;
    let input = child.stdin.take();
    let deadline = Instant::now() + PLAIN_WAIT;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            let seen = format!("it runs on for {} s", PLAIN_WAIT.as_secs());
            return Err(miss("a program that ends by itself", seen));
        }
        thread::sleep(LOOK);
    }
    drop(input);
    let output = child.wait_with_output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Ok(Plain { ended: output.status.into(), stdout, stderr })
}
