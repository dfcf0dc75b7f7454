//! Messages that prepare a session: HELLO to ASSIGN.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Object;
use crate::offset::{OffsetKey, OffsetValue};

/// HELLO: what the host offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol versions that the host speaks; the extractor picks one.
    pub protocols: Vec<u32>,
    /// Optional features that the host can use.
    #[serde(default)]
    pub features: Vec<String>,
    /// Limits of the host.
    #[serde(default)]
    pub limits: WireLimits,
    /// Who the host is.
    pub host: Peer,
    /// Random name of the session, for logs.
    pub session: String,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    #[serde(default = "default_log_level")]
    pub log_level: String,
}

fn default_log_level() -> String {
    "info".to_owned()
}

/// Limits that HELLO and HELLO_OK agree on; the smaller one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireLimits {
    /// Largest payload of SCHEMA and BATCH, bytes.
    #[serde(default = "default_max_frame")]
    pub max_frame: u32,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self { max_frame: default_max_frame() }
    }
}

const fn default_max_frame() -> u32 {
    crate::limits::DATA_FRAME_BYTES_MAX
}

/// Name and version of a side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Program name.
    pub name: String,
    /// Program version.
    pub version: String,
}

/// HELLO_OK: what the extractor picked and what it can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloOk {
    /// The version picked.
    pub protocol: u32,
    /// Features in use: a subset of what the host offered.
    #[serde(default)]
    pub features: Vec<String>,
    /// The smaller of both sides' limits.
    #[serde(default)]
    pub limits: WireLimits,
    /// Who the extractor is.
    pub extractor: Peer,
    /// Values of `connector.class` that it knows.
    #[serde(default)]
    pub sources: Vec<SourceClass>,
}

/// One kind of source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceClass {
    /// Value of `connector.class`.
    pub class: String,
    /// Keys of its offset KEY.
    #[serde(default)]
    pub offset_key: Vec<String>,
}

/// CONFIGURE: sent once per process, always with the SENSITIVE flag.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configure {
    /// CONFIG of the pipeline.
    pub config: Object,
    /// CREDENTIALS of the pipeline.
    #[serde(default)]
    pub credentials: Object,
    /// What the host decides about the task.
    #[serde(default)]
    pub settings: Settings,
}

impl fmt::Debug for Configure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Configure { *** }")
    }
}

/// Task settings inside CONFIGURE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Name of the pipeline, for logs.
    pub pipeline: String,
    /// Index of the leaf, from 0.
    pub leaf: u32,
    /// Index of the task on its leaf, from 0.
    pub task: u32,
    /// Largest encoded row, bytes; a larger record becomes an error row.
    pub max_row_bytes: u64,
    /// How long the extractor retries a transient failure itself, milliseconds.
    pub retry_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let max_row_bytes = 32 * 1024 * 1024;
        Self { pipeline: String::new(), leaf: 0, task: 0, max_row_bytes, retry_ms: 30_000 }
    }
}

/// CONFIGURED: the configuration was understood.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configured {
    /// Things a person should know, one line each.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Keys that the source does not know. The host decides whether that is an error.
    #[serde(default)]
    pub unknown_config: Vec<UnknownKey>,
    /// The configuration in force, secrets replaced by `***`.
    #[serde(default)]
    pub effective: Object,
}

/// A key that the source does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownKey {
    /// The key.
    pub key: String,
    /// The known key that looks most like it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
}

/// CHECKED: the source can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// What was tried.
    pub checks: Vec<CheckLine>,
}

/// One probe of CHECK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckLine {
    /// What was tried.
    pub name: String,
    /// How long it took, milliseconds.
    pub ms: u64,
}

/// DISCOVERED: all splits, sorted by the canonical text of their key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovered {
    /// Which life of the source this is; empty where the service cannot tell.
    #[serde(default)]
    pub incarnation: String,
    /// The splits.
    pub splits: Vec<Split>,
}

/// A split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Names it.
    pub key: OffsetKey,
    /// Splits to read to their end before this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<OffsetKey>,
    /// Whether it takes no more records.
    #[serde(default)]
    pub closed: bool,
}

/// GET_OFFSETS: turn a start into durable offsets, by the service's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetOffsets {
    /// Where to start.
    pub start: Start,
    /// For which splits.
    pub keys: Vec<OffsetKey>,
}

/// Where to start a split that has no offset yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// The oldest record that is still there.
    Earliest,
    /// After the newest record.
    Latest,
    /// The first record at or after this time, milliseconds since the epoch.
    Timestamp(i64),
}

/// OFFSETS: one definite offset for each key asked for, in the same order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offsets {
    /// The offsets.
    pub offsets: Vec<OffsetEntry>,
}

/// A split and a place in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetEntry {
    /// The split.
    pub key: OffsetKey,
    /// The place.
    pub value: OffsetValue,
}

/// ASSIGN: replaces the assignment. The epoch stands in the frame header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assign {
    /// Sync marker for the containers, 32 hexadecimal digits.
    pub sync: String,
    /// As DISCOVERED said when the offsets were first stored; empty when it was not known.
    #[serde(default)]
    pub incarnation: String,
    /// The index in this list is the `part` of frames.
    pub parts: Vec<OffsetEntry>,
    /// Rows that the host could not load, by part and row; only with feature `refuse`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

/// A row that the host could not load: it comes as an error row instead, with the record as it was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The split, as an index of `parts`.
    pub part: u32,
    /// Which row of the split, from 0 at the VALUE of the ASSIGN; rows that are refused count, error rows do
    /// not.
    pub row: u64,
    /// `crc32c:` and eight hexadecimal digits, over its datum; a row with another datum is not refused.
    pub digest: String,
    /// The reason of the error row, one line for people.
    pub reason: String,
}

impl Refused {
    /// The digest of a datum as [`Refused::digest`] has it.
    pub fn digest_of(datum: &[u8]) -> String {
        format!("crc32c:{:08x}", crc32c::crc32c(datum))
    }
}

/// ASSIGNED: reading can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Splits assigned.
    pub parts: u32,
}
