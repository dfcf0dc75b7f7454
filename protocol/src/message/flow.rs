//! Messages while rows flow: credits, stop, updates, news.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Object, Phase};
use crate::offset::{OffsetKey, OffsetValue};

/// EXTRACT: one credit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extract {
    /// Rows and error rows, at most.
    pub max_rows: u64,
    /// Bytes of encoded rows, at most; one row that is larger passes alone.
    pub max_bytes: u64,
    /// The batch ends this long after its first row, or empty this long after it began.
    pub max_interval_ms: u64,
    /// Splits that must not be read beyond a place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub until: Vec<PartValue>,
}

/// A place in an assigned split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartValue {
    /// Index in ASSIGN.
    pub part: u32,
    /// The place.
    pub value: OffsetValue,
}

/// COMMIT: the host made batches up to this one durable. Advisory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Number of the last durable batch.
    pub batch: u64,
}

/// STOP: end the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// How.
    pub mode: StopMode,
    /// The process ends by itself after this time, milliseconds.
    #[serde(default = "default_stop_ms")]
    pub deadline_ms: u64,
}

const fn default_stop_ms() -> u64 {
    5_000
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopMode {
    /// Finish the batch that has begun, answer the other credits with empty batches.
    #[serde(rename = "drain")]
    Drain,
    /// Void the open credits: nothing of an unfinished batch counts.
    #[serde(rename = "now", other)]
    Now,
}

/// STOPPED: the last frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Batches in this process.
    pub batches: u64,
    /// Rows in this process.
    pub rows: u64,
    /// Time since the start, milliseconds.
    pub uptime_ms: u64,
    /// Peak resident memory, bytes.
    pub max_rss_bytes: u64,
}

/// UPDATE: rotated credentials or another log level; always with the SENSITIVE flag.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Replaces the CREDENTIALS of CONFIGURE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Object>,
    /// Replaces the level of HELLO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<String>,
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Update { *** }")
    }
}

/// UPDATED: what was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    /// `credentials`, `log_level`.
    pub applied: Vec<String>,
}

/// PROGRESS: sent every few seconds while a request is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is busy with.
    pub phase: Phase,
    /// Time until the next try, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Resident memory, bytes.
    #[serde(default)]
    pub rss_bytes: u64,
    /// What the last attempt failed with; one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// PARTITIONS: the set of splits changed. The host decides what is read, by a new ASSIGN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitions {
    /// Splits that were read to their end.
    #[serde(default)]
    pub closed: Vec<OffsetKey>,
    /// New splits, with the place where each begins.
    #[serde(default)]
    pub added: Vec<AddedSplit>,
}

/// A new split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedSplit {
    /// Names it.
    pub key: OffsetKey,
    /// Splits to read to their end before this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<OffsetKey>,
    /// Its beginning.
    pub value: OffsetValue,
}

/// LOG: one line for the host's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// Where in the extractor.
    #[serde(default)]
    pub target: String,
    /// The line.
    pub message: String,
    /// Lines that were dropped before this one.
    #[serde(default)]
    pub suppressed: u64,
}
