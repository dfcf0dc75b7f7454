//! A Kinesis record becomes the static row: the six documented fields and the partition key as id.
//! Pure.
//!
//! The same record makes the same bytes in every process.

use aws_sdk_kinesis::primitives::DateTime;

use super::records::View;
use crate::encode::{write_integer, write_json_string};
use crate::row::write_static_row;

/// What is the same for all records of a shard.
#[derive(Clone, Debug)]
pub(super) struct Frame<'a> {
    /// Value of the column `topic`.
    topic: &'a str,
    /// What follows the sequence number in every record.
    tail: Vec<u8>,
}

impl<'a> Frame<'a> {
    /// For a shard of a stream.
    pub(super) fn new(topic: &'a str, stream: &str, shard: &str) -> Self {
        let mut tail = br#"","shardId":"#.to_vec();
        write_json_string(&mut tail, shard);
        tail.extend_from_slice(br#","streamName":"#);
        write_json_string(&mut tail, stream);
        tail.push(b'}');
        Self { topic, tail }
    }

    /// Appends the row of one record.
    pub(super) fn write(&self, out: &mut Vec<u8>, record: &View<'_>) {
        // Streams that place records themselves give no key to a record that came without one.
        let key = record.key.unwrap_or(b"null");
        let id = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"{\"partitionKey\":");
            out.extend_from_slice(key);
            out.push(b'}');
        };
        write_static_row(out, self.topic, id, |out| self.write_record(out, record, key));
    }

    fn write_record(&self, out: &mut Vec<u8>, record: &View<'_>, key: &[u8]) {
        out.extend_from_slice(b"{\"approximateArrivalTimestamp\":");
        match record.arrival_ms {
            Some(ms) => write_integer(out, ms),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"data\":\"");
        out.extend_from_slice(record.data);
        out.extend_from_slice(b"\",\"partitionKey\":");
        out.extend_from_slice(key);
        out.extend_from_slice(b",\"sequenceNumber\":\"");
        out.extend_from_slice(record.sequence.as_bytes());
        out.extend_from_slice(&self.tail);
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
