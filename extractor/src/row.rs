//! Rows on their way to the pipe: the static row (topic, id, record) and the error row. Pure.

use crate::encode::write_string;

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
