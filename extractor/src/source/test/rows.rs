//! The rows of the test source, to the byte. Pure.
//!
//! Randomness is a splitmix64 stream (Steele, Lea, Flood 2014) whose state begins with the seed and
//! the FNV-1a hash of the split's name, so that rows of different splits differ.

use crate::encode::{write_integer, write_json_string};
use crate::row::write_static_row;

use super::settings::Plan;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Characters of a payload repeat after this many.
const CYCLE: usize = 12;

const PLAIN: [&str; 32] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s",
    "t", "u", "v", "w", "x", "y", "z", "0", "1", "2", "3", "4", "5",
];

/// Each character as it stands in JSON: with one, two, three and four bytes, and escaped.
const UNICODE: [&str; 32] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "é", "ß", "ñ",
    "ø", "λ", "ж", "ש", "あ", "漢", "字", "한", "😀", "\\\"", "\\\\", "\\n", "\\u0001",
];

/// Writes the rows of one split.
pub(super) struct Generator {
    /// JSON text of the split's name.
    name: Vec<u8>,
    state: u64,
    alphabet: &'static [&'static str; 32],
    chars: usize,
}

impl Generator {
    pub(super) fn new(plan: &Plan, name: &str) -> Self {
        let mut quoted = Vec::new();
        write_json_string(&mut quoted, name);
        let alphabet = if plan.unicode { &UNICODE } else { &PLAIN };
        Self { name: quoted, state: plan.seed ^ fnv1a(name), alphabet, chars: plan.row_chars }
    }

    /// Appends row `row`.
    pub(super) fn write(&self, out: &mut Vec<u8>, topic: &str, row: u64, tombstone: bool) {
        write_static_row(
            out,
            topic,
            |out| self.write_id(out, row),
            |out| match tombstone {
                true => out.extend_from_slice(b"null"),
                false => self.write_record(out, row),
            },
        );
    }

    /// JSON text of the row's id.
    pub(super) fn id(&self, row: u64) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_id(&mut out, row);
        out
    }

    /// JSON text of the row's record.
    pub(super) fn record(&self, row: u64) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_record(&mut out, row);
        out
    }

    fn write_id(&self, out: &mut Vec<u8>, row: u64) {
        out.extend_from_slice(b"{\"gen\":");
        out.extend_from_slice(&self.name);
        write_row_number(out, row);
    }

    fn write_record(&self, out: &mut Vec<u8>, row: u64) {
        let n = self.random(row);
        out.extend_from_slice(b"{\"gen\":");
        out.extend_from_slice(&self.name);
        out.extend_from_slice(b",\"n\":\"");
        out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
        out.extend_from_slice(b"\",\"payload\":\"");
        self.write_payload(out, n);
        out.push(b'"');
        write_row_number(out, row);
    }

    /// Appends the payload: its characters depend on their index modulo [`CYCLE`].
    fn write_payload(&self, out: &mut Vec<u8>, n: u64) {
        let letter = |index: usize| {
            let number = (n >> (index * 5)) & 31;
            self.alphabet.get(usize::try_from(number).unwrap_or(0)).copied().unwrap_or_default()
        };
        let mut cycle = [0u8; 6 * CYCLE];
        let mut len = 0;
        for index in 0..CYCLE {
            let text = letter(index).as_bytes();
            if let Some(room) = cycle.get_mut(len..len + text.len()) {
                room.copy_from_slice(text);
            }
            len += text.len();
        }
        for _ in 0..self.chars / CYCLE {
            out.extend_from_slice(cycle.get(..len).unwrap_or_default());
        }
        for index in 0..self.chars % CYCLE {
            out.extend_from_slice(letter(index).as_bytes());
        }
    }

    fn random(&self, row: u64) -> u64 {
        let mut z = self.state.wrapping_add(row.wrapping_add(1).wrapping_mul(GOLDEN));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn write_row_number(out: &mut Vec<u8>, row: u64) {
    out.extend_from_slice(b",\"row\":");
    write_integer(out, row.cast_signed());
    out.push(b'}');
}

/// FNV-1a with 64 bits.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
