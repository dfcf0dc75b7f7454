//! What a Kafka record is, as the pipeline declares it, and its JSON texts. Pure.
//!
//! Nothing is guessed per record: a record that is not what was declared is an error row. Valid
//! JSON is embedded byte for byte, so that no number passes through a float. The same record makes
//! the same bytes in every process.

pub mod avro;
pub mod csv;
mod json;
pub mod schema;
pub mod translate;

use protocol::Code;
use thiserror::Error;

use crate::encode::{write_integer, write_json_base64, write_json_string, write_string};

/// Nesting of objects and arrays in a record.
///
/// Why 128: it is where common JSON readers stop (`serde_json`), so that a record that passes here
/// can be read again.
pub const RECORD_DEPTH_MAX: usize = 128;

/// Schema ids of a registry that the text of an error row tells. Why 2^24 - 1: a registry counts them
/// up from one, and after a zero byte letters would read as larger ones.
const SCHEMA_ID_MAX: u32 = 0x00ff_ffff;

/// How the bytes of a key or a value are declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON text, embedded as it is.
    Json,
    /// UTF-8 text, as a JSON string.
    String,
    /// Any bytes, as a JSON string of base64.
    Bytes,
    /// JSON text that a [`translate::Translator`] made of what came; it is not looked at again.
    Written,
}

/// A header: its name, and its value unless that is null.
pub type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// One Kafka record as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since the epoch; `None` where the topic has none.
    pub timestamp: Option<i64>,
    /// The key; null and empty are different.
    pub key: Option<&'a [u8]>,
    /// The value; null and empty are different.
    pub value: Option<&'a [u8]>,
    /// Headers in their order; needed only where [`Decoder::wants_metadata`] says so.
    pub headers: Vec<Header<'a>>,
}

/// Why a record is not what was declared. Texts hold places, never payload.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Undecodable {
    /// The bytes are not UTF-8.
    #[error("{role} is not UTF-8 at byte {at}{}{}", resemblance(*schema), advice(role, "bytes"))]
    Utf8 {
        /// `key`, `value` or `header name`.
        role: &'static str,
        /// First bad byte.
        at: usize,
        /// The schema id, if it begins as a schema registry's producers frame what they write.
        schema: Option<u32>,
    },
    /// The text is not one JSON value.
    #[error(
        "{role} of {len} bytes is not JSON: expected {expected} at byte {at}{}{}",
        resemblance(*schema),
        advice(role, if schema.is_some() { "bytes" } else { "string" })
    )]
    Json {
        /// `key` or `value`.
        role: &'static str,
        /// Bytes of the text.
        len: usize,
        /// Where the reader stopped.
        at: usize,
        /// What it expected there.
        expected: &'static str,
        /// The schema id, if it begins as a schema registry's producers frame what they write.
        schema: Option<u32>,
    },
    /// The JSON text is nested too deep.
    #[error(
        "{role} is nested deeper than {RECORD_DEPTH_MAX} levels at byte {at}{}",
        advice(role, "string")
    )]
    Depth {
        /// `key` or `value`.
        role: &'static str,
        /// The bracket that goes too deep.
        at: usize,
    },
    /// The bytes are not what their format or their schema says.
    #[error("{role} of {len} bytes is not {form}: expected {expected} at byte {at}")]
    Form {
        /// `key` or `value`.
        role: &'static str,
        /// Bytes of all of it.
        len: usize,
        /// What it was declared to be.
        form: translate::Form,
        /// Where the reader stopped.
        at: usize,
        /// What it expected there.
        expected: &'static str,
    },
    /// There is no schema for it that could be used.
    #[error("{role} cannot be read: {reason}")]
    Schema {
        /// `key` or `value`.
        role: &'static str,
        /// Which schema, and why not.
        reason: String,
    },
}

/// Which declaration takes every record, for the ends of the texts; no setting declares headers.
fn advice(role: &str, format: &str) -> String {
    match role {
        "key" | "value" => {
            format!("; if {role}s are not what {role}.format declares, set {role}.format={format}")
        }
        _ => String::new(),
    }
}

/// What a record that is not as declared begins like, for the middles of the texts.
fn resemblance(schema: Option<u32>) -> String {
    schema.map_or_else(String::new, |id| {
        format!(
            "; it begins like a record of a schema registry (schema id {id}): declare avro-confluent, \
             json-schema or what else it is"
        )
    })
}

impl Undecodable {
    /// The code of the error row.
    pub const fn code(&self) -> Code {
        match self {
            Self::Utf8 { .. } => Code::InvalidUtf8,
            Self::Json { .. } | Self::Depth { .. } | Self::Form { .. } | Self::Schema { .. } => {
                Code::DecodeFailed
            }
        }
    }
}

/// Turns records into rows by a fixed declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoder {
    /// How keys are declared.
    pub key: Format,
    /// How values are declared.
    pub value: Format,
    /// Whether `record` is an object with headers, offset, partition, timestamp and value.
    pub metadata: bool,
}

impl Decoder {
    /// Whether headers and timestamp are part of the row.
    pub const fn wants_metadata(&self) -> bool {
        self.metadata
    }

    /// Checks a record against the declaration; what it returns can be written without failing.
    pub fn decode<'a>(&self, record: &'a Record<'a>) -> Result<Row<'a>, Undecodable> {
        let key = record.key.map(|key| Text::check(self.key, "key", key)).transpose()?;
        let value =
            record.value.map(|value| Text::check(self.value, "value", value)).transpose()?;
        let mut headers = Vec::new();
        if self.metadata {
            headers.reserve(record.headers.len());
            for (name, value) in &record.headers {
                headers.push((utf8("header name", name, None)?, *value));
            }
        }
        Ok(Row { record, key, value, headers, metadata: self.metadata })
    }
}

/// A checked record, ready to be written.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    record: &'a Record<'a>,
    key: Option<Text<'a>>,
    value: Option<Text<'a>>,
    headers: Vec<(&'a str, Option<&'a [u8]>)>,
    metadata: bool,
}

impl Row<'_> {
    /// Appends the static row: topic, id, record.
    pub fn write(&self, out: &mut Vec<u8>) {
        let topic = self.record.topic;
        write_string(out, |out| out.extend_from_slice(topic.as_bytes()), topic.len());
        write_string(out, |out| self.write_id(out), self.key.map_or(32, Text::len_hint));
        let room = if self.metadata { 96 } else { 0 };
        let hint = self.value.map_or(4, Text::len_hint) + room;
        write_string(out, |out| self.write_record(out), hint);
    }

    /// Appends the key as JSON, or where the record lies if it has no key.
    fn write_id(&self, out: &mut Vec<u8>) {
        if let Some(key) = self.key {
            return key.write(out);
        }
        out.extend_from_slice(b"{\"offset\":");
        write_integer(out, self.record.offset);
        out.extend_from_slice(b",\"partition\":");
        write_integer(out, i64::from(self.record.partition));
        out.push(b'}');
    }

    fn write_record(&self, out: &mut Vec<u8>) {
        if !self.metadata {
            return Text::write_or_null(self.value, out);
        }
        out.extend_from_slice(b"{\"headers\":[");
        for (index, (name, value)) in self.headers.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"{\"name\":" } else { b",{\"name\":" });
            write_json_string(out, name);
            out.extend_from_slice(b",\"value\":");
            Text::write_or_null(value.map(Text::Bytes), out);
            out.push(b'}');
        }
        out.extend_from_slice(b"],\"offset\":");
        write_integer(out, self.record.offset);
        out.extend_from_slice(b",\"partition\":");
        write_integer(out, i64::from(self.record.partition));
        out.extend_from_slice(b",\"timestamp\":");
        match self.record.timestamp {
            Some(timestamp) => write_integer(out, timestamp),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"value\":");
        Text::write_or_null(self.value, out);
        out.push(b'}');
    }
}

/// Bytes that were checked to be what they are declared as.
#[derive(Clone, Copy, Debug)]
enum Text<'a> {
    Json(&'a [u8]),
    String(&'a str),
    Bytes(&'a [u8]),
}

impl<'a> Text<'a> {
    fn check(format: Format, role: &'static str, bytes: &'a [u8]) -> Result<Self, Undecodable> {
        Ok(match format {
            Format::Json => Self::Json(checked(role, bytes)?),
            Format::String => Self::String(utf8(role, bytes, framed(bytes))?),
            Format::Bytes => Self::Bytes(bytes),
            Format::Written => Self::Json(bytes),
        })
    }

    fn len_hint(self) -> usize {
        match self {
            Self::Json(text) => text.len(),
            Self::String(text) => text.len() + 2,
            Self::Bytes(bytes) => bytes.len().div_ceil(3) * 4 + 2,
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Json(text) => out.extend_from_slice(text),
            Self::String(text) => write_json_string(out, text),
            Self::Bytes(bytes) => write_json_base64(out, bytes),
        }
    }

    fn write_or_null(text: Option<Self>, out: &mut Vec<u8>) {
        match text {
            Some(text) => text.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

/// `schema`: what [`framed`] says, for the text of the error.
fn utf8<'a>(
    role: &'static str,
    bytes: &'a [u8],
    schema: Option<u32>,
) -> Result<&'a str, Undecodable> {
    std::str::from_utf8(bytes).map_err(|e| Undecodable::Utf8 { role, at: e.valid_up_to(), schema })
}

/// The schema id of bytes that are framed for a registry: a zero, then the id in four bytes, the
/// highest first (Confluent's documentation, "Wire format"). It refuses nothing, since a text may
/// begin so: it only tells more of what is not as declared.
fn framed(bytes: &[u8]) -> Option<u32> {
    let (&[0, a, b, c, d], _) = bytes.split_first_chunk::<5>()? else { return None };
    let id = u32::from_be_bytes([a, b, c, d]);
    (1..=SCHEMA_ID_MAX).contains(&id).then_some(id)
}

fn checked<'a>(role: &'static str, bytes: &'a [u8]) -> Result<&'a [u8], Undecodable> {
    let Err(fault) = json::check(bytes) else { return Ok(bytes) };
    let (len, schema) = (bytes.len(), framed(bytes));
    if schema.is_none() {
        // The checker may have stopped before it saw whether this is text at all.
        utf8(role, bytes, None)?;
    }
    Err(match fault.expected {
        Some(expected) => Undecodable::Json { role, len, at: fault.at, expected, schema },
        None => Undecodable::Depth { role, at: fault.at },
    })
}

#[cfg(test)]
mod tests;
