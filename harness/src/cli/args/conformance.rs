//! What may be typed to certify an extractor: `conformance`, `replay`.
//!
//! Touches nothing but arguments.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::options;

const EXAMPLES: &str = "Examples:
  harness conformance -- ./target/release/extractor
  harness conformance --only 'F*' --keep-transcripts out -- /usr/bin/python3 /src/peer/extractor
  harness conformance --junit report.xml --json report.json -- /opt/bin/extractor
  harness conformance --list

The program is started as a database starts it: in /, with pipes, without its environment. So paths
in its arguments must be absolute. Level core needs no network, and the test source of
protocol/SPEC.md, appendix E; without it those checks are skipped.

A failure names the rule, what was expected, what was seen, and the call that runs it again. A rule
that is broken while another check runs is charged to the check of that rule.

A profile is JSON: {\"patience_ms\": 20000, \"bypass\": {\"F15\": \"why it is left out\"}}.

Exit codes: 0 every check passed or was skipped with a reason; 76 one failed; 64 called wrongly;
66 the program, profile or transcript is not there; 71 a report cannot be written.";

/// Most checks at the same time. Why: each is a process, and most of its time is spent waiting.
const JOBS_MAX: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LevelArg {
    /// The program alone.
    Core,
    /// Every level.
    All,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ConformanceArgs {
    /// The program under test and its arguments, behind --
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "list")]
    pub(in crate::cli) command: Vec<String>,
    /// What the checks may need
    #[arg(long, value_enum, default_value = "core")]
    pub(in crate::cli) level: LevelArg,
    /// Checks whose id or name fits: X49, F, '*_bytes', several with commas
    #[arg(long, value_name = "GLOB")]
    pub(in crate::cli) only: Option<String>,
    /// Where random choices come from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in crate::cli) seed: u64,
    /// Checks at the same time
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = |text: &str| options::whole(text, 1, JOBS_MAX))]
    pub(in crate::cli) jobs: u64,
    /// What is known of the program: how long it may take, which checks are left out and why
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) profile: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) json: Option<PathBuf>,
    /// Write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) junit: Option<PathBuf>,
    /// Write a transcript of every check that fails; harness replay plays it
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) keep_transcripts: Option<PathBuf>,
    /// Print the checks and their rules, and run none
    #[arg(long)]
    pub(in crate::cli) list: bool,
    /// Print failures and the last line alone
    #[arg(long, short)]
    pub(in crate::cli) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  harness replay out/X54.s2x -- ./target/release/extractor\n\n\
    Plays what a check of harness conformance wrote once more: the same bytes, in the same order.\n\
    Payloads with secrets are not in a transcript; *** takes their place.\n\n\
    Exit codes: 0 the program answered as recorded; 76 it did something else; 66 no transcript.")]
pub(in crate::cli) struct ReplayArgs {
    /// The transcript
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,
    /// The program and its arguments, behind --
    #[arg(last = true, value_name = "COMMAND", required = true)]
    pub(in crate::cli) command: Vec<String>,
}
