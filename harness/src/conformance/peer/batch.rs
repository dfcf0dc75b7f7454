//! Batches as checks see them: every row, decoded.

use protocol::Failure;
use protocol::avro::row::{ErrorRow as Error, RowRef, for_each_row};
use protocol::avro::{Blocks, ContainerError};
use protocol::message::{BatchEnd, Extract, Operation};
use protocol::session::host::{Event, Rows};

use super::{MARKER, Peer, other_event};
use crate::conformance::fault::{Fault, miss};

/// A row as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::conformance) struct Row {
    pub(in crate::conformance) part: u32,
    pub(in crate::conformance) topic: String,
    pub(in crate::conformance) id: String,
    pub(in crate::conformance) record: String,
}

/// An error row as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::conformance) struct ErrorRow {
    pub(in crate::conformance) part: u32,
    pub(in crate::conformance) split: String,
    pub(in crate::conformance) position: String,
    pub(in crate::conformance) key: Option<Vec<u8>>,
    pub(in crate::conformance) value: Option<Vec<u8>>,
    pub(in crate::conformance) code: String,
    pub(in crate::conformance) reason: String,
}

/// A batch with everything that belongs to it.
#[derive(Clone, Debug)]
pub(in crate::conformance) struct Batch {
    pub(in crate::conformance) end: BatchEnd,
    /// The EXTRACT that it answers.
    pub(in crate::conformance) extract: u32,
    pub(in crate::conformance) rows: Vec<Row>,
    pub(in crate::conformance) errors: Vec<ErrorRow>,
    /// Bytes of the datums of rows and error rows.
    pub(in crate::conformance) datum_bytes: u64,
}

impl Batch {
    /// Rows and error rows.
    pub(in crate::conformance) const fn count(&self) -> u64 {
        self.end.rows + self.end.errors
    }

    /// Where a part stands after this batch, as canonical text, if it moved.
    pub(in crate::conformance) fn to(&self, part: u32) -> Option<&str> {
        let step = self.end.offsets.iter().find(|step| step.part == part)?;
        Some(step.to.as_str())
    }

    /// The batch in one line.
    pub(in crate::conformance) fn line(&self) -> String {
        let BatchEnd { rows, errors, frames, reason, offsets, caught_up, .. } = &self.end;
        let moves: Vec<String> = offsets
            .iter()
            .map(|step| format!("part {} {} to {}", step.part, step.from, step.to))
            .collect();
        let moves = if moves.is_empty() { "no move".to_owned() } else { moves.join(", ") };
        format!(
            "reason {reason:?}, {rows} rows, {errors} error rows, {frames} frames, {moves}, \
             caught_up {caught_up}"
        )
    }
}

impl Peer {
    pub(in crate::conformance) fn extract(&mut self, extract: &Extract) -> Result<Batch, Fault> {
        self.send_extract(extract)?;
        self.batch()
    }

    /// A batch, or the ERROR that answers its EXTRACT.
    pub(in crate::conformance) fn extract_or_failure(
        &mut self,
        extract: &Extract,
    ) -> Result<Result<Batch, Failure>, Fault> {
        self.send_extract(extract)?;
        self.try_batch()
    }

    /// Everything up to the next BATCH_END.
    pub(in crate::conformance) fn batch(&mut self) -> Result<Batch, Fault> {
        match self.try_batch()? {
            Ok(batch) => Ok(batch),
            Err(failure) => Err(miss("BATCH_END", format!("ERROR {failure}"))),
        }
    }

    /// What answers the oldest EXTRACT.
    pub(in crate::conformance) fn try_batch(&mut self) -> Result<Result<Batch, Failure>, Fault> {
        let (mut rows, mut errors, mut datum_bytes) = (Vec::new(), Vec::new(), 0);
        loop {
            match self.event("BATCH_END")? {
                Event::Rows(came) => {
                    datum_bytes += read_rows(&came, &mut rows, &mut errors)?;
                }
                Event::BatchEnd(finished) => {
                    let (end, extract) = (finished.end, finished.extract);
                    return Ok(Ok(Batch { end, extract, rows, errors, datum_bytes }));
                }
                Event::Failed { failure, .. } => return Ok(Err(failure)),
                Event::Stale => {}
                other => return Err(other_event("BATCH_END", &other)),
            }
        }
    }
}

/// Decodes the blocks of a frame; the bytes of their datums.
fn read_rows(came: &Rows, rows: &mut Vec<Row>, errors: &mut Vec<ErrorRow>) -> Result<u64, Fault> {
    let part = came.part;
    let mut bytes = 0;
    let wrong = |error: ContainerError| Fault::Broken { rule: "H6", seen: error.to_string() };
    for block in Blocks::new(&came.blocks, MARKER) {
        let block = block.map_err(wrong)?;
        bytes += block.data.len() as u64;
        let read = match came.operation {
            Operation::Error => for_each_row(&block, Error::read, |row| {
                errors.push(ErrorRow {
                    part,
                    split: row.split.to_owned(),
                    position: row.position.to_owned(),
                    key: row.key.map(<[u8]>::to_vec),
                    value: row.value.map(<[u8]>::to_vec),
                    code: row.code.to_owned(),
                    reason: row.reason.to_owned(),
                });
                Ok(())
            }),
            _ => for_each_row(&block, RowRef::read, |row| {
                let RowRef { topic, id, record } = row;
                rows.push(Row {
                    part,
                    topic: topic.to_owned(),
                    id: id.to_owned(),
                    record: record.to_owned(),
                });
                Ok(())
            }),
        };
        read.map_err(wrong)?;
    }
    Ok(bytes)
}
