//! PING, STOP, signals and the end.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::Code;
use protocol::message::*;
use protocol::session::host::Event;
use serde_json::json;

use crate::driver::*;

fn stalled() -> Host {
    let config = json!({"test.rows": 100_000, "test.stall.at": 10, "test.stall.ms": 60_000});
    let mut host = Host::ready(config);
    host.send_extract(&Extract { max_interval_ms: 60_000, ..credit(1000) });
    assert!(!host.readable(Duration::from_millis(100)));
    host
}

/// A child whose pipe and queue are full.
fn blocked() -> Host {
    let mut host = Host::ready(json!({"test.rows": 1_000_000, "test.row.bytes": 1000}));
    host.send_extract(&Extract { max_interval_ms: 60_000, ..credit(1_000_000) });
    std::thread::sleep(Duration::from_millis(300));
    host
}

#[test]
fn a_ping_is_answered_while_the_source_stalls() {
    let mut host = stalled();
    let sent = host.session.ping(b"are you there").unwrap();
    host.send(&sent);
    assert!(matches!(host.any_event(), Event::Pong(bytes) if &bytes[..] == b"are you there"));
}

#[test]
fn a_ping_is_answered_while_a_request_blocks() {
    let mut host = Host::configured(json!({"test.connect.ms": 60_000}));
    let check = host.session.check().unwrap();
    host.send(&check);
    let ping = host.session.ping(b"x").unwrap();
    host.send(&ping);
    loop {
        match host.any_event() {
            Event::Pong(_) => break,
            Event::Log(_) => {}
            other => panic!("no PONG: {other:?}"),
        }
    }
    let cancel = host.session.cancel(check.seq).unwrap();
    host.send(&cancel);
    assert!(
        matches!(host.event(), Event::Failed { failure, .. } if failure.code == Code::Cancelled)
    );
}

#[test]
fn a_pong_overtakes_the_rows_of_a_full_pipe() {
    let mut host = blocked();
    let ping = host.session.ping(b"x").unwrap();
    host.send(&ping);
    host.wait_until_read();
    let mut frames = 0;
    loop {
        match host.any_event() {
            Event::Pong(_) => break,
            Event::Rows(_) => frames += 1,
            other => panic!("{other:?}"),
        }
    }
    // One frame is in the pipe, one is being written.
    assert!(frames <= 3, "{frames} frames came before the PONG");
}

#[test]
fn progress_is_told_while_a_request_is_open() {
    let mut host = stalled();
    let began = Instant::now();
    let Event::Progress(progress) = host.any_event() else { panic!("no PROGRESS") };
    assert_eq!(progress.phase, Phase::Polling);
    assert!(progress.rss_bytes > 100_000, "{progress:?}");
    assert!((4..9).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[test]
fn stop_with_drain_ends_the_batch_with_its_rows() {
    let mut host = stalled();
    host.send_extract(&Extract { max_interval_ms: 60_000, ..credit(1000) });
    host.send_stop(StopMode::Drain);
    let (one, two) = (host.batch().end, host.batch().end);
    assert_eq!((one.reason, one.rows), (Reason::Stop, 10));
    assert_eq!((two.reason, two.rows), (Reason::Stop, 0));
    let Event::Stopped(stopped) = host.event() else { panic!("no STOPPED") };
    assert_eq!((stopped.rows, stopped.batches), (10, 2));
    assert!(stopped.max_rss_bytes > 100_000);
    assert_eq!(host.wait_within(Duration::from_secs(1)).code(), Some(0));
    assert!(host.frame().is_none(), "nothing follows STOPPED");
}

#[test]
fn stop_now_voids_the_credits() {
    let mut host = stalled();
    host.send_extract(&credit(1000));
    host.send_stop(StopMode::Now);
    assert_eq!(host.batch().end.reason, Reason::Void);
    assert_eq!(host.batch().end.reason, Reason::Void);
    assert!(matches!(host.event(), Event::Stopped(_)));
    assert_eq!(host.wait().code(), Some(0));
}

#[test]
fn stop_ends_a_request_that_blocks() {
    let mut host = Host::configured(json!({"test.connect.ms": 60_000}));
    for _ in 0..2 {
        let sent = host.session.discover().unwrap();
        host.send(&sent);
    }
    std::thread::sleep(Duration::from_millis(100));
    host.send_stop(StopMode::Drain);
    for _ in 0..2 {
        let Event::Failed { failure, .. } = host.event() else { panic!("DISCOVER was answered") };
        assert_eq!(failure.code, Code::Stopping);
    }
    assert!(matches!(host.event(), Event::Stopped(_)));
    assert_eq!(host.wait().code(), Some(0));
}

#[test]
fn a_second_stop_and_the_end_of_input_after_stop_do_no_harm() {
    let mut host = stalled();
    host.send_stop(StopMode::Drain);
    host.send_stop(StopMode::Now);
    host.batch();
    assert!(matches!(host.event(), Event::Stopped(_)));
    host.close_stdin();
    assert_eq!(host.wait_within(Duration::from_secs(1)).code(), Some(0));
}

#[test]
fn the_stop_deadline_ends_a_process_that_cannot_write() {
    let mut host = blocked();
    let sent = host.session.stop(Stop { mode: StopMode::Drain, deadline_ms: 500 }).unwrap();
    host.send(&sent);
    let began = Instant::now();
    assert_eq!(host.wait_within(Duration::from_secs(3)).code(), Some(75));
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[test]
fn sigterm_drains_like_stop() {
    let mut host = stalled();
    kill(Pid::from_raw(host.pid()), Signal::SIGTERM).unwrap();
    let batch = host.batch();
    assert_eq!((batch.end.reason, batch.end.rows), (Reason::Stop, 10));
    let Event::Failed { request: None, failure } = host.event() else { panic!("no ERROR") };
    assert!(failure.fatal && failure.code == Code::Stopping);
    assert_eq!(host.wait_within(Duration::from_secs(1)).code(), Some(0));
}

#[test]
fn interrupt_and_hangup_are_the_hosts_business() {
    let mut host = Host::ready(json!({"test.rows": 5}));
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
        kill(Pid::from_raw(host.pid()), signal).unwrap();
    }
    assert_eq!(host.extract(&credit(5)).rows.len(), 5);
    host.stop();
}

#[test]
fn a_panic_is_told_without_its_text_and_ends_with_70() {
    let config = json!({"test.rows": 9, "test.fail.at": 5, "test.fail.code": "PANIC"});
    let mut host = Host::ready(config);
    host.send_extract(&credit(9));
    let failure = host.raw_failure();
    assert_eq!(failure.code, Code::Panic);
    assert!(failure.fatal && !failure.message.contains("provoked"), "{failure}");
    assert!(failure.message.contains(".rs:"), "the place is told: {failure}");
    assert_eq!(host.wait().code(), Some(70));
}

#[test]
fn memory_stays_bounded_over_many_batches() {
    let mut host = Host::ready(json!({"test.rows": 400_000, "test.splits": 4}));
    let extract = Extract { max_interval_ms: 50, ..credit(1) };
    for _ in 0..2_000 {
        host.extract(&extract);
    }
    let begun = rss_kib(host.pid());
    for _ in 0..8_000 {
        host.extract(&extract);
    }
    let grown = rss_kib(host.pid()).saturating_sub(begun);
    assert!(grown < 2_048, "{grown} KiB more after 8,000 batches");
}

fn rss_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
