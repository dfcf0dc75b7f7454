//! Calls into the operating system. The only file with `nix`, `libc` and `unsafe`; nothing else of
//! the extractor touches descriptors, signals or process attributes.
//!
//! Invariant: after [`take_over`] descriptor 0 is `/dev/null`, 1 and 2 lead to our own stderr pump,
//! and the pipes of the host are private descriptors that close on exec.

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, getppid};

/// Heaps that the allocator keeps for threads.
///
/// Why 2: what one thread frees for another goes back to the heap that it came from and stays
/// there, so that each broker's thread would hold on to as much as it ever had in the queue. Two
/// are one for the thread that encodes and one for the client's.
const HEAPS_MAX: i32 = 2;

/// Bytes of a buffer up to which it comes from a heap, and not each time anew from the system.
///
/// Why 32 MiB: the most that glibc takes, and more than an answer of a broker has. Every page that
/// comes from the system is cleared and mapped first, which costs more than to fill it: with glibc's
/// own choice a twentieth of the processor time at 1 KB records.
const HEAP_BYTES_MAX: i32 = 32 * 1024 * 1024;

/// Free bytes at the end of a heap that are not given back to the system.
///
/// Why 16 MiB: what `kafka.memory.bytes` allows by default comes and goes all the time.
const FREE_BYTES_KEPT: i32 = 16 * 1024 * 1024;

/// Asked for the pipe to the host. Why 1 MiB: four times the throughput of the 64 KiB default, and
/// the most that an unprivileged process gets.
const PIPE_BYTES: i32 = 1024 * 1024;

/// Bytes that a pipe which polls writable takes without blocking.
pub(super) const ATOMIC_BYTES: usize = 4096;

/// Whether a debugger and other processes of the same user may look into this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dumpable {
    /// Not even a core file: the process holds credentials.
    #[default]
    No,
    /// For tests that read `/proc`.
    Yes,
}

/// The descriptors of the host, taken away from everybody else.
#[derive(Debug)]
pub(super) struct Ends {
    /// Requests.
    pub from_host: File,
    /// Answers.
    pub to_host: File,
    /// Where people read.
    pub stderr: File,
    /// What this process and its libraries print.
    pub printed: PipeReader,
}

/// Whether both descriptors 0 and 1 are pipes or sockets; otherwise what the wrong one is.
pub(super) fn wrong_end() -> Option<&'static str> {
    let wrong = |fd: io::Result<OwnedFd>, name| {
        let kind = fd.map(File::from).and_then(|file| file.metadata()).map(|m| m.file_type());
        let right = kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket());
        (!right).then_some(name)
    };
    wrong(io::stdin().as_fd().try_clone_to_owned(), "standard input")
        .or_else(|| wrong(io::stdout().as_fd().try_clone_to_owned(), "standard output"))
}

/// Takes the pipes away from descriptors 0 and 1, so that no library can write into them.
pub(super) fn take_over() -> io::Result<Ends> {
    let from_host = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let to_host = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let (printed, writer) = io::pipe()?;
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(&writer)?;
    dup2_stderr(&writer)?;
    // Refused when the user has too many large pipes (EPERM) and on sockets; both only cost speed.
    let _size = fcntl(&to_host, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    Ok(Ends { from_host, to_host, stderr, printed })
}

/// Keeps credentials out of core files and away from other processes of the user.
pub(super) fn harden(dumpable: Dumpable) -> io::Result<()> {
    if dumpable == Dumpable::No {
        prctl::set_dumpable(false)?;
    }
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(())
}

/// Keeps the allocator from a heap for each thread, and from giving back what it needs again at
/// once; call it before there are any threads.
pub(super) fn share_heaps() {
    #[cfg(target_env = "gnu")]
    for (what, number) in [
        (libc::M_ARENA_MAX, HEAPS_MAX),
        (libc::M_MMAP_THRESHOLD, HEAP_BYTES_MAX),
        (libc::M_TRIM_THRESHOLD, FREE_BYTES_KEPT),
    ] {
        #[expect(unsafe_code, reason = "glibc has no other way but the environment")]
        // SAFETY: it sets a number inside the allocator; a value that it does not like is refused.
        unsafe {
            libc::mallopt(what, number);
        }
    }
}

/// Gives free memory of all heaps back to the system, whole pages of it.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "glibc has no safe way")]
    // SAFETY: it touches nothing but memory that is free, under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Blocks SIGINT and SIGHUP for good, and SIGTERM for [`wait_for_sigterm`]. Threads inherit it.
pub(super) fn block_signals() -> io::Result<()> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGTERM] {
        set.add(signal);
    }
    Ok(set.thread_block()?)
}

/// Returns when SIGTERM comes.
pub(super) fn wait_for_sigterm() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    while set.wait() != Ok(Signal::SIGTERM) {}
}

/// Process id of the parent; another one than before means that the parent died.
pub(super) fn parent() -> i32 {
    getppid().as_raw()
}

/// Reads some bytes, also from a descriptor that the host made non-blocking.
pub(super) fn read_some(mut from: &File, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(into) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                wait_for(from, PollFlags::POLLIN, PollTimeout::NONE)?;
            }
            other => return other,
        }
    }
}

/// Writes all bytes, also to a descriptor that the host made non-blocking.
#[expect(clippy::disallowed_methods, reason = "short writes are continued by the loop")]
pub(super) fn write_whole(mut to: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                wait_for(to, PollFlags::POLLOUT, PollTimeout::NONE)?;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Whether a write of at most [`ATOMIC_BYTES`] would not block.
pub(super) fn is_writable(to: &File) -> bool {
    wait_for(to, PollFlags::POLLOUT, PollTimeout::ZERO).unwrap_or(false)
}

/// Whether a read would give something.
pub(super) fn is_readable(from: &impl AsFd) -> bool {
    wait_for(from, PollFlags::POLLIN, PollTimeout::ZERO).unwrap_or(false)
}

fn wait_for(file: &impl AsFd, flags: PollFlags, timeout: PollTimeout) -> io::Result<bool> {
    let mut fds = [PollFd::new(file.as_fd(), flags)];
    Ok(poll(&mut fds, timeout)? > 0)
}

/// Peak resident memory in bytes; 0 where `/proc` is not mounted. (What `getrusage` says counts the
/// program that started this one, before exec.)
pub(crate) fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Resident memory in bytes; 0 where `/proc` is not mounted.
pub(super) fn rss_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|field| field.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE_BYTES
}

/// Ends the process at once: no destructor, no handler of a library can hang.
pub(super) fn exit_now(code: u8) -> ! {
    #[expect(unsafe_code, reason = "the standard library runs exit handlers first")]
    // SAFETY: `_exit` takes any number and does not return; nothing of this process is used after.
    unsafe {
        libc::_exit(i32::from(code))
    }
}

/// Pause of a thread that has nothing else to wait for.
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}
