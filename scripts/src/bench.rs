//! `cargo xtask bench`: what the extractor and the harness cost, each figure beside a named
//! alternative measured in the same run.
//!
//! May touch: the binaries given, a broker and a database, a folder below `target`. Invariants: a
//! figure is a measurement of this run or absent with a reason; the run states machine, load and
//! command; it makes topics and tables of its own and removes them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::cache;
use crate::services::{Extra, Name, Services};

mod chart;
mod connect;
mod gate;
mod host;
mod kinesis;
mod load;
mod machine;
mod process;
mod read;
mod records;
mod report;
mod stall;
mod start;

pub(crate) use records::Records;
use report::Report;

/// What was typed, and what follows from it.
#[derive(Debug)]
struct Plan {
    /// The extractor as it is shipped.
    extractor: PathBuf,
    /// The harness.
    harness: PathBuf,
    /// Below a minute, for a look; figures are coarser.
    is_quick: bool,
    /// Where to write the figures as JSON.
    json: PathBuf,
    /// Whether to put the table into README.md.
    for_readme: bool,
    /// Whether a missed gate is a failure.
    is_gated: bool,
    /// The only size of records and number of partitions to read, when named.
    bytes: Option<usize>,
    partitions: Option<u32>,
    /// What to measure; everything when empty.
    only: Vec<&'static str>,
}

/// What can be measured alone.
const PARTS: [&str; 7] = ["start", "stall", "idle", "canned", "real", "load", "kinesis"];

/// Words for several parts.
const GROUPS: [(&str, &[&str]); 3] = [
    ("all", &PARTS),
    ("kafka", &["start", "stall", "idle", "canned", "real", "load"]),
    ("read", &["canned", "real"]),
];

/// Runs what `args` ask for; prints the table on stdout through `print`.
pub fn run(
    args: &[String],
    say: fn(&str),
    print: fn(&str) -> Result<ExitCode>,
) -> Result<ExitCode> {
    let root = cache::workspace_root()?;
    let plan = Plan::parse(args, &root)?;
    let programs = [(&plan.extractor, true), (&plan.harness, plan.wants("load"))];
    for (program, is_needed) in programs {
        if is_needed && !program.is_file() {
            bail!("no program {}: run ./scripts/bench, which builds it", program.display());
        }
    }
    let mut report = Report::new(&machine::describe(&root, args)?);
    let folder = plan.json.with_extension("run");
    cache::remove_folder(&folder)?;
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let services = Services::open(Some(&folder.join("services")))?.telling(say);
    let outcome = measure(&plan, &folder, &services, &mut report, say);
    let down = services.down();
    outcome?;
    down?;
    cache::remove_folder(&folder)?;
    report.write(&plan.json)?;
    say(&format!("figures as JSON: {}", plan.json.display()));
    if plan.for_readme {
        report.put_into(&root.join("README.md"))?;
        say("README.md has the table and the chart now");
    }
    let code = print(&report.table())?;
    let missed = report.missed();
    for line in &missed {
        say(&format!("gate missed: {line}"));
    }
    Ok(if plan.is_gated && !missed.is_empty() { ExitCode::FAILURE } else { code })
}

fn measure(
    plan: &Plan,
    folder: &Path,
    services: &Services,
    report: &mut Report,
    say: fn(&str),
) -> Result<()> {
    if plan.wants("start") {
        say("start: from spawn to the answer to HELLO");
        start::spawn(plan, folder, report)?;
    }
    if plan.wants("kinesis") {
        say("kinesis: shards, extractor, pipe");
        kinesis::all(plan, folder, report, say)?;
    }
    if plan.wants("stall") {
        say("stall: a host that stood still reads again");
        stall::recovery(plan, report)?;
    }
    if plan.wants("canned") {
        say("canned: a broker that is never the limit, extractor, pipe");
        read::canned(plan, report, say)?;
    }
    if !["idle", "real", "load"].iter().any(|part| plan.wants(part)) {
        return Ok(());
    }
    let kafka = address("KAFKA_BOOTSTRAP", services, Name::Kafka)?;
    if plan.wants("idle") {
        say("idle: memory and processor time of an extractor that has nothing to do");
        start::idle(plan, &kafka, report)?;
    }
    if plan.wants("real") {
        say("real: Apache Kafka's broker, extractor, pipe");
        read::real(plan, folder, &kafka, report, say)?;
    }
    if plan.wants("load") {
        say("load: broker, extractor, harness, database");
        let database = address("MARIADB_URL", services, Name::Mariadb)?;
        load::all(plan, folder, &kafka, &database, report, say)?;
    }
    Ok(())
}

/// The server that the environment names, else one of our own.
fn address(variable: &str, services: &Services, name: Name) -> Result<String> {
    if let Some(given) = std::env::var(variable).ok().filter(|value| !value.is_empty()) {
        return Ok(given);
    }
    services.up(&[name], &Extra::default())?;
    match name {
        Name::Kafka => services.kafka_bootstrap(),
        Name::Mariadb => services.mariadb_url(),
        Name::Kinesis => services.kinesis_endpoint(),
    }
}

impl Plan {
    fn parse(args: &[String], root: &Path) -> Result<Self> {
        let target = match std::env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty()) {
            Some(path) => std::path::absolute(path).context("resolve CARGO_TARGET_DIR")?,
            None => root.join("target"),
        };
        let mut plan = Self {
            extractor: target.join("dist/extractor"),
            harness: target.join("release/harness"),
            is_quick: false,
            json: target.join("bench.json"),
            for_readme: false,
            is_gated: false,
            bytes: None,
            partitions: None,
            only: Vec::new(),
        };
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let mut value = || {
                let value = rest.next().map(PathBuf::from);
                value.with_context(|| format!("option {arg} needs a value"))
            };
            match arg.as_str() {
                "--quick" => plan.is_quick = true,
                "--readme" => plan.for_readme = true,
                "--gate" => plan.is_gated = true,
                "--json" => plan.json = std::path::absolute(value()?)?,
                "--extractor" => plan.extractor = std::path::absolute(value()?)?,
                "--harness" => plan.harness = std::path::absolute(value()?)?,
                "--bytes" => plan.bytes = Some(number(&value()?)? as usize),
                "--partitions" => plan.partitions = Some(number(&value()?)?),
                word => plan.only.extend(parts_of(word)?),
            }
        }
        Ok(plan)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Records of a run; a quick one has fewer.
    fn scaled(&self, records: u32) -> u32 {
        if self.is_quick { records / 2 } else { records }
    }

    /// How often a measurement of seconds is repeated; the median counts.
    fn rounds(&self) -> usize {
        if self.is_quick { 1 } else { 3 }
    }
}

fn number(text: &Path) -> Result<u32> {
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.with_context(|| format!("{} is no number", text.display()))
}

/// The parts that a word means.
fn parts_of(word: &str) -> Result<&'static [&'static str]> {
    let part = PARTS.iter().position(|part| *part == word).and_then(|at| PARTS.get(at..=at));
    let group = GROUPS.iter().find(|(name, _)| *name == word).map(|(_, parts)| *parts);
    part.or(group).with_context(|| format!("bench takes no `{word}`: see `cargo xtask help`"))
}

/// The middle of some measurements; of an even number the lower one of two.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests;
