//! Requests and answers of Kafka's protocol, as far as a reader needs them.
//!
//! Pure. Invariant: each kind of request is offered in exactly one version, and read and answered
//! as Kafka's own message definitions give that version.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Tape;

pub(super) const FETCH: i16 = 1;
pub(super) const LIST_OFFSETS: i16 = 2;
pub(super) const METADATA: i16 = 3;
pub(super) const API_VERSIONS: i16 = 18;

/// Each kind with its lowest and highest version. Older ones of `Produce` are named because
/// clients take them for the sign of batches of format 2; it is never answered.
const VERSIONS: [(i16, i16, i16); 5] =
    [(0, 0, 7), (FETCH, 11, 11), (LIST_OFFSETS, 5, 5), (METADATA, 8, 8), (API_VERSIONS, 0, 3)];

/// The node that every partition is led by.
const NODE: i32 = 1;

/// Not authorised operations, but that they were not asked for.
const NO_OPERATIONS: i32 = i32::MIN;

/// Asks for the oldest offset in ListOffsets.
const OLDEST: i64 = -2;

/// A request being read.
pub(super) struct In<'a> {
    bytes: &'a [u8],
}

impl<'a> In<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (first, rest) = self.bytes.split_first_chunk().context("a request ends early")?;
        self.bytes = rest;
        Ok(*first)
    }

    fn int8(&mut self) -> Result<i8> {
        self.take().map(i8::from_be_bytes)
    }

    fn int16(&mut self) -> Result<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn int32(&mut self) -> Result<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn int64(&mut self) -> Result<i64> {
        self.take().map(i64::from_be_bytes)
    }

    fn skip_string(&mut self) -> Result<()> {
        let length = usize::try_from(self.int16()?).unwrap_or(0);
        self.bytes = self.bytes.get(length..).context("a request ends early")?;
        Ok(())
    }

    /// Calls `each` as often as the array that follows has elements; each takes one byte at least.
    fn array(&mut self, mut each: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        for _ in 0..self.int32()?.max(0) {
            each(self)?;
        }
        Ok(())
    }
}

/// The start of a request.
pub(super) struct Head {
    pub(super) key: i16,
    pub(super) version: i16,
    correlation: i32,
}

impl Head {
    pub(super) fn read(body: &mut In<'_>) -> Result<Self> {
        let head = Self { key: body.int16()?, version: body.int16()?, correlation: body.int32()? };
        body.skip_string()?;
        Ok(head)
    }
}

/// An answer being written.
#[derive(Default)]
pub(super) struct Out {
    pub(super) bytes: Vec<u8>,
}

impl Out {
    fn int8(&mut self, number: i8) -> &mut Self {
        self.bytes.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn int16(&mut self, number: i16) -> &mut Self {
        self.bytes.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn int32(&mut self, number: i32) -> &mut Self {
        self.bytes.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn int64(&mut self, number: i64) -> &mut Self {
        self.bytes.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// A string of at most 127 bytes.
    fn string(&mut self, text: &str) -> &mut Self {
        let length = i16::try_from(text.len()).unwrap_or(0);
        self.int16(length).bytes.extend_from_slice(text.as_bytes());
        self
    }

    /// The whole answer.
    pub(super) fn with_head(self, head: &Head) -> Result<Vec<u8>> {
        let mut whole = Self::default();
        let length = i32::try_from(self.bytes.len() + 4).context("measure an answer")?;
        whole.int32(length).int32(head.correlation);
        whole.bytes.extend_from_slice(&self.bytes);
        Ok(whole.bytes)
    }
}

/// What is understood. Version 3 has compact arrays and tags; lower ones have not.
pub(super) fn api_versions(version: i16) -> Out {
    let mut out = Out::default();
    out.int16(0);
    let is_compact = version >= 3;
    let count = i8::try_from(VERSIONS.len()).unwrap_or(0);
    if is_compact {
        out.int8(count + 1);
    } else {
        out.int32(count.into());
    }
    for (key, lowest, highest) in VERSIONS {
        out.int16(key).int16(lowest).int16(highest);
        if is_compact {
            out.int8(0);
        }
    }
    if version >= 1 {
        out.int32(0);
    }
    if is_compact {
        out.int8(0);
    }
    out
}

/// One broker and one topic, whatever was asked for (version 8).
pub(super) fn metadata(address: SocketAddr, partitions: u32) -> Out {
    let mut out = Out::default();
    out.int32(0).int32(1).int32(NODE).string(&address.ip().to_string());
    out.int32(address.port().into()).int16(-1).string("tape").int32(NODE);
    out.int32(1).int16(0).string(Tape::TOPIC).int8(0);
    out.int32(partitions.cast_signed());
    for partition in 0..partitions.cast_signed() {
        out.int16(0).int32(partition).int32(NODE).int32(0);
        out.int32(1).int32(NODE).int32(1).int32(NODE).int32(0);
    }
    out.int32(NO_OPERATIONS).int32(NO_OPERATIONS);
    out
}

/// The oldest offset is 0, any other the end (version 5).
pub(super) fn list_offsets(body: &mut In<'_>, end: i64) -> Result<Out> {
    let mut asked = Vec::new();
    body.int32()?;
    body.int8()?;
    body.array(|body| {
        body.skip_string()?;
        body.array(|body| {
            let partition = body.int32()?;
            body.int32()?;
            let offset = if body.int64()? == OLDEST { 0 } else { end };
            asked.push((partition, offset));
            Ok(())
        })
    })?;
    let mut out = Out::default();
    let count = i32::try_from(asked.len()).context("count partitions")?;
    out.int32(0).int32(1).string(Tape::TOPIC).int32(count);
    for (partition, offset) in asked {
        out.int32(partition).int16(0).int64(-1).int64(offset).int32(0);
    }
    Ok(out)
}

/// What a Fetch (version 11) asks of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FetchPart {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) bytes_max: usize,
}

/// A Fetch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) wait_max: Duration,
    pub(super) bytes_max: usize,
    pub(super) parts: Vec<FetchPart>,
}

impl Fetch {
    pub(super) fn read(body: &mut In<'_>) -> Result<Self> {
        body.int32()?;
        let wait = u64::try_from(body.int32()?).unwrap_or(0);
        body.int32()?;
        let bytes_max = usize::try_from(body.int32()?).unwrap_or(0);
        body.int8()?;
        body.int32()?;
        body.int32()?;
        let mut parts = Vec::new();
        body.array(|body| {
            body.skip_string()?;
            body.array(|body| {
                let partition = body.int32()?;
                body.int32()?;
                let offset = body.int64()?;
                body.int64()?;
                let bytes_max = usize::try_from(body.int32()?).unwrap_or(0);
                parts.push(FetchPart { partition, offset, bytes_max });
                Ok(())
            })
        })?;
        Ok(Self { wait_max: Duration::from_millis(wait), bytes_max, parts })
    }
}

/// Bytes of the answer up to the partitions: throttle, error, session, topics, name, partitions.
const FETCH_START: usize = 4 + 2 + 4 + 4 + 2 + Tape::TOPIC.len() + 4;

/// Bytes in front of the records of a partition.
const PART_START: usize = 4 + 2 + 8 + 8 + 8 + 4 + 4 + 4;

/// Everything of the answer to a Fetch in front of its first partition.
pub(super) fn fetch_start(head: &Head, fetch: &Fetch, records: usize) -> Result<Out> {
    let length = 4 + FETCH_START + fetch.parts.len() * PART_START + records;
    let mut out = Out::default();
    let count = i32::try_from(fetch.parts.len()).context("count partitions")?;
    out.int32(i32::try_from(length).context("measure an answer")?).int32(head.correlation);
    out.int32(0).int16(0).int32(0).int32(1).string(Tape::TOPIC).int32(count);
    Ok(out)
}

/// What stands in front of the records of one partition.
pub(super) fn fetch_part(out: &mut Out, partition: i32, end: i64, records: usize) -> Result<()> {
    out.int32(partition).int16(0).int64(end).int64(end).int64(0).int32(-1).int32(-1);
    out.int32(i32::try_from(records).context("measure records")?);
    Ok(())
}
