//! Offsets that a Kafka Connect pipeline has left behind, as the harness means them: from Connect's own offsets
//! file, or from rows of `PIPELINES_SOURCE_OFFSETS` as a client prints them.
//!
//! Pure: bytes in, offsets out. Invariants: nothing is guessed, what is not understood is an error with its place;
//! every length is checked before memory is taken for it; of a split that is there several times the newest
//! counts.
//!
//! What a VALUE means (protocol `SPEC.md` section 6): the Kinesis connectors write the last record that was
//! delivered, as the harness does. MirrorSourceConnector writes the last record of a partition that was
//! delivered, the harness the next one to read: one more.

mod java;
mod rows;

use std::collections::BTreeMap;
use std::fmt;

use protocol::{OffsetKey, OffsetValue};
use serde_json::{Map, Value, json};

use crate::catalogue::SPLITS_MAX;

/// Largest file that is read, bytes. Why 64 MiB: a history of a thousand batches of sixty shards with the longest
/// KEYs is smaller; offsets beyond that were not left by one pipeline.
pub(crate) const IMPORT_BYTES_MAX: u64 = 64 << 20;

/// Most entries of a file. Why 16 times the splits of a pipeline: a file may have several connectors, rows may
/// have a history.
const ENTRIES_MAX: usize = 16 * SPLITS_MAX;

/// Connectors that an error names.
const NAMES_SHOWN: usize = 5;

/// Where in the file something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A byte, from 0.
    Byte(usize),
    /// A line, from 1.
    Line(usize),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(at) => write!(f, "byte {at}"),
            Self::Line(line) => write!(f, "line {line}"),
        }
    }
}

/// Why a file cannot be imported: its place, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}{reason}")]
pub(crate) struct ImportError {
    at: String,
    reason: String,
}

impl ImportError {
    fn new(at: At, reason: impl Into<String>) -> Self {
        Self { at: format!("{at}: "), reason: reason.into() }
    }

    /// Of the file as a whole.
    fn whole(reason: impl Into<String>) -> Self {
        Self { at: String::new(), reason: reason.into() }
    }
}

/// One offset as the file has it.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    at: At,
    /// The connector or the pipeline; nothing where the file does not say.
    name: Option<String>,
    key: Map<String, Value>,
    value: Map<String, Value>,
    /// The batch that moved it there.
    batch: Option<u64>,
}

/// The offsets of a file, as the harness means them, by KEY. `name`: of which connector or pipeline.
///
/// # Errors
/// It is none of the files that are known, an offset is not understood, or it is not clear which are meant.
pub(crate) fn offsets(
    bytes: &[u8],
    name: Option<&str>,
) -> Result<BTreeMap<OffsetKey, OffsetValue>, ImportError> {
    let found = if java::is_java(bytes) { java::parse(bytes)? } else { rows::parse(bytes)? };
    let found = of_one(found, name)?;
    let mut newest: BTreeMap<OffsetKey, (Found, OffsetValue)> = BTreeMap::new();
    for found in found {
        let (key, value) = meant(&found)?;
        match newest.get(&key) {
            Some((_, same)) if *same == value => {}
            Some((before, _)) if before.batch == found.batch || found.batch.is_none() => {
                let reason = format!("{key} is there twice, with different VALUEs of one batch");
                return Err(ImportError::new(found.at, reason));
            }
            Some((before, _)) if before.batch > found.batch => {}
            _ => drop(newest.insert(key, (found, value))),
        }
    }
    if newest.is_empty() {
        return Err(ImportError::whole("there is no offset in it"));
    }
    if newest.len() > SPLITS_MAX {
        let reason = format!("it has {} splits; a pipeline has at most {SPLITS_MAX}", newest.len());
        return Err(ImportError::whole(reason));
    }
    Ok(newest.into_iter().map(|(key, (_, value))| (key, value)).collect())
}

/// Those of one connector or pipeline.
fn of_one(found: Vec<Found>, name: Option<&str>) -> Result<Vec<Found>, ImportError> {
    let mut names: Vec<&str> = found.iter().filter_map(|it| it.name.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    let several = names.len() > 1;
    let shown = |names: &[&str]| -> String {
        let mut shown: Vec<String> = names.iter().take(NAMES_SHOWN).map(|it| cut(it)).collect();
        if names.len() > NAMES_SHOWN {
            shown.push("…".to_owned());
        }
        shown.join(", ")
    };
    match name {
        None if several => {
            let reason = format!("it has offsets of {}; name one with --connector", shown(&names));
            Err(ImportError::whole(reason))
        }
        None => Ok(found),
        Some(name) if !names.contains(&name) => {
            let there = if names.is_empty() { "no names".to_owned() } else { shown(&names) };
            Err(ImportError::whole(format!("it has no offsets of {}; it has {there}", cut(name))))
        }
        Some(name) => Ok(found.into_iter().filter(|it| it.name.as_deref() == Some(name)).collect()),
    }
}

/// An offset as the harness writes it.
fn meant(found: &Found) -> Result<(OffsetKey, OffsetValue), ImportError> {
    let refused = |reason: String| ImportError::new(found.at, reason);
    let (key, value) = (&found.key, &found.value);
    let field = |name: &str| key.get(name).cloned().unwrap_or_default();
    let fields: Vec<&str> = key.keys().map(String::as_str).collect();
    let (key, value) = match fields.as_slice() {
        ["shardId"] => (json!({ "shardId": field("shardId") }), kinesis(value).map_err(refused)?),
        ["cluster", "partition", "topic"] => {
            let split = json!({ "partition": field("partition"), "topic": field("topic") });
            (split, mirrored(value).map_err(refused)?)
        }
        ["partition", "topic"] => {
            return Err(refused(
                "a KEY of a partition without the cluster of MirrorSourceConnector: whether its VALUE is the \
                 last offset that was read or the next one is not known; offsets of the harness itself are \
                 set with --from-file"
                    .to_owned(),
            ));
        }
        _ => {
            let fields: Vec<String> = fields.iter().take(NAMES_SHOWN).map(|it| cut(it)).collect();
            return Err(refused(format!(
                "a KEY with {}: expected shardId (Kinesis), or cluster, partition and topic \
                 (MirrorSourceConnector)",
                fields.join(", ")
            )));
        }
    };
    let key = OffsetKey::from_json(&key).map_err(|error| refused(error.to_string()))?;
    let value = OffsetValue::from_json(&value).map_err(|error| refused(error.to_string()))?;
    Ok((key, value))
}

/// `{"sequenceNumber":"…"}`: the last record that was delivered, the same here.
fn kinesis(value: &Map<String, Value>) -> Result<Value, String> {
    let number = value.get("sequenceNumber").and_then(Value::as_str);
    let number = number.filter(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()));
    match (number, value.len()) {
        (Some(number), 1) => Ok(json!({ "sequenceNumber": number })),
        _ => Err("expected the VALUE {\"sequenceNumber\":\"…\"}, digits in quotes".to_owned()),
    }
}

/// `{"offset":N}`: the last record that was delivered; here it is the next one to read.
fn mirrored(value: &Map<String, Value>) -> Result<Value, String> {
    let last = value.get("offset").and_then(Value::as_i64).filter(|it| *it >= -1);
    match (last.and_then(|last| last.checked_add(1)), value.len()) {
        (Some(next), 1) => Ok(json!({ "offset": next })),
        _ => Err("expected the VALUE {\"offset\":N}, a whole number".to_owned()),
    }
}

/// A JSON object of an offset.
fn object(at: At, what: &str, text: &[u8]) -> Result<Map<String, Value>, ImportError> {
    match protocol::json::parse(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(ImportError::new(at, format!("the {what} is no JSON object"))),
        Err(error) => Err(ImportError::new(at, format!("the {what} is not valid JSON: {error}"))),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
