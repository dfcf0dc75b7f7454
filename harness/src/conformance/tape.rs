//! What went over the pipe of one process, as lines of a transcript.
//!
//! Touches nothing. Invariants: the payload of a frame with the SENSITIVE flag is never kept (`SPEC.md`
//! 11.2); a tape is bounded, and says what it left out.

use std::fmt::Write;

use protocol::wire::{FLAG_SENSITIVE, Frame, Head, NONE};

/// Most lines of a transcript. Why: floods of frames are alike.
const LINES_MAX: usize = 20_000;

/// Most bytes of a transcript.
const BYTES_MAX: usize = 16 << 20;

/// Payload bytes kept of a frame of the extractor; a replay compares types and answers, not rows.
const KEPT_BYTES: usize = 256;

/// Characters of a payload that stand in the comment above a frame.
const SHOWN_CHARS: usize = 160;

/// The recording of one process.
#[derive(Debug, Default)]
pub(super) struct Tape {
    lines: Vec<String>,
    bytes: usize,
    left_out: usize,
    host: Scanner,
}

/// Walks over the frames of the host, to know which bytes are secret.
#[derive(Debug, Default)]
struct Scanner {
    header: Vec<u8>,
    payload_left: usize,
    is_secret: bool,
    /// What came was no frame: a check damaged it.
    is_lost: bool,
}

impl Scanner {
    /// The bytes with those of secret payloads as zeros.
    fn mask(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes.iter().map(|byte| self.one(*byte)).collect()
    }

    fn one(&mut self, byte: u8) -> u8 {
        if self.is_lost {
            return byte;
        }
        if self.payload_left > 0 {
            self.payload_left -= 1;
            return if self.is_secret { 0 } else { byte };
        }
        self.header.push(byte);
        if let [b'S', b'2', b'X', b'F', _, _, f0, f1, rest @ ..] = &*self.header
            && let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, l0, l1, l2, l3, _, _, _, _] =
                rest
        {
            self.is_secret = u16::from_be_bytes([*f0, *f1]) & FLAG_SENSITIVE != 0;
            self.payload_left = u32::from_be_bytes([*l0, *l1, *l2, *l3]) as usize;
            self.header.clear();
        } else {
            self.is_lost = !b"S2XF".iter().zip(&self.header).all(|(magic, seen)| magic == seen);
        }
        byte
    }
}

impl Tape {
    fn push(&mut self, line: String) {
        if self.lines.len() >= LINES_MAX || self.bytes + line.len() > BYTES_MAX {
            self.left_out += 1;
            return;
        }
        self.bytes += line.len();
        self.lines.push(line);
    }

    /// A remark for people.
    pub(super) fn note(&mut self, text: &str) {
        self.push(format!("# {}", crate::report::out::one_line(text)));
    }

    /// Bytes that the host wrote.
    pub(super) fn wrote(&mut self, bytes: &[u8]) {
        let masked = self.host.mask(bytes);
        self.push(format!("> {}", hex(&masked)));
    }

    /// What takes the place of the secret payload of the frame that is written next.
    pub(super) fn restore(&mut self, json: &str) {
        self.push(format!("restore: {json}"));
    }

    /// Something that the host did beside writing: `close`, `signal N`, `args …`.
    pub(super) fn did(&mut self, what: &str) {
        self.push(format!("! {what}"));
    }

    /// A frame of the extractor.
    pub(super) fn came(&mut self, frame: &Frame) {
        self.note(&describe(frame));
        let Head { kind, flags, epoch, part, reference } = frame.head;
        let mut line = String::from("< ");
        // The header as it came; its checksum is of the whole payload.
        let _written = write!(
            line,
            "{:02x} flags={flags:04x} epoch={epoch} part={} seq={} ref={} length={} ",
            kind.byte(),
            dash(part),
            frame.seq,
            dash(reference),
            frame.payload.len()
        );
        let kept = frame.payload.get(..KEPT_BYTES).unwrap_or(&frame.payload);
        let is_secret = flags & FLAG_SENSITIVE != 0;
        line.push_str(&if is_secret { String::new() } else { hex(kept) });
        self.push(line);
    }

    /// The lines, and how many were left out.
    pub(super) fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        text.push('\n');
        if self.left_out > 0 {
            let _written = writeln!(text, "# {} lines are left out", self.left_out);
        }
        text
    }
}

fn dash(number: u32) -> String {
    if number == NONE { "-".to_owned() } else { number.to_string() }
}

/// A frame in words.
fn describe(frame: &Frame) -> String {
    let name = frame.head.kind.name();
    if frame.head.kind.carries_data() {
        return format!("{name}: {} bytes", frame.payload.len());
    }
    let text = String::from_utf8_lossy(&frame.payload);
    let shown: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{name} {shown}{}", if shown.len() < text.len() { "…" } else { "" })
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _written = write!(text, "{byte:02x}");
    }
    text
}

/// Hexadecimal digits as bytes.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digits = text.as_bytes().chunks(2).map(std::str::from_utf8);
    digits.map(|pair| u8::from_str_radix(pair.ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests;
