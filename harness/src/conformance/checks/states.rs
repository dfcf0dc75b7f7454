//! Programs in the states that are hard to bring about: hanging, blocked.

use std::time::{Duration, Instant};

use protocol::message::Extract;
use serde_json::json;

use crate::conformance::bench::Bench;
use crate::conformance::fault::{Done, Fault};
use crate::conformance::peer::{Peer, credit};
use crate::conformance::proc;

/// In any state, the process is gone so long after the end of its input (`SPEC.md` 12); twice that, for a machine
/// that is busy.
pub(super) const GONE: Duration = Duration::from_secs(2);

/// What a program that reads on needs to come to a place where it waits, on a machine that is idle.
pub(super) const SETTLED: Duration = Duration::from_millis(300);

/// The longest that a program gets to come there.
pub(super) const LONG_SETTLED: Duration = Duration::from_secs(10);

/// Looks without use of the processor after which a program is taken to wait.
pub(super) const QUIET_LOOKS: u32 = 3;

/// A credit that ends after a minute.
pub(super) fn long(max_rows: u64) -> Extract {
    Extract { max_interval_ms: 60_000, ..credit(max_rows) }
}

/// Waits until a program does nothing any more: it uses no processor for some looks in a row, since it may just
/// not get one.
pub(super) fn settle(peer: &Peer) -> Done {
    let deadline = Instant::now() + LONG_SETTLED;
    let (mut before, mut quiet) = (proc::ticks(peer.process.id())?, 0);
    while quiet < QUIET_LOOKS && Instant::now() < deadline {
        std::thread::sleep(SETTLED);
        let now = proc::ticks(peer.process.id())?;
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
    }
    Ok(())
}

/// A program in the middle of a batch, whose source hangs after ten rows.
pub(super) fn stalled(bench: &mut Bench) -> Result<Peer, Fault> {
    stalled_for(bench, SETTLED)
}

pub(super) fn stalled_for(bench: &mut Bench, settled: Duration) -> Result<Peer, Fault> {
    let config = json!({"test.rows": 1000, "test.stall.at": 10, "test.stall.ms": 60_000});
    let mut peer = bench.ready(config, &["p0"])?;
    peer.send_extract(&long(1000))?;
    std::thread::sleep(settled);
    Ok(peer)
}

/// A program whose pipe and queue are full.
pub(super) fn blocked(bench: &mut Bench) -> Result<Peer, Fault> {
    let mut peer = bench.ready(json!({"test.rows": 1_000_000, "test.row.bytes": 1000}), &["p0"])?;
    peer.send_extract(&long(1_000_000))?;
    settle(&peer)?;
    Ok(peer)
}
