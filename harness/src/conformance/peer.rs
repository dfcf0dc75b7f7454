//! The host's end of the pipe, for checks: whole sessions with the protocol's own judge, and raw bytes.
//!
//! May touch: the process, through `process`. Invariants: no wait is without end; what is written and what
//! comes is on the tape.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use nix::sys::signal::Signal;
use protocol::message::{Log, Partitions, Progress, decode};
use protocol::session::host::{Event, HostSession, Sent};
use protocol::wire::{Direction, Frame, FrameDecoder, FrameSealer, Head, Kind};
use protocol::{Failure, OffsetKey, OffsetValue};
use serde_json::{Value, json};

use super::fault::{Fault, demand, miss};
use super::process::{Ended, Process};
use super::tape::Tape;
use crate::run::ExtractorCommand;

mod batch;
mod requests;

pub(super) use batch::{Batch, Row};
pub(super) use requests::{MARKER, credit, hello};

/// Bytes asked for in one read.
const READ_BYTES: usize = 1 << 16;

/// Silence after which a program that should have refused something is taken to have accepted it. What it read is
/// judged before the end of its input, so a slow one still refuses.
const PROBE_AFTER: Duration = Duration::from_secs(3);

/// Frames that are named when something else was due.
const NAMED_FRAMES: usize = 6;

/// What came beside answers.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) kinds: Vec<Kind>,
    pub(super) logs: Vec<Log>,
    pub(super) progress: Vec<Progress>,
    pub(super) news: Vec<Partitions>,
    pub(super) pongs: Vec<Vec<u8>>,
    /// Payloads of all frames, where a check asked for them.
    pub(super) payloads: Option<Vec<u8>>,
}

/// The host of one process.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) process: Process,
    pub(super) session: HostSession,
    /// Numbers frames of a check that speaks without the judge.
    pub(super) raw: FrameSealer,
    pub(super) seen: Seen,
    pub(super) patience: Duration,
    /// Where an ERROR is due and nothing comes, the input is ended, to see what the program makes of it.
    pub(super) probes: bool,
    decoder: FrameDecoder,
    unread: BytesMut,
    tape: Arc<Mutex<Tape>>,
    epoch: u64,
}

/// The KEY of a split of the test source.
pub(super) fn key(name: &str) -> OffsetKey {
    offset(OffsetKey::from_json(&json!({ "gen": name })))
}

/// A VALUE of the test source.
pub(super) fn row_value(row: u64) -> OffsetValue {
    value(&json!({ "row": row }))
}

/// Any VALUE.
pub(super) fn value(json: &Value) -> OffsetValue {
    offset(OffsetValue::from_json(json))
}

#[expect(clippy::panic, reason = "offsets of checks are written in this program")]
fn offset<T, E: std::fmt::Display>(made: Result<T, E>) -> T {
    made.unwrap_or_else(|error| panic!("an offset of a check: {error}"))
}

impl Peer {
    pub(super) fn start(
        command: &ExtractorCommand,
        reads_stderr: bool,
        patience: Duration,
        tape: Arc<Mutex<Tape>>,
    ) -> Result<Self, Fault> {
        Ok(Self {
            process: Process::start(command, reads_stderr)?,
            session: HostSession::default(),
            raw: FrameSealer::default(),
            seen: Seen::default(),
            patience,
            probes: false,
            decoder: FrameDecoder::new(Direction::FromExtractor),
            unread: BytesMut::new(),
            tape,
            epoch: 0,
        })
    }

    fn tape(&self, with: impl FnOnce(&mut Tape)) {
        with(&mut self.tape.lock().unwrap_or_else(PoisonError::into_inner));
    }

    // --- writing ---------------------------------------------------------------------------------

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.tape(|tape| tape.wrote(bytes));
        self.process.write(bytes, self.patience)
    }

    pub(super) fn send(&mut self, sent: &Sent) -> Result<(), Fault> {
        self.write(&sent.bytes)
    }

    /// Writes the pieces one by one, each after the one before was read.
    pub(super) fn write_pieces<'a>(
        &mut self,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Fault> {
        for piece in pieces {
            self.write(piece)?;
            self.process.wait_until_read(self.patience)?;
        }
        Ok(())
    }

    /// A frame of a check that speaks without the judge.
    pub(super) fn frame_of(&mut self, head: &Head, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = self.raw.seal(head, len32(payload), crc32c::crc32c(payload));
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(payload);
        bytes
    }

    /// Sends a request without the judge.
    pub(super) fn raw(&mut self, kind: Kind, epoch: u32, payload: &Value) -> Result<(), Fault> {
        let mut head = Head::new(kind, epoch);
        let text = payload.to_string();
        if matches!(kind, Kind::Configure | Kind::Update) {
            head = head.sensitive();
            self.tape(|tape| tape.restore(&text));
        }
        let bytes = self.frame_of(&head, text.as_bytes());
        self.write(&bytes)
    }

    pub(super) fn close_stdin(&mut self) {
        self.tape(|tape| tape.did("close"));
        self.process.close_stdin();
    }

    pub(super) fn signal(&mut self, signal: Signal) -> Result<(), Fault> {
        self.tape(|tape| tape.did(&format!("signal {}", signal as i32)));
        self.process.signal(signal)
    }

    // --- reading ---------------------------------------------------------------------------------

    /// The next frame; `None` at the end of the stream.
    pub(super) fn frame(&mut self, due: &str) -> Result<Option<Frame>, Fault> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(frame) = self.decode()? {
                return Ok(Some(frame));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.process.is_readable(left)? {
                let waited = self.patience.as_secs();
                return Err(miss(due, format!("nothing for {waited} s{}", self.after())));
            }
            if self.read(READ_BYTES)? == 0 {
                self.decoder.end(&self.unread)?;
                return Ok(None);
            }
        }
    }

    fn decode(&mut self) -> Result<Option<Frame>, Fault> {
        let Some(frame) = self.decoder.decode(&mut self.unread)? else { return Ok(None) };
        self.seen.kinds.push(frame.head.kind);
        if let Some(payloads) = &mut self.seen.payloads {
            payloads.extend_from_slice(&frame.payload);
            payloads.push(b'\n');
        }
        self.tape(|tape| tape.came(&frame));
        Ok(Some(frame))
    }

    /// Reads at most `max` bytes of what is there; 0 at the end.
    pub(super) fn read(&mut self, max: usize) -> Result<usize, Fault> {
        let bytes = self.process.read(max)?;
        self.unread.extend_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// Whether anything comes within this time.
    pub(super) fn hears(&self, wait: Duration) -> Result<bool, Fault> {
        Ok(!self.unread.is_empty() || self.process.is_readable(wait)?)
    }

    /// Holds the program to a smaller limit for data frames.
    pub(super) fn limit_frames(&mut self, bytes: u32) {
        self.decoder.limit_data(bytes);
    }

    /// The next event, whatever it is.
    pub(super) fn any_event(&mut self, due: &str) -> Result<Event, Fault> {
        match self.frame(due)? {
            Some(frame) => Ok(self.session.receive(&frame)?),
            None => Err(self.gone(due)),
        }
    }

    /// The next event that answers or carries something; what may come at any time is put aside.
    pub(super) fn event(&mut self, due: &str) -> Result<Event, Fault> {
        // PROGRESS alone must not keep a check alive.
        let deadline = Instant::now() + self.patience;
        loop {
            self.on_time(deadline, due)?;
            match self.any_event(due)? {
                Event::Log(log) => self.seen.logs.push(log),
                Event::Progress(progress) => self.seen.progress.push(progress),
                Event::Partitions(news) => self.seen.news.push(news),
                Event::Pong(bytes) => self.seen.pongs.push(bytes.to_vec()),
                // They come when ASSIGNED was answered, before the next rows.
                Event::Schema(_) => {}
                event => return Ok(event),
            }
        }
    }

    /// Ends a wait in which something comes, but not what is due.
    fn on_time(&mut self, deadline: Instant, due: &str) -> Result<(), Fault> {
        if Instant::now() < deadline {
            return Ok(());
        }
        let seen = format!("no answer for {} s{}", self.patience.as_secs(), self.after());
        Err(miss(due, seen))
    }

    /// The next ERROR, from a program that the judge does not follow.
    pub(super) fn raw_failure(&mut self, due: &str) -> Result<Failure, Fault> {
        let deadline = Instant::now() + self.patience;
        loop {
            self.on_time(deadline, due)?;
            if self.probes && !self.hears(PROBE_AFTER)? {
                self.probes = false;
                self.close_stdin();
            }
            let Some(frame) = self.frame(due)? else { return Err(self.gone(due)) };
            match frame.head.kind {
                Kind::Error => return read(&frame),
                Kind::Log | Kind::Progress | Kind::Pong | Kind::HelloOk | Kind::Schema => {}
                _ => return Err(miss(due, seen_frame(&frame))),
            }
        }
    }

    /// The next frame of this type, from a program that the judge does not follow.
    pub(super) fn raw_answer(&mut self, kind: Kind) -> Result<Frame, Fault> {
        let due = kind.name();
        let deadline = Instant::now() + self.patience;
        loop {
            self.on_time(deadline, due)?;
            let Some(frame) = self.frame(due)? else { return Err(self.gone(due)) };
            match frame.head.kind {
                it if it == kind => return Ok(frame),
                Kind::Error => return Err(miss(due, seen_frame(&frame))),
                _ => {}
            }
        }
    }

    /// Reads to the end of the stream; the frames that came.
    pub(super) fn rest(&mut self) -> Result<Vec<Frame>, Fault> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame("the end of the stream")? {
            frames.push(frame);
        }
        Ok(frames)
    }

    // --- the end ---------------------------------------------------------------------------------

    /// How the program ends, which must be within this time.
    pub(super) fn ends_within(&mut self, wait: Duration, due: &str) -> Result<Ended, Fault> {
        match self.process.wait(wait) {
            Some(ended) => Ok(ended),
            None => Err(miss(due, format!("it runs on after {} ms", wait.as_millis()))),
        }
    }

    /// The program ends with this code.
    pub(super) fn exits(&mut self, code: i32) -> Result<(), Fault> {
        let due = format!("exit code {code}");
        let ended = self.ends_within(self.patience, &due)?;
        demand(ended == Ended::Code(code), due, || ended.to_string())
    }

    /// A program that ended when something else was due.
    pub(super) fn gone(&mut self, due: &str) -> Fault {
        let ended = self.process.wait(self.patience);
        let end = ended.map_or_else(|| "no exit".to_owned(), |ended| ended.to_string());
        miss(due, format!("the end of its output, and {end}{}", self.after()))
    }

    /// What came before, and the end of standard error.
    fn after(&mut self) -> String {
        let from = self.seen.kinds.len().saturating_sub(NAMED_FRAMES);
        let kinds: Vec<&str> = self.seen.kinds.iter().skip(from).map(|kind| kind.name()).collect();
        let stderr = self.process.stderr();
        let stderr = String::from_utf8_lossy(&stderr);
        let words = stderr.lines().rfind(|line| !line.trim().is_empty());
        let before = match kinds.is_empty() {
            true => String::new(),
            false => format!(", after {}", kinds.join(" ")),
        };
        words.map_or_else(|| before.clone(), |words| format!("{before}; its stderr ends: {words}"))
    }
}

/// The payload of a control frame.
pub(super) fn read<T: serde::de::DeserializeOwned>(frame: &Frame) -> Result<T, Fault> {
    let kind = frame.head.kind;
    decode(kind, &frame.payload)
        .map_err(|failure| Fault::Broken { rule: "H12", seen: failure.to_string() })
}

/// A frame, in a sentence.
pub(super) fn seen_frame(frame: &Frame) -> String {
    let name = frame.head.kind.name();
    if frame.head.kind.carries_data() {
        return format!("{name} with {} bytes", frame.payload.len());
    }
    format!("{name} {}", String::from_utf8_lossy(&frame.payload))
}

/// An event that is not the one that was due.
pub(super) fn other_event(due: &str, event: &Event) -> Fault {
    let seen = match event {
        Event::Failed { failure, .. } => format!("ERROR {failure}"),
        other => format!("{other:?}"),
    };
    miss(due, seen)
}

fn len32(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).unwrap_or(u32::MAX)
}
