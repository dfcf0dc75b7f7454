//! The static row on its way to the pipe: topic, id, record. Pure. (The error row has a fixed
//! schema and lives in `protocol::avro`.)

use crate::encode::write_string;

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
