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

use extractor::source::{Cancel, Source};
use serde_json::json;

use follower::{Follower, assert_once_in_order};
use server::{Server, shard};
use support::*;

#[test]
fn a_stream_of_another_server_is_split_merged_and_read_once() {
    let Some(url) = std::env::var("KINESIS_ENDPOINT").ok().filter(|url| !url.is_empty()) else {
        let test = "a_stream_of_another_server_is_split_merged_and_read_once";
        writeln!(std::io::stderr().lock(), "skipped: {test}: KINESIS_ENDPOINT is not set").unwrap();
        return;
    };
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
