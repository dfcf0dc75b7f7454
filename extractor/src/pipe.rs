//! The process's ends of the two pipes: the only place that touches stdin, stdout, descriptors,
//! signals and process attributes.
//!
//! ```text
//!            ┌ reader thread ─► inbox ─► pump (main thread) ─► outbox ─► writer thread ┐
//!  host ═════╡      │ PING                                       ▲                     ╞═════► host
//!            │      └────────────────────────────────────────────┤ PONG                │
//!            └ board ◄─ watchdog: parent, deadline, PROGRESS ────┘                     ┘
//! ```
//!
//! Invariants: one thread writes; the reader never blocks on anything but the host; the end of
//! stdin ends the process whatever the other threads do.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::message::{Phase, Progress, encode};
use protocol::wire::{Head, Kind};
use protocol::{Code, Failure};

mod board;
mod buffer;
mod inbox;
mod os;
mod outbox;
mod reader;
mod stderr;
mod watchdog;
mod writer;

pub use board::Board;
pub use buffer::{OutFrame, Pool, ROOM};
pub use inbox::{Inbound, Inbox};
pub use os::Dumpable;
pub use outbox::Outbox;
pub use stderr::Stderr;

use crate::redact::Redactor;

/// How long a last message may take to leave. Why 900 ms: the process must be gone within a second
/// after its stdin ended.
const LAST_WORDS_MAX: Duration = Duration::from_millis(900);

/// How long a panicking thread waits for a lock that it may hold itself.
const PANIC_LOCK_MAX: Duration = Duration::from_millis(200);

/// Everything that the threads of this process share.
#[derive(Debug)]
pub struct Link {
    /// From the host to the pump.
    pub inbox: Inbox,
    /// To the host.
    pub outbox: Outbox,
    /// What the pump is busy with.
    pub board: Board,
    /// Knows the secrets.
    pub redactor: Arc<Redactor>,
    /// Where people read.
    pub stderr: Arc<Stderr>,
}

/// Why there is no host.
#[derive(Debug)]
pub enum NoHost {
    /// A descriptor is no pipe: a person started the program.
    NotAPipe(&'static str),
    /// The operating system refused something.
    Os(io::Error),
}

impl From<io::Error> for NoHost {
    fn from(error: io::Error) -> Self {
        Self::Os(error)
    }
}

/// Takes the pipes over and starts the threads around them. Called once, first thing in `main`.
///
/// # Errors
/// Nothing was changed when a descriptor is no pipe.
pub fn open(dumpable: Dumpable) -> Result<Arc<Link>, NoHost> {
    if let Some(wrong) = os::wrong_end() {
        return Err(NoHost::NotAPipe(wrong));
    }
    let parent = os::parent();
    let ends = os::take_over()?;
    os::share_heaps();
    os::harden(dumpable)?;
    os::block_signals()?;
    let redactor = Arc::new(Redactor::default());
    let stderr =
        Arc::new(Stderr::new(ends.stderr, Arc::clone(&redactor), Some(ends.printed.try_clone()?)));
    let link = Arc::new(Link {
        inbox: Inbox::default(),
        outbox: Outbox::default(),
        board: Board::default(),
        redactor,
        stderr,
    });
    hook_panics(Arc::clone(&link));
    let (to_host, from_host, printed) = (ends.to_host, ends.from_host, ends.printed);
    spawn("writer", &link, move |link| writer::run(link, &to_host))?;
    spawn("reader", &link, move |link| reader::run(link, &from_host))?;
    spawn("stderr", &link, move |link| stderr::run(&link.stderr, printed))?;
    spawn("watchdog", &link, move |link| watchdog::run(link, parent))?;
    spawn("signals", &link, watchdog::listen)?;
    Ok(link)
}

fn spawn(name: &str, link: &Arc<Link>, run: impl FnOnce(&Link) + Send + 'static) -> io::Result<()> {
    let link = Arc::clone(link);
    std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&link))?;
    Ok(())
}

/// Prints for a person, before [`open`].
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Peak resident memory in bytes.
pub fn peak_rss_bytes() -> u64 {
    os::peak_rss_bytes()
}

/// Gives memory that is free back to the system, after much of it was in use. It costs as much as taking
/// those pages anew, so it is for the end of a burst.
pub fn give_back_memory() {
    os::give_back();
}

impl Link {
    /// Ends the process because of `failure`: tells the host, then leaves with the class's code.
    pub fn fail(&self, failure: Failure, head: Head) -> ! {
        let code = failure.class.exit_code();
        let failure = self.redactor.failure(failure.fatal());
        self.stderr.say(&format!("fatal: {failure}"));
        self.outbox.finish(OutFrame::control(head, &encode(&failure)), LAST_WORDS_MAX);
        self.stderr.drain();
        os::exit_now(code)
    }

    /// Ends the process well, with a last frame.
    pub fn leave(&self, last: OutFrame, wait: Duration) -> ! {
        let class = protocol::Class::Transient;
        let code = if self.outbox.finish(last, wait) { 0 } else { class.exit_code() };
        self.stderr.drain();
        os::exit_now(code)
    }

    /// The pump waits until `at` because of `message`: the host is told at once.
    pub fn back_off(&self, at: Instant, phase: Phase, message: String) {
        self.board.back_off(at, phase, message);
        self.progress();
    }

    /// The pump goes on reading after [`Link::back_off`].
    pub fn polling(&self) {
        self.board.polling();
        self.progress();
    }

    /// Tells the host why an answer takes long, if one is due.
    fn progress(&self) {
        let Some(busy) = self.board.due() else { return };
        let message = busy.message.map(|text| self.redactor.text(&text).into_owned());
        let progress = Progress {
            phase: busy.phase,
            retry_after_ms: busy.retry_after_ms,
            rss_bytes: os::rss_bytes(),
            message,
        };
        let head = Head::new(Kind::Progress, busy.epoch).answers(busy.seq);
        self.outbox.progress(OutFrame::control(head, &encode(&progress)));
    }
}

/// A panic is a bug of ours: the host gets a last message without any text of the panic, which may
/// quote rows, and the process ends, whichever thread it was.
fn hook_panics(link: Arc<Link>) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic
            .location()
            .map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
        let text = format!("the extractor has a bug{place}; report it with this line");
        let failure = Failure::new(Code::Panic, text).fatal();
        let code = failure.class.exit_code();
        link.stderr.say(&format!("fatal: {failure}"));
        if std::thread::current().name() != Some("writer") {
            let frame = OutFrame::control(Head::new(Kind::Error, 0), &encode(&failure));
            link.outbox.finish_in_panic(frame, PANIC_LOCK_MAX, LAST_WORDS_MAX);
        }
        os::exit_now(code)
    }));
}

#[cfg(test)]
impl Link {
    /// A link without threads: frames stay in the outbox.
    pub(crate) fn alone() -> Arc<Self> {
        let redactor = Arc::new(Redactor::default());
        let file = std::fs::File::create("/dev/null").expect("opens");
        let stderr = Arc::new(Stderr::new(file, Arc::clone(&redactor), None));
        let (inbox, outbox, board) = (Inbox::default(), Outbox::default(), Board::default());
        Arc::new(Self { inbox, outbox, board, redactor, stderr })
    }

    /// The next queued frame with its payload and the checksum that its maker computed.
    pub(crate) fn take_frame(&self) -> Option<(Head, Vec<u8>, u32)> {
        self.outbox.try_next().map(|mut frame| {
            let (head, crc) = (frame.head, frame.crc());
            let payload = frame.whole([0; protocol::limits::HEADER_LEN]).to_vec();
            self.outbox.written(frame);
            (head, payload[protocol::limits::HEADER_LEN..].to_vec(), crc)
        })
    }
}

/// A lock whose holder panicked is still good: the process ends anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the pump is busy with, as PROGRESS tells it.
#[derive(Debug)]
struct Busy {
    seq: u32,
    epoch: u32,
    phase: Phase,
    retry_after_ms: Option<u64>,
    message: Option<String>,
}

#[cfg(test)]
mod tests;
