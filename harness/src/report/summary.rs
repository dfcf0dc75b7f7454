//! How a run ended, for people.
//!
//! Touches nothing.

use super::format::{bytes, count, duration, memory, rate};
use crate::run::Summary;

/// The summary in a few lines.
pub fn summary_text(name: &str, summary: &Summary) -> String {
    let speed = rate(summary.rows, summary.elapsed);
    let mut text = format!(
        "{name}: {} rows, {} in {}: {} rows/s, {}/s\n  {} batches",
        count(summary.rows),
        bytes(summary.bytes),
        duration(summary.elapsed),
        count(speed),
        bytes(rate(summary.bytes, summary.elapsed)),
        count(summary.batches),
    );
    if summary.errors > 0 {
        text.push_str(&part("error row", "error rows", summary.errors));
    }
    if summary.retries > 0 {
        text.push_str(&part("retry", "retries", summary.retries));
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

fn part(one: &str, many: &str, number: u64) -> String {
    format!(", {} {}", count(number), if number == 1 { one } else { many })
}
