//! The Kinesis source against another server than `kinesis_server.rs`, named by
//! `KINESIS_ENDPOINT`: one that tells `MillisBehindLatest`, `ChildShards` and pages as the service
//! does, and knows streams by their ARN (kinesis-mock, which `cargo xtask services up kinesis`
//! starts). It keeps one stream at a time for these tests: they are one.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "kinesis_support/follower.rs"]
mod follower;
#[path = "kinesis_support/server.rs"]
mod server;
#[path = "kinesis_support/support.rs"]
mod support;

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use extractor::source::{Cancel, Source};
use serde_json::json;

use follower::{Follower, assert_once_in_order};
use server::{Server, shard};
use support::*;

/// The tests share a stream of the server.
static ALONE: Mutex<()> = Mutex::new(());

/// The server's address, or a line that says what was not run.
fn endpoint(test: &str) -> Option<String> {
    let url = std::env::var("KINESIS_ENDPOINT").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        writeln!(std::io::stderr().lock(), "skipped: {test}: KINESIS_ENDPOINT is not set").unwrap();
    }
    url
}

#[test]
fn a_stream_of_another_server_is_split_merged_and_read_once() {
    let test = "a_stream_of_another_server_is_split_merged_and_read_once";
    let Some(url) = endpoint(test) else { return };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::at(&url, 1);
    let mut follower = Follower::new();
    server.put(&records(0..150));
    let mut source = open(&url, &json!({"kinesis.record.limit": 60}));
    follower.discover(&mut source);
    follower.follow(&mut source, 70);
    server.split(&shard(0));
    server.put(&records(150..300));
    follower.follow(&mut source, 120);
    let mut source = open(&url, &json!({"kinesis.record.limit": 60}));
    server.merge(&shard(1), &shard(2));
    server.put(&records(300..450));
    follower.follow(&mut source, usize::MAX);
    assert_once_in_order(&follower.rows, 450);
    let ends = follower.offsets.values().filter(|value| value.is_end()).count();
    assert_eq!((follower.offsets.len(), ends), (4, 3), "{:?}", follower.offsets);
    let life = source.discover(&Cancel::default()).unwrap().incarnation;
    let (arn, _) = life.rsplit_once('@').unwrap();
    reads_by_arn(&url, arn, &follower.rows);
    server.delete();
}

/// The same rows, and the account's name for the stream.
fn reads_by_arn(url: &str, arn: &str, rows: &[Seen]) {
    let named = json!({"kinesis.stream": "", "kinesis.stream.arn": arn});
    let mut source = open(url, &named);
    source.check(&Cancel::default()).unwrap();
    let mut follower = Follower::new();
    follower.discover(&mut source);
    follower.follow(&mut source, usize::MAX);
    assert_once_in_order(&follower.rows, 450);
    let places = |rows: &[Seen]| {
        let place = |row: &Seen| (row.text("shardId"), row.text("sequenceNumber"));
        rows.iter().map(place).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(places(&follower.rows), places(rows));
}

/// Its subscriptions begin where they are told, which those of ferrokinesis do not, and it refuses a
/// second one of the same shard for a while; but they never end at a closed shard.
#[test]
fn another_server_is_subscribed_with_restarts() {
    let Some(url) = endpoint("another_server_is_subscribed_with_restarts") else { return };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::at(&url, 1);
    server.put(&records(0..150));
    let settings = json!({
        "kinesis.read.mode": "efo", "kinesis.consumer.name": "reader",
        "kinesis.consumer.fallback": "error", "kinesis.subscribe.interval.ms": 1000,
    });
    let (mut stands, mut rows, started) = (horizon(), Vec::new(), Instant::now());
    while rows.len() < 150 {
        let mut source = open(&url, &settings);
        assign(&mut source, &[(key(0), stands)]);
        let mut sink = Sink::new(40.min(150 - rows.len()));
        while sink.room > 0 {
            assert!(started.elapsed() < 2 * LIMIT, "gave up with {} rows", rows.len());
            if let Err(failure) = source.poll(&mut sink, Duration::from_millis(50)) {
                assert!(failure.retryable, "{failure}");
                assert!(failure.message.contains("reads this shard already"), "{failure}");
            }
        }
        rows.extend(sink.rows);
        stands = source.position(0).unwrap();
    }
    assert_once_in_order(&rows, 150);
    server.delete();
}
