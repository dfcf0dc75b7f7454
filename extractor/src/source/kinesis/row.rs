//! A Kinesis record becomes the static row: the six documented fields and the partition key as id.
//! Pure; the SDK's own types come in.
//!
//! The same record makes the same bytes in every process.

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::Record;

use crate::encode::{write_integer, write_json_base64, write_json_string};
use crate::row::write_static_row;

/// What is the same for all records of a shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// Value of the column `topic`.
    pub(super) topic: &'a str,
    /// The stream.
    pub(super) stream: &'a str,
    /// The shard.
    pub(super) shard: &'a str,
}

impl Frame<'_> {
    /// Appends the row of one record.
    pub(super) fn write(&self, out: &mut Vec<u8>, record: &Record) {
        let key = record.partition_key.as_deref();
        let id = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"{\"partitionKey\":");
            write_text_or_null(out, key);
            out.push(b'}');
        };
        write_static_row(out, self.topic, id, |out| self.write_record(out, record));
    }

    fn write_record(&self, out: &mut Vec<u8>, record: &Record) {
        out.extend_from_slice(b"{\"approximateArrivalTimestamp\":");
        match record.approximate_arrival_timestamp.as_ref().and_then(millis) {
            Some(ms) => write_integer(out, ms),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"data\":");
        write_json_base64(out, record.data.as_ref());
        out.extend_from_slice(b",\"partitionKey\":");
        write_text_or_null(out, record.partition_key.as_deref());
        for (name, text) in [
            (b",\"sequenceNumber\":".as_slice(), record.sequence_number.as_str()),
            (b",\"shardId\":", self.shard),
            (b",\"streamName\":", self.stream),
        ] {
            out.extend_from_slice(name);
            write_json_string(out, text);
        }
        out.push(b'}');
    }
}

/// Streams that place records themselves give none to a record that came without one.
fn write_text_or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => write_json_string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Milliseconds since the epoch, to the nearest: the service sends seconds with three decimals, and
/// the SDK reads them as a double, which often lies just below.
pub(super) fn millis(time: &DateTime) -> Option<i64> {
    let nanos = time.as_nanos();
    i64::try_from((nanos + 500_000).div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests;
