//! A host that stood still reads again: how soon the extractor is at full speed.
//!
//! May touch: the canned broker and an extractor. Invariant: what was buffered while the host stood
//! still cannot hide a pause, because the last slow moment counts and not the first fast one.

use std::time::Duration;

use anyhow::Result;

use super::Plan;
use super::gate::Gate;
use super::host::Host;
use super::median;
use super::report::{Figure, Report};
use crate::tape::{Play, Tape};

/// Records that never come to an end while this is measured.
const RECORDS: u32 = 24_000_000;

/// How long the host reads, stands still, and is watched after that.
const WARM: Duration = Duration::from_millis(900);
const STILL: Duration = Duration::from_secs(1);
const WATCHED: Duration = Duration::from_secs(1);

/// Length of the moments whose rows are compared. Why 50 ms: what is allowed, so that the first may
/// be slow; a shorter one may have no rows because something else ran.
const MOMENT: Duration = Duration::from_millis(50);

/// The last moment, after the host reads again, with less than half the rows of the middle one of
/// before.
pub(super) fn recovery(plan: &Plan, report: &mut Report) -> Result<()> {
    let tape = Tape::start(Play { partitions: 4, records: RECORDS, bytes: 100 })?;
    let mut times = Vec::new();
    for _ in 0..plan.rounds() {
        let mut host = Host::start(&plan.extractor)?;
        host.assign(&tape.address, Tape::TOPIC)?;
        let before = host.read_moments(WARM, MOMENT)?;
        std::thread::sleep(STILL);
        let moments = host.read_moments(WATCHED, MOMENT)?;
        times.push(slow_for(&moments, middle_of(&before)?));
        host.kill()?;
    }
    let figure = Figure::new("full speed after the host stood still", median(&mut times), "ms");
    report.add(figure.gate(Gate::at_most(50.0, "ms").when_quiet()));
    Ok(())
}

/// Rows of the middle one of the moments before; there must be some.
pub(super) fn middle_of(moments: &[u32]) -> Result<f64> {
    let middle = median(&mut moments.iter().map(|&rows| rows.into()).collect::<Vec<_>>());
    anyhow::ensure!(middle > 0.0, "the extractor gave no rows before the host stood still");
    Ok(middle)
}

/// Milliseconds up to the end of the last moment below half of `full`.
pub(super) fn slow_for(moments: &[u32], full: f64) -> f64 {
    let slow = moments.iter().rposition(|&rows| f64::from(rows) * 2.0 < full);
    let count = slow.map_or(0, |at| at + 1);
    u32::try_from(count).map_or(f64::NAN, f64::from) * MOMENT.as_secs_f64() * 1e3
}
