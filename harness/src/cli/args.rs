//! What may be typed.
//!
//! Touches nothing but arguments. Help texts hold an example of every command.

mod conformance;
mod demo;
mod sql;
mod watching;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::options;
use crate::exit::Exit;
use crate::metrics;
use crate::pipeline::{KEYS, parse_end, parse_start};
use crate::run::Points;
use crate::store;
pub(super) use conformance::{ConformanceArgs, LevelArg, ReplayArgs};
pub(crate) use demo::{DemoArgs, DemoSource};
pub(super) use sql::SqlArgs;
pub(super) use watching::{AuditArgs, DoctorArgs, StatusArgs};

mod serve;

pub(super) use serve::ServeArgs;

/// Streams a source into a database, exactly once.
#[derive(Debug, Parser)]
#[command(
    name = "harness",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = codes(),
    max_term_width = 100,
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a pipeline until it is stopped.
    Run(Box<RunArgs>),
    /// Check everything that a pipeline needs, and say what to do about the first thing that fails.
    Doctor(DoctorArgs),
    /// Show pipelines: what they do, how much they loaded, where they stand.
    Status(StatusArgs),
    /// Show the newest batches of a pipeline.
    #[command(after_help = BATCHES_EXAMPLES)]
    Batches(ListArgs),
    /// Show how far each split of a pipeline was loaded.
    Offsets(OffsetsArgs),
    /// Show the newest errors of a pipeline, records that were skipped among them, and why it stopped.
    #[command(after_help = ERRORS_EXAMPLES)]
    Errors(ListArgs),
    /// Show what was done to pipelines: when, by whom, and how it ended.
    #[command(after_help = watching::AUDIT_EXAMPLES)]
    Audit(AuditArgs),
    /// Set offsets of a pipeline by hand; it goes on from there.
    SetOffsets(SetOffsetsArgs),
    /// Change how many leaves share the splits of a pipeline.
    SetLeaves(SetLeavesArgs),
    /// Forget a pipeline and its offsets; its table stays, and its next run reads from the start.
    Drop(DropArgs),
    /// Print the CREATE TABLE statement of a pipeline's table.
    Ddl(DdlArgs),
    /// Run SQL statements on the store and print the answer.
    Sql(SqlArgs),
    /// Answer MySQL clients: pipeline statements here, all others by the store.
    Serve(ServeArgs),
    /// Watch a Kafka topic of a million records land in a table.
    Demo(DemoArgs),
    /// Certify an extractor, in any language, against the protocol.
    Conformance(ConformanceArgs),
    /// Play the transcript of a failed check of conformance once more.
    Replay(ReplayArgs),
    /// Print a completion script for a shell.
    Completions(CompletionArgs),
    /// Print the manual page.
    #[command(after_help = "Example:\n  harness man > ~/.local/share/man/man1/harness.1")]
    Man,
}

fn codes() -> String {
    format!(
        "Exit codes:\n{}\n\nExamples:\n  harness demo\n  harness run orders.json --store \
         sqlite:orders.db --until-caught-up\n  harness status --store sqlite:orders.db",
        Exit::table()
    )
}

fn run_help() -> String {
    let keys: Vec<String> = KEYS
        .iter()
        .map(|key| {
            let aliases: String = key.aliases.iter().map(|name| format!(" (or {name})")).collect();
            let default = match key.kind.default_text() {
                text if text == "required" => text,
                text => format!("default: {text}"),
            };
            let (name, doc, expected) = (key.name, key.doc, key.kind.expected());
            format!("  {name}{aliases}\n      {doc}; {expected}; {default}")
        })
        .collect();
    format!(
        "Keys of the pipeline file that are the harness's own; all others go to the extractor, those of\n\
         Kafka (topics, key.format, value.format and so on) are in extractor/KAFKA.md:\n{}\n\n\
         Values may hold ${{env:NAME}}, ${{file:/path}} and ${{file:/path:key}}.\n\n\
         A pipeline file, in Kafka Connect's shape (flat JSON and .properties are read too):\n  \
         {{\n    \"name\": \"orders\",\n    \"config\": {{\n      \"connector.class\": \"kafka\",\n      \
         \"bootstrap.servers\": \"127.0.0.1:9092\",\n      \"topics\": \"orders\",\n      \
         \"store\": \"sqlite:orders.db\"\n    }},\n    \"credentials\": {{}}\n  }}\n\n\
         Exit codes:\n{}",
        keys.join("\n"),
        Exit::table()
    )
}

const RUN_EXAMPLES: &str = r#"Examples:
  harness run orders.json
  harness run orders.properties --store sqlite:orders.db --until-caught-up
  harness run orders.json --leaf 0/3        one of three copies that share the splits
  harness run orders.json --batches 10 --json
  harness run orders.json --metrics 9464    answers http://127.0.0.1:9464/metrics, /healthz, /readyz
  harness run orders.json --start -1000 --end latest
  harness run orders.json --start '{"orders/0": 500, "orders/1": "latest"}'

Ctrl-C ends the run after what was extracted is committed; a second one ends it at once.
The keys of the pipeline file and the exit codes: harness run --help"#;

/// Where the store is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct StoreArgs {
    /// Where rows and offsets go: sqlite:PATH, or mysql://user@host[:port]/database, with
    /// ?load=load-data behind it to load with LOAD DATA; without it the environment variable S2X_STORE
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// A file with the store's password; an address in an argument must not have one
    #[arg(long, value_name = "PATH")]
    pub(crate) store_password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES, after_long_help = format!("{RUN_EXAMPLES}\n\n{}", run_help()))]
pub(super) struct RunArgs {
    /// The pipeline file, JSON or .properties
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Table that the rows go to [file: table]
    #[arg(long)]
    pub(super) table: Option<String>,
    /// Extractor processes per leaf [file: tasks.max]
    #[arg(long, value_name = "N", value_parser = options::in_range("tasks.max"))]
    pub(super) tasks: Option<u64>,
    /// Leaves that share the splits, all of them in this process [file: leaves]
    #[arg(long, value_name = "N", value_parser = options::in_range("leaves"), conflicts_with = "leaf")]
    pub(super) leaves: Option<u64>,
    /// Be leaf I (from 0) of N; the other N-1 are other processes
    #[arg(long, value_name = "I/N", value_parser = options::leaf)]
    pub(super) leaf: Option<(u32, u32)>,
    /// Stop when every split was read to its end and that is committed
    #[arg(long, conflicts_with = "batches")]
    pub(super) until_caught_up: bool,
    /// Stop after N batches with rows
    #[arg(long, value_name = "N", value_parser = options::count)]
    pub(super) batches: Option<u64>,
    /// Rows of one batch at most [file: batch.rows]
    #[arg(long, value_name = "N", value_parser = options::in_range("batch.rows"))]
    pub(super) batch_rows: Option<u64>,
    /// Bytes of one batch at most [file: batch.bytes]
    #[arg(long, value_name = "N", value_parser = options::in_range("batch.bytes"))]
    pub(super) batch_bytes: Option<u64>,
    /// Milliseconds until a batch is cut [file: batch.interval.ms]
    #[arg(long, value_name = "N", value_parser = options::in_range("batch.interval.ms"))]
    pub(super) batch_interval_ms: Option<u64>,
    /// Where splits begin in the first run: earliest, latest, timestamp:MS, timestamp:TIME, -N (the
    /// last N of each), or a map such as '{"orders/0": 5, "orders/1": -100}', of shards
    /// '{"shardId-000000000000": {"atSequenceNumber": "4967"}}' [file: start]
    #[arg(long, allow_hyphen_values = true,
        value_parser = |text: &str| parse_start(text).map_err(|e| format!("expected {e}")))]
    pub(super) start: Option<Points>,
    /// Where the run ends: latest (as it is at the start), timestamp:MS, timestamp:TIME, or a map such
    /// as '{"orders/0": 500}'; a restart keeps the same ends [file: end]
    #[arg(long, conflicts_with = "until_caught_up",
        value_parser = |text: &str| parse_end(text).map_err(|e| format!("expected {e}")))]
    pub(super) end: Option<Points>,
    /// A record that is not what was declared: stop before it, or skip it into the errors table
    #[arg(long, value_name = "POLICY")]
    pub(super) on_error: Option<OnErrorArg>,
    /// Failures in a row at the same offsets before the pipeline stops [file: retry.attempts]
    #[arg(long, value_name = "N", value_parser = options::in_range("retry.attempts"))]
    pub(super) retries: Option<u64>,
    /// The program that reads the source [file: extractor.path]
    #[arg(long, value_name = "PATH")]
    pub(super) extractor: Option<PathBuf>,
    /// Answer /metrics, /healthz and /readyz at PORT of 127.0.0.1, or at IP:PORT [file: metrics]
    #[arg(long, value_name = "ADDRESS", value_parser = metrics::address)]
    pub(super) metrics: Option<SocketAddr>,
    /// A file with the token that whoever asks must show (Authorization: Bearer TOKEN); needed for an
    /// address beyond loopback
    #[arg(long, value_name = "PATH")]
    pub(super) metrics_token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) view: ViewArgs,
}

/// How a run is shown.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct ViewArgs {
    /// Print every event and the summary as JSON lines on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// Print warnings and errors alone
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// Print the extractors' logs too; twice for all of them
    #[arg(long, short, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OnErrorArg {
    /// The pipeline stops before it.
    Stop,
    /// It goes to the errors table.
    Skip,
}

const BATCHES_EXAMPLES: &str = "Examples:
  harness batches orders --store sqlite:orders.db -n 5
  harness batches orders --store sqlite:orders.db --json";

const ERRORS_EXAMPLES: &str = "Examples:
  harness errors orders --store sqlite:orders.db
  harness errors orders --store sqlite:orders.db -n 1000 --json > errors.jsonl";

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The pipeline
    pub(super) name: String,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Lines at most
    #[arg(short = 'n', long = "limit", value_name = "N", default_value_t = 20,
          value_parser = options::lines)]
    pub(super) limit: u32,
    /// Print JSON lines
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  harness offsets orders --store sqlite:orders.db\n  \
    harness offsets orders --store sqlite:orders.db --json > offsets.jsonl")]
pub(super) struct OffsetsArgs {
    /// The pipeline
    pub(super) name: String,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Lines at most [default: all]
    #[arg(short = 'n', long = "limit", value_name = "N", value_parser = options::lines)]
    pub(super) limit: Option<u32>,
    /// Print JSON lines
    #[arg(long)]
    pub(super) json: bool,
}

const SET_OFFSETS_HELP: &str = "Examples:
  harness set-offsets orders --store sqlite:orders.db \\
      '{\"partition\":0,\"topic\":\"orders\"}' '{\"offset\":1200}'
  harness offsets orders --store sqlite:orders.db --json > offsets.jsonl
  harness set-offsets orders --store sqlite:orders.db --from-file offsets.jsonl
  harness set-offsets events --store sqlite:events.db '{\"shardId\":\"shardId-000000000000\"}' \\
      '{\"position\":\"AT_SEQUENCE_NUMBER\",\"sequenceNumber\":\"4967\"}'
  harness set-offsets events --store sqlite:events.db --from-connect connect.offsets

A VALUE of Kinesis: {\"sequenceNumber\":\"4967\"} goes on after that record;
{\"position\":\"AT_SEQUENCE_NUMBER\",\"sequenceNumber\":\"4967\"} begins with it;
{\"position\":\"AT_TIMESTAMP\",\"timestamp\":1775700271554} and {\"position\":\"TRIM_HORIZON\"} begin there.

A topic that was deleted and created again: set the offset of every partition of it, and give
--reset-incarnation. A harness that runs the pipeline meanwhile commits nothing under the old
offsets: it is fenced with its next batch, and goes on from the new ones.";

#[derive(Debug, Args)]
#[command(after_help = SET_OFFSETS_HELP)]
pub(super) struct SetOffsetsArgs {
    /// The pipeline
    pub(super) name: String,
    /// KEY VALUE [KEY VALUE…]: JSON as harness offsets shows it
    #[arg(
        value_name = "KEY VALUE",
        required_unless_present_any = ["from_file", "from_connect"],
        conflicts_with_all = ["from_file", "from_connect"]
    )]
    pub(super) values: Vec<String>,
    /// A file of lines as harness offsets --json prints them
    #[arg(long, value_name = "PATH", conflicts_with = "from_connect")]
    pub(super) from_file: Option<PathBuf>,
    /// Take over from a Kafka Connect pipeline that was stopped: its offset.storage.file.filename, or rows of
    /// its PIPELINES_SOURCE_OFFSETS as a client prints them (JSON, CSV, tabs)
    #[arg(long, value_name = "PATH", conflicts_with = "reset_incarnation")]
    pub(super) from_connect: Option<PathBuf>,
    /// The connector, or the pipeline, where the file has several
    #[arg(long, value_name = "NAME", requires = "from_connect")]
    pub(super) connector: Option<String>,
    /// The program that reads the source, which is asked for its splits before the first run
    #[arg(long, value_name = "PATH", requires = "from_connect")]
    pub(super) extractor: Option<PathBuf>,
    /// Take the source as it is now for the right one, though it was deleted and created again
    #[arg(long)]
    pub(super) reset_incarnation: bool,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  harness set-leaves orders 4 --store sqlite:orders.db\n\n\
    Every harness that runs the pipeline is fenced and ends with exit code 79; start the copies\n\
    again with --leaf I/N, or with the key leaves in the pipeline file, of the new N.")]
pub(super) struct SetLeavesArgs {
    /// The pipeline
    pub(super) name: String,
    /// Leaves that share its splits from now on
    #[arg(value_name = "N", value_parser = options::in_range("leaves"))]
    pub(super) leaves: u64,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  harness drop orders --store sqlite:orders.db")]
pub(super) struct DropArgs {
    /// The pipeline
    pub(super) name: String,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

/// The SQL of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Dialect {
    /// An SQLite file.
    Sqlite,
    /// MySQL 8.
    Mysql,
    /// MariaDB.
    Mariadb,
    /// SingleStore.
    Singlestore,
}

impl From<Dialect> for store::Dialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Sqlite => Self::Sqlite,
            Dialect::Mysql => Self::Mysql,
            Dialect::Mariadb => Self::Mariadb,
            Dialect::Singlestore => Self::SingleStore,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  harness ddl --dialect mariadb orders")]
pub(super) struct DdlArgs {
    /// The table
    pub(super) name: String,
    /// The database's SQL
    #[arg(long, value_enum)]
    pub(super) dialect: Dialect,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  harness completions bash > ~/.local/share/bash-completion/completions/harness"
)]
pub(super) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    Powershell,
}

impl CompletionArgs {
    pub(super) fn shell(&self) -> clap_complete::Shell {
        match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
            Shell::Elvish => clap_complete::Shell::Elvish,
            Shell::Powershell => clap_complete::Shell::PowerShell,
        }
    }
}
