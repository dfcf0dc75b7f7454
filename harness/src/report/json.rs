//! Events as JSON lines, for machines. One object per line; `event` says which; fields are only ever
//! added.
//!
//! | `event` | fields |
//! |---|---|
//! | `started` | `pipeline`, `table`, `store` (without password) |
//! | `discovered` | `splits`, `tasks` |
//! | `committed` | `batch` (or null), `task`, `rows`, `errors`, `bytes`, `lag_rows` (or null), `caught_up` |
//! | `warning`, `note` | `message` |
//! | `log` | `level`, `line` |
//! | `extractor_started` | `task` |
//! | `retrying` | `task`, `reason`, `pause_ms` |
//! | `fenced` | `task` |
//! | `store_retry` | `task`, `reason`, `pause_ms` |
//! | `waiting` | `task`, `phase`, `reason` (or null) |
//! | `summary` | `pipeline`, `rows`, `errors`, `bytes`, `batches`, `elapsed_ms`, `rows_per_s`, `bytes_per_s`, `extractor_peak_bytes`, `retries`, `caught_up` |
//! | `failed` | `message`, `exit` |
//! | `demo` | `produced`, `complete`, `rows`, `distinct_ids`, `exact`, `store`, `table`, `pipeline` |
//!
//! `failed` is the last one, and the only one where the pipeline file cannot be used.
//! Events of a run also have `at_ms`, the time since its start. Touches nothing.

use std::time::Duration;

use serde_json::{Value, json};

use super::format::rate;
use crate::exit::Exit;
use crate::run::{Event, Summary};
use crate::store::Cell;

/// An event of a run, `at` after its start.
pub fn event(event: &Event, at: Duration) -> Value {
    let at_ms = millis(at);
    match event {
        Event::Discovered { splits, tasks } => {
            json!({"event": "discovered", "at_ms": at_ms, "splits": splits, "tasks": tasks})
        }
        Event::Committed(batch) => json!({
            "event": "committed", "at_ms": at_ms, "batch": batch.id, "task": batch.task,
            "rows": batch.rows, "errors": batch.errors, "bytes": batch.bytes,
            "lag_rows": batch.lag_rows, "caught_up": batch.caught_up
        }),
        Event::Warning(text) => json!({"event": "warning", "at_ms": at_ms, "message": text}),
        Event::Log { level, line } => {
            json!({"event": "log", "at_ms": at_ms, "level": level, "line": line})
        }
        Event::Retrying { task, reason, pause } => json!({
            "event": "retrying", "at_ms": at_ms, "task": task, "reason": reason,
            "pause_ms": millis(*pause)
        }),
        Event::Started { task } => {
            json!({"event": "extractor_started", "at_ms": at_ms, "task": task})
        }
        Event::Left { task, splits } => {
            json!({"event": "left", "at_ms": at_ms, "task": task, "splits": splits})
        }
        Event::Lag { task, splits } => json!({
            "event": "lag", "at_ms": at_ms, "task": task,
            "splits": splits.iter().map(|(key, it)| json!([key, it.rows, it.ms])).collect::<Vec<_>>()
        }),
        Event::Memory { task, bytes, peak_bytes } => json!({
            "event": "memory", "at_ms": at_ms, "task": task, "bytes": bytes,
            "peak_bytes": peak_bytes
        }),
        Event::Fenced { task } => json!({"event": "fenced", "at_ms": at_ms, "task": task}),
        Event::StoreRetry { task, reason, pause } => json!({
            "event": "store_retry", "at_ms": at_ms, "task": task, "reason": reason,
            "pause_ms": millis(*pause)
        }),
        Event::Waiting { task, phase, reason } => json!({
            "event": "waiting", "at_ms": at_ms, "task": task, "phase": phase, "reason": reason
        }),
    }
}

/// Something told to a person.
pub(super) fn note(text: &str, at: Duration) -> Value {
    json!({"event": "note", "at_ms": millis(at), "message": text})
}

/// How the run of `name` ended.
pub fn summary(name: &str, summary: &Summary) -> Value {
    json!({
        "event": "summary", "pipeline": name, "rows": summary.rows, "errors": summary.errors,
        "bytes": summary.bytes, "batches": summary.batches, "elapsed_ms": millis(summary.elapsed),
        "rows_per_s": rate(summary.rows, summary.elapsed),
        "bytes_per_s": rate(summary.bytes, summary.elapsed),
        "extractor_peak_bytes": summary.extractor_peak_bytes, "retries": summary.retries,
        "caught_up": summary.caught_up
    })
}

/// Why there is no summary.
pub fn failed(message: &str, exit: Exit) -> Value {
    json!({"event": "failed", "message": message, "exit": exit.code()})
}

/// One value of a database; bytes as hex digits after `0x`.
pub fn cell(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Int(number) => Value::from(*number),
        Cell::Real(number) => Value::from(*number),
        Cell::Text(text) => Value::from(text.as_str()),
        Cell::Bytes(_) => Value::from(super::table::cell_text(cell)),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
