//! Kafka to the pipe: how fast the extractor alone is, and what it takes for that.
//!
//! May touch: a broker, the extractor, `kcat`. Invariant: the extractor and the bare consumer take
//! turns on the same topic, so that both see the same machine.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::host::Host;
use super::process::{self, Ran};
use super::records::Records;
use super::report::{Figure, Report};
use super::start::mebibytes;
use super::{Plan, median};

/// Why: more than ten times what the slowest machine should need.
const PATIENCE: Duration = Duration::from_secs(120);

/// Small and large records.
pub(super) fn all(plan: &Plan, kafka: &str, report: &mut Report, say: fn(&str)) -> Result<()> {
    let scale = if plan.is_quick { 6 } else { 1 };
    let small = Records { topic: "bench-100", count: 1_800_000 / scale, bytes: 100 };
    let large = Records { topic: "bench-1024", count: 360_000 / scale, bytes: 1024 };
    for records in [small, large] {
        let Records { count, bytes, .. } = records;
        say(&format!("read: producing {count} records of {bytes} B"));
        records.produce(kafka)?;
        one(plan, kafka, records, report)?;
        records.remove(kafka)?;
    }
    Ok(())
}

fn one(plan: &Plan, kafka: &str, records: Records, report: &mut Report) -> Result<()> {
    let (mut walls, mut cpus, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bare_walls, mut bare_cpus) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds() {
        let mut host = Host::start(&plan.extractor)?;
        host.assign(kafka, records.topic)?;
        let before = process::cpu_seconds(host.pid())?;
        let received = host.read(records.count.into(), PATIENCE)?;
        cpus.push(process::cpu_seconds(host.pid())? - before);
        peaks.push(mebibytes(process::memory(host.pid(), "VmHWM")?));
        walls.push(received.wall.as_secs_f64());
        host.stop()?;
        if received.rows != u64::from(records.count) {
            anyhow::bail!("{} of {} rows came in {PATIENCE:?}", received.rows, records.count);
        }
        let bare = kcat(kafka, records)?;
        bare_walls.push(bare.wall.as_secs_f64());
        bare_cpus.push(bare.cpu_seconds);
    }
    let size = records.bytes;
    let rows = f64::from(records.count);
    let speed = rows / median(&mut walls);
    let name = format!("Kafka to pipe, {size} B JSON, 4 partitions");
    let guard = if size == 100 { "≥ 1.5 M rows/s" } else { "≥ 586,000 rows/s (0.6 GB/s)" };
    report.add(
        Figure::new(&name, speed, "rows/s")
            .beside("kcat consuming to /dev/null", rows / median(&mut bare_walls))
            .target(guard),
    );
    let gigabytes = records.gigabytes();
    report.add(
        Figure::new(&format!("… processor time, {size} B"), median(&mut cpus) / gigabytes, "s/GB")
            .beside("kcat", median(&mut bare_cpus) / gigabytes),
    );
    report.add(
        Figure::new(&format!("… peak memory, {size} B"), median(&mut peaks), "MiB")
            .target(if size == 100 { "≤ 160 MB" } else { "≤ 64 MB" }),
    );
    Ok(())
}

/// A bare consumer on librdkafka that nobody here wrote. Its library is an older one than ours and
/// waits a second whenever its queue was full, so the queue is made large enough to never be.
fn kcat(kafka: &str, records: Records) -> Result<Ran> {
    let mut kcat = Command::new("kcat");
    kcat.args(["-C", "-e", "-q", "-o", "beginning", "-b", kafka, "-t", records.topic]);
    kcat.args(["-X", "queued.min.messages=10000000", "-X", "queued.max.messages.kbytes=2000000"]);
    process::run(&mut kcat)
}
