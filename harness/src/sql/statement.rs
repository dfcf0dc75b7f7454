//! What a pipeline statement says, as plain values.
//!
//! Touches nothing. Places are bytes of the script, so that an error can point at them.

use serde::{Deserialize, Serialize};

/// A statement of the harness's own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Statement {
    /// `SET GLOBAL name = value[, …]`.
    SetGlobal(Vec<Assignment>),
    /// `SHOW [GLOBAL|SESSION] VARIABLES [LIKE 'pattern']`.
    ShowVariables {
        like: Option<String>,
    },
    Create(Box<Create>),
    /// `START PIPELINE …`.
    Start {
        which: Which,
        /// IF NOT RUNNING: one that runs is no error.
        is_lenient: bool,
        how: How,
    },
    /// `STOP PIPELINE …`.
    Stop {
        which: Which,
        /// IF RUNNING: one that does not run is no error.
        is_lenient: bool,
        /// DETACH: its state is Detached then.
        is_detached: bool,
    },
    /// `DETACH PIPELINE [IF EXISTS] name`: as STOP … DETACH, of a pipeline that does not run as well.
    Detach {
        name: String,
        if_exists: bool,
    },
    /// `FLUSH [NODE] EXTRACTOR POOLS`.
    FlushExtractors,
    /// `TEST PIPELINE name [LIMIT n]`.
    Test {
        name: String,
        limit: u64,
    },
    Alter {
        name: String,
        changes: Vec<Change>,
    },
    Drop {
        name: String,
        if_exists: bool,
    },
    ShowPipelines,
    ShowCreate {
        name: String,
    },
    /// `CLEAR PIPELINE ERRORS`.
    ClearErrors,
    /// `INFER PIPELINE AS LOAD DATA …`.
    Infer(Box<Load>),
}

/// `name = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) name: String,
    pub(crate) value: String,
    /// Where the name stands.
    pub(crate) at: usize,
}

/// Which pipelines a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    One(String),
    All,
    /// Those in the state Error.
    Failed,
}

/// How START runs a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Background,
    /// Until everything is read, or this many batches with rows are committed.
    Foreground {
        batches: Option<u64>,
    },
}

/// `CREATE PIPELINE`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Create {
    pub(crate) name: String,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    /// FORCE: a source that does not answer is no error.
    pub(crate) force: bool,
    /// INFERRED: the table is made too, and has the pipeline's name.
    pub(crate) is_inferred: bool,
    pub(crate) load: Load,
}

/// `LOAD DATA …` of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) source: SourceWord,
    pub(crate) target: String,
    pub(crate) config: Option<Json>,
    pub(crate) credentials: Option<Json>,
    pub(crate) clauses: Clauses,
    pub(crate) table: Option<String>,
}

/// A string with a JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Json {
    pub(crate) text: String,
    /// Where the text begins, behind the quote.
    pub(crate) at: usize,
}

/// The word behind LOAD DATA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum SourceWord {
    /// A Kafka Connect pipeline: an experimental feature.
    KafkaConnect,
    /// The same under its newer name.
    Connector,
    /// The native form, `'host[:port][,…]/topic'`.
    Kafka,
}

impl SourceWord {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::KafkaConnect => "KAFKACONNECT",
            Self::Connector => "CONNECTOR",
            Self::Kafka => "KAFKA",
        }
    }

    /// The one format that it takes.
    pub(crate) const fn format(self) -> &'static str {
        match self {
            Self::KafkaConnect | Self::Connector => "AVRO",
            Self::Kafka => "JSON",
        }
    }
}

/// The clauses that tune a pipeline; each may be changed by ALTER.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clauses {
    /// BATCH_INTERVAL, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) batch_interval: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_partitions_per_batch: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_retries_per_batch_partition: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_offsets_per_batch_partition: Option<u64>,
    /// RESOURCE POOL: kept, without effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource_pool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stop_on_error: Option<bool>,
    /// SKIP PARSER ERRORS: records that cannot be decoded go to the errors table.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) skip_parser_errors: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_options: Option<RetryOptions>,
}

/// RETRY_OPTIONS, as the documentation has its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryOptions {
    /// Each pause is twice as long as the one before; true where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exponential: Option<bool>,
    /// Milliseconds before the first retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_interval: Option<u64>,
    /// Milliseconds before any retry at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_retry_interval: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_retries: Option<u64>,
}

impl Clauses {
    /// These, over those.
    pub(crate) fn over(self, older: Self) -> Self {
        Self {
            batch_interval: self.batch_interval.or(older.batch_interval),
            max_partitions_per_batch: self
                .max_partitions_per_batch
                .or(older.max_partitions_per_batch),
            max_retries_per_batch_partition: self
                .max_retries_per_batch_partition
                .or(older.max_retries_per_batch_partition),
            max_offsets_per_batch_partition: self
                .max_offsets_per_batch_partition
                .or(older.max_offsets_per_batch_partition),
            resource_pool: self.resource_pool.or(older.resource_pool),
            stop_on_error: self.stop_on_error.or(older.stop_on_error),
            skip_parser_errors: self.skip_parser_errors || older.skip_parser_errors,
            retry_options: self.retry_options.or(older.retry_options),
        }
    }
}

/// One change of ALTER PIPELINE.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Offsets(Offsets),
    Clauses(Clauses),
    /// STOP_ON_ERROR NONE: what the variable says holds again.
    ForgetStopOnError,
    Config(Update),
    Credentials(Update),
}

/// What ALTER PIPELINE … SET CONFIG and CREDENTIALS put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// All of it.
    Whole(Json),
    /// `::key = 'value'`: one key, beside the others.
    Key { key: String, value: String },
}

/// Where ALTER PIPELINE … SET OFFSETS goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Offsets {
    Points(crate::run::Points),
    /// JSON of partitions or shards and their places.
    Json(Json),
}
