//! BATCH and BATCH_END: the rows, and the only message that moves offsets.

use serde::{Deserialize, Serialize};

use super::Reason;
use crate::offset::OffsetValue;

/// Bytes in front of the blocks of a BATCH payload: schema number (u32), operation (u8), 3 zeros.
pub const BATCH_PREFIX_LEN: usize = 8;

/// What a store does with the rows of a BATCH frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Append; the only one for rows without a key.
    Insert,
    /// Replace the row of the same key, or append.
    Upsert,
    /// Delete the row of the same key; the rows hold key columns only.
    Delete,
    /// Error rows.
    Error,
}

impl Operation {
    /// The byte in the prefix.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Insert => 0,
            Self::Upsert => 1,
            Self::Delete => 2,
            Self::Error => 3,
        }
    }

    /// The operation of a byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Insert),
            1 => Some(Self::Upsert),
            2 => Some(Self::Delete),
            3 => Some(Self::Error),
            _ => None,
        }
    }
}

/// The prefix of a BATCH payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPrefix {
    /// Number of the SCHEMA that the blocks are encoded with.
    pub schema: u32,
    /// What a store does with the rows.
    pub operation: Operation,
}

impl BatchPrefix {
    /// The bytes of the prefix.
    pub fn encode(self) -> [u8; BATCH_PREFIX_LEN] {
        let [a, b, c, d] = self.schema.to_be_bytes();
        [a, b, c, d, self.operation.byte(), 0, 0, 0]
    }

    /// Splits a payload into prefix and blocks.
    pub fn decode(payload: &[u8]) -> Option<(Self, &[u8])> {
        let ([a, b, c, d, operation, 0, 0, 0], blocks) = payload.split_first_chunk()? else {
            return None;
        };
        let schema = u32::from_be_bytes([*a, *b, *c, *d]);
        let operation = Operation::from_byte(*operation)?;
        Some((Self { schema, operation }, blocks))
    }
}

/// BATCH_END: the only message that moves offsets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchEnd {
    /// Number of the batch in this process, from 1.
    pub batch: u64,
    /// Rows in all BATCH frames of this batch, error rows not counted.
    pub rows: u64,
    /// Error rows.
    #[serde(default)]
    pub errors: u64,
    /// BATCH payload bytes.
    pub bytes: u64,
    /// BATCH frames.
    pub frames: u64,
    /// Why the batch ended.
    pub reason: Reason,
    /// The splits that moved.
    pub offsets: Vec<Move>,
    /// Lag after this batch, over all assigned splits.
    #[serde(default)]
    pub lag: Lag,
    /// Lag of single splits, those that it changed for since it was told last. Advice: nothing is
    /// decided by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lags: Vec<PartLag>,
    /// Every assigned split was read to the end that the source reported.
    #[serde(default)]
    pub caught_up: bool,
}

/// What is still to be read of one split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartLag {
    /// Index in ASSIGN.
    pub part: u32,
    /// Records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
}

/// How a split moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Index in ASSIGN.
    pub part: u32,
    /// Where it stood: the assigned value, or `to` of the batch before.
    pub from: OffsetValue,
    /// Where it stands when this batch is durable.
    pub to: OffsetValue,
    /// Rows of this split.
    pub rows: u64,
    /// Error rows of this split.
    #[serde(default)]
    pub errors: u64,
    /// `crc32c:` and eight hexadecimal digits over the encoded rows of this split, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// What is still to be read, as far as the source knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// Records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
}
