//! Records as they wait for delivery: one buffer, and for each record where its parts lie in it.
//! Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Records of one answer, the service's own limit.
pub(super) const RECORDS_MAX: usize = 10_000;

/// The most memory that the places of one answer's records take.
pub(super) const ENTRIES_BYTES_MAX: usize = RECORDS_MAX * size_of::<Entry>();

/// A place in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// From a byte to before another; nothing where that is over 4 GiB.
    pub(super) fn new(start: usize, end: usize) -> Option<Self> {
        Some(Self { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }
}

/// Where the parts of one record lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Digits.
    pub(super) sequence: Span,
    /// Canonical base64 with padding.
    pub(super) data: Span,
    /// A JSON string with its quotation marks.
    pub(super) key: Option<Span>,
    /// Milliseconds since the epoch.
    pub(super) arrival_ms: Option<i64>,
}

/// See the file.
#[derive(Debug, Default)]
pub(super) struct Records {
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    /// Records at the front that are left out.
    skipped: usize,
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// Its number within the shard, digits.
    pub(super) sequence: &'a str,
    /// The data in canonical base64 with padding.
    pub(super) data: &'a [u8],
    /// The partition key as a JSON string; none where the stream places records itself.
    pub(super) key: Option<&'a [u8]>,
    /// When the service took it, milliseconds since the epoch.
    pub(super) arrival_ms: Option<i64>,
}

impl View<'_> {
    /// The data itself.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        STANDARD.decode(self.data).ok()
    }

    /// The partition key itself.
    pub(super) fn key_text(&self) -> Option<String> {
        serde_json::from_slice(self.key?).ok()
    }
}

impl Records {
    /// Records whose parts lie in `body`, or in `aside` behind it.
    pub(super) fn new(mut body: Vec<u8>, aside: &[u8], entries: Vec<Entry>) -> Self {
        body.extend_from_slice(aside);
        Self { buffer: body, entries, skipped: 0 }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.entries.len().saturating_sub(self.skipped)
    }

    /// The record at `index`.
    pub(super) fn get(&self, index: usize) -> Option<View<'_>> {
        let entry = self.entries.get(self.skipped.checked_add(index)?)?;
        let key = match entry.key {
            Some(span) => Some(self.slice(span)?),
            None => None,
        };
        Some(View {
            sequence: std::str::from_utf8(self.slice(entry.sequence)?).ok()?,
            data: self.slice(entry.data)?,
            key,
            arrival_ms: entry.arrival_ms,
        })
    }

    /// Leaves out the first ones.
    pub(super) fn skip(&mut self, count: usize) {
        self.skipped = self.skipped.saturating_add(count).min(self.entries.len());
    }

    /// Bytes that the service counts: data and keys.
    pub(super) fn payload(&self) -> usize {
        let len = |span: Span| usize::try_from(span.end.saturating_sub(span.start)).unwrap_or(0);
        let entries = self.entries.iter().skip(self.skipped);
        entries.map(|entry| len(entry.data) / 4 * 3 + entry.key.map_or(0, len)).sum()
    }

    /// Bytes that they hold in memory.
    pub(super) const fn bytes(&self) -> usize {
        self.buffer.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    fn slice(&self, span: Span) -> Option<&[u8]> {
        let (start, end) = (usize::try_from(span.start).ok()?, usize::try_from(span.end).ok()?);
        self.buffer.get(start..end)
    }
}

#[cfg(test)]
impl Records {
    /// Adds a record of the SDK's own type: what the scan is compared with.
    pub(super) fn push(&mut self, record: &aws_sdk_kinesis::types::Record) {
        let mut put = |write: &dyn Fn(&mut Vec<u8>)| {
            let start = self.buffer.len();
            write(&mut self.buffer);
            Span::new(start, self.buffer.len()).expect("small")
        };
        let sequence = put(&|buffer| buffer.extend_from_slice(record.sequence_number.as_bytes()));
        let text = STANDARD.encode(record.data.as_ref());
        let data = put(&|buffer| buffer.extend_from_slice(text.as_bytes()));
        let key = record.partition_key.as_deref();
        let key = key.map(|key| put(&|buffer| crate::encode::write_json_string(buffer, key)));
        let arrival_ms = record.approximate_arrival_timestamp.as_ref().and_then(super::row::millis);
        self.entries.push(Entry { sequence, data, key, arrival_ms });
    }
}
