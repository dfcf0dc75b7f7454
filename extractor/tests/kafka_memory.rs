//! Memory and threads of the Kafka source with many partitions of large records and a host that
//! does not read. One test in a process of its own, so that what it measures is its own.
//! `KAFKA_BOOTSTRAP=host:port` names the broker; kcat writes the records.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "kafka_support/support.rs"]
mod support;

use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use support::*;

const PARTITIONS: i32 = 60;
const RECORDS_PER_PARTITION: usize = 4;
const RECORD_BYTES: usize = 900_000;

/// A number of `/proc/self/status`, in KiB or as a count.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
}

fn kcat_writes(servers: &str, topic: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("record");
    std::fs::write(&file, format!("\"{}\"", "x".repeat(RECORD_BYTES - 2))).unwrap();
    (0..PARTITIONS).all(|partition| {
        let mut kcat = Command::new("kcat");
        kcat.args(["-b", servers, "-t", topic, "-P", "-p", &partition.to_string(), "-z", "none"]);
        kcat.args([&file; RECORDS_PER_PARTITION]);
        kcat.status().is_ok_and(|status| status.success())
    })
}

#[test]
fn f23_f24_memory_and_threads_stay_bounded_while_the_host_does_not_read() {
    let Ok(servers) = std::env::var("KAFKA_BOOTSTRAP") else {
        eprintln!("skipped: KAFKA_BOOTSTRAP is not set");
        return;
    };
    if Command::new("kcat").arg("-V").output().is_err() {
        eprintln!("skipped: kcat is not installed");
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let topic = OwnTopic::create(&servers, &format!("x-memory-{now}"), PARTITIONS);
    assert!(kcat_writes(&servers, &topic.name), "kcat failed");
    let threads_before = status("Threads");
    let rss_before = status("VmRSS");
    let config = json!({"kafka.memory.bytes": 4 * 1024 * 1024});
    let mut source = open(&servers, &topic.name, &config);
    let parts: Vec<_> = (0..PARTITIONS).map(|p| (key(&topic.name, p), at(0))).collect();
    assign(&mut source, &parts);
    let mut sink = Sink::new(1);
    poll_until(&mut source, &mut sink, LIMIT, |sink, _| sink.room == 0).unwrap();
    let mut grown_kib = 0;
    for _ in 0..30 {
        thread::sleep(Duration::from_millis(100));
        grown_kib = grown_kib.max(status("VmRSS").saturating_sub(rss_before));
    }
    let threads = status("Threads") - threads_before;
    eprintln!("{PARTITIONS} partitions, 4 MiB: {grown_kib} KiB more, {threads} more threads");
    assert!(grown_kib < 32 * 1024, "{grown_kib} KiB for a queue of 4 MiB");
    // One main thread, one per broker (bootstrap, the broker itself, one internal), the monitor.
    assert!(threads <= 8, "{threads} threads");
    let total = usize::try_from(PARTITIONS).unwrap() * RECORDS_PER_PARTITION - 1;
    let mut rows = 0;
    while rows < total {
        let mut sink = Sink::new(10);
        poll_until(&mut source, &mut sink, LIMIT, |sink, _| !sink.rows.is_empty()).unwrap();
        rows += sink.rows.len();
    }
    assert_eq!(rows, total, "every record once");
}
