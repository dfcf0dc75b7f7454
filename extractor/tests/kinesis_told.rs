//! What the host is told while the Kinesis source reads, through the program itself: throttling, how
//! far each shard is behind, and what may be missing after `on.invalid.offset`. Canned answers.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "kinesis_support/canned.rs"]
mod canned;
#[expect(dead_code, reason = "shared with the tests of sessions, of which this uses a part")]
#[path = "support/driver.rs"]
mod driver;

use std::time::{Duration, Instant};

use protocol::message::{Extract, Phase, Settings};
use protocol::{OffsetKey, OffsetValue};
use serde_json::{Value, json};

use canned::{Answer, Canned, page, shard_json};
use driver::{Host, PATIENCE, credit};

/// A host with shard 0 assigned where `stands` says, and the others at their beginning.
fn assigned(server: &Canned, extra: &Value, stands: &Value, shards: u32) -> Host {
    let mut config = json!({
        "connector.class": "kinesis", "kinesis.stream": "my-kinesis-stream",
        "kinesis.endpoint": server.url, "aws.access.key.id": "A", "aws.secret.access.key": "s",
        "kinesis.throughput.exceeded.backoff.ms": 500,
    });
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let mut host = Host::spawn();
    host.greet();
    host.configure_with(config, json!({}), Settings { retry_ms: 60_000, ..Settings::default() });
    let part = |number: u32| {
        let key = json!({"shardId": format!("shardId-{number:012}")});
        let start = json!({"position": "TRIM_HORIZON"});
        let value = if number == 0 { stands } else { &start };
        (OffsetKey::from_json(&key).unwrap(), OffsetValue::from_json(value).unwrap())
    };
    let parts: Vec<_> = (0..shards).map(part).collect();
    host.assign(&parts);
    host
}

fn start() -> Value {
    json!({"position": "TRIM_HORIZON"})
}

#[test]
fn throttling_is_told_as_progress_and_reading_goes_on() {
    let mut number = 0;
    let server = Canned::start(move |operation, _| {
        (operation == "GetRecords").then(|| {
            number += 1;
            match number {
                1..=4 => Answer::Error("ProvisionedThroughputExceededException"),
                5 => Answer::Ok(page(&[1], 0)),
                _ => Answer::Ok(page(&[], 0)),
            }
        })
    });
    let mut host = assigned(&server, &json!({}), &start(), 1);
    let batch = host.extract(&Extract { max_interval_ms: 15_000, ..credit(1) });
    assert_eq!(batch.rows.len(), 1);
    let throttled = |progress: &&protocol::message::Progress| progress.phase == Phase::Throttled;
    let told = host.progress.iter().find(throttled).expect("PROGRESS that says so");
    let message = told.message.as_deref().unwrap();
    assert!(message.contains("SOURCE_THROTTLED"), "{message}");
    assert!(message.contains("shardId-000000000000"), "{message}");
    assert!(told.retry_after_ms.is_some());
    host.stop();
}

#[test]
fn how_far_each_shard_is_behind_is_told() {
    let server = Canned::start(|operation, input| match operation {
        "ListShards" => {
            let shards: Vec<_> = (0..3).map(|n| shard_json(n, None, false)).collect();
            Some(Answer::Ok(json!({"Shards": shards})))
        }
        "GetRecords" => {
            let iterator = input["ShardIterator"].as_str().unwrap();
            let behind = if iterator.contains("shardId-000000000001") { 90_000 } else { 0 };
            let mut page = page(&[], behind);
            page["NextShardIterator"] = json!(iterator);
            Some(Answer::Ok(page))
        }
        _ => None,
    });
    let mut host = assigned(&server, &json!({}), &start(), 3);
    let began = Instant::now();
    let mut lags = Vec::new();
    let mut each = std::collections::BTreeMap::new();
    let mut extract = |host: &mut Host| {
        let end = host.extract(&Extract { max_interval_ms: 500, ..credit(5) }).end;
        each.extend(end.lags.iter().map(|it| (it.part, it.ms)));
        end.lag.ms
    };
    while !host.logs.iter().any(|log| log.message.contains("ms behind")) {
        assert!(began.elapsed() < PATIENCE, "{:?}", host.logs);
        lags.push(extract(&mut host));
    }
    while lags.last() != Some(&Some(90_000)) {
        assert!(began.elapsed() < PATIENCE, "{lags:?}");
        lags.push(extract(&mut host));
    }
    // What was told last of each shard stands until another is told.
    for _ in 0..3 {
        extract(&mut host);
    }
    host.stop();
    let wanted = [(0, Some(0)), (1, Some(90_000)), (2, Some(0))];
    assert_eq!(each.into_iter().collect::<Vec<_>>(), wanted);
}

/// The LOG line of a pipeline that lost something and wanted to go on.
fn told_missing(policy: &str, stands: &Value) -> String {
    let mut begun_again = false;
    let server = Canned::start(move |operation, input| match operation {
        "GetShardIterator" => {
            begun_again = input["ShardIteratorType"] != "AT_SEQUENCE_NUMBER";
            None
        }
        "GetRecords" if begun_again => Some(Answer::Ok(page(&[], 0))),
        "GetRecords" => Some(Answer::Ok(page(&[8, 9], 0))),
        _ => None,
    });
    let mut host = assigned(&server, &json!({"on.invalid.offset": policy}), stands, 1);
    let began = Instant::now();
    loop {
        let told = host.logs.iter().find(|log| log.message.contains("may be missing"));
        if let Some(log) = told {
            assert_eq!(log.level, "warn");
            let text = log.message.clone();
            host.stop();
            return text;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", host.logs);
        host.extract(&Extract { max_interval_ms: 300, ..credit(5) });
    }
}

#[test]
fn who_goes_on_after_a_loss_is_told_which_time_span_may_be_missing() {
    let expired = json!({"sequenceNumber": "5"});
    let text = told_missing("earliest", &expired);
    let span = "missing from record 5 up to the oldest record that is left, of time 1775700271554";
    assert!(text.contains(span), "{text}");
    let text = told_missing("latest", &expired);
    assert!(text.contains("missing from record 5 up to time 17757002"), "{text}");
    // A pin that is older than what the stream keeps (24 h before 1775700271).
    let old = 1_775_700_271_000_i64 - 25 * 3_600_000;
    let text = told_missing("earliest", &json!({"position": "AT_TIMESTAMP", "timestamp": old}));
    let span = format!("missing from time {old} up to the oldest record that is left, of time");
    assert!(text.contains(&span), "{text}");
}
