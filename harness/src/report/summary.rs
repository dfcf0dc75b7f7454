//! How a run ended, for people.
//!
//! Touches nothing.

use super::format::{bytes, count, counted, duration, memory, rate};
use crate::run::Summary;

/// The summary in a few lines.
pub fn summary_text(name: &str, summary: &Summary) -> String {
    let speed = rate(summary.rows, summary.elapsed);
    let mut text = format!(
        "{name}: {}, {} in {}: {} rows/s, {}/s\n  {}",
        counted(summary.rows, "row", "rows"),
        bytes(summary.bytes),
        duration(summary.elapsed),
        count(speed),
        bytes(rate(summary.bytes, summary.elapsed)),
        counted(summary.batches, "batch", "batches"),
    );
    if summary.errors > 0 {
        text.push_str(", ");
        text.push_str(&counted(summary.errors, "error row", "error rows"));
    }
    if summary.retries > 0 {
        text.push_str(", ");
        text.push_str(&counted(summary.retries, "retry", "retries"));
    }
    if summary.extractor_peak_bytes > 0 {
        text.push_str(", extractor memory peak ");
        text.push_str(&memory(summary.extractor_peak_bytes));
    }
    if summary.caught_up {
        text.push_str(", everything read");
    }
    text
}
