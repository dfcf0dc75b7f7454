//! Rows as an Avro object container: what a bulk loader that knows Avro takes as it is.
//!
//! May touch: the file that staged rows spilled to, for reading. Invariant: blocks are handed on byte for byte as
//! the extractor sent them; what is counted is what their own headers say.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use protocol::avro::container::put_block_start;
use protocol::avro::primitive::put_bytes;
use protocol::avro::row::STATIC_SCHEMA;
use protocol::avro::{ContainerHeader, Marker};

use super::{Rows, StoreError};

/// Number of the static row's schema (`protocol/SPEC.md` section 5.1).
const STATIC_SCHEMA_NUMBER: u32 = 1;

/// Bytes of rows after which a block made here is closed. Why 1 MiB: the largest that extractors aim at.
const BLOCK_BYTES: usize = 1 << 20;

/// Sync marker of containers made here; any will do, it parts blocks.
const MARKER: Marker = Marker(*b"s2x rows, static");

/// Bytes of a spilled piece that are read at once.
const CHUNK: usize = 64 * 1024;

/// Whole blocks.
#[derive(Debug, Clone)]
enum Piece {
    Memory(Bytes),
    File { file: Arc<File>, at: u64, len: usize },
}

/// A header and blocks of the static row.
#[derive(Debug, Clone)]
pub struct Container {
    header: Vec<u8>,
    pieces: Vec<Piece>,
    rows: u64,
}

/// Why a container was not written to its end.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// What was staged cannot be read back.
    Staged(io::Error),
    /// Who takes it takes no more.
    Sink(io::Error),
}

impl Container {
    /// A container without blocks, whose blocks will end with `marker`.
    pub fn new(marker: Marker) -> Self {
        let header = ContainerHeader {
            schema: STATIC_SCHEMA_NUMBER,
            avro_schema: STATIC_SCHEMA.to_owned(),
            topic: None,
            key_columns: Vec::new(),
            marker,
        };
        Self { header: header.encode(), pieces: Vec::new(), rows: 0 }
    }

    /// Adds whole blocks of `rows` rows from memory.
    pub fn push(&mut self, blocks: Bytes, rows: u64) {
        self.pieces.push(Piece::Memory(blocks));
        self.rows += rows;
    }

    /// Adds whole blocks of `rows` rows from a file.
    pub fn push_file(&mut self, file: Arc<File>, at: u64, len: usize, rows: u64) {
        self.pieces.push(Piece::File { file, at, len });
        self.rows += rows;
    }

    /// Makes a container of rows that did not come as one.
    ///
    /// # Errors
    /// As [`Rows::for_each`].
    pub fn of(rows: &dyn Rows) -> Result<Self, StoreError> {
        let mut container = Self::new(MARKER);
        let mut data = Vec::new();
        let mut count = 0_u64;
        rows.for_each(&mut |row| {
            for text in [row.topic, row.id, row.record] {
                put_bytes(&mut data, text.as_bytes());
            }
            count += 1;
            if data.len() >= BLOCK_BYTES {
                container.close_block(&mut data, &mut count);
            }
            Ok(())
        })?;
        container.close_block(&mut data, &mut count);
        Ok(container)
    }

    fn close_block(&mut self, data: &mut Vec<u8>, count: &mut u64) {
        if *count == 0 {
            return;
        }
        let mut block = Vec::with_capacity(data.len() + 32);
        put_block_start(&mut block, *count, data.len());
        block.append(data);
        block.extend_from_slice(&MARKER.0);
        self.push(block.into(), *count);
        *count = 0;
    }

    /// Rows in all blocks.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes header and blocks.
    pub(crate) fn write_to(&self, sink: &mut dyn Write) -> Result<(), WriteError> {
        sink.write_all(&self.header).map_err(WriteError::Sink)?;
        let mut buffer = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Memory(bytes) => sink.write_all(bytes).map_err(WriteError::Sink)?,
                Piece::File { file, at, len } => {
                    let (mut at, mut left) = (*at, *len);
                    while left > 0 {
                        buffer.resize(left.min(CHUNK), 0);
                        file.read_exact_at(&mut buffer, at).map_err(WriteError::Staged)?;
                        sink.write_all(&buffer).map_err(WriteError::Sink)?;
                        at += buffer.len() as u64;
                        left -= buffer.len();
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
