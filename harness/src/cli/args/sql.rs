//! What may be typed behind `harness sql`.
//!
//! Touches nothing but arguments.

use std::path::PathBuf;

use clap::Args;

use super::{StoreArgs, options};

const SQL_EXAMPLES: &str = "Examples:
  harness sql --store sqlite:orders.db -e 'SELECT COUNT(*) FROM orders'
  harness sql --store sqlite:orders.db --json -e 'SELECT * FROM orders LIMIT 5'
  harness sql --store sqlite:orders.db -f pipeline.sql --until-caught-up
  harness sql --store sqlite:orders.db      a prompt, where this is a terminal

Pipeline statements, next to all that the database knows itself: harness sql --help";

const SQL_HELP: &str = "Pipeline statements:
  SET GLOBAL pipelines_… = value             SHOW VARIABLES LIKE 'pipelines%'
  CREATE [OR REPLACE] [INFERRED] PIPELINE [IF NOT EXISTS] name [FORCE] AS
    LOAD DATA KAFKACONNECT|CONNECTOR|KAFKA '…' [CONFIG '{…}'] [CREDENTIALS '{…}'] [clauses]
    [INTO TABLE table] FORMAT AVRO           (FORMAT JSON for LOAD DATA KAFKA 'host:port/topic')
      clauses: BATCH_INTERVAL ms, MAX_PARTITIONS_PER_BATCH n, MAX_OFFSETS_PER_BATCH_PARTITION n,
      MAX_RETRIES_PER_BATCH_PARTITION n, STOP_ON_ERROR ON|OFF, SKIP PARSER ERRORS,
      RETRY_OPTIONS '{\"max_retries\": 4, \"retry_interval\": 100, …}', RESOURCE POOL p (without effect)
  TEST PIPELINE name [LIMIT n]               shows rows, commits nothing
  START PIPELINE [IF NOT RUNNING] name [FOREGROUND [LIMIT n BATCHES]]
  START ALL|FAILED PIPELINES                 STOP ALL PIPELINES
  STOP PIPELINE [IF RUNNING] name [DETACH]   DETACH PIPELINE [IF EXISTS] name
  ALTER PIPELINE name SET OFFSETS EARLIEST|LATEST|TIMESTAMP '2026-01-31T00:00:00Z'|'{\"0\": 100}'
  ALTER PIPELINE name SET CONFIG|CREDENTIALS '{…}' | ::key = 'value'
  ALTER PIPELINE name SET <clause>           ALTER PIPELINE name STOP_ON_ERROR ON|OFF|NONE
  DROP PIPELINE [IF EXISTS] name             FLUSH EXTRACTOR POOLS
  SHOW PIPELINES   SHOW CREATE PIPELINE name   CLEAR PIPELINE ERRORS   INFER PIPELINE AS LOAD DATA …
  SELECT … FROM information_schema.PIPELINES, PIPELINES_SOURCE_OFFSETS, PIPELINES_BATCHES,
    PIPELINES_BATCHES_SUMMARY, PIPELINES_ERRORS, PIPELINES_CURSORS, PIPELINES_SOURCE_OFFSETS_HISTORY
A pipeline that START PIPELINE started runs in this process: statements go on beside it, and after the
last one harness sql runs until Ctrl-C, or with --until-caught-up until everything is read.
Values may hold ${env:NAME} and ${file:/path}. Secrets that are written into a statement are kept in a
file that only its owner reads: in S2X_SECRETS, else beside an SQLite file (orders.db.secrets), else in
~/.local/state/s2x/secrets, a folder for each store. The database gets references to them.";

#[derive(Debug, Args)]
#[command(after_help = SQL_EXAMPLES, after_long_help = format!("{SQL_EXAMPLES}\n\n{SQL_HELP}"))]
pub(in crate::cli) struct SqlArgs {
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    /// Statements, with semicolons between them; may be given several times, all run on one connection.
    /// Without -e and -f, a terminal gets a prompt
    #[arg(short = 'e', long = "execute", value_name = "SQL", conflicts_with = "file")]
    pub(in crate::cli) statements: Vec<String>,
    /// A file of statements; - is standard input
    #[arg(short = 'f', long, value_name = "PATH")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Pipelines that are started end when everything is read
    #[arg(long)]
    pub(in crate::cli) until_caught_up: bool,
    /// Leaves that share the splits of a pipeline that CREATE makes; START runs all of them here
    #[arg(long, value_name = "N", value_parser = options::in_range("leaves"), conflicts_with = "leaf")]
    pub(in crate::cli) leaves: Option<u64>,
    /// Run leaf I (from 0) of N of the pipelines that are started; the other N-1 are other processes. The
    /// pipeline stays Running until STOP PIPELINE, which ends all of them
    #[arg(long, value_name = "I/N", value_parser = options::leaf)]
    pub(in crate::cli) leaf: Option<(u32, u32)>,
    /// The program that reads sources
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) extractor: Option<PathBuf>,
    /// Make the functions JSON_EXTRACT_STRING and JSON_EXTRACT_BIGINT on the server first; an SQLite store
    /// has them in any case
    #[arg(long)]
    pub(in crate::cli) create_functions: bool,
    /// Print JSON lines, one object for each row
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
