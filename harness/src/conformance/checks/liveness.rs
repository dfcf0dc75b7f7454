//! PING, PROGRESS, STOP and signals (`SPEC.md` 4.11, 4.13, 7.4, 12).

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use protocol::Code;
use protocol::message::{Phase, Reason, Stop, StopMode};
use protocol::session::host::Event;
use serde_json::json;

use super::core;
use super::states::{GONE, LONG_SETTLED, SETTLED, blocked, long, stalled, stalled_for};
use crate::conformance::Check;
use crate::conformance::bench::Bench;
use crate::conformance::fault::{Done, Fault, demand, equal, miss};
use crate::conformance::peer::{Peer, credit, other_event};
use crate::conformance::process::Ended;

pub(super) const CHECKS: &[Check] = &[
    core(
        "L75",
        "ping_while_the_source_stalls",
        "7.4",
        "PONG comes while the source hangs, and while a request is under way",
        ping_while_the_source_stalls,
    ),
    core(
        "L76",
        "ping_overtakes_rows",
        "7.4",
        "PONG overtakes the rows that wait for a host that does not read",
        ping_overtakes_rows,
    ),
    core(
        "L77",
        "progress_while_a_request_is_open",
        "4.13",
        "PROGRESS comes every 5 s while a request is open",
        progress_while_a_request_is_open,
    ),
    core(
        "L78",
        "stop_drain",
        "4.11, 7.3 H13",
        "STOP drain ends the batch with the rows it has, gives empty batches to credits that wait, then STOPPED \
         as the last frame, then exit code 0",
        stop_drain,
    )
    .owns(&["H13"]),
    core("L79", "stop_now", "4.11", "STOP now voids every credit, then STOPPED", stop_now),
    core(
        "L80",
        "stop_twice",
        "4.11",
        "a second STOP gets no answer of its own, and does no harm",
        stop_twice,
    ),
    core(
        "L81",
        "sigterm_drains",
        "12",
        "SIGTERM answers credits with reason `stop`, then a fatal ERROR STOPPING, exit code 0",
        sigterm_drains,
    ),
    core(
        "L91",
        "stop_deadline",
        "4.11",
        "after `deadline_ms` of STOP the process ends by itself with 75, whatever it waits for",
        stop_deadline,
    ),
    core(
        "L92",
        "other_signals_are_ignored",
        "12",
        "SIGINT, SIGHUP and SIGPIPE are ignored: the host decides",
        other_signals_are_ignored,
    ),
    core(
        "L93",
        "stop_ends_requests",
        "4.11",
        "STOP answers a request that is under way by its answer or ERROR STOPPING, then STOPPED",
        stop_ends_requests,
    ),
];

/// The batch that ends when `end` asks a program to go whose source hangs: the ten rows before that. A machine
/// that is busy gets more time before it is asked.
fn stopped_batch(bench: &mut Bench, end: fn(&mut Peer) -> Done) -> Result<Peer, Fault> {
    let mut settled = SETTLED;
    loop {
        let mut peer = stalled_for(bench, settled)?;
        end(&mut peer)?;
        let batch = peer.batch()?;
        let is_early = batch.end.rows < 10 && settled < LONG_SETTLED;
        if batch.end.reason == Reason::Stop && is_early {
            settled *= 4;
            continue;
        }
        let is_right = batch.end.reason == Reason::Stop && batch.end.rows == 10;
        demand(is_right, "the 10 rows before the stall, reason stop", || batch.line())?;
        return Ok(peer);
    }
}

fn ping_while_the_source_stalls(bench: &mut Bench) -> Done {
    let mut peer = stalled(bench)?;
    let pong = peer.ping(b"are you there")?;
    demand(pong == b"are you there", "the bytes of the PING", || format!("{pong:?}"))?;
    let mut peer = bench.configured(json!({"test.connect.ms": 60_000}))?;
    let check = peer.session.check()?;
    peer.send(&check)?;
    peer.ping(b"x").map(drop)
}

fn ping_overtakes_rows(bench: &mut Bench) -> Done {
    let mut peer = blocked(bench)?;
    let ping = peer.session.ping(b"x")?;
    peer.send(&ping)?;
    peer.process.wait_until_read(peer.patience)?;
    std::thread::sleep(SETTLED);
    let mut frames = 0;
    loop {
        match peer.any_event("PONG")? {
            Event::Pong(_) => break,
            Event::Rows(_) => frames += 1,
            Event::Schema(_) | Event::Log(_) | Event::Progress(_) => {}
            other => return Err(other_event("PONG", &other)),
        }
    }
    // Some are in the pipe, one is being written.
    demand(frames <= 4, "at most 4 frames of rows before the PONG", || format!("{frames}"))
}

fn progress_while_a_request_is_open(bench: &mut Bench) -> Done {
    let mut peer = stalled(bench)?;
    let began = Instant::now();
    loop {
        match peer.any_event("PROGRESS")? {
            Event::Progress(progress) => {
                let took = began.elapsed();
                let due = "phase polling, within 9 s";
                let is_right = progress.phase == Phase::Polling && took < Duration::from_secs(9);
                return demand(is_right, due, || format!("{progress:?} after {took:?}"));
            }
            Event::Schema(_) | Event::Log(_) | Event::Rows(_) => {}
            other => return Err(other_event("PROGRESS", &other)),
        }
    }
}

fn stop_drain(bench: &mut Bench) -> Done {
    let mut peer = stopped_batch(bench, |peer| {
        peer.send_extract(&long(1000))?;
        peer.send_stop(StopMode::Drain, 5_000)
    })?;
    let two = peer.batch()?;
    let is_right = two.end.reason == Reason::Stop && two.count() == 0;
    demand(is_right, "an empty batch for the credit that waits, reason stop", || two.line())?;
    let stopped = peer.stopped()?;
    equal("rows and batches of STOPPED", &(stopped.rows, stopped.batches), &(10, 2))?;
    let due = "an end within a second after STOPPED";
    let ended = peer.ends_within(GONE, due)?;
    demand(ended == Ended::Code(0), "exit code 0 after STOPPED", || ended.to_string())?;
    match peer.frame("the end of the stream")? {
        None => Ok(()),
        Some(frame) => Err(miss("nothing after STOPPED", frame.head.kind.name())),
    }
}

fn stop_now(bench: &mut Bench) -> Done {
    let mut peer = stalled(bench)?;
    peer.send_extract(&long(1000))?;
    peer.send_stop(StopMode::Now, 5_000)?;
    for _ in 0..2 {
        let batch = peer.batch()?;
        demand(batch.end.reason == Reason::Void, "a void batch", || batch.line())?;
    }
    peer.stopped()?;
    peer.exits(0)
}

fn stop_twice(bench: &mut Bench) -> Done {
    let mut peer = stalled(bench)?;
    peer.send_stop(StopMode::Drain, 5_000)?;
    let again = peer.session.stop(Stop { mode: StopMode::Now, deadline_ms: 5_000 })?;
    peer.send(&again)?;
    // An answer of its own would come after STOPPED, which the judge refuses.
    let own = |fault: Fault| match fault {
        Fault::Broken { seen, .. } => miss("one STOPPED for two STOPs", seen),
        other => other,
    };
    peer.batch().map_err(own)?;
    peer.stopped().map_err(own)?;
    let rest = peer.rest()?;
    demand(rest.is_empty(), "one STOPPED for two STOPs", || format!("{} more frames", rest.len()))?;
    peer.exits(0)
}

fn sigterm_drains(bench: &mut Bench) -> Done {
    let mut peer = stopped_batch(bench, |peer| peer.signal(Signal::SIGTERM))?;
    match peer.event("ERROR STOPPING")? {
        Event::Failed { request: None, failure }
            if failure.fatal && failure.code == Code::Stopping => {}
        other => return Err(other_event("ERROR STOPPING, fatal, with ref none", &other)),
    }
    peer.exits(0)
}

fn stop_deadline(bench: &mut Bench) -> Done {
    let mut peer = blocked(bench)?;
    peer.send_stop(StopMode::Drain, 600)?;
    let ended = peer.ends_within(GONE + GONE, "an end after deadline_ms 600")?;
    demand(ended == Ended::Code(75), "exit code 75", || ended.to_string())
}

fn other_signals_are_ignored(bench: &mut Bench) -> Done {
    let mut peer = bench.ready(json!({"test.rows": 5}), &["p0"])?;
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
        peer.signal(signal)?;
    }
    let batch = peer.extract(&credit(5))?;
    demand(batch.end.rows == 5, "5 rows after three signals", || batch.line())
}

fn stop_ends_requests(bench: &mut Bench) -> Done {
    let mut peer = bench.configured(json!({"test.connect.ms": 60_000}))?;
    let discover = peer.session.discover()?;
    peer.send(&discover)?;
    std::thread::sleep(SETTLED);
    peer.send_stop(StopMode::Drain, 4_000)?;
    match peer.event("DISCOVERED or ERROR STOPPING")? {
        Event::Discovered(_) => {}
        Event::Failed { failure, .. } if failure.code == Code::Stopping => {}
        other => return Err(other_event("DISCOVERED or ERROR STOPPING", &other)),
    }
    peer.stopped()?;
    peer.exits(0)
}
