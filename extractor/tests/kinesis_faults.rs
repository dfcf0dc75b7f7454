//! The Kinesis source against ferrokinesis behind a proxy that does what the service does on bad
//! days and no server does by itself: throttled reads, expired iterators, children that are not
//! told, shards that seem to end, answers that are lost, 400, 500 and reset connections.

#[path = "kinesis_support/follower.rs"]
mod follower;
#[path = "kinesis_support/proxy.rs"]
mod proxy;
#[path = "kinesis_support/server.rs"]
mod server;
#[path = "kinesis_support/support.rs"]
mod support;

use fastrand::Rng;
use serde_json::{Value, json};

use follower::{Follower, assert_once_in_order};
use proxy::{Fault, Proxy};
use server::{Server, shard};
use support::*;

/// Settings with pauses as short as allowed.
fn quick() -> Value {
    json!({
        "kinesis.record.limit": 40, "kinesis.throughput.exceeded.backoff.ms": 500,
        "kinesis.shards.refresh.ms": 1000,
    })
}

/// Reads a stream that is split and merged, through a proxy with `script`; each step by a source of
/// its own, which knows only what was committed.
fn reshard_through(script: impl FnMut(&str, &Value) -> Fault + Send + 'static) -> Vec<Fault> {
    let server = Server::start(1);
    let proxy = Proxy::start(&server.url, script);
    let mut follower = Follower::new();
    server.put(&records(0..100));
    let mut source = open(&proxy.url, &quick());
    follower.discover(&mut source);
    follower.follow(&mut source, 50);
    server.split(&shard(0));
    server.put(&records(100..200));
    follower.follow(&mut source, 80);
    let mut source = open(&proxy.url, &quick());
    server.merge(&shard(1), &shard(2));
    server.put(&records(200..300));
    follower.follow(&mut source, usize::MAX);
    assert_once_in_order(&follower.rows, 300);
    let ends = follower.offsets.values().filter(|value| value.is_end()).count();
    assert_eq!((follower.offsets.len(), ends), (4, 3), "{:?}", follower.offsets);
    proxy.faults()
}

/// The same fault for every third call of an operation.
fn every_third(wanted: &'static str, fault: Fault) -> impl FnMut(&str, &Value) -> Fault + Send {
    let mut number = 0;
    move |operation, _| {
        number += usize::from(operation == wanted);
        if operation == wanted && number % 3 == 2 { fault } else { Fault::None }
    }
}

#[track_caller]
fn check(operation: &'static str, fault: Fault) {
    let faults = reshard_through(every_third(operation, fault));
    assert!(faults.len() >= 2 && faults.iter().all(|it| *it == fault), "{faults:?}");
}

#[test]
fn f12_throttled_reads_lose_and_repeat_nothing() {
    check("GetRecords", Fault::Error("ProvisionedThroughputExceededException"));
}

#[test]
fn f05_iterators_that_expire_at_any_time_lose_and_repeat_nothing() {
    check("GetRecords", Fault::Error("ExpiredIteratorException"));
}

#[test]
fn f09_shards_that_seem_to_end_are_read_on() {
    check("GetRecords", Fault::FalseEnd);
}

#[test]
fn f09_children_that_the_end_does_not_tell_are_found() {
    check("GetRecords", Fault::NoChildren);
}

#[test]
fn f13_empty_pages_before_records_are_no_end() {
    check("GetRecords", Fault::EmptyPage);
}

#[test]
fn answers_that_are_lost_and_connections_that_end_lose_and_repeat_nothing() {
    check("GetRecords", Fault::LostAnswer);
    check("GetRecords", Fault::Reset);
}

#[test]
fn errors_of_the_server_lose_and_repeat_nothing() {
    check("GetRecords", Fault::Status(500));
    check("GetShardIterator", Fault::Error("InternalFailure"));
    check("ListShards", Fault::Error("LimitExceededException"));
}

/// All of them at random, at once.
#[test]
fn any_faults_at_any_time_lose_and_repeat_nothing() {
    const FAULTS: [Fault; 8] = [
        Fault::Error("ProvisionedThroughputExceededException"),
        Fault::Error("ExpiredIteratorException"),
        Fault::Error("InternalFailure"),
        Fault::Status(503),
        Fault::Reset,
        Fault::LostAnswer,
        Fault::FalseEnd,
        Fault::EmptyPage,
    ];
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let faults = reshard_through(move |operation, _| {
        let fault = FAULTS[rng.usize(..FAULTS.len())];
        let is_of_reads = matches!(
            fault,
            Fault::Error("ExpiredIteratorException") | Fault::FalseEnd | Fault::EmptyPage
        );
        match rng.u32(..10) {
            0..3 if operation == "GetRecords" || !is_of_reads => fault,
            _ => Fault::None,
        }
    });
    assert!(faults.len() >= 5, "{faults:?}");
}
