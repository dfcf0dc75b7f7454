//! The batches of a tape: built once, cut into runs, stamped with base offsets.
//!
//! Pure. Invariant: batch `n` of any partition is batch `n % length` of the roll with base offset
//! `n × records per batch`; every batch is valid by its own checksum.

use anyhow::{Context, Result, ensure};

use super::{Play, value};

/// Bytes of a batch. Why 16 KiB: what Kafka's producer sends by default.
const BATCH_BYTES: usize = 16 * 1024;

/// Bytes of the roll, at least one batch. Why 4 MiB: what the extractor asks of one partition at
/// once, and small enough to stay in the processor's cache, so that the broker takes little of it.
const ROLL_BYTES: usize = 4 << 20;

/// Bytes in front of the first record (base offset to count), and up to where the checksum starts.
const HEAD_BYTES: usize = 61;
const CHECKED_FROM: usize = 21;

/// A moment of 2025, in milliseconds since the epoch.
const TIMESTAMP: i64 = 1_750_000_000_000;

/// How the records of a partition are cut into batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Records of each batch.
    pub(super) records: u32,
    /// Batches of each partition.
    pub(super) batches: u32,
}

impl Cut {
    pub(super) fn of(play: &Play) -> Result<Self> {
        let one = play.bytes + 12;
        let fit = u32::try_from((BATCH_BYTES / one).max(1)).context("cut batches")?;
        let wanted = play.records.div_ceil(play.partitions);
        let records = fit.min(wanted);
        Ok(Self { records, batches: wanted.div_ceil(records) })
    }
}

/// See the file.
#[derive(Debug, Clone)]
pub(super) struct Roll {
    bytes: Vec<u8>,
    /// Where each batch begins, and the end.
    starts: Vec<usize>,
    cut: Cut,
    partitions: u32,
}

/// Batches that follow each other in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    first: usize,
    count: usize,
    pub(super) bytes: usize,
}

impl Roll {
    pub(super) fn build(play: Play) -> Result<Self> {
        let cut = Cut::of(&play)?;
        let mut bytes = Vec::with_capacity(ROLL_BYTES + BATCH_BYTES);
        let mut starts = vec![0];
        let mut number = 0;
        while starts.len() <= cut.batches as usize && bytes.len() + BATCH_BYTES <= ROLL_BYTES
            || starts.len() == 1
        {
            put_batch(&mut bytes, number, cut.records, play.bytes)?;
            number += cut.records;
            starts.push(bytes.len());
        }
        Ok(Self { bytes, starts, cut, partitions: play.partitions })
    }

    pub(super) const fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The offset behind the last record of each partition.
    pub(super) fn end(&self) -> i64 {
        i64::from(self.cut.records) * i64::from(self.cut.batches)
    }

    #[expect(clippy::unused_self, reason = "reads as the run of this roll that has no batch")]
    pub(super) const fn nothing(&self) -> Run {
        Run { first: 0, count: 0, bytes: 0 }
    }

    /// The whole batches from the one with `offset` that fit into `room`, one at least and not more
    /// than the roll has.
    pub(super) fn run(&self, offset: i64, room: usize) -> Run {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let first = offset / self.cut.records as usize;
        let mut run = Run { first, ..self.nothing() };
        let left = (self.cut.batches as usize).saturating_sub(first);
        while run.count < left.min(self.length()) {
            let next = self.batch(run.first + run.count).len();
            if run.count > 0 && run.bytes + next > room {
                break;
            }
            (run.count, run.bytes) = (run.count + 1, run.bytes + next);
        }
        run
    }

    /// Sets the base offsets of a run.
    pub(super) fn stamp(&mut self, run: &Run) {
        for number in run.first..run.first + run.count {
            let base = number as u64 * u64::from(self.cut.records);
            let start = self.starts.get(self.slot(number)).copied().unwrap_or(0);
            if let Some(place) = self.bytes.get_mut(start..start + 8) {
                place.copy_from_slice(&base.to_be_bytes());
            }
        }
    }

    /// The bytes of a stamped run.
    pub(super) fn pieces(&self, run: &Run) -> impl Iterator<Item = &[u8]> {
        let length = self.length();
        let (mut number, end) = (run.first, run.first + run.count);
        std::iter::from_fn(move || {
            let slot = number % length;
            let count = (length - slot).min(end - number);
            let first = self.starts.get(slot).copied()?;
            let last = self.starts.get(slot + count).copied()?;
            number += count;
            (count > 0).then(|| self.bytes.get(first..last).unwrap_or_default())
        })
    }

    fn length(&self) -> usize {
        self.starts.len() - 1
    }

    fn slot(&self, number: usize) -> usize {
        number % self.length()
    }

    fn batch(&self, number: usize) -> &[u8] {
        let slot = self.slot(number);
        let end = self.starts.get(slot + 1).copied().unwrap_or(0);
        self.bytes.get(self.starts.get(slot).copied().unwrap_or(0)..end).unwrap_or_default()
    }
}

/// Appends a batch of format 2 without codec, keys or headers.
fn put_batch(out: &mut Vec<u8>, number: u32, records: u32, bytes: usize) -> Result<()> {
    ensure!(records > 0, "a batch has records");
    let start = out.len();
    let last = records - 1;
    out.extend_from_slice(&0_i64.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.push(2);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&0_i16.to_be_bytes());
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&TIMESTAMP.to_be_bytes());
    out.extend_from_slice(&TIMESTAMP.to_be_bytes());
    // No producer id, epoch or sequence.
    out.extend_from_slice(&[0xff; 14]);
    out.extend_from_slice(&records.to_be_bytes());
    debug_assert_eq!(out.len() - start, HEAD_BYTES);
    let (mut line, mut record) = (Vec::new(), Vec::new());
    for delta in 0..records {
        value(number + delta, bytes, &mut line)?;
        record.clear();
        record.push(0);
        put_varint(&mut record, 0);
        put_varint(&mut record, delta.into());
        put_varint(&mut record, -1);
        put_length(&mut record, line.len())?;
        record.extend_from_slice(&line);
        put_varint(&mut record, 0);
        put_length(out, record.len())?;
        out.extend_from_slice(&record);
    }
    let length = u32::try_from(out.len() - start - 12).context("measure a batch")?;
    let checksum = crc32c::crc32c(out.get(start + CHECKED_FROM..).unwrap_or_default());
    for (at, number) in [(8, length), (17, checksum)] {
        if let Some(place) = out.get_mut(start + at..start + at + 4) {
            place.copy_from_slice(&number.to_be_bytes());
        }
    }
    Ok(())
}

fn put_length(out: &mut Vec<u8>, length: usize) -> Result<()> {
    put_varint(out, i64::try_from(length).context("measure a record")?);
    Ok(())
}

/// Appends a zigzag varint.
fn put_varint(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest > 0x7f {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}
