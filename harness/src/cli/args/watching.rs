//! What may be typed to see how pipelines do: `doctor`, `status`, `audit`.
//!
//! Touches nothing but arguments.

use std::path::PathBuf;

use clap::Args;

use super::{StoreArgs, options};

const DOCTOR_HELP: &str = "Examples:
  harness doctor orders.json
  harness doctor orders.json --store mysql://loader@db:3306/test --json
  harness doctor events --store sqlite:orders.db      a pipeline that was created by SQL

It asks the extractor, the source and the database in the order in which a run meets them, and
changes nothing. The exit code is 0, or that of a run that meets the first failure (harness --help).
With --json, each line has check, outcome (ok, failed, not_checked) and text; a failure has remedy
and exit as well.";

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_HELP)]
pub(in crate::cli) struct DoctorArgs {
    /// A pipeline file, or the name of a pipeline that was created by SQL
    #[arg(value_name = "FILE|NAME")]
    pub(in crate::cli) pipeline: String,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    /// The program that reads the source [file: extractor.path]
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) extractor: Option<PathBuf>,
    /// Print JSON lines
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  harness status --store sqlite:orders.db\n  \
    harness status orders --store sqlite:orders.db --watch\n  \
    harness status orders --store sqlite:orders.db --json\n\n\
    How far it is behind is what the extractors told last, some seconds ago while it runs: the records\n\
    that are left and the age of the last one, as far as the source can tell (Kafka both, Kinesis the\n\
    age). With a name, each split is shown, the farthest first.\n\n\
    A process that runs a pipeline tells the catalogue every few\n\
    seconds how it does; one that has said nothing for 30 s is called silent: it was killed, or does not\n\
    reach the database.")]
pub(in crate::cli) struct StatusArgs {
    /// The pipeline; all of them without it
    pub(in crate::cli) name: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    /// Draw it again every second, until Ctrl-C
    #[arg(long, short)]
    pub(in crate::cli) watch: bool,
    /// Print JSON lines
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

pub(super) const AUDIT_EXAMPLES: &str = "Examples:
  harness audit --store sqlite:orders.db
  harness audit --store sqlite:orders.db -n 1000 --json > audit.jsonl

Statements of harness sql that change something, set-offsets, set-leaves and drop are written down
before they are done, in the table s2x_audit of the store, without secrets; the newest 10,000 are
kept. An entry whose outcome is begun is under way, or its process was killed.";

#[derive(Debug, Args)]
pub(in crate::cli) struct AuditArgs {
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    /// Lines at most
    #[arg(short = 'n', long = "limit", value_name = "N", default_value_t = 20,
          value_parser = options::lines)]
    pub(in crate::cli) limit: u32,
    /// Print JSON lines
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
