//! A Kinesis record becomes the static row: the six documented fields and the partition key as id.
//! Pure.
//!
//! The same record makes the same bytes in every process.

use aws_sdk_kinesis::primitives::DateTime;

use super::records::{Data, Key, View};
use crate::encode::{write_integer, write_json_base64, write_json_string, write_length};
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
        match (record.data, record.key, record.arrival_ms) {
            (Data::Base64(data), Some(Key::Json(key)), Some(ms)) => {
                self.write_plain(out, (data, key, ms), record.sequence);
            }
            _ => self.write_any(out, record),
        }
    }

    /// The row of a record as it came with all its fields: every length is known before it is written.
    fn write_plain(&self, out: &mut Vec<u8>, (data, key, ms): (&[u8], &[u8], i64), sequence: &str) {
        const ID: &[u8; 16] = b"{\"partitionKey\":";
        const TIME: &[u8; 31] = b"{\"approximateArrivalTimestamp\":";
        const DATA: &[u8; 9] = b",\"data\":\"";
        const KEY: &[u8; 17] = b"\",\"partitionKey\":";
        const NUMBER: &[u8; 19] = b",\"sequenceNumber\":\"";
        const FIXED: usize = TIME.len() + DATA.len() + KEY.len() + NUMBER.len();
        let mut buffer = itoa::Buffer::new();
        let ms = buffer.format(ms).as_bytes();
        let id = ID.len() + key.len() + 1;
        let tail = self.tail.as_slice();
        let whole = FIXED + ms.len() + data.len() + key.len() + sequence.len() + tail.len();
        // Ten bytes are the longest length.
        out.reserve(self.topic.len() + id + whole + 30);
        write_length(out, self.topic.len());
        out.extend_from_slice(self.topic.as_bytes());
        write_length(out, id);
        out.extend_from_slice(ID);
        out.extend_from_slice(key);
        out.push(b'}');
        write_length(out, whole);
        out.extend_from_slice(TIME);
        out.extend_from_slice(ms);
        out.extend_from_slice(DATA);
        out.extend_from_slice(data);
        out.extend_from_slice(KEY);
        out.extend_from_slice(key);
        out.extend_from_slice(NUMBER);
        out.extend_from_slice(sequence.as_bytes());
        out.extend_from_slice(tail);
    }

    fn write_any(&self, out: &mut Vec<u8>, record: &View<'_>) {
        let id = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"{\"partitionKey\":");
            write_key(out, record.key);
            out.push(b'}');
        };
        write_static_row(out, self.topic, id, |out| self.write_record(out, record));
    }

    fn write_record(&self, out: &mut Vec<u8>, record: &View<'_>) {
        out.extend_from_slice(b"{\"approximateArrivalTimestamp\":");
        match record.arrival_ms {
            Some(ms) => write_integer(out, ms),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"data\":");
        match record.data {
            Data::Base64(text) => {
                out.push(b'"');
                out.extend_from_slice(text);
                out.push(b'"');
            }
            Data::Bytes(bytes) => write_json_base64(out, bytes),
        }
        out.extend_from_slice(b",\"partitionKey\":");
        write_key(out, record.key);
        out.extend_from_slice(b",\"sequenceNumber\":\"");
        out.extend_from_slice(record.sequence.as_bytes());
        out.extend_from_slice(&self.tail);
    }
}

/// Streams that place records themselves give none to a record that came without one.
fn write_key(out: &mut Vec<u8>, key: Option<Key<'_>>) {
    match key {
        Some(Key::Json(text)) => out.extend_from_slice(text),
        Some(Key::Text(text)) => write_json_string(out, text),
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
