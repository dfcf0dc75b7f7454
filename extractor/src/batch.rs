//! The rows of one batch on their way into frames. Rows are appended to one buffer per split; a
//! full buffer becomes one container block in one BATCH frame, without a copy.
//!
//! ```text
//!  buffer:  │ free room … frame header │ prefix │ rows, bytes │ row row row … │ marker │
//!                                      └──────────── payload of BATCH ─────────────────┘
//! ```
//!
//! Invariants: rows + errors ≤ `max_rows`; bytes ≤ `max_bytes` unless one row alone is larger; no
//! frame over the agreed limit; nothing is appended while the pipe is full.

mod refusals;

use std::sync::Arc;

use crc_fast::{CrcAlgorithm, Digest};
use protocol::Code;
use protocol::OffsetValue;
use protocol::avro::container::{MARKER_LEN, put_block_start};
use protocol::avro::row::{ERROR_SCHEMA_NUMBER, STATIC_SCHEMA_NUMBER};
use protocol::avro::{ErrorRow, Marker};
use protocol::limits::{DATA_FRAME_BYTES_MAX, HEADER_LEN, PARTS_LEFT_OUT, ROW_BYTES_MAX};
use protocol::message::{BATCH_PREFIX_LEN, BatchPrefix, Extract, Move, Operation, Reason, Refused};
use protocol::wire::checksum::combine;
use protocol::wire::{Head, Kind};

use crate::pipe::{Link, OutFrame, Pool, ROOM};
use crate::source::{RowSink, Taken};

use refusals::Refusals;

/// Rows in one buffer at which it becomes a frame. Why 768 KiB: frames between 256 KiB and 1 MiB
/// move fastest, and a buffer of 1 MiB need not grow for the last row.
const SEAL_BYTES: usize = 768 * 1024;

/// Rows in all buffers together at which all become frames.
const PENDING_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of rows after which their checksum is carried on.
///
/// Why 32 KiB: they are still in the processor's nearest cache; at the end of a frame they would come from
/// a far one.
const SUMMED_BYTES: usize = 32 * 1024;

/// Bytes of a frame that its rows leave free (SPEC.md section 5.3).
const FRAME_RESERVE: usize = 1024;

/// Bytes of the two varints in front of a block.
const VARINTS_MAX: usize = 20;

/// Bytes of the reason in an error row that had to be made small, before what says so.
const REASON_BYTES_MAX: usize = 4096;

const _: () = assert!(ROOM >= HEADER_LEN + BATCH_PREFIX_LEN + VARINTS_MAX);
const _: () = assert!(FRAME_RESERVE >= BATCH_PREFIX_LEN + VARINTS_MAX + MARKER_LEN);

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Rows,
    Errors,
}

impl Content {
    const fn prefix(self) -> BatchPrefix {
        match self {
            Self::Rows => {
                BatchPrefix { schema: STATIC_SCHEMA_NUMBER, operation: Operation::Insert }
            }
            Self::Errors => {
                BatchPrefix { schema: ERROR_SCHEMA_NUMBER, operation: Operation::Error }
            }
        }
    }
}

/// Rows that are not yet in a frame, behind [`ROOM`] free bytes; an unused one has no buffer.
#[derive(Debug, Default)]
struct Block {
    buffer: Vec<u8>,
    count: u64,
    /// Checksum of the first `summed` bytes of the rows.
    crc: u32,
    summed: usize,
}

impl Block {
    fn row_bytes(&self) -> usize {
        self.buffer.len().saturating_sub(ROOM)
    }

    /// Carries the checksum on to the last row.
    fn sum(&mut self) {
        let rest = self.buffer.get(ROOM + self.summed..).unwrap_or_default();
        // A checksum is the state with all bits turned.
        let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, (!self.crc).into());
        digest.update(rest);
        self.crc = u32::try_from(digest.finalize()).unwrap_or(u32::MAX);
        self.summed += rest.len();
    }
}

/// One split within the batch.
#[derive(Debug, Default)]
struct Part {
    rows: Block,
    errors: Block,
    row_count: u64,
    error_count: u64,
    /// Checksum over all rows, in order.
    digest: u32,
    touched: bool,
}

impl Part {
    fn block(&mut self, content: Content) -> &mut Block {
        match content {
            Content::Rows => &mut self.rows,
            Content::Errors => &mut self.errors,
        }
    }
}

/// Counts of a batch, as BATCH_END tells them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows.
    pub rows: u64,
    /// Error rows.
    pub errors: u64,
    /// Payload bytes of all frames.
    pub payload_bytes: u64,
    /// Frames.
    pub frames: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Batch {
    link: Arc<Link>,
    pool: Pool,
    marker: Marker,
    head: Head,
    /// Largest encoded row.
    row_bytes_max: usize,
    /// Most row bytes that fit into one frame.
    frame_rows_max: usize,
    rows_max: u64,
    bytes_max: u64,
    counts: Counts,
    row_bytes: u64,
    pending_bytes: usize,
    parts: Vec<Part>,
    touched: Vec<u32>,
    full: Option<Reason>,
    pipe_full: bool,
    digests: bool,
    /// Rows that come as error rows, because the host could not load them.
    refusals: Refusals,
}

impl Batch {
    /// A batch that takes nothing until [`Batch::assign`] and [`Batch::begin`].
    pub fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            pool: Pool::default(),
            marker: Marker([0; MARKER_LEN]),
            head: Head::new(Kind::Batch, 0),
            row_bytes_max: 0,
            frame_rows_max: 0,
            rows_max: 0,
            bytes_max: 0,
            counts: Counts::default(),
            row_bytes: 0,
            pending_bytes: 0,
            parts: Vec::new(),
            touched: Vec::new(),
            full: None,
            pipe_full: false,
            digests: false,
            refusals: Refusals::default(),
        }
    }

    /// Tells a digest of each split's rows from now on.
    pub fn tell_digests(&mut self) {
        self.digests = true;
    }

    /// Sets what one frame and one row may hold.
    pub fn limit(&mut self, max_frame: u32, max_row_bytes: u64) {
        let max_frame = max_frame.min(DATA_FRAME_BYTES_MAX) as usize;
        self.frame_rows_max = max_frame.saturating_sub(FRAME_RESERVE);
        let wanted = usize::try_from(max_row_bytes).unwrap_or(usize::MAX);
        self.row_bytes_max = wanted.min(self.frame_rows_max).min(ROW_BYTES_MAX);
    }

    /// Begins an assignment of `parts` splits, of which these rows come as error rows.
    pub fn assign(&mut self, marker: Marker, parts: usize, refused: &[Refused]) {
        self.drop_rows();
        self.refusals = Refusals::new(refused);
        self.marker = marker;
        self.parts.clear();
        self.parts.resize_with(parts, Part::default);
    }

    /// Begins the answer to an EXTRACT.
    pub fn begin(&mut self, epoch: u32, reference: u32, extract: &Extract) {
        self.drop_rows();
        self.head = Head::new(Kind::Batch, epoch).answers(reference);
        (self.rows_max, self.bytes_max) = (extract.max_rows, extract.max_bytes);
        self.resume();
    }

    /// Forgets everything that is not yet in a frame, and the counts.
    pub fn drop_rows(&mut self) {
        for index in std::mem::take(&mut self.touched) {
            if let Some(part) = self.parts.get_mut(index as usize) {
                let Part { rows, errors, .. } = std::mem::take(part);
                self.pool.put(rows.buffer);
                self.pool.put(errors.buffer);
            }
        }
        self.counts = Counts::default();
        (self.row_bytes, self.pending_bytes, self.full) = (0, 0, None);
    }

    /// Why the batch takes no more rows at all.
    pub const fn full(&self) -> Option<Reason> {
        self.full
    }

    /// Whether rows are refused only because the host does not read.
    pub const fn waits_for_pipe(&self) -> bool {
        self.pipe_full
    }

    /// Looks again whether the pipe takes rows.
    pub fn resume(&mut self) {
        self.pipe_full = !self.link.outbox.has_room();
    }

    /// Rows and error rows so far.
    pub const fn taken(&self) -> u64 {
        self.counts.rows + self.counts.errors
    }

    /// Puts the remaining rows into frames and tells what the batch holds. `from` and `to` give the
    /// place of a split before and after the batch; only splits that moved are told.
    pub fn finish(
        &mut self,
        places: impl Iterator<Item = (OffsetValue, OffsetValue)>,
    ) -> (Counts, Vec<Move>) {
        self.seal_all();
        let mut moves = Vec::new();
        for (index, ((from, to), part)) in (0u32..).zip(places.zip(&self.parts)) {
            let moved = from != to || part.row_count + part.error_count > 0;
            if moved {
                let told = self.digests && part.row_count > 0;
                let digest = told.then(|| format!("crc32c:{:08x}", part.digest));
                let (rows, errors) = (part.row_count, part.error_count);
                moves.push(Move { part: index, from, to, rows, errors, digest });
            }
        }
        let counts = self.counts;
        self.drop_rows();
        (counts, moves)
    }

    /// Appends one datum to a block of `part`, or leaves everything as it was.
    fn append(
        &mut self,
        part: u32,
        content: Content,
        datum_max: usize,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Taken {
        if self.rows_left() == 0 {
            return Taken::No;
        }
        let first_in_batch = self.taken() == 0;
        let Some(slot) = self.parts.get_mut(part as usize) else {
            debug_assert!(false, "part {part} is not assigned");
            return Taken::No;
        };
        if !std::mem::replace(&mut slot.touched, true) {
            self.touched.push(part);
        }
        let block = slot.block(content);
        if block.buffer.is_empty() {
            self.link.outbox.reclaim(&mut self.pool);
            block.buffer = self.pool.take();
        }
        let start = block.buffer.len();
        write(&mut block.buffer);
        let bytes = block.buffer.len() - start;
        if bytes > datum_max {
            block.buffer.truncate(start);
            return Taken::TooLarge { bytes };
        }
        let is_row = content == Content::Rows && !self.refusals.is_empty();
        if is_row && self.refusals.has(part, block.buffer.get(start..).unwrap_or_default()) {
            block.buffer.truncate(start);
            return Taken::Refused;
        }
        if !first_in_batch && self.row_bytes + bytes as u64 > self.bytes_max {
            block.buffer.truncate(start);
            self.full = Some(Reason::Bytes);
            return Taken::No;
        }
        block.count += 1;
        self.row_bytes += bytes as u64;
        self.pending_bytes += bytes;
        if is_row {
            self.refusals.pass(part);
        }
        match content {
            Content::Rows => {
                (slot.row_count, self.counts.rows) = (slot.row_count + 1, self.counts.rows + 1)
            }
            Content::Errors => {
                (slot.error_count, self.counts.errors) =
                    (slot.error_count + 1, self.counts.errors + 1)
            }
        }
        self.after_append(part, content, start);
        Taken::Yes
    }

    /// Seals what became too large, and closes the batch that became full.
    fn after_append(&mut self, part: u32, content: Content, start: usize) {
        let mut held = self.held(part, content);
        if held > self.frame_rows_max {
            self.split(part, content, start);
            held = self.held(part, content);
        }
        if held >= SEAL_BYTES.min(self.frame_rows_max) {
            self.seal(part, content);
        } else if self.pending_bytes >= PENDING_BYTES_MAX {
            self.seal_all();
        } else if let Some(block) = self.block(part, content)
            && held - block.summed >= SUMMED_BYTES
        {
            // Not before: `split` would take the last row away again.
            block.sum();
        }
        if self.taken() >= self.rows_max {
            self.full = Some(Reason::Rows);
        } else if self.row_bytes >= self.bytes_max {
            self.full = Some(Reason::Bytes);
        }
    }

    fn block(&mut self, part: u32, content: Content) -> Option<&mut Block> {
        self.parts.get_mut(part as usize).map(|part| part.block(content))
    }

    fn held(&mut self, part: u32, content: Content) -> usize {
        self.block(part, content).map_or(0, |block| block.row_bytes())
    }

    /// Seals the rows before `start` and keeps the last one, which does not fit behind them.
    fn split(&mut self, part: u32, content: Content, start: usize) {
        let mut fresh = self.pool.take();
        let Some(block) = self.block(part, content) else { return };
        fresh.extend_from_slice(block.buffer.get(start..).unwrap_or_default());
        block.buffer.truncate(start);
        block.count -= 1;
        self.seal(part, content);
        if let Some(block) = self.block(part, content) {
            *block = Block { buffer: fresh, count: 1, ..Block::default() };
        }
    }

    fn seal_all(&mut self) {
        for index in 0..self.touched.len() {
            let Some(part) = self.touched.get(index).copied() else { break };
            self.seal(part, Content::Rows);
            self.seal(part, Content::Errors);
        }
    }

    /// Turns a block into a frame and queues it.
    fn seal(&mut self, part: u32, content: Content) {
        let Some(slot) = self.parts.get_mut(part as usize) else { return };
        let block = slot.block(content);
        if block.count == 0 {
            return;
        }
        block.sum();
        let Block { mut buffer, count, crc: rows_crc, summed: rows_len } = std::mem::take(block);
        if self.digests && content == Content::Rows {
            slot.digest = combine(slot.digest, rows_crc, rows_len);
        }
        let mut before = content.prefix().encode().to_vec();
        put_block_start(&mut before, count, rows_len);
        let start = ROOM - before.len();
        if let Some(room) = buffer.get_mut(start..ROOM) {
            room.copy_from_slice(&before);
        }
        buffer.extend_from_slice(&self.marker.0);
        let crc = combine(crc32c::crc32c(&before), rows_crc, rows_len);
        let crc = crc32c::crc32c_append(crc, &self.marker.0);
        let frame = OutFrame::data(self.head.part(part), buffer, start, crc);
        self.counts.frames += 1;
        self.counts.payload_bytes += frame.payload_len() as u64;
        self.pending_bytes -= rows_len;
        self.link.outbox.push(frame);
        self.resume();
    }
}

impl RowSink for Batch {
    fn rows_left(&self) -> usize {
        if self.full.is_some() || self.pipe_full {
            return 0;
        }
        usize::try_from(self.rows_max.saturating_sub(self.taken())).unwrap_or(usize::MAX)
    }

    fn row(&mut self, part: u32, write: &mut dyn FnMut(&mut Vec<u8>)) -> Taken {
        self.append(part, Content::Rows, self.row_bytes_max, write)
    }

    fn error(&mut self, part: u32, row: &ErrorRow<'_>) -> Taken {
        if row.code != Code::RowRefused.name() {
            return self.error_row(part, row);
        }
        let reason = self.refusals.reason(part);
        let taken = self.error_row(part, &ErrorRow { reason: &reason, ..row.clone() });
        if taken == Taken::Yes {
            self.refusals.pass(part);
        }
        taken
    }
}

impl Batch {
    /// Appends an error row, without its larger parts where it would not fit into a frame.
    fn error_row(&mut self, part: u32, row: &ErrorRow<'_>) -> Taken {
        let max = self.frame_rows_max.min(ROW_BYTES_MAX);
        let taken = self.append(part, Content::Errors, max, &mut |out| row.write(out));
        let Taken::TooLarge { bytes } = taken else { return taken };
        // The record can still be found by its position. Its parts go one after the other.
        // That they are missing is said however long the reason is.
        let end = row.reason.floor_char_boundary(REASON_BYTES_MAX);
        let reason = row.reason.get(..end).unwrap_or_default();
        let reason = format!("{reason} {PARTS_LEFT_OUT}{bytes} bytes)");
        let mut small = ErrorRow { value: None, reason: &reason, ..row.clone() };
        let steps: [fn(&mut ErrorRow<'_>); 3] =
            [|_| {}, |row| row.headers.clear(), |row| row.key = None];
        for shrink in steps {
            shrink(&mut small);
            let taken = self.append(part, Content::Errors, max, &mut |out| small.write(out));
            if !matches!(taken, Taken::TooLarge { .. }) {
                return taken;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests;
