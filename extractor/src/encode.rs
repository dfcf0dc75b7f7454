//! Avro datums and JSON texts, appended by hand to a reused buffer. Pure.
//!
//! An Avro string is its length as a zigzag varint, then its bytes. The length of a JSON text is
//! known only after it was written, so the writer leaves room for a guessed width and moves the
//! text when the guess was wrong.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Appends an Avro string whose text `write` appends; `guess` is its likely length.
pub fn write_string(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>), guess: usize) {
    let start = out.len();
    let width = varint_len(guess);
    out.resize(start + width, 0);
    write(out);
    let len = out.len() - start - width;
    let actual = varint_len(len);
    if actual > width {
        let text_end = out.len();
        out.resize(text_end + actual - width, 0);
        out.copy_within(start + width..text_end, start + actual);
    } else if actual < width {
        out.copy_within(start + width.., start + actual);
        out.truncate(start + actual + len);
    }
    let mut zigzag = (len as u64) << 1;
    for (index, slot) in out.iter_mut().skip(start).take(actual).enumerate() {
        let more = if index + 1 < actual { 0x80 } else { 0 };
        *slot = low_seven_bits(zigzag) | more;
        zigzag >>= 7;
    }
}

/// Appends the length of an Avro string whose text follows.
pub fn write_length(out: &mut Vec<u8>, len: usize) {
    let mut zigzag = (len as u64) << 1;
    while zigzag >= 0x80 {
        out.push(low_seven_bits(zigzag) | 0x80);
        zigzag >>= 7;
    }
    out.push(low_seven_bits(zigzag));
}

/// Bytes of `len` as a zigzag varint.
const fn varint_len(len: usize) -> usize {
    let zigzag = (len as u64) << 1;
    let bits = 64 - (zigzag | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

const fn low_seven_bits(number: u64) -> u8 {
    (number & 0x7f) as u8
}

/// Appends `text` as a JSON string.
pub fn write_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, tail) = rest.split_at(plain_run(rest));
        out.extend_from_slice(plain);
        let Some((byte, tail)) = tail.split_first() else { break };
        write_escape(out, *byte);
        rest = tail;
    }
    out.push(b'"');
}

/// Bytes at the start of `text` that stand in a JSON string as they are.
pub(crate) fn plain_run(text: &[u8]) -> usize {
    run::<false>(text)
}

/// As [`plain_run`], and the run ends at the first byte that is not ASCII.
pub(crate) fn plain_ascii_run(text: &[u8]) -> usize {
    run::<true>(text)
}

/// Most strings are short, some are the whole record: first two words of eight bytes, each looked
/// at as one number; then strides, of which the compiler makes vector code; then words again.
fn run<const ASCII: bool>(text: &[u8]) -> usize {
    const SHORT: usize = 2 * WORD;
    let mut run = 0;
    while let Some(word) = text.get(run..).and_then(<[u8]>::first_chunk) {
        let special = specials::<ASCII>(u64::from_le_bytes(*word));
        if special != 0 {
            return run + special.trailing_zeros() as usize / 8;
        }
        run += WORD;
        if run == SHORT {
            run += strides::<ASCII, 128>(text.get(run..).unwrap_or_default());
            run += strides::<ASCII, 32>(text.get(run..).unwrap_or_default());
        }
    }
    let rest = text.get(run..).unwrap_or_default();
    run + rest.iter().take_while(|byte| !ends_run::<ASCII>(**byte)).count()
}

/// Bytes of the strides of this length in front of the first one with a byte that ends a run.
fn strides<const ASCII: bool, const LEN: usize>(text: &[u8]) -> usize {
    let (strides, _) = text.as_chunks::<LEN>();
    let least = |stride: &[u8; LEN]| {
        stride.iter().fold(u8::MAX, |least, byte| least.min(distance::<ASCII>(*byte)))
    };
    LEN * strides.iter().take_while(|stride| least(stride) != 0).count()
}

/// Zero for a byte that ends a run, and for no other: its distance, of some kind, to the nearest.
/// Numbers and their minimum are one instruction each for a whole vector; truth values are not.
fn distance<const ASCII: bool>(byte: u8) -> u8 {
    let from_space = byte.wrapping_sub(b' ');
    let printable = if ASCII {
        0x60_u8.saturating_sub(from_space)
    } else {
        // The control characters come last.
        0xe0_u8.saturating_sub(from_space)
    };
    (byte ^ b'"').min(byte ^ b'\\').min(printable)
}

/// Bytes of a word.
const WORD: usize = 8;

/// The highest bit of every byte of `word` that ends a run, and no other bit.
const fn specials<const ASCII: bool>(word: u64) -> u64 {
    const LOW: u64 = u64::from_le_bytes([0x7f; WORD]);
    const fn all(byte: u8) -> u64 {
        u64::from_le_bytes([byte; WORD])
    }
    /// The highest bit of each byte that is not zero; no carry leaves a byte.
    const fn not_zero(word: u64) -> u64 {
        ((word & LOW) + LOW) | word
    }
    let from_space = (word & LOW) + all(0x80 - 0x20);
    let plain = if ASCII { from_space & !word } else { from_space | word };
    let (quotation, solidus) = (not_zero(word ^ all(b'"')), not_zero(word ^ all(b'\\')));
    !(plain & quotation & solidus) & !LOW
}

const fn ends_run<const ASCII: bool>(byte: u8) -> bool {
    if ASCII {
        // As a signed number every byte that is not ASCII is below the space, too.
        (byte.cast_signed() < 0x20) | (byte == b'"') | (byte == b'\\')
    } else {
        must_escape(byte)
    }
}

/// RFC 8259 section 7: quotation mark, reverse solidus and the control characters.
const fn must_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            out.extend_from_slice(b"\\u00");
            for nibble in [byte >> 4, byte & 0xf] {
                out.extend(HEX.get(usize::from(nibble)));
            }
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends `bytes` as a JSON string of base64 (RFC 4648 section 4, with padding).
pub fn write_json_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    #[expect(clippy::expect_used, reason = "four characters for every three bytes were reserved")]
    let written = STANDARD.encode_slice(bytes, room).expect("room for the base64 text");
    out.truncate(start + written);
    out.push(b'"');
}

/// Appends a whole number.
pub fn write_integer(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests;
