//! Batches between the pipe and the store. The reader of the pipe never waits for the store: what
//! the credits allow is kept here, in memory up to a limit, then in a file that has no name.
//!
//! Bound: credits × (batch bytes + largest row), which the session enforces on the extractor.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use protocol::avro::row::for_each_row;
use protocol::avro::{Block, Blocks, ContainerError, Cursor, ErrorRow, Marker, RowRef};
use protocol::message::{Operation, Refused};
use protocol::session::host::Rows as RowsFrame;

use crate::store::{self, Container, RowSink, Rows, StoreError, StoreErrorKind};

/// Staged bytes that one task keeps in memory; more goes to a file.
///
/// Why 64 MiB: two batches of the default size and a large row.
pub const STAGE_MEMORY_BYTES: u64 = 64 << 20;

/// Memory in use by the staged batches of one task.
#[derive(Clone, Debug, Default)]
pub struct StageBudget(Arc<AtomicU64>);

/// The blocks of one BATCH frame.
#[derive(Debug)]
enum Piece {
    Memory(Bytes),
    File { at: u64, len: usize },
}

/// One batch while it arrives, is loaded, and perhaps loaded again.
#[derive(Debug)]
pub struct Staged {
    rows: Vec<Piece>,
    /// Part and count of each piece of rows.
    counts: Vec<(u32, u64)>,
    errors: Vec<Piece>,
    file: Option<Arc<File>>,
    file_len: u64,
    in_memory: u64,
    budget: StageBudget,
    memory_max: u64,
    marker: Marker,
    /// When its extraction began.
    pub started_at: SystemTime,
}

impl Staged {
    /// An empty batch.
    pub fn new(budget: &StageBudget, marker: Marker) -> Self {
        Self::with_memory(budget, marker, STAGE_MEMORY_BYTES)
    }

    fn with_memory(budget: &StageBudget, marker: Marker, memory_max: u64) -> Self {
        Self {
            rows: Vec::new(),
            counts: Vec::new(),
            errors: Vec::new(),
            file: None,
            file_len: 0,
            in_memory: 0,
            budget: budget.clone(),
            memory_max,
            marker,
            started_at: SystemTime::now(),
        }
    }

    /// Takes the rows of one frame.
    ///
    /// # Errors
    /// The file for what does not fit into memory cannot be written.
    pub fn add(&mut self, rows: &RowsFrame) -> io::Result<()> {
        let piece = self.keep(&rows.blocks)?;
        match rows.operation {
            Operation::Error => self.errors.push(piece),
            Operation::Insert | Operation::Upsert | Operation::Delete => {
                self.rows.push(piece);
                self.counts.push((rows.part, rows.count));
            }
        }
        Ok(())
    }

    fn keep(&mut self, blocks: &Bytes) -> io::Result<Piece> {
        let len = blocks.len() as u64;
        if self.budget.0.fetch_add(len, Ordering::AcqRel) + len <= self.memory_max {
            self.in_memory += len;
            return Ok(Piece::Memory(blocks.clone()));
        }
        self.budget.0.fetch_sub(len, Ordering::AcqRel);
        let file = match self.file.take() {
            Some(file) => file,
            None => Arc::new(tempfile::tempfile()?),
        };
        let file = self.file.insert(file);
        let at = self.file_len;
        file.write_all_at(blocks, at)?;
        self.file_len += len;
        Ok(Piece::File { at, len: blocks.len() })
    }

    /// The part that the row of this index came from, and how many rows of that part came before it.
    pub fn place_of(&self, index: u64) -> Option<(u32, u64)> {
        let mut before: HashMap<u32, u64> = HashMap::new();
        let mut left = index;
        for (part, count) in &self.counts {
            let of_part = before.entry(*part).or_default();
            if left < *count {
                return Some((*part, *of_part + left));
            }
            left -= count;
            *of_part += count;
        }
        None
    }

    /// Digests of the datums of these rows, as ASSIGN names them.
    ///
    /// # Errors
    /// A block is damaged or cannot be read back.
    pub fn digests(&self, wanted: &BTreeSet<u64>) -> Result<HashMap<u64, String>, StoreError> {
        let mut digests = HashMap::new();
        let mut index = 0;
        self.for_each_block(&self.rows, &mut |block| {
            let data = block.data;
            let read = |cursor: &mut Cursor<'_>| {
                let start = cursor.at();
                RowRef::read(cursor)?;
                Ok(start..cursor.at())
            };
            for_each_row(block, read, |place| {
                if wanted.contains(&index) {
                    let datum = data.get(place).unwrap_or_default();
                    digests.insert(index, Refused::digest_of(datum));
                }
                index += 1;
                Ok::<(), StoreError>(())
            })
        })?;
        Ok(digests)
    }

    /// Reads every error row.
    ///
    /// # Errors
    /// A block is damaged, or `each` fails.
    pub fn for_each_error(
        &self,
        mut each: impl FnMut(ErrorRow<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.for_each_block(&self.errors, &mut |block| {
            for_each_row(block, ErrorRow::read, &mut each)
        })
    }

    fn for_each_block(
        &self,
        pieces: &[Piece],
        each: &mut dyn FnMut(&Block<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut buffer = Vec::new();
        for piece in pieces {
            let bytes = match piece {
                Piece::Memory(bytes) => &bytes[..],
                Piece::File { at, len } => {
                    buffer.resize(*len, 0);
                    if let Some(file) = &self.file {
                        file.read_exact_at(&mut buffer, *at).map_err(|error| {
                            let text = format!("cannot read a staged batch back: {error}");
                            StoreError::new(StoreErrorKind::Resource, text)
                        })?;
                    }
                    &buffer
                }
            };
            for block in Blocks::new(bytes, self.marker) {
                each(&block?)?;
            }
        }
        Ok(())
    }
}

impl Rows for Staged {
    fn for_each(&self, sink: &mut RowSink<'_>) -> Result<(), StoreError> {
        self.for_each_block(&self.rows, &mut |block| {
            for_each_row(block, RowRef::read, |RowRef { topic, id, record }| {
                sink(store::RowRef { topic, id, record })
            })
        })
    }

    fn container(&self) -> Option<Container> {
        let mut container = Container::new(self.marker);
        for (piece, (_, count)) in self.rows.iter().zip(&self.counts) {
            match piece {
                Piece::Memory(bytes) => container.push(bytes.clone(), *count),
                Piece::File { at, len } => {
                    let file = Arc::clone(self.file.as_ref()?);
                    container.push_file(file, *at, *len, *count);
                }
            }
        }
        Some(container)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.in_memory, Ordering::AcqRel);
    }
}

impl From<ContainerError> for StoreError {
    /// Blocks passed the session; rows inside them can still be damaged by a broken extractor.
    fn from(error: ContainerError) -> Self {
        let text = format!("extractor sent rows that cannot be read: {error}");
        Self::new(StoreErrorKind::Internal, text)
    }
}

#[cfg(test)]
mod tests;
