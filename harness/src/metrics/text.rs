//! The numbers as OpenMetrics text. The names are part of what is documented in WATCHING.md.
//!
//! Touches nothing but the clock, for one time of day. Invariant: a handful of series for each pipeline, and
//! no more than [`SPLITS_TOLD_MAX`] splits of each.

use std::cmp::Reverse;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::Numbers;
use crate::run::{Health, Snapshot};

/// Splits of a pipeline that have series of their own, those farthest behind. Why 256: a pipeline may have tens
/// of thousands, and each series costs whoever collects them.
const SPLITS_TOLD_MAX: usize = 256;

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;
type Seconds = Family<Labels, Gauge<f64, AtomicU64>>;

/// The numbers of these pipelines.
///
/// # Errors
/// A bug of the library's, which writes into memory.
pub(super) fn render(pipelines: &[Numbers]) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("s2x");
    let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The program that answers", build);
    counters(&mut registry, pipelines);
    gauges(&mut registry, pipelines);
    lags(&mut registry, pipelines);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn of(name: &str) -> Labels {
    vec![("pipeline", name.to_owned())]
}

fn with(name: &str, label: &'static str, value: impl ToString) -> Labels {
    vec![("pipeline", name.to_owned()), (label, value.to_string())]
}

fn counters(registry: &mut Registry, pipelines: &[Numbers]) {
    type Read = fn(&Snapshot) -> u64;
    let each: [(&str, &str, Option<Unit>, Read); 6] = [
        ("rows", "Rows committed by this process", None, |it| it.rows),
        ("error_rows", "Records skipped into the errors table", None, |it| it.errors),
        ("payload", "Payload committed", Some(Unit::Bytes), |it| it.bytes),
        ("batches", "Transactions committed", None, |it| it.batches),
        ("fences", "Times that another process took splits", None, |it| it.fences),
        ("extractor_restarts", "Extractors started in the place of another", None, |it| {
            it.restarts
        }),
    ];
    for (name, help, unit, read) in each {
        let family = Counters::default();
        for Numbers { name: pipeline, now, .. } in pipelines {
            family.get_or_create(&of(pipeline)).inc_by(read(now));
        }
        match unit {
            Some(unit) => registry.register_with_unit(name, help, unit, family),
            None => registry.register(name, help, family),
        }
    }
    let retries = Counters::default();
    for Numbers { name: pipeline, now, .. } in pipelines {
        retries.get_or_create(&with(pipeline, "of", "source")).inc_by(now.retries);
        retries.get_or_create(&with(pipeline, "of", "store")).inc_by(now.store_retries);
    }
    registry.register("retries", "Attempts after a failure that may pass", retries);
}

fn gauges(registry: &mut Registry, pipelines: &[Numbers]) {
    type Read = fn(&Snapshot) -> u64;
    let each: [(&str, &str, Option<Unit>, Read); 4] = [
        ("tasks", "Extractors that this process runs", None, |it| it.tasks as u64),
        ("splits", "Splits of the pipeline when it began", None, |it| it.splits as u64),
        ("extractor_memory", "Resident memory of the extractors", Some(Unit::Bytes), |it| {
            it.memory_bytes
        }),
        ("extractor_memory_peak", "Largest resident memory of one", Some(Unit::Bytes), |it| {
            it.memory_peak_bytes
        }),
    ];
    for (name, help, unit, read) in each {
        let family = Gauges::default();
        for Numbers { name: pipeline, now, .. } in pipelines {
            family.get_or_create(&of(pipeline)).set(signed(read(now)));
        }
        match unit {
            Some(unit) => registry.register_with_unit(name, help, unit, family),
            None => registry.register(name, help, family),
        }
    }
    let (uptime, commit, states) = (Seconds::default(), Seconds::default(), Gauges::default());
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    for Numbers { name: pipeline, now, .. } in pipelines {
        uptime.get_or_create(&of(pipeline)).set(now.elapsed.as_secs_f64());
        if let Some(since) = now.since_commit {
            commit.get_or_create(&of(pipeline)).set(now_s - since.as_secs_f64());
        }
        for word in Health::WORDS {
            let is_so = i64::from(now.health.word() == word);
            states.get_or_create(&with(pipeline, "state", word)).set(is_so);
        }
    }
    registry.register_with_unit("uptime", "Time since the run began", Unit::Seconds, uptime);
    let help = "When the newest batch was committed, Unix time";
    registry.register_with_unit("last_commit_timestamp", help, Unit::Seconds, commit);
    registry.register("state", "What the pipeline does: 1 for the state that it is in", states);
}

/// What is not known has no series; the splits that are farthest behind come first.
fn lags(registry: &mut Registry, pipelines: &[Numbers]) {
    let (rows, seconds, all) = (Gauges::default(), Seconds::default(), Gauges::default());
    for Numbers { name: pipeline, now, lags } in pipelines {
        if let Some(count) = now.lag_rows {
            all.get_or_create(&of(pipeline)).set(signed(count));
        }
        let mut splits: Vec<_> = lags.iter().collect();
        splits.sort_by_key(|(_, behind)| Reverse((behind.ms, behind.rows)));
        for (key, behind) in splits.into_iter().take(SPLITS_TOLD_MAX) {
            let labels = with(pipeline, "split", key);
            if let Some(count) = behind.rows {
                rows.get_or_create(&labels).set(signed(count));
            }
            if let Some(ms) = behind.ms {
                seconds.get_or_create(&labels).set(Duration::from_millis(ms).as_secs_f64());
            }
        }
    }
    registry.register("lag_records", "Records still to be read, by split", rows);
    registry.register_with_unit("lag", "Time behind the source, by split", Unit::Seconds, seconds);
    let help = "Records still to be read by this process, where every task can tell";
    registry.register("process_lag_records", help, all);
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
