//! `harness batches`, `offsets`, `errors` and `drop`: what the catalogue knows.
//!
//! May touch: the store. Invariant: a database without a catalogue is not given one by looking.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{DropArgs, ListArgs, OffsetsArgs, StoreArgs};
use super::error::CliError;
use crate::audit;
use crate::catalogue::{Catalogue, ErrorEntry, Pipeline};
use crate::exit::Exit;
use crate::report::{Align, Table, bytes, count, out};
use crate::sql;
use crate::store::{self, Connect, StoreUrl, ToRead};

pub(super) fn batches(args: &ListArgs) -> Result<Exit, CliError> {
    let (mut catalogue, url) = open(&args.store)?;
    let pipeline = find(&mut catalogue, &args.name, &url)?;
    let batches = catalogue.batches(pipeline.id, args.limit)?;
    let mut table = Table::new(&[
        ("batch", Align::Right),
        ("task", Align::Right),
        ("state", Align::Left),
        ("started", Align::Left),
        ("rows", Align::Right),
        ("data", Align::Right),
        ("batch ms", Align::Right),
        ("load ms", Align::Right),
        ("errors", Align::Right),
        ("splits", Align::Right),
        ("reason", Align::Left),
    ]);
    for batch in &batches {
        if args.json {
            out::json(&json!({
                "batch": batch.id, "task": batch.task_id, "leaf": batch.leaf,
                "state": batch.state.as_str(), "epoch": batch.epoch, "started": time(batch.start_us),
                "batch_us": batch.batch_us, "load_us": batch.load_us, "rows": batch.row_count,
                "bytes": batch.byte_count, "errors": batch.error_count,
                "splits": batch.split_count, "error": batch.error
            }))?;
        }
        table.row([
            batch.id.to_string(),
            batch.task_id.to_string(),
            batch.state.as_str().to_owned(),
            time(batch.start_us),
            count(batch.row_count),
            bytes(batch.byte_count),
            count(batch.batch_us / 1000),
            count(batch.load_us / 1000),
            count(batch.error_count),
            count(batch.split_count),
            batch.error.clone().unwrap_or_default(),
        ]);
    }
    print_unless(args.json, &table, batches.is_empty(), "no batches yet")?;
    tell_rest(batches.len(), catalogue.batch_count(pipeline.id)?);
    Ok(Exit::Done)
}

pub(super) fn offsets(args: &OffsetsArgs) -> Result<Exit, CliError> {
    let (mut catalogue, url) = open(&args.store)?;
    let pipeline = find(&mut catalogue, &args.name, &url)?;
    let mut splits = catalogue.splits(pipeline.id)?;
    let all = splits.len() as u64;
    if let Some(limit) = args.limit {
        splits.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let mut table = Table::new(&[
        ("task", Align::Right),
        ("key", Align::Left),
        ("value", Align::Left),
        ("commits", Align::Right),
    ]);
    for split in &splits {
        if args.json {
            out::json(&json!({
                "task": split.task_id, "key": as_json(&split.key), "value": as_json(&split.value),
                "commits": split.rev, "epoch": split.epoch
            }))?;
        }
        table.row([
            split.task_id.to_string(),
            split.key.clone(),
            split.value.clone(),
            count(split.rev),
        ]);
    }
    print_unless(args.json, &table, splits.is_empty(), "no offsets yet")?;
    tell_rest(splits.len(), all);
    Ok(Exit::Done)
}

pub(super) fn errors(args: &ListArgs) -> Result<Exit, CliError> {
    let (mut catalogue, url) = open(&args.store)?;
    let pipeline = find(&mut catalogue, &args.name, &url)?;
    let errors = catalogue.errors(pipeline.id, args.limit)?;
    let mut table = Table::new(&[
        ("error", Align::Right),
        ("time", Align::Left),
        ("kind", Align::Left),
        ("code", Align::Left),
        ("split", Align::Left),
        ("position", Align::Left),
        ("reason", Align::Left),
    ]);
    for error in &errors {
        if args.json {
            out::json(&error_json(error))?;
        }
        table.row([
            error.id.to_string(),
            time(error.time_us),
            error.kind.as_str().to_owned(),
            error.code.clone(),
            error.split_key.clone().unwrap_or_default(),
            error.position.clone().unwrap_or_default(),
            error.reason.clone(),
        ]);
    }
    print_unless(args.json, &table, errors.is_empty(), "no records were skipped, no load failed")?;
    tell_rest(errors.len(), catalogue.error_count(pipeline.id)?);
    if let Some(error) = &pipeline.error {
        let text = stopped(&pipeline.name, error);
        if args.json { out::note(&text) } else { out::line(&text)? }
    }
    Ok(Exit::Done)
}

fn stopped(name: &str, error: &str) -> String {
    format!("{name}: stopped by itself: {error}")
}

fn error_json(error: &ErrorEntry) -> Value {
    let raw = |bytes: &Option<Vec<u8>>| {
        bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    json!({
        "error": error.id, "time": time(error.time_us), "kind": error.kind.as_str(),
        "code": error.code, "reason": error.reason, "batch": error.batch_id,
        "task": error.task_id, "leaf": error.leaf,
        "split": error.split_key.as_deref().map(as_json),
        "position": error.position.as_deref().map(as_json),
        "raw_key": raw(&error.raw_key), "raw_value": raw(&error.raw_value)
    })
}

pub(super) fn drop_pipeline(args: &DropArgs) -> Result<Exit, CliError> {
    let (mut catalogue, url) = open(&args.store)?;
    let pipeline = find(&mut catalogue, &args.name, &url)?;
    let kept = audit::recorded(&mut catalogue, &format!("drop {}", args.name), |catalogue| {
        sql::drop_pipeline(catalogue, &url, &pipeline)
    })?;
    if let Some(kept) = kept {
        out::note(&kept);
    }
    out::line(&format!(
        "dropped {} and its offsets; the table {} keeps its rows: the next run of a pipeline of this \
         name reads from the start and adds to them",
        pipeline.name, pipeline.target_table
    ))?;
    Ok(Exit::Done)
}

pub(super) fn print_unless(
    is_json: bool,
    table: &Table,
    is_empty: bool,
    nothing: &str,
) -> Result<(), CliError> {
    match (is_json, is_empty) {
        (true, _) => {}
        (false, true) => out::line(nothing)?,
        (false, false) => out::line(&table.render(out::stdout_width()))?,
    }
    Ok(())
}

/// Says that a list was cut. On stderr: stdout holds the lines alone.
pub(super) fn tell_rest(shown: usize, all: u64) {
    let more = all.saturating_sub(shown as u64);
    if more > 0 {
        out::note(&format!("{} more; -n {all} shows all", count(more)));
    }
}

/// The catalogue of a store that has one.
pub(super) fn open(args: &StoreArgs) -> Result<(Catalogue, StoreUrl), CliError> {
    let url = args.existing()?;
    let store = Arc::new(ToRead(url.clone()));
    let mut connection = store.connect()?;
    if let Err(error) = connection.query("SELECT version FROM s2x_catalogue", &[]) {
        if error.kind() != store::StoreErrorKind::Schema {
            return Err(error.into());
        }
        let text = format!("no pipeline has run into {url} yet: it has no catalogue");
        return Err(CliError::other(Exit::Config, text));
    }
    drop(connection);
    let mut catalogue = Catalogue::open(store)?;
    if let Some(notice) = catalogue.take_notice() {
        out::note(&notice);
    }
    Ok((catalogue, url))
}

pub(super) fn find(
    catalogue: &mut Catalogue,
    name: &str,
    url: &StoreUrl,
) -> Result<Pipeline, CliError> {
    if let Some(pipeline) = catalogue.pipeline(name)? {
        return Ok(pipeline);
    }
    let names: Vec<String> = catalogue.pipelines()?.into_iter().map(|other| other.name).collect();
    let there = if names.is_empty() {
        "there are none".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    };
    Err(CliError::other(Exit::Config, format!("no pipeline {name} in {url}; {there}")))
}

/// Text that is JSON, as JSON; other text as text.
pub(super) fn as_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

/// A moment in UTC, to the millisecond.
pub(super) fn time(us: u64) -> String {
    let moment = i64::try_from(us / 1000).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(|| us.to_string(), |moment| format!("{moment:.3}"))
}
