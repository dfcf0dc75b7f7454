//! The Kinesis source against ferrokinesis, a server of this protocol that somebody else wrote. It
//! tells no `MillisBehindLatest` and no children when polled, and gives whole seconds as arrival
//! times; what depends on those is in `kinesis_canned.rs`.

#[path = "kinesis_support/follower.rs"]
mod follower;
#[path = "kinesis_support/server.rs"]
mod server;
#[path = "kinesis_support/support.rs"]
mod support;

use std::time::{Duration, Instant};

use extractor::source::{Cancel, Polled, Source, Start};
use ferrokinesis::store::StoreOptions;
use protocol::Code;
use serde_json::{Value, json};

use follower::{Follower, assert_once_in_order};
use server::{STREAM, Server, options, shard};
use support::*;

#[test]
fn every_record_comes_once_and_in_order() {
    let server = Server::start(3);
    server.put(&records(0..3000));
    let mut source = open(&server.url, &json!({}));
    let discovery = source.discover(&Cancel::default()).unwrap();
    let keys: Vec<_> = discovery.splits.iter().map(|split| split.key.clone()).collect();
    assert_eq!(keys, [key(0), key(1), key(2)]);
    assert!(discovery.incarnation.starts_with("arn:aws:kinesis:us-east-1:"));
    assign(&mut source, &[(key(0), horizon()), (key(1), horizon()), (key(2), horizon())]);
    let sink = read_all(&mut source);
    assert_once_in_order(&sink.rows, 3000);
    for row in &sink.rows {
        let map = row.record.as_object().unwrap();
        let fields: Vec<_> = map.keys().map(String::as_str).collect();
        assert_eq!(
            fields,
            [
                "approximateArrivalTimestamp",
                "data",
                "partitionKey",
                "sequenceNumber",
                "shardId",
                "streamName"
            ]
        );
        assert_eq!(row.topic, "kinesis-topic");
        assert_eq!(row.text("streamName"), STREAM);
        assert_eq!(row.text("shardId"), shard(row.part));
        assert_eq!(row.id, json!({"partitionKey": row.record["partitionKey"]}));
    }
    for part in 0..3 {
        let last = sink.rows.iter().rfind(|row| row.part == part).unwrap();
        let position = source.position(part).unwrap();
        assert_eq!(position, value(&json!({"sequenceNumber": last.record["sequenceNumber"]})));
    }
    assert_eq!(source.lag().ms, Some(0));
}

#[test]
fn odd_keys_and_payloads_arrive_as_they_are() {
    let server = Server::start(1);
    let key_of_256 = "é".repeat(128);
    let sent: Vec<(String, String)> = [
        ("plain", ""),
        ("\"quoted\\\"\n\u{1}", "x"),
        ("\u{1f600}", "\u{7f}"),
        (&key_of_256, "{\"a\":1}"),
    ]
    .iter()
    .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
    .collect();
    server.put(&sent);
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let sink = read_all(&mut source);
    let came: Vec<_> =
        sink.rows.iter().map(|row| (row.text("partitionKey"), row.payload())).collect();
    assert_eq!(came, sent);
}

#[test]
fn reading_resumes_after_any_record() {
    let server = Server::start(1);
    server.put(&records(0..100));
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let all = read_all(&mut source);
    for at in [0, 1, 49, 98, 99] {
        let stands = value(&json!({"sequenceNumber": all.rows[at].record["sequenceNumber"]}));
        assign(&mut source, &[(key(0), stands.clone())]);
        assert_eq!(source.position(0), Some(stands));
        let sink = read_all(&mut source);
        assert_eq!(sink.rows, all.rows[at + 1..], "after {at}");
    }
}

#[test]
fn a_full_sink_loses_nothing() {
    let server = Server::start(2);
    server.put(&records(0..500));
    let mut source = open(&server.url, &json!({"kinesis.record.limit": 30}));
    assign(&mut source, &[(key(0), horizon()), (key(1), horizon())]);
    let mut rows = Vec::new();
    while rows.len() < 500 {
        let mut sink = Sink::new(7);
        poll_until(&mut source, &mut sink, |sink, polled| {
            sink.room == 0 || polled == Polled::Idle { caught_up: true }
        })
        .unwrap();
        rows.extend(sink.rows);
    }
    assert_once_in_order(&rows, 500);
}

#[test]
fn until_stops_exactly_and_reading_goes_on_after_it() {
    let server = Server::start(1);
    server.put(&records(0..200));
    let mut source = open(&server.url, &json!({"kinesis.record.limit": 50}));
    assign(&mut source, &[(key(0), horizon())]);
    let all = read_all(&mut source);
    assign(&mut source, &[(key(0), horizon())]);
    let mut rows = Vec::new();
    for at in [0, 60, 61, 199] {
        let until = value(&json!({"sequenceNumber": all.rows[at].record["sequenceNumber"]}));
        source.set_until(&[(0, until.clone())]).unwrap();
        let mut sink = Sink::new(usize::MAX);
        poll_until(&mut source, &mut sink, |_, polled| polled == Polled::ReachedUntil).unwrap();
        rows.extend(sink.rows);
        assert_eq!(rows.len(), at + 1);
        assert_eq!(source.position(0), Some(until));
    }
    source.set_until(&[]).unwrap();
    server.put(&records(200..210));
    let mut sink = Sink::new(usize::MAX);
    poll_until(&mut source, &mut sink, |sink, _| sink.rows.len() >= 10).unwrap();
    rows.extend(sink.rows);
    assert_once_in_order(&rows, 210);
}

/// F3: nothing came while it ran; what comes while it is away must be read.
#[test]
fn f03_latest_of_a_quiet_shard_survives_a_restart() {
    let server = Server::start(1);
    server.put(&records(0..10));
    std::thread::sleep(Duration::from_millis(3_100));
    let pinned = {
        let mut source = open(&server.url, &json!({}));
        let values = source.offsets(Start::Latest, &[key(0)], &Cancel::default()).unwrap();
        assign(&mut source, &[(key(0), values[0].clone())]);
        let sink = read_all(&mut source);
        assert_eq!(sink.payloads(), Vec::<String>::new());
        source.position(0).unwrap()
    };
    assert_eq!(pinned.to_map()["position"], "AT_TIMESTAMP");
    server.put(&records(10..20));
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), pinned)]);
    let sink = read_all(&mut source);
    assert_eq!(sink.payloads(), (10..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// F1, F10: each step is read by a source of its own, which knows only what was committed.
#[test]
fn f10_splits_and_merges_lose_and_repeat_nothing_across_restarts() {
    let server = Server::start(1);
    let mut follower = Follower::new();
    let mut count = 0;
    let put = |count: &mut u32| {
        server.put(&records(*count..*count + 150));
        *count += 150;
    };
    let steps: [fn(&Server); 4] = [
        |server| server.split(&shard(0)),
        |server| server.merge(&shard(1), &shard(2)),
        |server| server.split(&shard(3)),
        |server| server.split(&shard(4)),
    ];
    for (step, reshard) in steps.into_iter().enumerate() {
        put(&mut count);
        let mut source = open(&server.url, &json!({"kinesis.record.limit": 60}));
        if step == 0 {
            follower.discover(&mut source);
        }
        follower.follow(&mut source, 70);
        reshard(&server);
        put(&mut count);
        follower.follow(&mut source, 100);
    }
    let mut source = open(&server.url, &json!({}));
    follower.follow(&mut source, usize::MAX);
    assert_once_in_order(&follower.rows, count);
    let ends = follower.offsets.values().filter(|value| value.is_end()).count();
    assert_eq!((follower.offsets.len(), ends), (8, 5), "{:?}", follower.offsets);
}

/// F1: a fresh start after a split reads the closed parent as well, and before its children.
#[test]
fn f01_a_fresh_start_reads_closed_parents_first() {
    let server = Server::start(1);
    server.put(&records(0..100));
    server.split(&shard(0));
    server.put(&records(100..200));
    let mut follower = Follower::new();
    let mut source = open(&server.url, &json!({}));
    follower.discover(&mut source);
    assert_eq!(follower.readable().len(), 1, "the parent alone");
    follower.follow(&mut source, usize::MAX);
    assert_once_in_order(&follower.rows, 200);
}

/// F2: the process died after the end of the parent was committed and before its children were
/// written down. Who has only that offset is told of them again.
#[test]
fn f02_the_children_of_a_finished_parent_are_told_again_after_a_restart() {
    let server = Server::start(1);
    server.put(&records(0..50));
    server.split(&shard(0));
    server.put(&records(50..100));
    let end = {
        let mut source = open(&server.url, &json!({}));
        assign(&mut source, &[(key(0), horizon())]);
        let sink = read_all(&mut source);
        assert_eq!(sink.rows.len(), 50);
        source.position(0).unwrap()
    };
    assert!(end.is_end(), "{end}");
    let mut follower = Follower::new();
    follower.offsets.insert(key(0), end.clone());
    let mut source = open(&server.url, &json!({}));
    source.assign("", &[(key(0), end)], &Cancel::default()).unwrap();
    let news = source.topology().unwrap();
    assert_eq!(news.closed, [key(0)]);
    for (split, start) in news.added {
        assert_eq!(split.parents, [key(0)]);
        follower.offsets.insert(split.key, start);
    }
    assert_eq!(follower.offsets.len(), 3);
    follower.follow(&mut source, usize::MAX);
    let mut numbers: Vec<u32> =
        follower.rows.iter().map(|row| row.payload().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (50..100).collect::<Vec<_>>());
}

/// F4: a pipeline that began at the end; its children begin at their oldest record all the same.
#[test]
fn f04_children_of_a_shard_that_began_at_latest_are_read_from_their_beginning() {
    let server = Server::start(1);
    server.put(&records(0..10));
    std::thread::sleep(Duration::from_millis(3_100));
    let mut source = open(&server.url, &json!({"kinesis.record.limit": 7}));
    let values = source.offsets(Start::Latest, &[key(0)], &Cancel::default()).unwrap();
    let mut follower = Follower::new();
    follower.offsets.insert(key(0), values[0].clone());
    server.put(&records(10..30));
    server.split(&shard(0));
    server.put(&records(30..60));
    follower.follow(&mut source, usize::MAX);
    let mut numbers: Vec<u32> =
        follower.rows.iter().map(|row| row.payload().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (10..60).collect::<Vec<_>>());
}

/// A shard that nobody told of is found by looking again.
#[test]
fn new_shards_are_found_while_another_is_read() {
    let server = Server::start(2);
    let mut source = open(&server.url, &json!({"kinesis.shards.refresh.ms": 1000}));
    source.discover(&Cancel::default()).unwrap();
    assign(&mut source, &[(key(1), horizon())]);
    server.split(&shard(0));
    let mut sink = Sink::new(usize::MAX);
    let mut added = Vec::new();
    let started = Instant::now();
    while added.is_empty() {
        assert!(started.elapsed() < LIMIT);
        source.poll(&mut sink, Duration::from_millis(50)).unwrap();
        added.extend(source.topology().into_iter().flat_map(|news| news.added));
    }
    let keys: Vec<_> = added.iter().map(|(split, _)| split.key.clone()).collect();
    assert_eq!(keys, [key(2), key(3)]);
    for (split, start) in &added {
        assert_eq!(split.parents, [key(0)]);
        assert_eq!(*start, horizon());
    }
}

/// A server whose iterators live for a second.
fn short_lived(shards: i32) -> Server {
    Server::with(StoreOptions { iterator_ttl_seconds: 1, ..options() }, shards)
}

/// Longer than they live, whatever fraction of a second the server counts.
const EXPIRED: Duration = Duration::from_millis(2_200);

/// F5: iterators expire between any two batches of busy shards with a slow sink.
#[test]
fn f05_expired_iterators_are_taken_again_where_reading_stood() {
    let server = short_lived(2);
    server.put(&records(0..400));
    let mut source = open(&server.url, &json!({"kinesis.record.limit": 50}));
    assign(&mut source, &[(key(0), horizon()), (key(1), horizon())]);
    let mut rows = Vec::new();
    while rows.len() < 400 {
        let mut sink = Sink::new(120);
        poll_until(&mut source, &mut sink, |sink, polled| {
            sink.room == 0 || polled == Polled::Idle { caught_up: true }
        })
        .unwrap();
        rows.extend(sink.rows);
        std::thread::sleep(EXPIRED);
    }
    assert_once_in_order(&rows, 400);
}

/// F6: the same on shards that have nothing for longer than iterators live, one of them from the
/// beginning; what comes then is read, once.
#[test]
fn f06_iterators_of_idle_shards_are_taken_again_where_reading_stood() {
    let server = short_lived(2);
    let mut source = open(&server.url, &json!({"kinesis.record.limit": 50}));
    assign(&mut source, &[(key(0), horizon()), (key(1), horizon())]);
    let mut rows = Vec::new();
    for round in 0..3 {
        let sink = read_all(&mut source);
        assert_eq!(sink.rows.len(), 0, "round {round}");
        std::thread::sleep(EXPIRED);
        server.put(&records(round * 50..(round + 1) * 50));
        let wanted = 50 * (usize::try_from(round).unwrap() + 1);
        while rows.len() < wanted {
            rows.extend(read_all(&mut source).rows);
        }
    }
    assert_once_in_order(&rows, 150);
}

/// F8, policy: a number of a stream that was there before.
#[test]
fn f08_a_number_of_another_stream_is_an_error_unless_wanted() {
    let server = Server::start(1);
    server.put(&records(0..10));
    let mut source = open(&server.url, &json!({}));
    let discovery = source.discover(&Cancel::default()).unwrap();
    assign(&mut source, &[(key(0), horizon())]);
    read_all(&mut source);
    let stands = source.position(0).unwrap();
    server.delete();
    std::thread::sleep(Duration::from_millis(1_100));
    server.create(1);
    server.put(&records(0..20));

    let parts = [(key(0), stands)];
    let failure = source.assign(&discovery.incarnation, &parts, &Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::SourceRecreated, "{failure}");

    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &parts);
    let (sink, failure) = read_failure(&mut source);
    assert_eq!(failure.code, Code::OffsetIncarnation, "{failure}");
    assert!(failure.message.contains("did not come from this stream"), "{failure}");
    assert_eq!((failure.part, sink.rows.len()), (Some(0), 0));

    let mut source = open(&server.url, &json!({"on.invalid.offset": "earliest"}));
    assign(&mut source, &parts);
    let sink = read_all(&mut source);
    assert_once_in_order(&sink.rows, 20);
}

/// The same while it is being read.
#[test]
fn a_stream_that_is_created_again_is_noticed_while_it_is_read() {
    let server = Server::start(1);
    server.put(&records(0..10));
    let mut source = open(&server.url, &json!({"kinesis.shards.refresh.ms": 1000}));
    let life = source.discover(&Cancel::default()).unwrap().incarnation;
    source.assign(&life, &[(key(0), horizon())], &Cancel::default()).unwrap();
    read_all(&mut source);
    // The server tells whole seconds.
    std::thread::sleep(Duration::from_millis(1_100));
    server.delete();
    server.create(1);
    let started = Instant::now();
    let failure = loop {
        assert!(started.elapsed() < LIMIT);
        match source.poll(&mut Sink::new(100), Duration::from_millis(50)) {
            // While the stream is not there at all, that is told.
            Ok(_) => {}
            Err(failure) if failure.retryable => {}
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.code, Code::SourceRecreated, "{failure}");
}

/// F7.
#[test]
fn f07_a_shard_that_is_no_more_is_an_error_unless_wanted() {
    let server = Server::start(1);
    server.put(&records(0..10));
    let parts = [(key(0), horizon()), (key(7), horizon())];
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &parts);
    let (_, failure) = read_failure(&mut source);
    assert_eq!(failure.code, Code::OffsetOutOfRange, "{failure}");
    assert_eq!(failure.part, Some(1));

    let mut source = open(&server.url, &json!({"on.invalid.offset": "earliest"}));
    assign(&mut source, &parts);
    let sink = read_all(&mut source);
    assert_once_in_order(&sink.rows, 10);
    assert_eq!(source.position(1), Some(value(&json!({"shardEnd": true}))));
}

#[test]
fn check_reads_and_names_what_is_wrong() {
    let server = Server::start(1);
    let mut source = open(&server.url, &json!({}));
    let probes = source.check(&Cancel::default()).unwrap();
    let names: Vec<_> = probes.into_iter().map(|probe| probe.name).collect();
    assert_eq!(names, [format!("stream {STREAM}"), "shards".into(), format!("read {}", shard(0))]);

    let mut source = open(&server.url, &json!({"kinesis.stream": "absent"}));
    let failure = source.check(&Cancel::default()).unwrap_err();
    assert_eq!(failure.code, Code::SourceNotFound, "{failure}");
    assert!(failure.message.contains("absent"), "{failure}");
}

#[test]
fn a_row_that_is_too_large_is_an_error_row() {
    let server = Server::start(1);
    let big = "x".repeat(5_000);
    server.put(&[("a".into(), "1".into()), ("b".into(), big), ("c".into(), "3".into())]);
    let mut source = open(&server.url, &json!({}));
    assign(&mut source, &[(key(0), horizon())]);
    let mut sink = Sink::new(usize::MAX);
    sink.row_bytes_max = 2_000;
    let done = |_: &Sink, polled| polled == Polled::Idle { caught_up: true };
    poll_until(&mut source, &mut sink, done).unwrap();
    assert_eq!(sink.payloads(), ["1", "3"]);
    let before = json!({"sequenceNumber": sink.rows[0].record["sequenceNumber"]});
    assert_eq!(sink.errors.len(), 1);
    let (position, code) = &sink.errors[0];
    assert_eq!(serde_json::from_str::<Value>(position).unwrap(), before);
    assert_eq!(code, "ROW_TOO_LARGE");
}

/// 200 shards, one process: everything arrives, and no shard is asked more often than allowed.
#[test]
fn two_hundred_shards_are_read_by_one_source() {
    let server = Server::start(200);
    let sent: Vec<_> = (0..4000).map(|n| (format!("key-{n}"), n.to_string())).collect();
    server.put(&sent);
    let mut source = open(&server.url, &json!({}));
    let splits = source.discover(&Cancel::default()).unwrap().splits;
    assert_eq!(splits.len(), 200);
    let parts: Vec<_> = splits.into_iter().map(|split| (split.key, horizon())).collect();
    assign(&mut source, &parts);
    let sink = read_all(&mut source);
    assert_once_in_order(&sink.rows, 4000);
}
