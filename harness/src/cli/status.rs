//! `harness status`: what every pipeline does, once or as long as a person watches.
//!
//! May touch: the store, stdout. Invariants: it changes nothing but the version of an older catalogue,
//! which it upgrades; a process that says nothing any more is
//! called silent, whatever the state that it left behind.

use std::time::Duration;

use console::{Term, style, truncate_str};
use serde_json::{Value, json};

use super::args::StatusArgs;
use super::error::CliError;
use super::lag::PipelineLag;
use super::show::{as_json, find, open, time};
use crate::catalogue::{Catalogue, Heartbeat, Pipeline, PipelineState};
use crate::exit::Exit;
use crate::report::{Align, Table, bytes, count, duration, memory, out};
use crate::run::is_silent;
use crate::store::StoreUrl;

/// How often a watched status is drawn again: as often as a process tells something new.
const REDRAW: Duration = Duration::from_secs(1);

/// A pipeline as it was found.
struct Seen {
    pipeline: Pipeline,
    lag: PipelineLag,
    beats: Vec<Heartbeat>,
}

/// What the processes of a pipeline say together; those that are silent do not count.
#[derive(Default)]
struct Sum {
    processes: usize,
    rows_per_s: u64,
    bytes_per_s: u64,
    memory_bytes: u64,
    retries: u64,
    restarts: u64,
}

pub(super) fn status(args: &StatusArgs) -> Result<Exit, CliError> {
    let (mut catalogue, url) = open(&args.store)?;
    if !args.watch {
        let seen = look(&mut catalogue, args, &url)?;
        match args.json {
            true => seen.iter().try_for_each(|it| out::json(&it.json()))?,
            false => out::line(&text(&seen, args, &url, out::stdout_width()))?,
        }
        return Ok(Exit::Done);
    }
    let term = Term::buffered_stdout();
    if !args.json && !term.is_term() {
        return Err(CliError::usage(
            "--watch draws on a terminal; give --json where there is none",
        ));
    }
    let mut drawn = 0;
    loop {
        let seen = look(&mut catalogue, args, &url)?;
        match args.json {
            true => seen.iter().try_for_each(|it| out::json(&it.json()))?,
            false => drawn = draw(&term, &text(&seen, args, &url, out::stdout_width()), drawn)?,
        }
        std::thread::sleep(REDRAW);
    }
}

/// Draws over what was drawn before; answers how many lines there are now.
fn draw(term: &Term, text: &str, drawn: usize) -> std::io::Result<usize> {
    let (height, width) = term.size();
    // The last line of the terminal is the cursor's.
    let room = usize::from(height).saturating_sub(1).max(1);
    let lines: Vec<&str> = text.lines().take(room).collect();
    term.move_cursor_up(drawn)?;
    for line in &lines {
        term.clear_line()?;
        term.write_line(&truncate_str(line, usize::from(width), "…"))?;
    }
    term.clear_to_end_of_screen()?;
    term.flush()?;
    Ok(lines.len())
}

fn look(
    catalogue: &mut Catalogue,
    args: &StatusArgs,
    url: &StoreUrl,
) -> Result<Vec<Seen>, CliError> {
    let pipelines = match &args.name {
        Some(name) => vec![find(catalogue, name, url)?],
        None => catalogue.pipelines()?,
    };
    let mut seen = Vec::with_capacity(pipelines.len());
    for pipeline in pipelines {
        let splits = catalogue.splits(pipeline.id)?;
        let lag = PipelineLag::of(&splits, catalogue.lags(pipeline.id)?);
        let beats = catalogue.heartbeats(pipeline.id)?;
        seen.push(Seen { pipeline, lag, beats });
    }
    Ok(seen)
}

fn text(seen: &[Seen], args: &StatusArgs, url: &StoreUrl, width: Option<usize>) -> String {
    if seen.is_empty() {
        return format!("no pipelines in {url}");
    }
    let mut table = Table::new(&[
        ("pipeline", Align::Left),
        ("state", Align::Left),
        ("table", Align::Left),
        ("rows", Align::Right),
        ("data", Align::Right),
        ("rows/s", Align::Right),
        ("memory", Align::Right),
        ("errors", Align::Right),
        ("batches", Align::Right),
        ("splits", Align::Right),
        ("behind", Align::Right),
    ]);
    for it in seen {
        let (pipeline, sum) = (&it.pipeline, it.sum());
        let alive = |text: String| if sum.processes > 0 { text } else { String::new() };
        table.row([
            pipeline.name.clone(),
            it.state(),
            pipeline.target_table.clone(),
            count(pipeline.row_total),
            bytes(pipeline.byte_total),
            alive(count(sum.rows_per_s)),
            alive(memory(sum.memory_bytes)),
            count(pipeline.error_total),
            count(pipeline.last_batch_id),
            count(it.lag.splits as u64),
            it.lag.text(),
        ]);
    }
    let mut parts = vec![table.render(width)];
    if args.name.is_some() {
        let tables = seen.iter().filter_map(|it| it.lag.table(width));
        parts.extend(tables.map(|table| format!("\n{table}")));
    }
    parts.extend(seen.iter().flat_map(Seen::notes));
    parts.join("\n")
}

impl Seen {
    fn is_running(&self) -> bool {
        self.pipeline.state == PipelineState::Running
    }

    fn alive(&self) -> impl Iterator<Item = &Heartbeat> {
        self.beats.iter().filter(|beat| !is_silent(beat))
    }

    fn state(&self) -> String {
        let word = self.pipeline.state.as_str();
        let is_silent = self.alive().next().is_none();
        let troubled = self.alive().find(|beat| beat.pulse.reason.is_some());
        match (self.is_running(), is_silent, troubled) {
            (true, true, _) => format!("{word} (silent)"),
            (true, false, Some(beat)) => format!("{word} ({})", beat.pulse.health),
            _ => word.to_owned(),
        }
    }

    fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        for Heartbeat { pulse, .. } in self.alive() {
            sum.processes += 1;
            sum.rows_per_s += pulse.rows_per_s;
            sum.bytes_per_s += pulse.bytes_per_s;
            sum.memory_bytes += pulse.memory_bytes;
            sum.retries += pulse.retries;
            sum.restarts += pulse.restarts;
        }
        sum
    }

    /// What a person should know beside the numbers.
    fn notes(&self) -> Vec<String> {
        let name = style(out::one_line(&self.pipeline.name)).bold();
        let mut notes = Vec::new();
        if let Some(error) = &self.pipeline.error {
            let what = style("stopped by itself").red();
            notes.push(format!("{name}: {what}: {}", out::one_line(error)));
        }
        for beat in self.alive() {
            if let Some(reason) = &beat.pulse.reason {
                let what = style(beat.pulse.health.clone()).yellow();
                notes.push(format!("{name}: {what}: {}", out::one_line(reason)));
            }
        }
        if self.is_running() {
            let silent = self.beats.iter().filter(|beat| is_silent(beat));
            notes.extend(silent.map(|beat| format!("{name}: {}", silence(beat))));
            if self.beats.is_empty() {
                let what = style("no sign of life").yellow();
                notes.push(format!(
                    "{name}: {what}: no process says that it runs it; the next run goes on where it stands"
                ));
            }
        }
        notes
    }

    fn json(&self) -> Value {
        let (pipeline, sum) = (&self.pipeline, self.sum());
        let is_alive = sum.processes > 0;
        json!({
            "pipeline": pipeline.name, "state": pipeline.state.as_str(),
            "table": pipeline.target_table, "rows": pipeline.row_total,
            "bytes": pipeline.byte_total, "errors": pipeline.error_total,
            "last_batch": pipeline.last_batch_id, "splits": self.lag.splits, "lag": self.lag.json(),
            "leaves": pipeline.leaf_count, "tasks_max": pipeline.tasks_max,
            "epoch": pipeline.epoch, "error": pipeline.error, "created": time(pipeline.created_us),
            // Text that another version wrote is shown as text.
            "altered": time(pipeline.altered_us), "config": as_json(&pipeline.config_json),
            "is_alive": is_alive, "rows_per_s": sum.rows_per_s, "bytes_per_s": sum.bytes_per_s,
            "memory_bytes": sum.memory_bytes,
            "retries": sum.retries, "restarts": sum.restarts,
            "processes": self.beats.iter().map(process_json).collect::<Vec<_>>()
        })
    }
}

fn silence(beat: &Heartbeat) -> String {
    let what = style("no sign of life").yellow();
    let since = duration(Duration::from_micros(beat.age_us));
    format!(
        "{what} since {} ({since}) of process {}: it was killed, or does not reach the database; the next run \
         goes on where it stands",
        time(beat.beat_us),
        out::one_line(&beat.pulse.process)
    )
}

fn process_json(beat: &Heartbeat) -> Value {
    let pulse = &beat.pulse;
    json!({
        "leaf": pulse.leaf, "process": pulse.process, "is_silent": is_silent(beat),
        "beat": time(beat.beat_us), "started": time(beat.started_us), "age_ms": beat.age_us / 1000,
        "health": pulse.health, "reason": pulse.reason, "rows_per_s": pulse.rows_per_s,
        "bytes_per_s": pulse.bytes_per_s, "memory_bytes": pulse.memory_bytes,
        "retries": pulse.retries, "restarts": pulse.restarts
    })
}
