//! Kinesis to the pipe: what the extractor costs beside the plain loop over AWS's SDK, on a server of
//! prepared answers and on an emulator.
//!
//! May touch: the extractor, the example `kinesis_speed`. Invariants: servers are processes of their
//! own; the extractor and the plain loops take turns on the same server, and read the same records;
//! who reads their pipes is this process, whose time counts for nobody.

mod server;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;

use self::server::Server;
use super::Plan;
use super::gate::Gate;
use super::host::Host;
use super::process;
use super::report::{Figure, Report};
use super::start::mebibytes;

/// Why: the extractor keeps to 2 MB per second and shard; this is many times what that takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Rounds of a full run on the canned server. Why 5: other work on the same cores moves one of three.
const CANNED_ROUNDS: usize = 5;

/// Bytes of data of the records that are read.
const SIZES: [u32; 2] = [100, 1_024];

/// A plain loop.
#[derive(Debug, Clone, Copy)]
struct Plain {
    /// What the figures call it.
    name: &'static str,
    /// Its word to `kinesis_speed`.
    word: &'static str,
    /// Whether its rows go through a pipe, as the extractor's do. They cost nothing otherwise.
    has_pipe: bool,
    /// Rounds of a full run that it takes part in.
    rounds: usize,
}

/// The plain loops, each beside the extractor.
const PLAIN: [Plain; 3] = [
    Plain {
        name: "plain SDK loop, rows to /dev/null",
        word: "rows",
        has_pipe: false,
        rounds: CANNED_ROUNDS,
    },
    Plain { name: "plain SDK loop, rows to a pipe", word: "rows", has_pipe: true, rounds: 3 },
    // Nothing is judged by it, and it takes as long as the others.
    Plain { name: "plain SDK loop, no rows", word: "touch", has_pipe: false, rounds: 1 },
];

/// What a server holds.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Of `kinesis_speed`.
    server: &'static str,
    /// Bytes of data of a record.
    bytes: u32,
    /// Records of an answer.
    records: u32,
    shards: u32,
    /// Answers of a shard.
    pages: u32,
}

impl Load {
    fn rows(self) -> u64 {
        u64::from(self.records) * u64::from(self.shards) * u64::from(self.pages)
    }

    /// Data, in MB (10^6 bytes).
    fn megabytes(self) -> f64 {
        f64::from(self.records)
            * f64::from(self.shards)
            * f64::from(self.pages)
            * f64::from(self.bytes)
            / 1e6
    }
}

/// Every figure of the Kinesis source.
pub(super) fn all(plan: &Plan, _folder: &Path, report: &mut Report, say: fn(&str)) -> Result<()> {
    let program = server::program(&plan.extractor);
    if !program.is_file() {
        report.skip("Kinesis", &format!("no {}: run ./scripts/bench", program.display()));
        return Ok(());
    }
    // Four answers of a shard, so that taking its iterator and asking at its end count for little.
    let (shards, pages) = (if plan.is_quick { 50 } else { 200 }, 4);
    let canned = |bytes, records| Load { server: "canned", bytes, records, shards, pages };
    let emulated = |bytes, records| Load { server: "emulator", bytes, records, shards: 8, pages };
    let [small, large] = SIZES;
    for load in [
        canned(small, 10_000),
        canned(large, 4_000),
        emulated(small, 10_000),
        emulated(large, 1_000),
    ] {
        if plan.bytes.is_some_and(|bytes| u32::try_from(bytes) != Ok(load.bytes)) {
            continue;
        }
        say(&format!("kinesis: {} records of {} B, {}", load.rows(), load.bytes, load.server));
        figures(&read(plan, &program, load)?, load, report);
    }
    Ok(())
}

/// One reading of everything.
#[derive(Debug, Clone, Copy)]
struct Ran {
    wall: Duration,
    cpu_seconds: f64,
}

/// What each round took.
#[derive(Debug, Default)]
struct Rounds {
    walls: Vec<f64>,
    cpus: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, ran: Ran) {
        self.walls.push(ran.wall.as_secs_f64());
        self.cpus.push(ran.cpu_seconds);
    }
}

/// What all rounds took.
#[derive(Debug, Default)]
struct Readings {
    ours: Rounds,
    plain: [Rounds; PLAIN.len()],
    /// Memory of the extractor in MiB: at most, and once everything was read.
    peaks: Vec<f64>,
    rests: Vec<f64>,
}

/// All take turns.
fn read(plan: &Plan, program: &Path, load: Load) -> Result<Readings> {
    let server = Server::start(program, load)?;
    let mut readings = Readings::default();
    let is_full = !plan.is_quick && load.server == "canned";
    for round in 0..if is_full { CANNED_ROUNDS } else { plan.rounds() } {
        let (ran, [peak, rest]) = extractor(plan, &server, load)?;
        readings.ours.add(ran);
        readings.peaks.push(peak);
        readings.rests.push(rest);
        let plain = PLAIN.iter().zip(&mut readings.plain);
        for (plain, rounds) in plain.filter(|(plain, _)| round < plain.rounds) {
            let mut command = Command::new(program);
            command.args([plain.word, &server.url, &load.shards.to_string()]);
            rounds.add(run(&mut command, plain.has_pipe)?);
        }
    }
    Ok(readings)
}

fn figures(readings: &Readings, load: Load, report: &mut Report) {
    let (size, kind, megabytes) = (load.bytes, load.server, load.megabytes());
    let speeds = |rounds: &Rounds| rounds.walls.iter().map(|it| megabytes / it).collect::<Vec<_>>();
    let costs =
        |rounds: &Rounds| rounds.cpus.iter().map(|cpu| cpu / megabytes * 1e3).collect::<Vec<_>>();
    let speed = format!("Kinesis to pipe, {size} B, {} shards, {kind}", load.shards);
    let cost = format!("… processor time, {size} B, {kind}");
    for (plain, rounds) in PLAIN.iter().zip(&readings.plain) {
        if plain.word == "rows" {
            let figure = Figure::of_rounds(&speed, speeds(&readings.ours), "MB/s");
            report.add(figure.beside_rounds(plain.name, speeds(rounds)));
        }
        let figure = Figure::of_rounds(&cost, costs(&readings.ours), "s/GB");
        let figure = figure.beside_rounds(plain.name, costs(rounds));
        let is_gated = kind == "canned" && plain.word == "rows";
        report.add(if is_gated { figure.gate(Gate::at_most(0.333, "×")) } else { figure });
    }
    let name = format!("… peak memory, {size} B, {kind}");
    let peak = Figure::of_rounds(&name, readings.peaks.clone(), "MiB");
    report.add(peak.gate(Gate::at_most(128.0, "MiB")));
    let name = format!("… memory once all was read, {size} B, {kind}");
    report.add(Figure::of_rounds(&name, readings.rests.clone(), "MiB"));
}

/// Runs a plain loop to its end. Its start is left out, as the extractor's is: it says when it stands
/// ready, and begins when it is told.
fn run(command: &mut Command, has_pipe: bool) -> Result<Ran> {
    let output = if has_pipe { Stdio::piped() } else { Stdio::null() };
    command.stdin(Stdio::piped()).stdout(output).stderr(Stdio::piped());
    let mut child = command.spawn().context("start the plain loop")?;
    let reader = child.stdout.take().map(|pipe| thread::spawn(move || process::discard(pipe)));
    let told = child.stderr.take().context("the plain loop has no stderr")?;
    let mut told = BufReader::new(told);
    told.read_line(&mut String::new()).context("wait for the plain loop")?;
    let before = process::cpu_seconds(child.id())?;
    let begun = Instant::now();
    // Closing it is the word to begin.
    drop(child.stdin.take());
    let cpu_seconds = process::wait_and_read(&child)? - before;
    let wall = begun.elapsed();
    let status = child.wait().context("wait for the plain loop")?;
    if let Some(reader) = reader {
        reader.join().map_err(|_| anyhow!("the reader of the plain loop panicked"))??;
    }
    if !status.success() {
        bail!("the plain loop ended with {status}");
    }
    Ok(Ran { wall, cpu_seconds })
}

/// Reads everything once; processor time from the assignment to the last row. Memory at most, and after a
/// look that found nothing more.
fn extractor(plan: &Plan, server: &Server, load: Load) -> Result<(Ran, [f64; 2])> {
    let config = json!({
        "connector.class": "kinesis", "kinesis.stream": "bench", "kinesis.endpoint": server.url,
        "aws.access.key.id": "bench", "aws.secret.access.key": "bench",
    });
    let mut host = Host::start(&plan.extractor)?;
    let before = process::cpu_seconds(host.pid())?;
    host.assign_source(config.as_object().cloned().context("CONFIG is an object")?)?;
    let received = host.read(load.rows(), PATIENCE)?;
    let cpu_seconds = process::cpu_seconds(host.pid())? - before;
    if received.rows != load.rows() {
        bail!("{} of {} rows came in {PATIENCE:?}", received.rows, load.rows());
    }
    let peak = mebibytes(process::memory(host.pid(), "VmHWM")?);
    host.catch_up(PATIENCE)?;
    let rest = mebibytes(process::memory(host.pid(), "VmRSS")?);
    host.stop()?;
    Ok((Ran { wall: received.wall, cpu_seconds }, [peak, rest]))
}
