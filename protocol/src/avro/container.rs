//! Avro object containers in two pieces: the header is the SCHEMA payload, the blocks are BATCH
//! payloads. Header followed by blocks is a valid `.avro` file. Codec `null` only: over a pipe a
//! codec costs more than it saves.

use std::fmt;

use serde_json::Value;
use thiserror::Error;

use super::primitive::{Cursor, DatumError, put_bytes, put_len};
use crate::json;
use crate::limits::{BLOCK_ROWS_MAX, SCHEMA_BYTES_MAX, SCHEMA_META_MAX};

/// First bytes of a container.
pub const MAGIC: [u8; 4] = *b"Obj\x01";

/// Bytes of the sync marker after the header and after each block.
pub const MARKER_LEN: usize = 16;

/// The sync marker: chosen once per pipeline by the host, so that replays are equal byte for byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Marker(pub [u8; MARKER_LEN]);

impl Marker {
    /// Reads 32 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * MARKER_LEN || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|value| Self(value.to_be_bytes()))
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why bytes are not a header or not blocks.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ContainerError {
    /// A value of the container is damaged.
    #[error("avro container: {0}")]
    Datum(#[from] DatumError),
    /// No `Obj` 1 at the start.
    #[error("avro container does not start with \"Obj\" 1")]
    Magic,
    /// A required entry of the metadata is missing or not what it must be.
    #[error("avro container metadata {key:?} {problem}")]
    Meta {
        /// The entry.
        key: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// Bytes after the end.
    #[error("avro container has {bytes} bytes after its end")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A sync marker that is not the assignment's.
    #[error("sync marker at byte {at} is not the one of the assignment")]
    Marker {
        /// Where it is.
        at: usize,
    },
    /// A block without rows: some readers end there without a word.
    #[error("block at byte {at} has no rows")]
    Empty {
        /// Where it begins.
        at: usize,
    },
    /// The header is over its limit.
    #[error("avro container header has {bytes} bytes, the limit is {SCHEMA_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// The header of a container, as SCHEMA carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerHeader {
    /// Number by which BATCH frames name the schema; 0 is the error row.
    pub schema: u32,
    /// The Avro schema as JSON text.
    pub avro_schema: String,
    /// Topic whose rows these are; `None` when the schema serves all.
    pub topic: Option<String>,
    /// Columns of the key, in order; empty for rows without a key.
    pub key_columns: Vec<String>,
    /// The sync marker.
    pub marker: Marker,
}

impl ContainerHeader {
    /// The bytes of the header. Entries stand in a fixed order, so equal headers have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut meta: Vec<(&str, Vec<u8>)> = vec![
            ("avro.schema", self.avro_schema.clone().into_bytes()),
            ("avro.codec", b"null".to_vec()),
            ("s2x.schema", self.schema.to_string().into_bytes()),
        ];
        if let Some(topic) = &self.topic {
            meta.push(("s2x.topic", topic.clone().into_bytes()));
        }
        if !self.key_columns.is_empty() {
            let columns = Value::from(self.key_columns.clone());
            meta.push(("s2x.key", columns.to_string().into_bytes()));
        }
        let mut out = MAGIC.to_vec();
        put_len(&mut out, meta.len());
        for (key, value) in meta {
            put_bytes(&mut out, key.as_bytes());
            put_bytes(&mut out, &value);
        }
        put_len(&mut out, 0);
        out.extend_from_slice(&self.marker.0);
        out
    }

    /// Reads the bytes of a header.
    pub fn decode(bytes: &[u8]) -> Result<Self, ContainerError> {
        if bytes.len() > SCHEMA_BYTES_MAX {
            return Err(ContainerError::TooLong { bytes: bytes.len() });
        }
        let mut cursor = Cursor::new(bytes);
        if cursor.take(MAGIC.len())? != MAGIC {
            return Err(ContainerError::Magic);
        }
        let meta = read_meta(&mut cursor)?;
        let mut marker = [0; MARKER_LEN];
        marker.copy_from_slice(cursor.take(MARKER_LEN)?);
        if !cursor.is_empty() {
            return Err(ContainerError::Trailing { bytes: bytes.len() - cursor.at() });
        }
        let text = |key: &'static str| {
            meta.iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| std::str::from_utf8(value))
                .transpose()
                .map_err(|_| ContainerError::Meta { key, problem: "is not UTF-8" })
        };
        let required = |key: &'static str| {
            text(key)?.ok_or(ContainerError::Meta { key, problem: "is missing" })
        };
        if !matches!(text("avro.codec")?, None | Some("null")) {
            return Err(ContainerError::Meta { key: "avro.codec", problem: "is not null" });
        }
        let schema = required("s2x.schema")?
            .parse()
            .map_err(|_| ContainerError::Meta { key: "s2x.schema", problem: "is no number" })?;
        let key_columns = text("s2x.key")?.map_or(Ok(Vec::new()), |columns| {
            json::decode(columns.as_bytes()).map_err(|_| ContainerError::Meta {
                key: "s2x.key",
                problem: "is no JSON array of strings",
            })
        })?;
        Ok(Self {
            schema,
            avro_schema: required("avro.schema")?.to_owned(),
            topic: text("s2x.topic")?.map(ToOwned::to_owned),
            key_columns,
            marker: Marker(marker),
        })
    }
}

type Meta<'a> = Vec<(&'a str, &'a [u8])>;

fn read_meta<'a>(cursor: &mut Cursor<'a>) -> Result<Meta<'a>, ContainerError> {
    let mut meta = Vec::new();
    loop {
        let room = (SCHEMA_META_MAX - meta.len()) as u64;
        let count = cursor.count(room)?;
        if count == 0 {
            return Ok(meta);
        }
        for _ in 0..count {
            let key = cursor.string()?;
            meta.push((key, cursor.bytes()?));
        }
    }
}

/// Appends the two numbers in front of a block's rows.
pub fn put_block_start(out: &mut Vec<u8>, rows: u64, row_bytes: usize) {
    put_len(out, usize::try_from(rows).unwrap_or(usize::MAX));
    put_len(out, row_bytes);
}

/// One block: its rows, not yet decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Number of rows; at least 1.
    pub rows: u64,
    /// The encoded rows, one after the other.
    pub data: &'a [u8],
}

/// Walks the blocks of a BATCH payload and checks each one's shape and marker.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    cursor: Cursor<'a>,
    marker: Marker,
}

impl<'a> Blocks<'a> {
    /// Walks `bytes`, which is whole blocks and nothing else.
    pub const fn new(bytes: &'a [u8], marker: Marker) -> Self {
        Self { cursor: Cursor::new(bytes), marker }
    }

    fn block(&mut self) -> Result<Block<'a>, ContainerError> {
        let at = self.cursor.at();
        let rows = self.cursor.count(BLOCK_ROWS_MAX)?;
        if rows == 0 {
            return Err(ContainerError::Empty { at });
        }
        let data = self.cursor.bytes()?;
        let at = self.cursor.at();
        if self.cursor.take(MARKER_LEN)? != self.marker.0 {
            return Err(ContainerError::Marker { at });
        }
        Ok(Block { rows, data })
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, ContainerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.is_empty() {
            return None;
        }
        let block = self.block();
        if block.is_err() {
            self.cursor = Cursor::new(&[]);
        }
        Some(block)
    }
}
