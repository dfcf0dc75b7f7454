//! Kinesis to the pipe.
//!
//! May touch: the report. Invariant: what is not measured is said to be skipped.

use std::path::Path;

use anyhow::Result;

use super::Plan;
use super::report::Report;

/// Every figure of the Kinesis source.
pub(super) fn all(_plan: &Plan, _folder: &Path, report: &mut Report, _say: fn(&str)) -> Result<()> {
    report.skip("Kinesis", "there is no measurement of it yet");
    Ok(())
}
