//! Kafka to the pipe: what the extractor takes per row beside librdkafka's own batch loop and
//! others, on a broker that is never the limit and on Apache Kafka's.
//!
//! May touch: brokers, the extractor, its peers. Invariant: all take turns on the same topic, read
//! every record of it with checksums checked, and their whole processor time counts, from the start
//! of the process to the last row.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::connect;
use super::gate::Gate;
use super::host::Host;
use super::process;
use super::records::Records;
use super::report::{Figure, Report};
use super::start::mebibytes;
use super::{Plan, median};
use crate::tape::{Play, Tape};

/// Why: more than ten times what the slowest machine should need.
const PATIENCE: Duration = Duration::from_secs(120);

/// The partitions that a topic is cut into, one after the other.
const PARTITIONS: [u32; 4] = [1, 4, 16, 200];

/// Those of the figures that stand for all, and the only ones of a quick run.
const USUAL: u32 = 4;

/// Sizes of values in bytes.
const SIZES: [usize; 2] = [100, 1024];

/// A topic that is ready to be read.
struct Topic<'a> {
    broker: &'static str,
    address: &'a str,
    name: &'a str,
    records: u32,
    partitions: u32,
    bytes: usize,
}

/// What reading a topic once took.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) peak_mebibytes: f64,
}

/// The same of several rounds.
#[derive(Default)]
struct Costs(Vec<Cost>);

impl Costs {
    fn middle(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        median(&mut self.0.iter().map(of).collect::<Vec<_>>())
    }

    /// Microseconds of processor time for each of `rows`.
    fn micros(&self, rows: u32) -> f64 {
        self.middle(|cost| cost.cpu_seconds) * 1e6 / f64::from(rows)
    }

    fn speed(&self, rows: u32) -> f64 {
        f64::from(rows) / self.middle(|cost| cost.seconds)
    }
}

/// On the canned broker.
pub(super) fn canned(plan: &Plan, report: &mut Report, say: fn(&str)) -> Result<()> {
    for (bytes, partitions) in shapes(plan) {
        say(&format!("canned: {bytes} B, {partitions} partitions"));
        let play = Play { partitions, records: plan.scaled(per_run(bytes)), bytes };
        let tape = Tape::start(play)?;
        let (address, name, records) = (tape.address.as_str(), Tape::TOPIC, tape.records);
        let topic = Topic { broker: "canned", address, name, records, partitions, bytes };
        let turns = Turns::take(plan, &topic)?;
        figures(&topic, &turns, report);
    }
    Ok(())
}

/// On Apache Kafka's broker.
pub(super) fn real(
    plan: &Plan,
    folder: &Path,
    kafka: &str,
    report: &mut Report,
    say: fn(&str),
) -> Result<()> {
    for (bytes, partitions) in shapes(plan) {
        say(&format!("real: {bytes} B, {partitions} partitions"));
        let count = plan.scaled(per_run(bytes) / 2);
        let records = Records { topic: "bench-read", count, bytes };
        records.produce_to(kafka, partitions)?;
        let (address, name, records_left) = (kafka, records.topic, records.count);
        let topic =
            Topic { broker: "Kafka", address, name, records: records_left, partitions, bytes };
        let mut turns = Turns::take(plan, &topic)?;
        if partitions == USUAL {
            match connect::read(folder, topic.address, topic.name, topic.records) {
                Ok(cost) => turns.connect.0.push(cost),
                Err(reason) => report.skip("Kafka Connect", &format!("{reason:#}")),
            }
        }
        figures(&topic, &turns, report);
        records.remove(kafka)?;
    }
    Ok(())
}

/// Sizes and numbers of partitions.
fn shapes(plan: &Plan) -> Vec<(usize, u32)> {
    let sizes = plan.bytes.map_or_else(|| SIZES.to_vec(), |bytes| vec![bytes]);
    let partitions = match plan.partitions {
        Some(partitions) => vec![partitions],
        None if plan.is_quick => vec![USUAL],
        None => PARTITIONS.to_vec(),
    };
    let shapes = sizes.iter().flat_map(|&bytes| partitions.iter().map(move |&n| (bytes, n)));
    shapes.collect()
}

/// Records that take the extractor about a second.
const fn per_run(bytes: usize) -> u32 {
    if bytes > 500 { 1_500_000 } else { 3_000_000 }
}

/// What everybody took for the same topic.
#[derive(Default)]
struct Turns {
    ours: Costs,
    bare: Costs,
    plain: Costs,
    connect: Costs,
}

impl Turns {
    fn take(plan: &Plan, topic: &Topic<'_>) -> Result<Self> {
        let mut turns = Self::default();
        for _ in 0..plan.rounds() {
            turns.ours.0.push(extractor(plan, topic)?);
            turns.bare.0.push(peer(plan, "kafka_bare", topic)?);
            if topic.partitions == USUAL {
                turns.plain.0.push(peer(plan, "kafka_plain", topic)?);
            }
        }
        Ok(turns)
    }
}

fn figures(topic: &Topic<'_>, turns: &Turns, report: &mut Report) {
    let Turns { ours, bare, plain, connect } = turns;
    let Topic { broker, records, partitions, bytes, .. } = *topic;
    let is_canned = broker == "canned";
    let size = if bytes == 1024 { "1 KB".to_owned() } else { format!("{bytes} B") };
    let name = format!("{size}, {partitions} partitions, {broker} broker");
    let is_usual = partitions == USUAL;
    let (cpu, speed) = if bytes == 1024 { (1.5, 0.65) } else { (2.0, 0.7) };
    let add = |report: &mut Report, figure: Figure| {
        report.add(if is_usual { figure } else { figure.detail() });
    };
    let micros = Figure::new(&format!("CPU per row, {name}"), ours.micros(records), "µs");
    let gate = Gate::at_most(cpu, "×");
    add(report, micros.clone().beside("C batch", bare.micros(records)).gate(gate));
    let rows = Figure::new(&format!("speed, {name}"), ours.speed(records), "rows/s");
    let rows = rows.beside("C batch", bare.speed(records));
    let gate = Gate::at_least(speed, "×").when_quiet();
    add(report, if is_canned { rows.gate(gate) } else { rows });
    let peak = ours.middle(|cost| cost.peak_mebibytes);
    add(report, Figure::new(&format!("peak memory, {name}"), peak, "MiB"));
    if !plain.0.is_empty() {
        let figure = micros.clone().beside("plain Rust program", plain.micros(records));
        let gate = Gate::at_most(1.0 / 3.0, "×");
        add(report, if bytes == 100 { figure.gate(gate) } else { figure });
    }
    if !connect.0.is_empty() {
        add(report, micros.beside("Kafka Connect", connect.micros(records)));
        let figure = Figure::new(&format!("speed, {name}"), ours.speed(records), "rows/s");
        add(report, figure.beside("Kafka Connect", connect.speed(records)));
    }
    if is_usual {
        let title = format!("{size} records, {broker} broker, µs of CPU per row");
        let all = [
            ("librdkafka, C batch", bare),
            ("extractor", ours),
            ("plain Rust program", plain),
            ("Kafka Connect", connect),
        ];
        let bars = all.into_iter().filter(|(_, costs)| !costs.0.is_empty());
        let bars = bars.map(|(who, costs)| (who.to_owned(), costs.micros(records)));
        report.chart(&title, bars.collect());
    }
}

fn extractor(plan: &Plan, topic: &Topic<'_>) -> Result<Cost> {
    let mut host = Host::start(&plan.extractor)?;
    let received = host.read_topic(topic.address, topic.name, topic.records.into(), PATIENCE)?;
    let cpu_seconds = process::cpu_seconds(host.pid())?;
    let peak_mebibytes = mebibytes(process::memory(host.pid(), "VmHWM")?);
    host.stop()?;
    let Topic { records, .. } = topic;
    ensure!(received.rows == u64::from(*records), "{} of {records} rows came", received.rows);
    Ok(Cost { seconds: received.wall.as_secs_f64(), cpu_seconds, peak_mebibytes })
}

/// Runs a program of `scripts/src/bin`, which says itself how long it read.
fn peer(plan: &Plan, name: &str, topic: &Topic<'_>) -> Result<Cost> {
    let program: PathBuf = plan.extractor.with_file_name(name);
    let mut command = Command::new(&program);
    command.args([topic.address, topic.name, &topic.records.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let what = || format!("{}: run ./scripts/bench, which builds it", program.display());
    let mut child = command.spawn().with_context(what)?;
    process::discard(child.stdout.take().context("the peer has no stdout")?)?;
    let cpu_seconds = process::wait_and_read(&child)?;
    let output = child.wait_with_output().context("wait for the peer")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("{name} ended with {}: {}", output.status, text.trim());
    }
    let told: Value =
        serde_json::from_slice(&output.stderr).with_context(|| format!("read {name}"))?;
    let seconds = told.get("seconds").and_then(Value::as_f64).context("no seconds told")?;
    Ok(Cost { seconds, cpu_seconds, peak_mebibytes: 0.0 })
}
