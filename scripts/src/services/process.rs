//! Processes that outlive the one that started them, and signals that reach only them.
//!
//! May touch: /proc, signals, the log file given. Invariant: a signal is sent only to a process
//! whose start time and boot are those written down, so a recycled process id is never hit.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How often a waiting loop looks again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A process, told apart from any later one that is given the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// Clock ticks from boot to the start of the process (`/proc/PID/stat`, field 22).
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id` when it was started: ticks restart with the machine.
    pub boot_id: String,
}

impl Identity {
    /// Writes down who has this process id now.
    pub fn of(pid: i32) -> Result<Self> {
        let stat = read_stat(pid).with_context(|| format!("process {pid} ended at once"))?;
        Ok(Self { pid, start_ticks: stat.start_ticks, boot_id: boot_id()? })
    }

    /// Whether this very process still runs; one that only waits to be reaped does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        // Only succeeds for a child of ours, which would stay a zombie otherwise.
        waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG)).ok();
        let same_boot = boot_id().is_ok_and(|id| id == self.boot_id);
        same_boot
            && read_stat(self.pid)
                .is_some_and(|stat| stat.start_ticks == self.start_ticks && stat.runs)
    }

    /// Asks the process to end and waits; past `patience` it is killed. True when it ended itself.
    pub fn terminate(&self, patience: Duration) -> Result<bool> {
        if self.signal(Signal::SIGTERM)? && !self.wait_gone(patience) {
            self.kill()?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Kills the process (SIGKILL) and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        // Long enough for the kernel to free the memory of a large process on a busy machine.
        const KILL_WAIT: Duration = Duration::from_secs(20);
        if self.signal(Signal::SIGKILL)? && !self.wait_gone(KILL_WAIT) {
            bail!("process {} did not end within {KILL_WAIT:?} of SIGKILL", self.pid);
        }
        Ok(())
    }

    /// True when the signal was sent, false when the process is already gone.
    fn signal(&self, signal: Signal) -> Result<bool> {
        if !self.is_alive() {
            return Ok(false);
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) => Ok(true),
            Err(nix::errno::Errno::ESRCH) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("send {signal} to {}", self.pid)),
        }
    }

    fn wait_gone(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        true
    }
}

/// Starts a program in a session of its own, its output in `log`, so that neither a terminal's
/// signals nor the end of this process reach it.
pub(crate) fn spawn_detached(command: &Command, log: &Path) -> Result<Identity> {
    let out = fs::File::create(log).with_context(|| format!("create log {}", log.display()))?;
    let err = out.try_clone().context("share the log file")?;
    // setsid(1) becomes the program itself: it only forks when it leads a process group already.
    let mut detached = Command::new("setsid");
    detached.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => detached.env(name, value),
            None => detached.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        detached.current_dir(folder);
    }
    detached.stdin(Stdio::null()).stdout(out).stderr(err);
    let child = detached.spawn().context("start setsid (Debian package util-linux)")?;
    let pid = i32::try_from(child.id()).context("read the new process id")?;
    Identity::of(pid).with_context(|| format!("see log {}", log.display()))
}

struct Stat {
    runs: bool,
    start_ticks: u64,
}

fn read_stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field is the program's name in parentheses and may hold blanks and parentheses, so
/// fields are counted from the last closing one: state is field 3, the number of threads field 20,
/// the start time field 22. A killed process shows as a zombie as soon as its first thread is one;
/// it holds its files and ports until its other threads are gone, and runs until then.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let threads: u64 = fields.nth(16)?.parse().ok()?;
    let start_ticks = fields.nth(1)?.parse().ok()?;
    Some(Stat { runs: threads > 1 || !matches!(state, "Z" | "X" | "x"), start_ticks })
}

fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(fs::read_to_string(path).with_context(|| format!("read {path}"))?.trim().to_owned())
}

#[cfg(test)]
mod tests;
