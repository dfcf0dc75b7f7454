//! Kinesis to the pipe: what the extractor costs beside the plain loop over AWS's SDK, on a server of
//! prepared answers and on an emulator.
//!
//! May touch: the extractor, the example `kinesis_speed`. Invariants: servers are processes of their
//! own; the extractor and the plain loops take turns on the same server, and read the same records.

mod server;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use self::server::Server;
use super::gate::Gate;
use super::host::Host;
use super::process;
use super::report::{Figure, Report};
use super::start::mebibytes;
use super::{Plan, median};

/// Why: the extractor keeps to 2 MB per second and shard; this is many times what that takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// The plain loops; what they write costs nothing, while the extractor's rows go through a pipe.
const WITH_ROWS: &str = "plain SDK loop, rows to /dev/null";
const WITHOUT: &str = "plain SDK loop, no rows";

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
    for load in
        [canned(100, 10_000), canned(1_024, 4_000), emulated(100, 10_000), emulated(1_024, 1_000)]
    {
        say(&format!("kinesis: {} records of {} B, {}", load.rows(), load.bytes, load.server));
        one(plan, &program, load, report)?;
    }
    Ok(())
}

/// One reading of everything.
#[derive(Debug, Clone, Copy)]
struct Ran {
    wall: Duration,
    cpu_seconds: f64,
}

/// Medians of several rounds.
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

fn one(plan: &Plan, program: &Path, load: Load, report: &mut Report) -> Result<()> {
    let server = Server::start(program, load)?;
    let (mut ours, mut touch, mut rows) = (Rounds::default(), Rounds::default(), Rounds::default());
    let mut peaks = Vec::new();
    for _ in 0..plan.rounds() {
        let (ran, peak) = extractor(plan, &server, load)?;
        ours.add(ran);
        peaks.push(peak);
        for (word, rounds) in [("touch", &mut touch), ("rows", &mut rows)] {
            let mut plain = Command::new(program);
            plain.args([word, &server.url, &load.shards.to_string()]);
            rounds.add(run(&mut plain)?);
        }
    }
    let (size, kind, megabytes) = (load.bytes, load.server, load.megabytes());
    let speed = megabytes / median(&mut ours.walls);
    let name = format!("Kinesis to pipe, {size} B, {} shards, {kind}", load.shards);
    let plain = megabytes / median(&mut rows.walls);
    report.add(Figure::new(&name, speed, "MB/s").beside(WITH_ROWS, plain));
    let per_gigabyte = |cpus: &mut Vec<f64>| median(cpus) / megabytes * 1e3;
    let cpu = per_gigabyte(&mut ours.cpus);
    let name = format!("… processor time, {size} B, {kind}");
    let figure = Figure::new(&name, cpu, "s/GB");
    let beside = figure.clone().beside(WITH_ROWS, per_gigabyte(&mut rows.cpus));
    report.add(if kind == "canned" { beside.gate(Gate::at_most(0.333, "×")) } else { beside });
    report.add(figure.beside(WITHOUT, per_gigabyte(&mut touch.cpus)));
    let name = format!("… peak memory, {size} B, {kind}");
    report.add(Figure::new(&name, median(&mut peaks), "MiB").gate(Gate::at_most(128.0, "MiB")));
    Ok(())
}

/// Runs a plain loop to its end. Its start is left out, as the extractor's is: it says when it stands
/// ready, and begins when it is told.
fn run(command: &mut Command) -> Result<Ran> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("start the plain loop")?;
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
    if !status.success() {
        bail!("the plain loop ended with {status}");
    }
    Ok(Ran { wall, cpu_seconds })
}

/// Reads everything once; processor time from the assignment to the last row.
fn extractor(plan: &Plan, server: &Server, load: Load) -> Result<(Ran, f64)> {
    let config = json!({
        "connector.class": "kinesis", "kinesis.stream": "bench", "kinesis.endpoint": server.url,
        "aws.access.key.id": "bench", "aws.secret.access.key": "bench",
    });
    let mut host = Host::start(&plan.extractor)?;
    let before = process::cpu_seconds(host.pid())?;
    host.assign_source(config.as_object().cloned().context("CONFIG is an object")?)?;
    let received = host.read(load.rows(), PATIENCE)?;
    let cpu_seconds = process::cpu_seconds(host.pid())? - before;
    let peak = mebibytes(process::memory(host.pid(), "VmHWM")?);
    host.stop()?;
    if received.rows != load.rows() {
        bail!("{} of {} rows came in {PATIENCE:?}", received.rows, load.rows());
    }
    Ok((Ran { wall: received.wall, cpu_seconds }, peak))
}
