//! What the catalogue holds, as plain values.
//!
//! Touches nothing. Invariant: a state is an enum here and a word of the documentation in the database;
//! a word that nobody wrote is an error, never a default.

use crate::store::{StoreError, StoreErrorKind};

/// What a pipeline is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipelineState {
    /// It was started and loads what the source has.
    Running,
    /// It was stopped, or never started.
    Stopped,
    /// It stopped by itself; the error says why.
    Error,
    /// Its data is elsewhere now.
    Detached,
}

impl PipelineState {
    const ALL: [Self; 4] = [Self::Running, Self::Stopped, Self::Error, Self::Detached];

    /// The documented word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Stopped => "Stopped",
            Self::Error => "Error",
            Self::Detached => "Detached",
        }
    }

    pub(super) fn parse(word: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == word);
        found.ok_or_else(|| unknown_word("pipeline state", word))
    }
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchState {
    /// Its rows and offsets are committed.
    Succeeded,
    /// It was rolled back.
    Failed,
}

impl BatchState {
    /// The documented word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    pub(super) fn parse(word: &str) -> Result<Self, StoreError> {
        match word {
            "Succeeded" => Ok(Self::Succeeded),
            "Failed" => Ok(Self::Failed),
            other => Err(unknown_word("batch state", other)),
        }
    }
}

/// A pipeline to be created.
#[derive(Debug, Clone, Copy)]
pub struct NewPipeline<'a> {
    /// Its name, unique among the pipelines that exist.
    pub name: &'a str,
    /// Its configuration as JSON text with every secret redacted; views show it.
    pub config_json: &'a str,
    /// References to secrets, or sealed secrets; no view shows them. Never clear text.
    pub credentials: Option<&'a str>,
    /// The table that its rows go to.
    pub target_table: &'a str,
    /// How many leaves share its splits.
    pub leaf_count: u32,
    /// How many tasks it has.
    pub tasks_max: u32,
}

/// What [`create_pipeline`](super::Catalogue::create_pipeline) did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// It was not there before.
    Created(Pipeline),
    /// One of that name was there and is unchanged.
    Existed(Pipeline),
}

impl Creation {
    /// The pipeline, new or not.
    pub fn into_pipeline(self) -> Pipeline {
        match self {
            Self::Created(pipeline) | Self::Existed(pipeline) => pipeline,
        }
    }
}

/// A pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Its number; another pipeline never gets it, even of the same name.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: PipelineState,
    /// Its configuration as redacted JSON text.
    pub config_json: String,
    /// References to secrets, or sealed secrets.
    pub credentials: Option<String>,
    /// Which life of the source it reads, as the extractor named it.
    pub incarnation: Option<String>,
    /// The Avro sync marker of its batches, 32 hex digits.
    pub sync_marker: String,
    /// How many leaves share its splits.
    pub leaf_count: u32,
    /// How many tasks it has.
    pub tasks_max: u32,
    /// The newest epoch that was taken.
    pub epoch: u64,
    /// The newest batch, 0 before the first.
    pub last_batch_id: u64,
    /// The table that its rows go to.
    pub target_table: String,
    /// Why it stopped by itself.
    pub error: Option<String>,
    /// Rows committed since it was created.
    pub row_total: u64,
    /// Bytes committed since it was created.
    pub byte_total: u64,
    /// Error rows written since it was created.
    pub error_total: u64,
    /// When it was created, in microseconds since 1970.
    pub created_us: u64,
    /// When it was last altered, in microseconds since 1970.
    pub altered_us: u64,
}

impl Pipeline {
    /// Refuses another count of leaves than the catalogue's (EXACTLY-ONCE E13: two copies that count
    /// differently both own a split and fence each other for ever).
    ///
    /// # Errors
    /// The counts differ.
    pub fn require_leaf_count(&self, leaf_count: u32) -> Result<(), StoreError> {
        if self.leaf_count == leaf_count {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::Config,
            format!(
                "pipeline {} is shared by {} leaves, this copy counts {leaf_count}; start every copy \
                 with the same N, or change the pipeline's with harness set-leaves {0} {leaf_count}",
                self.name, self.leaf_count
            ),
        ))
    }
}

/// A split: a partition or shard, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The KEY of its offset, canonical JSON.
    pub key: String,
    /// The VALUE of its offset, canonical JSON.
    pub value: String,
    /// How often the value has been changed.
    pub rev: u64,
    /// The epoch of its owner.
    pub epoch: u64,
    /// Its place among the pipeline's splits, by first appearance.
    pub ordinal: u64,
    /// The task that read it last, or will read it first.
    pub task_id: u32,
}

/// A batch that was committed or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its number, increasing within the pipeline.
    pub id: u64,
    /// The task that extracted it.
    pub task_id: u32,
    /// The leaf that loaded it.
    pub leaf: u32,
    /// How it ended.
    pub state: BatchState,
    /// The epoch of its owner.
    pub epoch: u64,
    /// When its extraction began, in microseconds since 1970.
    pub start_us: u64,
    /// How long it took until the commit, in microseconds.
    pub batch_us: u64,
    /// How much of that was loading, in microseconds.
    pub load_us: u64,
    /// Rows loaded.
    pub row_count: u64,
    /// Bytes of payload.
    pub byte_count: u64,
    /// Error rows written.
    pub error_count: u64,
    /// Splits moved.
    pub split_count: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// Where an error came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// This program.
    Internal,
    /// Reading the source.
    Extract,
    /// Decoding a record.
    Transform,
    /// Writing to the database.
    Load,
}

impl ErrorKind {
    const ALL: [Self; 4] = [Self::Internal, Self::Extract, Self::Transform, Self::Load];

    /// The word in the view.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "Internal",
            Self::Extract => "Extract",
            Self::Transform => "Transform",
            Self::Load => "Load",
        }
    }

    pub(super) fn parse(word: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == word);
        found.ok_or_else(|| unknown_word("error kind", word))
    }
}

/// An error to be written: a record that was skipped, or a failure of the pipeline.
#[derive(Debug, Clone, Copy)]
pub struct ErrorRow<'a> {
    /// Where it came from.
    pub kind: ErrorKind,
    /// The code of the protocol, for example `DECODE_FAILED`.
    pub code: &'a str,
    /// One line for people, without payload.
    pub reason: &'a str,
    /// The split, by the KEY of its offset.
    pub split_key: Option<&'a str>,
    /// Where in the split.
    pub position: Option<&'a str>,
    /// The record's key as it was received.
    pub raw_key: Option<&'a [u8]>,
    /// The record's value as it was received.
    pub raw_value: Option<&'a [u8]>,
    /// The record's headers as they were received.
    pub raw_headers: Option<&'a [u8]>,
}

/// An error as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorEntry {
    /// Its number, increasing within the pipeline.
    pub id: u64,
    /// The batch that moved past it, if one did.
    pub batch_id: Option<u64>,
    /// The task.
    pub task_id: u32,
    /// The leaf.
    pub leaf: u32,
    /// When it was written, in microseconds since 1970.
    pub time_us: u64,
    /// Where it came from.
    pub kind: ErrorKind,
    /// The code of the protocol.
    pub code: String,
    /// One line for people.
    pub reason: String,
    /// The split, by the KEY of its offset.
    pub split_key: Option<String>,
    /// Where in the split.
    pub position: Option<String>,
    /// The record's key as it was received.
    pub raw_key: Option<Vec<u8>>,
    /// The record's value as it was received.
    pub raw_value: Option<Vec<u8>>,
    /// The record's headers as they were received.
    pub raw_headers: Option<Vec<u8>>,
}

fn unknown_word(what: &str, word: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Schema,
        format!("the catalogue holds the {what} {word:?}, which this program does not know"),
    )
}
