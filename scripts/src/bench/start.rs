//! How soon an extractor answers, and what it costs while there is nothing to do.
//!
//! May touch: the extractor, `true`, `java`. Invariant: alternatives run in turn with the extractor.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Plan;
use super::gate::Gate;
use super::host::Host;
use super::process;
use super::records::Records;
use super::report::{Figure, Report};
use crate::cache;

/// Spawns to take the minimum of.
const SPAWNS: usize = 20;

/// Starts of a JVM; they take a hundred times as long.
const JVM_STARTS: usize = 5;

const HELLO: &str =
    "public class Hello { public static void main(String[] a) { System.out.println(\"hello\"); } }";

/// From spawn to HELLO_OK, beside a process that does nothing and a JVM that says hello.
pub(super) fn spawn(plan: &Plan, folder: &Path, report: &mut Report) -> Result<()> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..SPAWNS {
        let begun = Instant::now();
        let host = Host::start(&plan.extractor)?;
        ours.push(begun.elapsed().as_secs_f64() * 1e3);
        drop(host);
        bare.push(process::run(&mut Command::new("true"))?.as_secs_f64() * 1e3);
    }
    let ours = minimum(&ours);
    let figure = Figure::new("spawn to HELLO_OK, minimum of 20", ours, "ms");
    let bare = minimum(&bare);
    report.add(figure.clone().gate(Gate::at_most(5.0, "ms")));
    report.add(figure.clone().beside("spawn and end of `true`", bare));
    match java(folder) {
        Ok(java) => report.add(
            figure.beside("`java` saying hello, minimum of 5", java).gate(Gate::at_most(0.1, "×")),
        ),
        Err(reason) => report.skip("spawn beside `java`", &format!("{reason:#}")),
    }
    Ok(())
}

fn java(folder: &Path) -> Result<f64> {
    let source = folder.join("Hello.java");
    std::fs::write(&source, HELLO).context("write Hello.java")?;
    let mut javac = Command::new(cache::java_program("javac"));
    cache::run(javac.arg("-d").arg(folder).arg(&source), "compile Hello.java")?;
    let mut times = Vec::new();
    for _ in 0..JVM_STARTS {
        let mut java = Command::new(cache::java_program("java"));
        java.arg("-cp").arg(folder).arg("Hello");
        times.push(process::run(&mut java)?.as_secs_f64() * 1e3);
    }
    Ok(minimum(&times))
}

/// Memory after HELLO and when connected to a quiet topic; processor time of the latter.
pub(super) fn idle(plan: &Plan, kafka: &str, report: &mut Report) -> Result<()> {
    let quiet = Records { topic: "bench-idle", count: 1, bytes: 100 };
    quiet.produce(kafka)?;
    let mut host = Host::start(&plan.extractor)?;
    let after_hello = mebibytes(process::memory(host.pid(), "VmRSS")?);
    report
        .add(Figure::new("memory after HELLO", after_hello, "MiB").gate(Gate::at_most(8.0, "MiB")));

    host.assign(kafka, quiet.topic)?;
    host.read(quiet.count.into(), Duration::from_secs(20))?;
    let seconds = if plan.is_quick { 2 } else { 10 };
    let before = process::cpu_seconds(host.pid())?;
    let idle = host.read(u64::MAX, Duration::from_secs(seconds))?;
    let used = process::cpu_seconds(host.pid())? - before;
    let connected = mebibytes(process::memory(host.pid(), "VmRSS")?);
    host.stop()?;
    quiet.remove(kafka)?;
    let figure = Figure::new("memory connected, no records", connected, "MiB");
    report.add(figure.gate(Gate::at_most(20.0, "MiB")));
    let share = used / idle.wall.as_secs_f64() * 100.0;
    let name = format!("processor time connected, no records, over {seconds} s");
    report.add(Figure::new(&name, share, "% of a core"));
    Ok(())
}

fn minimum(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Bytes as MiB.
pub(super) fn mebibytes(bytes: u64) -> f64 {
    // In KiB they fit, whatever the machine.
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}
