//! What may be typed to see how pipelines do: `doctor`.
//!
//! Touches nothing but arguments.

use std::path::PathBuf;

use clap::Args;

use super::StoreArgs;

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
