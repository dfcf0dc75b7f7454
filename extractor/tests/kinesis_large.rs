//! The largest records, and many shards that catch up at once, through the program itself: memory
//! is that of the process (`VmHWM`), not an estimate. The answers are canned, because no server to
//! be had gives records over 1 MiB.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "kinesis_support/canned.rs"]
mod canned;
#[expect(dead_code, reason = "shared with the tests of sessions, of which this uses a part")]
#[path = "support/driver.rs"]
mod driver;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::message::Extract;
use protocol::{OffsetKey, OffsetValue};
use serde_json::{Value, json};

use canned::{Answer, Canned};
use driver::{Host, credit};

const MIB: usize = 1024 * 1024;

/// A number of `/proc/PID/status` in MiB.
fn memory(host: &Host, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: u64 = line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap();
    kib / 1024
}

fn config(server: &Canned, extra: &Value) -> Value {
    let mut config = json!({
        "connector.class": "kinesis", "kinesis.stream": "my-kinesis-stream",
        "kinesis.endpoint": server.url, "aws.access.key.id": "A", "aws.secret.access.key": "s",
    });
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    config
}

fn shard_id(number: usize) -> String {
    format!("shardId-{number:012}")
}

/// A page of records with these numbers and this payload, in base64 already.
fn page(shard: &str, numbers: std::ops::Range<usize>, data: &str, last: bool) -> Arc<str> {
    let record = |number: usize| {
        format!(
            r#"{{"SequenceNumber":"{number}","PartitionKey":"{shard}","Data":"{data}","ApproximateArrivalTimestamp":1775700271.554}}"#
        )
    };
    let records: Vec<_> = numbers.clone().map(record).collect();
    let (next, behind) = match last {
        true => ("null".to_owned(), 0),
        false => (format!(r#""{shard}/{}""#, numbers.end), 60_000),
    };
    let records = records.join(",");
    format!(r#"{{"Records":[{records}],"NextShardIterator":{next},"MillisBehindLatest":{behind}}}"#)
        .into()
}

/// A closed stream of `shards` shards: `answer` is asked with a shard and how many of its records
/// came before.
fn closed_stream(
    shards: usize,
    mut answer: impl FnMut(&str, usize) -> Arc<str> + Send + 'static,
) -> Canned {
    Canned::start(move |operation, input| match operation {
        "ListShards" => {
            let shard = |n| canned::shard_json(u32::try_from(n).unwrap(), None, true);
            Some(Answer::Ok(json!({"Shards": (0..shards).map(shard).collect::<Vec<_>>()})))
        }
        "GetShardIterator" => {
            let shard = input["ShardId"].as_str().unwrap();
            let from = input["StartingSequenceNumber"].as_str().unwrap_or("0");
            Some(Answer::Ok(json!({"ShardIterator": format!("{shard}/{from}")})))
        }
        "GetRecords" => {
            let (shard, from) = input["ShardIterator"].as_str()?.split_once('/')?;
            Some(Answer::Text(answer(shard, from.parse().unwrap())))
        }
        _ => None,
    })
}

fn assigned(server: &Canned, extra: &Value, shards: usize) -> Host {
    let mut host = Host::configured(config(server, extra));
    assert_eq!(host.discover().splits.len(), shards);
    let parts: Vec<_> = (0..shards)
        .map(|n| {
            let key = OffsetKey::from_json(&json!({"shardId": shard_id(n)})).unwrap();
            (key, OffsetValue::from_json(&json!({"position": "TRIM_HORIZON"})).unwrap())
        })
        .collect();
    host.assign(&parts);
    host
}

#[test]
fn records_of_ten_mib_pass_whole_and_memory_is_bounded() {
    const RECORDS: usize = 6;
    let payload: Vec<u8> = (0..10 * MIB).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let data = STANDARD.encode(&payload);
    let wanted = data.clone();
    let server = closed_stream(1, move |shard, from| {
        page(shard, from..from + 1, &data, from + 1 == RECORDS)
    });
    let mut host = assigned(&server, &json!({}), 1);
    let mut numbers = Vec::new();
    while numbers.len() < RECORDS {
        let batch = host.extract(&Extract { max_interval_ms: 10_000, ..credit(1) });
        assert!(batch.errors.is_empty(), "{:?}", batch.errors.first().map(|bad| &bad.code));
        for row in batch.rows {
            let record: Value = serde_json::from_str(&row.record).unwrap();
            assert!(record["data"] == wanted.as_str(), "{} bytes came", row.record.len());
            numbers.push(record["sequenceNumber"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(numbers, (0..RECORDS).map(|n| n.to_string()).collect::<Vec<_>>());
    let peak = memory(&host, "VmHWM");
    eprintln!("records of 10 MiB: {peak} MiB at most");
    assert!(peak < 192, "{peak} MiB");
    host.stop();
}

/// 200 shards of 1 MiB each, 200 MiB together, in the default budget of 64 MiB: while the host does not read,
/// and until everything was read.
#[test]
fn two_hundred_shards_catch_up_within_the_memory_budget() {
    const SHARDS: usize = 200;
    const PER_PAGE: usize = 10;
    const PAGES: usize = 2;
    let data = STANDARD.encode(vec![b'x'; MIB / PER_PAGE / PAGES]);
    let server = closed_stream(SHARDS, move |shard, from| {
        page(shard, from..from + PER_PAGE, &data, from + PER_PAGE == PER_PAGE * PAGES)
    });
    let mut host = assigned(&server, &json!({}), SHARDS);
    // Tasks read ahead; nobody takes a row.
    let started = Instant::now();
    let mut calls = 0;
    loop {
        std::thread::sleep(Duration::from_millis(1_000));
        let now = server.calls("GetRecords").len();
        if now == calls && now > 0 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60));
        calls = now;
    }
    assert!(calls < SHARDS * PAGES, "all of it was read, although nobody takes it");
    let waiting = memory(&host, "VmHWM");
    let mut rows: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
    while rows.values().map(BTreeSet::len).sum::<usize>() < SHARDS * PAGES * PER_PAGE {
        assert!(started.elapsed() < Duration::from_secs(300));
        for row in host.extract(&credit(500)).rows {
            let record: Value = serde_json::from_str(&row.record).unwrap();
            let number = record["sequenceNumber"].as_str().unwrap().parse().unwrap();
            let numbers = rows.entry(row.part).or_default();
            assert!(numbers.last().is_none_or(|last| *last < number), "out of order");
            numbers.insert(number);
        }
    }
    assert_eq!(rows.len(), SHARDS);
    let peak = memory(&host, "VmHWM");
    // Nothing more comes, so that what was kept for it is given back.
    while !host.extract(&credit(500)).end.caught_up {
        assert!(started.elapsed() < Duration::from_secs(300));
    }
    let left = memory(&host, "VmRSS");
    eprintln!(
        "200 shards: {waiting} MiB while nobody reads, {peak} MiB at most, {left} at the end"
    );
    assert!(peak < 128, "{peak} MiB for a budget of 64 MiB");
    assert!(left + 12 <= peak, "{left} MiB of {peak} MiB");
    host.stop();
}
