//! Numbers that no JSON library writes as they are: decimals of any width, unsigned bytes, floats
//! that JSON has no number for. Pure, and without allocation.

use super::DECIMAL_BYTES_MAX;

/// Ten to the power of the digits that a chunk holds.
const CHUNK: u64 = 10_000_000_000_000_000_000;

/// Digits of a chunk.
const CHUNK_DIGITS: usize = 19;

/// Words of 64 bits of the longest decimal.
const WORDS: usize = DECIMAL_BYTES_MAX / 8;

/// Chunks of the longest decimal: a byte is less than 2.41 digits.
const CHUNKS: usize = DECIMAL_BYTES_MAX * 241 / 100 / CHUNK_DIGITS + 1;

/// Appends the shortest number that reads back as the same, or a string where there is none.
pub(super) fn write_double(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        write_json(out, &number);
    } else {
        write_word(out, number.is_nan(), number.is_sign_negative());
    }
}

/// As [`write_double`], of 32 bits.
pub(super) fn write_float(out: &mut Vec<u8>, number: f32) {
    if number.is_finite() {
        write_json(out, &number);
    } else {
        write_word(out, number.is_nan(), number.is_sign_negative());
    }
}

fn write_json(out: &mut Vec<u8>, number: &impl serde::Serialize) {
    #[expect(clippy::expect_used, reason = "a number is written to memory, which takes it")]
    serde_json::to_writer(out, number).expect("write a number to memory");
}

fn write_word(out: &mut Vec<u8>, is_nan: bool, is_negative: bool) {
    let word: &[u8] = match (is_nan, is_negative) {
        (true, _) => b"\"NaN\"",
        (false, false) => b"\"Infinity\"",
        (false, true) => b"\"-Infinity\"",
    };
    out.extend_from_slice(word);
}

/// Appends a number of at most eight bytes.
pub(super) fn write_unsigned(out: &mut Vec<u8>, bytes: &[u8], little_endian: bool) {
    let shift = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    let number =
        if little_endian { bytes.iter().rev().fold(0, shift) } else { bytes.iter().fold(0, shift) };
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a uuid as text (RFC 9562 section 4).
pub(super) fn write_uuid(out: &mut Vec<u8>, bytes: &[u8; 16]) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    out.push(b'"');
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        for nibble in [byte >> 4, byte & 0xf] {
            out.extend(HEX.get(usize::from(nibble)));
        }
    }
    out.push(b'"');
}

/// Appends a signed number of `bytes`, the highest first, as a string with exactly `scale` digits
/// after the point. At most [`DECIMAL_BYTES_MAX`] bytes; none are zero.
pub(super) fn write_decimal(out: &mut Vec<u8>, bytes: &[u8], scale: usize) {
    out.push(b'"');
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    if is_negative {
        out.push(b'-');
    }
    let start = out.len();
    write_digits(out, bytes, is_negative);
    let digits = out.len() - start;
    if digits <= scale {
        // At least one digit stands before the point.
        let zeros = scale + 1 - digits;
        out.resize(out.len() + zeros, b'0');
        out.copy_within(start..start + digits, start + zeros);
        if let Some(room) = out.get_mut(start..start + zeros) {
            room.fill(b'0');
        }
    }
    if scale > 0 {
        out.insert(out.len() - scale, b'.');
    }
    out.push(b'"');
}

/// Appends the digits of the magnitude, without zeros in front.
fn write_digits(out: &mut Vec<u8>, bytes: &[u8], is_negative: bool) {
    let mut words = [0_u64; WORDS];
    let flip = if is_negative { u8::MAX } else { 0 };
    // The lowest word first. A magnitude is the bits turned over and one more.
    for (word, bytes) in words.iter_mut().zip(bytes.rchunks(8)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(byte ^ flip));
    }
    let mut used = bytes.len().div_ceil(8).min(WORDS);
    if is_negative {
        // It never carries out of the used words: the highest bit of the magnitude less one is 0.
        for word in words.iter_mut().take(used) {
            let (sum, carry) = word.overflowing_add(1);
            *word = sum;
            if !carry {
                break;
            }
        }
    }
    let mut chunks = [0_u64; CHUNKS];
    let mut count = 0;
    for chunk in &mut chunks {
        while used > 0 && words.get(used - 1) == Some(&0) {
            used -= 1;
        }
        if used == 0 && count > 0 {
            break;
        }
        *chunk = divide(words.get_mut(..used).unwrap_or_default());
        count += 1;
    }
    let mut buffer = itoa::Buffer::new();
    for (index, chunk) in chunks.iter().take(count).rev().enumerate() {
        let digits = buffer.format(*chunk).as_bytes();
        if index > 0 {
            out.resize(out.len() + CHUNK_DIGITS - digits.len(), b'0');
        }
        out.extend_from_slice(digits);
    }
}

/// Divides by [`CHUNK`], in place; the remainder.
fn divide(words: &mut [u64]) -> u64 {
    let mut rest = 0_u64;
    for word in words.iter_mut().rev() {
        let dividend = u128::from(rest) << 64 | u128::from(*word);
        let (quotient, remainder) = (dividend / u128::from(CHUNK), dividend % u128::from(CHUNK));
        // The rest is below the divisor, so that the quotient fits.
        *word = u64::try_from(quotient).unwrap_or(u64::MAX);
        rest = u64::try_from(remainder).unwrap_or(u64::MAX);
    }
    rest
}
