//! What a process used: memory and processor time, from /proc.
//!
//! May touch: /proc, the children it is given. Invariant: a child is read before it is reaped, so
//! its numbers are final.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// Clock ticks in /proc: 100 on every processor, whatever the kernel's own clock (see proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory in bytes: now (`VmRSS`) or at its highest (`VmHWM`).
pub(super) fn memory(pid: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kib.with_context(|| format!("{path} has no {field}"))? * 1024)
}

/// Seconds of processor time so far, user and system.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let (_, rest) = text.rsplit_once(')').with_context(|| format!("{path} has no name"))?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    let user = ticks().with_context(|| format!("{path} has no user time"))?;
    let system = ticks().with_context(|| format!("{path} has no system time"))?;
    Ok((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

/// What a pipe is widened to: the most that Linux lets anybody ask for.
const PIPE_BYTES: i32 = 1 << 20;

/// Runs a program to its end, its output thrown away; one that fails is an error with its words.
pub(super) fn run(command: &mut Command) -> Result<Duration> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| format!("start {name}"))?;
    let status = child.wait().with_context(|| format!("wait for {name}"))?;
    let wall = begun.elapsed();
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(wall)
}

/// Reads a pipe to its end, widened first where the system allows, as the extractor's host does.
pub(super) fn discard(mut pipe: impl Read + AsFd) -> Result<()> {
    // The default is slower and no less right.
    fcntl(pipe.as_fd(), FcntlArg::F_SETPIPE_SZ(PIPE_BYTES)).ok();
    let mut room = vec![0; 1 << 20];
    while pipe.read(&mut room).context("read from a child")? > 0 {}
    Ok(())
}

/// Waits until a child has ended and tells its processor time; it is not reaped.
pub(super) fn wait_and_read(child: &Child) -> Result<f64> {
    let pid = Pid::from_raw(i32::try_from(child.id()).context("read a process id")?);
    waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
        .context("wait for a child")?;
    cpu_seconds(child.id())
}
