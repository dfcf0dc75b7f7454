//! Starting a process that inherits nothing but its three pipes and dies with this one.
//!
//! Unsafe code: `pre_exec`, whose closure runs between fork and exec and may only make
//! async-signal-safe calls.
#![expect(unsafe_code, reason = "pre_exec is the only place to set what a child must have at exec")]

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::{io, thread};

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};
use thiserror::Error;

use crate::run::ExtractorCommand;

/// Environment variables that an extractor keeps; no configuration travels by environment.
pub(super) const KEPT: [&str; 8] =
    ["PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "NO_PROXY"];

/// Descriptors that an extractor may open.
const FILES_MAX: u64 = 4096;

/// Why an extractor could not be started.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct SpawnError(String);

impl From<io::Error> for SpawnError {
    fn from(error: io::Error) -> Self {
        Self(match error.kind() {
            io::ErrorKind::NotFound => "no such file; build it with cargo build --release, or \
                                        name it with --extractor"
                .to_owned(),
            io::ErrorKind::PermissionDenied => "it is not executable; chmod +x it".to_owned(),
            _ => error.to_string(),
        })
    }
}

impl From<nix::Error> for SpawnError {
    fn from(error: nix::Error) -> Self {
        Self(error.to_string())
    }
}

/// A request to the spawner.
struct Job {
    command: Command,
    answer: SyncSender<io::Result<std::process::Child>>,
}

/// Starts the extractor's process.
pub(crate) fn spawn(command: &ExtractorCommand) -> Result<std::process::Child, SpawnError> {
    let (answer, answered) = sync_channel(1);
    let job = Job { command: prepare(command), answer };
    let gone = |_| SpawnError("the thread that starts extractors is gone".to_owned());
    spawner()?.send(job).map_err(|_| gone(()))?;
    Ok(answered.recv().map_err(|_| gone(()))??)
}

/// Starts a named thread.
pub(super) fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), SpawnError> {
    thread::Builder::new().name(name.to_owned()).spawn(work)?;
    Ok(())
}

/// The one thread that starts extractors. The parent-death signal is sent when the *thread* that
/// forked ends, so that thread must live as long as the process.
fn spawner() -> Result<&'static SyncSender<Job>, SpawnError> {
    static SPAWNER: OnceLock<SyncSender<Job>> = OnceLock::new();
    if let Some(sender) = SPAWNER.get() {
        return Ok(sender);
    }
    let (sender, jobs) = sync_channel::<Job>(16);
    thread("spawner", move || {
        while let Ok(mut job) = jobs.recv() {
            // Nobody waits for the answer only when this process is ending.
            let _unheard = job.answer.send(job.command.spawn());
        }
    })?;
    Ok(SPAWNER.get_or_init(|| sender))
}

fn prepare(extractor: &ExtractorCommand) -> Command {
    let mut command = Command::new(&extractor.program);
    command
        .args(&extractor.args)
        .current_dir("/")
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| KEPT.iter().any(|kept| name == kept)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let host = getpid();
    // SAFETY: the closure makes system calls only; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(move || before_exec(host)) };
    command
}

/// Runs in the child between fork and exec: async-signal-safe calls only.
fn before_exec(host: Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The host may have died before the line above took effect.
    if getppid() != host {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    prctl::set_no_new_privs()?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // A hard limit below this one stays as it is.
    let _lower = setrlimit(Resource::RLIMIT_NOFILE, FILES_MAX, FILES_MAX);
    // SAFETY: both calls take plain values or a pointer to a static string, and touch no memory
    // of this process. Failure is fine: an old kernel, or a container without /proc.
    unsafe {
        libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC.cast_signed());
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY);
        if file >= 0 {
            // When memory runs out, the kernel shall shoot the extractor, not the database.
            libc::write(file, c"500".as_ptr().cast(), 3);
            libc::close(file);
        }
    }
    Ok(())
}
