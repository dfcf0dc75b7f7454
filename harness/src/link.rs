//! A session with one extractor: requests out, judged events in, and the deadlines between them.
//!
//! May touch: `child` and the clock. It decides when an extractor is broken or silent; what happens
//! then is decided by the task that owns it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use protocol::avro::Marker;
use protocol::limits::PARTS_MAX;
use protocol::message::{
    Configure, Extract, FEATURE_DIGEST, FEATURE_REFUSE, GetOffsets, Hello, PROTOCOL, Peer, Refused,
    Stop, StopMode, WireLimits,
};
use protocol::session::host::{Event, HostSession, Sent, SessionError};
use protocol::wire::{Frame, FrameError};
use protocol::{Code, Failure, OffsetKey, OffsetValue};

use crate::child::{Child, Ending, FromChild, SpawnError};
use crate::run::ExtractorCommand;

/// How long an extractor may take to answer HELLO.
pub const HELLO_WAIT: Duration = Duration::from_secs(5);
/// How long an extractor may take to answer CONFIGURE.
pub const CONFIGURE_WAIT: Duration = Duration::from_secs(10);
/// How long CHECK, DISCOVER, GET_OFFSETS and ASSIGN may take without PROGRESS.
pub const REQUEST_WAIT: Duration = Duration::from_secs(30);
/// How long a request may take with PROGRESS.
pub const REQUEST_WAIT_MAX: Duration = Duration::from_secs(300);
/// Silence on the pipe after which the host sends PING.
const PING_AFTER: Duration = Duration::from_secs(10);
/// How long an extractor may take to show a sign of life after PING.
const PONG_WAIT: Duration = Duration::from_secs(5);
/// How long STOP with drain may take.
pub const STOP_WAIT: Duration = Duration::from_secs(5);

/// Why a session ended, or a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The process could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The process ended, or is silent.
    #[error("{0}")]
    Gone(String),
    /// Somebody killed the process.
    #[error("{0}")]
    Killed(String),
    /// The process breaks the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The extractor says what failed.
    #[error("{0}")]
    Failed(Failure),
}

impl From<SessionError> for Fault {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Payload(failure) => Self::Protocol(failure.to_string()),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// A session with a running extractor.
#[derive(Debug)]
pub struct Link {
    child: Child,
    session: HostSession,
    /// Bytes read from the extractor, counted by its reader: life is judged by bytes, because one
    /// large frame on a slow pipe may take long.
    bytes_read: Arc<AtomicU64>,
    bytes_seen: u64,
    last_byte: Instant,
    last_progress: Instant,
    ping_sent: Option<Instant>,
    has_splits: bool,
    memory: u64,
    peak_memory: u64,
}

impl Link {
    /// Starts an extractor. `frames` and `lines` are called from threads of the child.
    pub fn start(
        command: &ExtractorCommand,
        frames: impl FnMut(FromChild) -> bool + Send + 'static,
        lines: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, SpawnError> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&bytes_read);
        let count = move |bytes: usize| {
            counter.fetch_add(bytes as u64, Ordering::Relaxed);
        };
        let child = Child::start(command, frames, count, lines)?;
        let now = Instant::now();
        Ok(Self {
            child,
            session: HostSession::default(),
            bytes_read,
            bytes_seen: 0,
            last_byte: now,
            last_progress: now,
            ping_sent: None,
            has_splits: false,
            memory: 0,
            peak_memory: 0,
        })
    }

    /// Sends HELLO.
    pub fn hello(&mut self, session: &str, log_level: &str) -> Result<u32, Fault> {
        let hello = Hello {
            protocols: vec![PROTOCOL],
            // What an extractor does to its rows before the checksum of a frame is found out by it.
            features: vec![FEATURE_DIGEST.to_owned(), FEATURE_REFUSE.to_owned()],
            limits: WireLimits::default(),
            host: Peer {
                name: "harness".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            session: session.to_owned(),
            log_level: log_level.to_owned(),
        };
        let sent = self.session.hello(&hello)?;
        self.send(sent)
    }

    /// Sends CONFIGURE.
    pub fn configure(&mut self, configure: &Configure) -> Result<u32, Fault> {
        let sent = self.session.configure(configure)?;
        self.send(sent)
    }

    /// Sends CHECK.
    pub fn check(&mut self) -> Result<u32, Fault> {
        let sent = self.session.check()?;
        self.send(sent)
    }

    /// Sends DISCOVER.
    pub fn discover(&mut self) -> Result<u32, Fault> {
        let sent = self.session.discover()?;
        self.send(sent)
    }

    /// Sends GET_OFFSETS.
    pub fn get_offsets(&mut self, question: &GetOffsets) -> Result<u32, Fault> {
        let sent = self.session.get_offsets(question)?;
        self.send(sent)
    }

    /// Whether the extractor can hand a refused row over as it was received.
    pub fn can_refuse(&self) -> bool {
        self.session.can_refuse()
    }

    /// Sends ASSIGN; rows that are `refused` come as error rows.
    pub fn assign(
        &mut self,
        epoch: u64,
        marker: Marker,
        incarnation: &str,
        parts: &[(OffsetKey, OffsetValue)],
        refused: &[Refused],
    ) -> Result<u32, Fault> {
        if parts.len() > PARTS_MAX {
            let text = format!(
                "one task has {} splits, and an extractor takes {PARTS_MAX} at most: raise \
                 tasks.max, or share the pipeline by more leaves",
                parts.len()
            );
            return Err(Fault::Failed(Failure::new(Code::ConfigInvalid, text)));
        }
        let sent = self.session.assign_without(epoch, marker, incarnation, parts, refused)?;
        self.has_splits = !parts.is_empty();
        self.send(sent)
    }

    /// Sends EXTRACT.
    pub fn extract(&mut self, extract: &Extract) -> Result<u32, Fault> {
        let sent = self.session.extract(extract)?;
        self.send(sent)
    }

    /// Sends CANCEL for a request.
    pub fn cancel(&mut self, seq: u32) -> Result<u32, Fault> {
        let sent = self.session.cancel(seq)?;
        self.send(sent)
    }

    /// Sends STOP with drain.
    pub fn stop(&mut self) -> Result<u32, Fault> {
        let deadline_ms = u64::try_from(STOP_WAIT.as_millis()).unwrap_or(u64::MAX);
        let sent = self.session.stop(Stop { mode: StopMode::Drain, deadline_ms })?;
        self.send(sent)
    }

    /// Sends PING, to see whether it lives.
    pub fn ping(&mut self) -> Result<u32, Fault> {
        let sent = self.session.ping(b"host")?;
        self.send(sent)
    }

    /// Whether the last ASSIGN gave it splits.
    pub fn has_splits(&self) -> bool {
        self.has_splits
    }

    /// Whether a request waits for its answer.
    pub fn is_waiting(&self) -> bool {
        self.session.is_waiting()
    }

    fn send(&mut self, sent: Sent) -> Result<u32, Fault> {
        self.child.write(&sent.bytes).map_err(|what| Fault::Gone(format!("extractor {what}")))?;
        Ok(sent.seq)
    }

    /// Judges a frame.
    pub fn receive(&mut self, frame: &Frame) -> Result<Event, Fault> {
        self.ping_sent = None;
        let event = self.session.receive(frame)?;
        match &event {
            Event::Progress(progress) => {
                self.last_progress = Instant::now();
                self.peak_memory = self.peak_memory.max(progress.rss_bytes);
            }
            Event::Stopped(stopped) => {
                self.peak_memory = self.peak_memory.max(stopped.max_rss_bytes);
            }
            _ => {}
        }
        Ok(event)
    }

    /// Judges the end of its frames and waits for the process: why it is gone.
    pub fn ended(&mut self, error: Option<FrameError>) -> Fault {
        if let Some(FrameError::BadMagic { seen, seq }) = &error {
            return Fault::Protocol(format!(
                "extractor wrote something else than frames to its standard output: frame {seq} \
                 begins with {:?} (hex {}); only frames may go to standard output",
                String::from_utf8_lossy(seen),
                hex(seen)
            ));
        }
        let how = self.child.end(Duration::from_secs(1));
        let words = self.child.last_words();
        let said = if words.is_empty() { String::new() } else { format!("; it said: {words}") };
        match error {
            None | Some(FrameError::Truncated { .. }) if how.is_killed_from_outside() => {
                Fault::Killed(format!("extractor {how}{said}"))
            }
            None => Fault::Gone(format!("extractor {how}{said}")),
            Some(error @ FrameError::Truncated { .. }) => {
                Fault::Gone(format!("extractor {how} ({error}){said}"))
            }
            Some(error) => Fault::Protocol(format!("extractor sends a damaged stream: {error}")),
        }
    }

    /// Looks at the clock: asks a silent extractor for a sign of life, and gives up on one that
    /// shows none. To be called a few times per second.
    pub fn tick(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        if let Some((resident, peak)) = self.child.memory() {
            self.memory = resident;
            self.peak_memory = self.peak_memory.max(peak);
        }
        let bytes = self.bytes_read.load(Ordering::Relaxed);
        if bytes != self.bytes_seen {
            (self.bytes_seen, self.last_byte, self.ping_sent) = (bytes, now, None);
            return Ok(());
        }
        match self.ping_sent {
            Some(sent) if now - sent > PONG_WAIT => {
                let silent = (now - self.last_byte).as_secs();
                Err(Fault::Gone(format!("extractor shows no sign of life for {silent} s")))
            }
            None if now - self.last_byte > PING_AFTER => {
                self.ping_sent = Some(now);
                self.ping().map(|_| ())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// When PROGRESS came last.
    pub fn last_progress(&self) -> Instant {
        self.last_progress
    }

    /// When the last byte was seen by [`Link::tick`].
    pub fn last_byte(&self) -> Instant {
        self.last_byte
    }

    /// Resident memory of the extractor as [`Link::tick`] saw it last, bytes.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Peak resident memory of the extractor, bytes.
    pub fn peak_memory(&self) -> u64 {
        self.peak_memory
    }

    /// Ends the process: closes its standard input, waits a second, then sends SIGTERM and kills.
    pub fn end(&mut self) -> Ending {
        self.child.end(Duration::from_secs(1))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
