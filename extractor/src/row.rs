//! Rows on their way to the pipe: the static row (topic, id, record) and the error row, encoded by
//! hand into a reused buffer. Pure.
//!
//! An Avro string is its length as a zigzag varint, then its bytes. The length of a JSON text is
//! known only after it was written, so the writer leaves room for a guessed width and moves the
//! text when the guess was wrong.

/// A record that could not become a row, with everything needed to find and repair it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorRow<'a> {
    /// Canonical offset KEY of the split.
    pub split: &'a str,
    /// Canonical offset VALUE that names this record (resuming there reads it again).
    pub position: &'a str,
    /// Milliseconds since the epoch, as the source says.
    pub timestamp: Option<i64>,
    /// Raw key.
    pub key: Option<&'a [u8]>,
    /// Raw value.
    pub value: Option<&'a [u8]>,
    /// Raw headers in source order.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
    /// Code of class data, for example `DECODE_FAILED`.
    pub code: &'static str,
    /// One line for people, without payload bytes.
    pub reason: String,
}

/// Appends one static row; `id` and `record` append JSON text.
pub fn write_static_row(
    out: &mut Vec<u8>,
    topic: &str,
    id: impl FnOnce(&mut Vec<u8>),
    record: impl FnOnce(&mut Vec<u8>),
) {
    write_string(out, |out| out.extend_from_slice(topic.as_bytes()), topic.len());
    write_string(out, id, 32);
    write_string(out, record, 512);
}

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
    for slot in out.iter_mut().skip(start).take(actual - 1) {
        *slot = (zigzag & 0x7f) as u8 | 0x80;
        zigzag >>= 7;
    }
    if let Some(last) = out.get_mut(start + actual - 1) {
        *last = zigzag as u8;
    }
}

/// Bytes of `len` as a zigzag varint.
const fn varint_len(len: usize) -> usize {
    let zigzag = (len as u64) << 1;
    let bits = 64 - (zigzag | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}
