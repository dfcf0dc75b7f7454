//! The two rows with a fixed schema: the static row and the error row. `SPEC.md` section 5.

use super::primitive::{Cursor, DatumError, put_bytes, put_len, put_long};
use crate::avro::container::ContainerError;
use crate::limits::BLOCK_ROWS_MAX;

/// Avro schema of the static row: the table of the documented pipelines. `id` and `record` are
/// JSON text.
pub const STATIC_SCHEMA: &str = concat!(
    r#"{"type":"record","name":"row","fields":["#,
    r#"{"name":"topic","type":"string"},"#,
    r#"{"name":"id","type":"string"},"#,
    r#"{"name":"record","type":"string"}]}"#,
);

/// Avro schema of the error row: a record that could not become a row.
pub const ERROR_SCHEMA: &str = concat!(
    r#"{"type":"record","name":"error","fields":["#,
    r#"{"name":"split","type":"string"},"#,
    r#"{"name":"position","type":"string"},"#,
    r#"{"name":"timestamp","type":["null","long"]},"#,
    r#"{"name":"key","type":["null","bytes"]},"#,
    r#"{"name":"value","type":["null","bytes"]},"#,
    r#"{"name":"headers","type":{"type":"array","items":{"type":"record","name":"header","fields":["#,
    r#"{"name":"name","type":"string"},{"name":"value","type":["null","bytes"]}]}}},"#,
    r#"{"name":"code","type":"string"},"#,
    r#"{"name":"reason","type":"string"}]}"#,
);

/// Number of the error schema; rows of the pipeline have numbers from 1.
pub const ERROR_SCHEMA_NUMBER: u32 = 0;

/// Number of the static schema.
pub const STATIC_SCHEMA_NUMBER: u32 = 1;

/// A static row inside a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRef<'a> {
    /// Where it came from.
    pub topic: &'a str,
    /// Identity of the record, JSON text.
    pub id: &'a str,
    /// The record, JSON text.
    pub record: &'a str,
}

impl<'a> RowRef<'a> {
    /// Reads one row.
    pub fn read(cursor: &mut Cursor<'a>) -> Result<Self, DatumError> {
        Ok(Self { topic: cursor.string()?, id: cursor.string()?, record: cursor.string()? })
    }
}

/// A record that could not become a row, with everything needed to find and repair it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorRow<'a> {
    /// Canonical offset KEY of the split.
    pub split: &'a str,
    /// Canonical offset VALUE that names this record: resuming there reads it again.
    pub position: &'a str,
    /// Milliseconds since the epoch, as the source says.
    pub timestamp: Option<i64>,
    /// Raw key.
    pub key: Option<&'a [u8]>,
    /// Raw value.
    pub value: Option<&'a [u8]>,
    /// Raw headers in source order.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
    /// Code of class data, for example `DECODE_FAILED`.
    pub code: &'a str,
    /// One line for people, without payload bytes.
    pub reason: &'a str,
}

impl<'a> ErrorRow<'a> {
    /// Appends the row.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.split.as_bytes());
        put_bytes(out, self.position.as_bytes());
        put_long(out, i64::from(self.timestamp.is_some()));
        if let Some(timestamp) = self.timestamp {
            put_long(out, timestamp);
        }
        put_optional(out, self.key);
        put_optional(out, self.value);
        if !self.headers.is_empty() {
            put_len(out, self.headers.len());
            for (name, value) in &self.headers {
                put_bytes(out, name.as_bytes());
                put_optional(out, *value);
            }
        }
        put_len(out, 0);
        put_bytes(out, self.code.as_bytes());
        put_bytes(out, self.reason.as_bytes());
    }

    /// Reads one row.
    pub fn read(cursor: &mut Cursor<'a>) -> Result<Self, DatumError> {
        Ok(Self {
            split: cursor.string()?,
            position: cursor.string()?,
            timestamp: if cursor.is_some()? { Some(cursor.long()?) } else { None },
            key: read_optional(cursor)?,
            value: read_optional(cursor)?,
            headers: read_headers(cursor)?,
            code: cursor.string()?,
            reason: cursor.string()?,
        })
    }
}

fn put_optional(out: &mut Vec<u8>, value: Option<&[u8]>) {
    put_long(out, i64::from(value.is_some()));
    if let Some(value) = value {
        put_bytes(out, value);
    }
}

fn read_optional<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, DatumError> {
    if cursor.is_some()? { cursor.bytes().map(Some) } else { Ok(None) }
}

type Headers<'a> = Vec<(&'a str, Option<&'a [u8]>)>;

fn read_headers<'a>(cursor: &mut Cursor<'a>) -> Result<Headers<'a>, DatumError> {
    let mut headers = Vec::new();
    loop {
        // A header takes at least two bytes, so a count cannot promise more than it brings.
        let count = cursor.count(BLOCK_ROWS_MAX)?;
        if count == 0 {
            return Ok(headers);
        }
        for _ in 0..count {
            headers.push((cursor.string()?, read_optional(cursor)?));
        }
    }
}

/// Reads every row of a block with `read` and hands it to `each`.
///
/// # Errors
/// The block does not hold exactly the promised number of rows, or `each` fails.
pub fn for_each_row<'a, R, E: From<ContainerError>>(
    block: &super::container::Block<'a>,
    read: impl Fn(&mut Cursor<'a>) -> Result<R, DatumError>,
    mut each: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let mut cursor = Cursor::new(block.data);
    for _ in 0..block.rows {
        each(read(&mut cursor).map_err(ContainerError::from)?)?;
    }
    if cursor.is_empty() {
        return Ok(());
    }
    Err(ContainerError::Trailing { bytes: block.data.len() - cursor.at() }.into())
}

#[cfg(test)]
mod tests;
