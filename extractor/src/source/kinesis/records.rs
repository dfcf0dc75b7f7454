//! Records as they wait for delivery: one buffer, and for each record where its parts lie in it.
//! Pure.

use std::borrow::Cow;

use aws_sdk_kinesis::types::Record;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::aggregate;
use super::position::Sequence;
use super::spare::Spare;
use crate::encode::{write_json_base64, write_json_string};

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

    /// What lies between the quotation marks of a JSON string.
    fn inside(self) -> Option<Self> {
        Some(Self { start: self.start.checked_add(1)?, end: self.end.checked_sub(1)? })
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

/// See the file. Its memory goes to the next ones.
#[derive(Debug, Default)]
pub(super) struct Records {
    buffer: Vec<u8>,
    /// What lies behind the buffer for a [`Span`]; in memory of its own, so that the buffer need not
    /// be moved to a larger place.
    aside: Vec<u8>,
    entries: Vec<Entry>,
    /// Records at the front that are left out.
    skipped: usize,
    /// Where its memory goes.
    spare: Option<Spare>,
}

impl Drop for Records {
    fn drop(&mut self) {
        if let Some(spare) = self.spare.take() {
            spare.give(std::mem::take(&mut self.buffer), std::mem::take(&mut self.entries));
        }
    }
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// Its number within the shard, digits.
    pub(super) sequence: &'a str,
    /// The data.
    pub(super) data: Data<'a>,
    /// The partition key; none where the stream places records itself.
    pub(super) key: Option<Key<'a>>,
    /// When the service took it, milliseconds since the epoch.
    pub(super) arrival_ms: Option<i64>,
}

/// The data of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data<'a> {
    /// Canonical base64 with padding: a record as it came.
    Base64(&'a [u8]),
    /// The bytes themselves: a user record of a packed one.
    Bytes(&'a [u8]),
}

/// A partition key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key<'a> {
    /// A JSON string with its quotation marks: a record as it came.
    Json(&'a [u8]),
    /// The text itself: a user record of a packed one.
    Text(&'a str),
}

impl<'a> View<'a> {
    /// The data itself.
    pub(super) fn bytes(&self) -> Option<Cow<'a, [u8]>> {
        match self.data {
            Data::Base64(text) => STANDARD.decode(text).ok().map(Cow::Owned),
            Data::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
        }
    }

    /// The data itself, where the record came as one and begins as a packed one.
    pub(super) fn packed(&self) -> Option<Vec<u8>> {
        match self.data {
            Data::Base64(text) if aggregate::looks_packed(text) => STANDARD.decode(text).ok(),
            Data::Base64(_) | Data::Bytes(_) => None,
        }
    }

    /// The partition key itself.
    pub(super) fn key_text(&self) -> Option<Cow<'a, str>> {
        match self.key? {
            Key::Json(text) => serde_json::from_slice(text).ok().map(Cow::Owned),
            Key::Text(text) => Some(Cow::Borrowed(text)),
        }
    }
}

impl Records {
    /// Records whose parts lie in `body`, or in `aside` behind it. Their memory goes to `spare`.
    pub(super) fn new(body: Vec<u8>, aside: Vec<u8>, entries: Vec<Entry>, spare: &Spare) -> Self {
        Self { buffer: body, aside, entries, skipped: 0, spare: Some(spare.clone()) }
    }

    /// Records of the SDK's own type, as a subscription brings them. Nothing when a record has a
    /// number that is none, or all together are over 4 GiB.
    pub(super) fn of(given: &[Record]) -> Option<Self> {
        let mut records = Self::default();
        records.entries.reserve_exact(given.len());
        let len = |it: &Record| {
            let key = it.partition_key.as_ref().map_or(0, |key| key.len().saturating_add(2));
            let data = it.data.as_ref().len().div_ceil(3).saturating_mul(4).saturating_add(2);
            data.saturating_add(key).saturating_add(it.sequence_number.len())
        };
        records.buffer.reserve_exact(given.iter().map(len).fold(0, usize::saturating_add));
        for record in given {
            records.push(record)?;
        }
        Some(records)
    }

    fn push(&mut self, record: &Record) -> Option<()> {
        let number = record.sequence_number.as_bytes();
        if !Sequence::is_legal(number) {
            return None;
        }
        let sequence = self.put(|buffer| buffer.extend_from_slice(number))?;
        let data = self.put(|buffer| write_json_base64(buffer, record.data.as_ref()))?;
        let data = data.inside()?;
        let key = match &record.partition_key {
            Some(key) => Some(self.put(|buffer| write_json_string(buffer, key))?),
            None => None,
        };
        let arrival_ms = record.approximate_arrival_timestamp.as_ref().and_then(super::row::millis);
        self.entries.push(Entry { sequence, data, key, arrival_ms });
        Some(())
    }

    fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Option<Span> {
        let start = self.buffer.len();
        write(&mut self.buffer);
        Span::new(start, self.buffer.len())
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.entries.len().saturating_sub(self.skipped)
    }

    /// The record at `index`.
    pub(super) fn get(&self, index: usize) -> Option<View<'_>> {
        let entry = self.entries.get(self.skipped.checked_add(index)?)?;
        let key = match entry.key {
            Some(span) => Some(Key::Json(self.slice(span)?)),
            None => None,
        };
        Some(View {
            sequence: std::str::from_utf8(self.slice(entry.sequence)?).ok()?,
            data: Data::Base64(self.slice(entry.data)?),
            key,
            arrival_ms: entry.arrival_ms,
        })
    }

    /// The number of the last one.
    pub(super) fn last_sequence(&self) -> Option<Sequence> {
        let last = self.get(self.len().checked_sub(1)?)?;
        Sequence::parse(last.sequence)
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
        let entries = self.entries.capacity() * size_of::<Entry>();
        self.buffer.capacity() + self.aside.capacity() + entries
    }

    fn slice(&self, span: Span) -> Option<&[u8]> {
        let (start, end) = (usize::try_from(span.start).ok()?, usize::try_from(span.end).ok()?);
        match start.checked_sub(self.buffer.len()) {
            Some(start) if end > self.buffer.len() => {
                self.aside.get(start..end.checked_sub(self.buffer.len())?)
            }
            _ => self.buffer.get(start..end),
        }
    }
}
