//! One record of an answer. Pure.

use super::aside::Aside;
use super::cursor::{Cursor, Raw};
use super::{ScanError, number};
use crate::encode::write_json_string;
use crate::source::kinesis::position::Sequence;
use crate::source::kinesis::records::{Entry, Span};

/// Reads a record; texts with escapes go to the end of `aside`, which lies behind the body.
pub(super) fn read(cursor: &mut Cursor<'_>, aside: &mut Aside) -> Result<Entry, ScanError> {
    let (mut sequence, mut data, mut key, mut arrival_ms) = (None, None, None, None);
    cursor.object(|cursor, name| {
        match name {
            b"SequenceNumber" => sequence = Some(number_text(cursor, aside)?),
            b"Data" => data = Some(base64(cursor, aside)?),
            b"PartitionKey" => key = text_or_null(cursor, aside)?,
            b"ApproximateArrivalTimestamp" => arrival_ms = time_or_null(cursor)?,
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    let sequence = sequence.ok_or_else(|| cursor.error("the record has no SequenceNumber"))?;
    let data = data.ok_or_else(|| cursor.error("the record has no Data"))?;
    Ok(Entry { sequence, data, key, arrival_ms })
}

/// Bytes of a text as a JSON string, at most.
fn written_bytes_max(text: &str) -> usize {
    let of = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        // As \u001f.
        0..=0x1f => 6,
        _ => 1,
    };
    text.bytes().map(of).fold(2, usize::saturating_add)
}

/// A place behind the body.
fn put_aside(
    cursor: &Cursor<'_>,
    aside: &mut Aside,
    most: usize,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<Span, ScanError> {
    let start = cursor.len() + aside.len();
    aside.add(cursor, most, write)?;
    span(cursor, start, cursor.len() + aside.len())
}

fn span(cursor: &Cursor<'_>, start: usize, end: usize) -> Result<Span, ScanError> {
    Span::new(start, end).ok_or_else(|| cursor.error("the answer is too large"))
}

/// The sequence number: digits.
fn number_text(cursor: &mut Cursor<'_>, aside: &mut Aside) -> Result<Span, ScanError> {
    let raw = cursor.raw()?;
    let wrong = ScanError { at: raw.range.start, what: "a SequenceNumber that is no number" };
    let text = cursor.unescaped(&raw)?;
    if !Sequence::is_legal(&text) {
        return Err(wrong);
    }
    if raw.escaped {
        return put_aside(cursor, aside, text.len(), |aside| aside.extend_from_slice(&text));
    }
    span(cursor, raw.range.start, raw.range.end)
}

/// The partition key, as a JSON string the way this crate writes them.
fn text_or_null(cursor: &mut Cursor<'_>, aside: &mut Aside) -> Result<Option<Span>, ScanError> {
    if cursor.null() {
        return Ok(None);
    }
    let raw = cursor.raw()?;
    let text = cursor.unescaped(&raw)?;
    let Ok(text) = std::str::from_utf8(&text) else {
        return Err(ScanError { at: raw.range.start, what: "a PartitionKey that is no UTF-8" });
    };
    if raw.escaped {
        let most = written_bytes_max(text);
        return put_aside(cursor, aside, most, |aside| write_json_string(aside, text)).map(Some);
    }
    // With its quotation marks.
    span(cursor, raw.range.start.saturating_sub(1), raw.range.end.saturating_add(1)).map(Some)
}

fn time_or_null(cursor: &mut Cursor<'_>) -> Result<Option<i64>, ScanError> {
    if cursor.null() {
        return Ok(None);
    }
    let at = cursor.place();
    let text = cursor.number()?;
    number::millis(text).map(Some).ok_or(ScanError { at, what: "a time out of range" })
}

/// The data: canonical base64 (RFC 4648 section 4), which is what the row holds.
fn base64(cursor: &mut Cursor<'_>, aside: &mut Aside) -> Result<Span, ScanError> {
    let mut quick = *cursor;
    if quick.take(b'"') {
        let start = quick.place();
        let run = alphabet_run(quick.rest());
        quick.advance(run);
        let pads = usize::from(quick.take(b'=')) + usize::from(quick.take(b'='));
        let end = quick.place();
        if quick.take(b'"') {
            *cursor = quick;
            if !is_canonical(cursor.slice(start..start + run), pads) {
                return Err(ScanError { at: start, what: "Data that is no canonical base64" });
            }
            return span(cursor, start, end);
        }
    }
    // Nearly never: some write a slash with an escape.
    let raw: Raw = cursor.raw()?;
    let text = cursor.unescaped(&raw)?;
    let run = alphabet_run(&text);
    let pads = text.get(run..).unwrap_or_default();
    let padded = pads.len() <= 2 && pads.iter().all(|byte| *byte == b'=');
    if !padded || !is_canonical(text.get(..run).unwrap_or_default(), pads.len()) {
        let at = raw.range.start;
        return Err(ScanError { at, what: "Data that is no canonical base64" });
    }
    put_aside(cursor, aside, text.len(), |aside| aside.extend_from_slice(&text))
}

/// Bytes at the start of `text` that are digits of base64.
pub(super) fn alphabet_run(text: &[u8]) -> usize {
    let strides = strides_of_digits::<32>(text);
    let words = strides + strides_of_digits::<8>(text.get(strides..).unwrap_or_default());
    let rest = text.get(words..).unwrap_or_default();
    words + rest.iter().take_while(|byte| is_digit(**byte)).count()
}

/// The same in steps of `STRIDE` bytes that are looked at together; the compiler makes vector code of
/// the inner loop.
fn strides_of_digits<const STRIDE: usize>(text: &[u8]) -> usize {
    let (strides, _) = text.as_chunks::<STRIDE>();
    let is_whole = |stride: &&[u8; STRIDE]| stride.iter().fold(true, |all, it| all & is_digit(*it));
    strides.iter().take_while(is_whole).count() * STRIDE
}

const fn is_digit(byte: u8) -> bool {
    ((byte | 0x20).wrapping_sub(b'a') < 26)
        | (byte.wrapping_sub(b'0') < 10)
        | (byte == b'+')
        | (byte == b'/')
}

/// Whether digits and padding make whole bytes, and no bit of the last digit is left over.
pub(super) fn is_canonical(digits: &[u8], pads: usize) -> bool {
    let left_over = match (digits.len() % 4, pads) {
        (0, 0) => return true,
        (3, 1) => 0b11,
        (2, 2) => 0b1111,
        _ => return false,
    };
    digits.last().is_some_and(|digit| value(*digit) & left_over == 0)
}

/// What a digit of base64 stands for.
const fn value(digit: u8) -> u8 {
    match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        _ => 63,
    }
}
