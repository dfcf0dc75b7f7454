//! A transcript, played once more against a program: the same bytes in the same order.
//!
//! May touch: the process, through `peer`'s neighbours. Invariant: what differs is told with both sides; what
//! may overtake (PONG, PROGRESS, LOG) is not compared.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use nix::sys::signal::Signal;
use protocol::wire::{Direction, Frame, FrameDecoder, FrameSealer, Head, Kind, NONE};

use super::fault::Fault;
use super::files::TITLE;
use super::process::Process;
use super::tape::unhex;
use crate::run::ExtractorCommand;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes asked for in one read.
const READ_BYTES: usize = 1 << 16;

/// Most frames before a secret one. Why: a transcript has fewer lines.
const SEALED_MAX: u32 = 100_000;

/// How a replay went.
#[derive(Debug)]
pub struct Replayed {
    /// What went over the pipe, one line each.
    pub lines: Vec<String>,
    /// Where the program did something else than recorded.
    pub differences: usize,
}

/// A step of a transcript.
#[derive(Debug)]
enum Step {
    Write(Vec<u8>),
    Restore(String),
    Close,
    Signal(i32),
    /// Type and ref of a frame that came.
    Came(Kind, u32),
}

/// Plays the text of a transcript.
///
/// # Errors
/// The text is no transcript, or the program cannot be started: one line.
pub fn replay(text: &str, command: &ExtractorCommand) -> Result<Replayed, String> {
    let mut command = command.clone();
    let steps = parse(text, &mut command.args)?;
    let told = |fault: Fault| match fault {
        Fault::Miss { expected, seen } => format!("expected {expected}, seen {seen}"),
        Fault::Broken { seen, .. } | Fault::Skip(seen) => seen,
    };
    let process = Process::start(&command, true).map_err(told)?;
    let decoder = FrameDecoder::new(Direction::FromExtractor);
    let mut player =
        Player { process, decoder, unread: BytesMut::new(), lines: Vec::new(), differences: 0 };
    let mut restored = None;
    for step in steps {
        match player.play(step, &mut restored) {
            Ok(true) => {}
            Ok(false) => break,
            Err(fault) => {
                player.differ(&told(fault));
                break;
            }
        }
    }
    Ok(Replayed { lines: player.lines, differences: player.differences })
}

fn parse(text: &str, args: &mut Vec<String>) -> Result<Vec<Step>, String> {
    if !text.starts_with(TITLE) {
        return Err(format!("this is no transcript: its first line is not \"{TITLE}\""));
    }
    let mut steps = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("line {} of the transcript {what}", index + 1);
        let Some((word, rest)) = line.split_once(' ') else { continue };
        match word {
            ">" => {
                let bytes = unhex(rest).ok_or_else(|| wrong("holds no bytes in hexadecimal"))?;
                steps.push(Step::Write(bytes));
            }
            "restore:" => steps.push(Step::Restore(rest.to_owned())),
            "<" => steps.push(came(rest).ok_or_else(|| wrong("is no frame"))?),
            "!" => match rest.split_once(' ') {
                None if rest == "close" => steps.push(Step::Close),
                Some(("signal", number)) => {
                    let number = number.parse().map_err(|_| wrong("names no signal"))?;
                    steps.push(Step::Signal(number));
                }
                Some(("args", more)) => args.extend(more.split(' ').map(ToOwned::to_owned)),
                _ => return Err(wrong("has an action that this version does not know")),
            },
            _ => {}
        }
    }
    Ok(steps)
}

fn came(rest: &str) -> Option<Step> {
    let kind = u8::from_str_radix(rest.split(' ').next()?, 16).ok()?;
    let reference = rest.split(' ').find_map(|word| word.strip_prefix("ref="))?;
    let reference = if reference == "-" { NONE } else { reference.parse().ok()? };
    Some(Step::Came(Kind::from_byte(kind)?, reference))
}

/// The host's end while a transcript is played.
struct Player {
    process: Process,
    decoder: FrameDecoder,
    unread: BytesMut,
    lines: Vec<String>,
    differences: usize,
}

impl Player {
    /// Does one step; whether the next one makes sense.
    fn play(&mut self, step: Step, restored: &mut Option<String>) -> Result<bool, Fault> {
        match step {
            Step::Write(bytes) => {
                let bytes = match restored.take() {
                    Some(payload) => filled(&bytes, &payload).unwrap_or(bytes),
                    None => bytes,
                };
                self.lines.push(format!("> {}", host_line(&bytes)));
                self.process.write(&bytes, PATIENCE)?;
            }
            Step::Restore(payload) => *restored = Some(payload),
            Step::Close => {
                self.lines.push("> the end of input".to_owned());
                self.process.close_stdin();
            }
            Step::Signal(number) => {
                self.lines.push(format!("> signal {number}"));
                if let Ok(signal) = Signal::try_from(number) {
                    self.process.signal(signal)?;
                }
            }
            Step::Came(kind, reference) if !overtakes(kind) => {
                return self.expect(kind, reference);
            }
            Step::Came(..) => {}
        }
        Ok(true)
    }

    fn expect(&mut self, kind: Kind, reference: u32) -> Result<bool, Fault> {
        let Some(frame) = self.next()? else {
            self.differ(&format!("recorded {}, now the end of its output", kind.name()));
            return Ok(false);
        };
        let name = frame.head.kind.name();
        let text = match frame.head.kind.carries_data() {
            true => format!("{} bytes", frame.payload.len()),
            false => String::from_utf8_lossy(&frame.payload).into_owned(),
        };
        self.lines.push(format!("< {name} {}", super::fault::short(&text)));
        if (frame.head.kind, frame.head.reference) != (kind, reference) {
            let recorded = format!("{} with ref {}", kind.name(), dash(reference));
            let now = format!("{name} with ref {}", dash(frame.head.reference));
            self.differ(&format!("recorded {recorded}, now {now}"));
            return Ok(false);
        }
        Ok(true)
    }

    fn differ(&mut self, what: &str) {
        self.lines.push(format!("! differs: {what}"));
        self.differences += 1;
    }

    /// The next frame that is compared; `None` at the end of the stream.
    fn next(&mut self) -> Result<Option<Frame>, Fault> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.decoder.decode(&mut self.unread)? {
                Some(frame) if overtakes(frame.head.kind) => continue,
                Some(frame) => return Ok(Some(frame)),
                None => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.process.is_readable(left)? {
                let seen = format!("nothing for {} s", PATIENCE.as_secs());
                return Err(super::fault::miss("the next frame", seen));
            }
            let bytes = self.process.read(READ_BYTES)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            self.unread.extend_from_slice(&bytes);
        }
    }
}

const fn overtakes(kind: Kind) -> bool {
    matches!(kind, Kind::Pong | Kind::Progress | Kind::Log)
}

fn dash(number: u32) -> String {
    if number == NONE { "none".to_owned() } else { number.to_string() }
}

/// A frame whose secret payload was blanked, with what stands for it.
fn filled(blanked: &[u8], payload: &str) -> Option<Vec<u8>> {
    let header = blanked.first_chunk::<32>()?;
    let kind = Kind::from_byte(*header.get(5)?)?;
    let word = |at: usize| {
        let bytes = header.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let (epoch, seq) = (word(8)?, word(16)?);
    let head = Head::new(kind, epoch).sensitive();
    let mut sealer = FrameSealer::default();
    for _ in 0..seq.min(SEALED_MAX) {
        sealer.seal(&head, 0, 0);
    }
    let mut out = Vec::new();
    sealer.write(&head, payload.as_bytes(), &mut out).ok()?;
    Some(out)
}

/// What the host writes, in words where it is a frame.
fn host_line(bytes: &[u8]) -> String {
    let mut decoder = FrameDecoder::new(Direction::FromHost);
    if let Some(seq) = bytes.get(16..20).and_then(|it| it.try_into().ok()) {
        decoder.start_at(u32::from_be_bytes(seq));
    }
    let mut unread = BytesMut::from(bytes);
    match decoder.decode(&mut unread) {
        Ok(Some(frame)) if unread.is_empty() => {
            let text = String::from_utf8_lossy(&frame.payload).into_owned();
            format!("{} {}", frame.head.kind.name(), super::fault::short(&text))
        }
        _ => format!("{} bytes", bytes.len()),
    }
}
