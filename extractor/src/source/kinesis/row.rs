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

/// What differs from row to row: a record, or a user record of a packed one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// When the service took the record, milliseconds since the epoch.
    pub(super) arrival_ms: Option<i64>,
    /// The partition key.
    pub(super) key: Option<&'a str>,
    /// The payload.
    pub(super) data: &'a [u8],
    /// The sequence number of the record.
    pub(super) sequence: &'a str,
}

impl<'a> Entry<'a> {
    /// A record as it is.
    pub(super) fn of(record: &'a Record) -> Self {
        Self {
            arrival_ms: record.approximate_arrival_timestamp.as_ref().and_then(millis),
            key: record.partition_key.as_deref(),
            data: record.data.as_ref(),
            sequence: &record.sequence_number,
        }
    }
}

impl Frame<'_> {
    /// Appends the row of one record.
    pub(super) fn write(&self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        let id = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"{\"partitionKey\":");
            write_text_or_null(out, entry.key);
            out.push(b'}');
        };
        write_static_row(out, self.topic, id, |out| self.write_record(out, entry));
    }

    fn write_record(&self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        out.extend_from_slice(b"{\"approximateArrivalTimestamp\":");
        match entry.arrival_ms {
            Some(ms) => write_integer(out, ms),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"data\":");
        write_json_base64(out, entry.data);
        out.extend_from_slice(b",\"partitionKey\":");
        write_text_or_null(out, entry.key);
        for (name, text) in [
            (b",\"sequenceNumber\":".as_slice(), entry.sequence),
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
