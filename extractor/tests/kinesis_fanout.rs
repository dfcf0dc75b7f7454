//! Enhanced fan-out: through ferrokinesis, which speaks it, and through canned answers for what no
//! server does (`ResourceInUseException`, a stream that goes silent, breaks, or ends on time).
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "kinesis_support/canned.rs"]
mod canned;
#[path = "kinesis_support/follower.rs"]
mod follower;
#[path = "kinesis_support/server.rs"]
mod server;
#[path = "kinesis_support/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use extractor::source::kinesis::KinesisSource;
use extractor::source::{Cancel, Polled, Source};
use ferrokinesis::store::StoreOptions;
use protocol::Code;
use serde_json::{Value, json};

use canned::{Answer, CONSUMER, Canned, Event, event, page, shard_json};
use follower::assert_once_in_order;
use server::{STREAM, Server, options, shard};
use support::*;

/// Settings of a subscription whose waits are short: the service's are 5.1 s and 35 s.
fn with(extra: &Value) -> Value {
    let mut settings = json!({
        "kinesis.read.mode": "efo",
        "kinesis.subscribe.interval.ms": 50,
    });
    settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    settings
}

fn given() -> Value {
    with(&json!({"kinesis.consumer.arn": CONSUMER}))
}

fn named() -> Value {
    with(&json!({"kinesis.consumer.name": "reader"}))
}

/// Answers SubscribeToShard from a list, in order; afterwards with streams that stay quiet.
fn streams(answers: Vec<Answer>) -> impl FnMut(&str, &Value) -> Option<Answer> + Send {
    let mut answers = answers.into_iter();
    move |operation, _| {
        let quiet = || Answer::Events(vec![event(&[], 99, 0), Event::Silence]);
        (operation == "SubscribeToShard").then(|| answers.next().unwrap_or_else(quiet))
    }
}

/// Polls through what passes until so many rows came; what was told meanwhile.
fn rows(source: &mut KinesisSource, count: usize) -> (Sink, Vec<Code>) {
    let (mut sink, mut told, started) = (Sink::new(usize::MAX), Vec::new(), Instant::now());
    while sink.rows.len() < count {
        assert!(started.elapsed() < LIMIT, "gave up with {:?}", sink.payloads());
        if let Err(failure) = source.poll(&mut sink, Duration::from_millis(20)) {
            assert!(failure.retryable, "{failure}");
            told.push(failure.code);
        }
    }
    (sink, told)
}

fn starts(server: &Canned) -> Vec<Value> {
    let calls = server.calls("SubscribeToShard");
    calls.into_iter().map(|call| call.input["StartingPosition"].clone()).collect()
}

fn at_number(kind: &str, number: u32) -> Value {
    json!({"Type": kind, "SequenceNumber": number.to_string()})
}

/// F14: the service ends a subscription after 5 minutes. Empty events move the place as well.
#[test]
fn f14_a_subscription_that_ends_is_renewed_where_its_last_event_ended() {
    let server = Canned::start(streams(vec![
        Answer::Events(vec![event(&[1, 2], 2, 50), event(&[], 5, 0)]),
        // Nothing new came, and the record at the place comes again.
        Answer::Events(vec![event(&[6], 6, 0)]),
        Answer::Events(vec![event(&[6, 7], 7, 0), Event::Silence]),
    ]));
    let mut source = open(&server.url, &given());
    assign(&mut source, &[(key(0), horizon())]);
    let (sink, told) = rows(&mut source, 4);
    assert_eq!(sink.payloads(), ["1", "2", "6", "7"]);
    assert_eq!(told, [], "an end is no trouble");
    assert_eq!(source.position(0), Some(value(&json!({"sequenceNumber": "7"}))));
    let at = |number| at_number("AT_SEQUENCE_NUMBER", number);
    assert_eq!(starts(&server), [json!({"Type": "TRIM_HORIZON"}), at(5), at(6)]);
    assert!(server.calls("GetRecords").is_empty(), "nothing is polled");
}

/// F14: a connection that is dead and does not say so; the real wait is 35 s.
#[test]
fn f14_a_silent_subscription_is_taken_again() {
    let server = Canned::start(streams(vec![
        Answer::Events(vec![event(&[1], 1, 0), Event::Silence]),
        Answer::Events(vec![event(&[2], 2, 0), Event::Silence]),
        Answer::Events(vec![Event::Silence]),
        Answer::Silence,
        Answer::Events(vec![event(&[3], 3, 0), Event::Silence]),
    ]));
    let settings = with(&json!({
        "kinesis.consumer.arn": CONSUMER, "kinesis.subscribe.silence.ms": 500,
    }));
    let mut source = open(&server.url, &settings);
    assign(&mut source, &[(key(0), horizon())]);
    let started = Instant::now();
    let (sink, told) = rows(&mut source, 2);
    assert_eq!((sink.payloads(), told), (vec!["1".to_owned(), "2".to_owned()], vec![]));
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(500), "not before it is silent for so long: {took:?}");
    // Silent three times in a row, once before the first message: that is told.
    let (sink, told) = rows(&mut source, 1);
    assert_eq!(sink.payloads(), ["3"]);
    assert!(told.contains(&Code::Timeout), "{told:?}");
}

/// F14: broken in the middle of an event, and errors as events.
#[test]
fn f14_a_subscription_that_breaks_goes_on_after_the_last_event() {
    let half = |numbers: &[u32]| match event(numbers, 9, 0) {
        Event::Frame(payload) => Event::Half(payload),
        _ => unreachable!(),
    };
    let server = Canned::start(streams(vec![
        Answer::Events(vec![event(&[1], 1, 9), half(&[2, 3])]),
        Answer::Events(vec![event(&[2], 2, 9), Event::Error("InternalFailureException")]),
        Answer::Events(vec![event(&[3], 3, 9), Event::Error("ResourceInUseException")]),
        Answer::Reset,
        Answer::Status(500),
        Answer::Error("LimitExceededException"),
        Answer::Events(vec![event(&[4], 4, 0), Event::Error("KMSThrottlingException")]),
        Answer::Events(vec![event(&[5], 5, 0), Event::Silence]),
    ]));
    let mut source = open(&server.url, &given());
    assign(&mut source, &[(key(0), horizon())]);
    let (sink, told) = rows(&mut source, 5);
    assert_eq!(sink.payloads(), ["1", "2", "3", "4", "5"]);
    // One failure in a row is not told; three were.
    assert!(
        told.contains(&Code::SourceUnavailable) && told.contains(&Code::SourceThrottled),
        "{told:?}"
    );
    let places: Vec<_> = starts(&server).iter().map(|at| at["SequenceNumber"].clone()).collect();
    let wanted = [
        Value::Null,
        json!("1"),
        json!("2"),
        json!("3"),
        json!("3"),
        json!("3"),
        json!("3"),
        json!("4"),
    ];
    assert_eq!(places, wanted);
}

/// F14: within 5 s of a subscription, and while another reader has the shard.
#[test]
fn f14_a_shard_in_use_is_asked_for_again_with_pauses() {
    let in_use = || Answer::Error("ResourceInUseException");
    let server = Canned::start(streams(vec![
        in_use(),
        in_use(),
        in_use(),
        Answer::Events(vec![event(&[1], 1, 0)]),
        Answer::Events(vec![event(&[2], 2, 0), Event::Silence]),
    ]));
    let settings = with(&json!({
        "kinesis.consumer.arn": CONSUMER, "kinesis.subscribe.interval.ms": 400,
    }));
    let mut source = open(&server.url, &settings);
    assign(&mut source, &[(key(0), horizon())]);
    let failure = read_failure(&mut source).1;
    assert_eq!(failure.code, Code::SourceUnavailable, "{failure}");
    assert!(failure.retryable && failure.message.contains("a consumer of its own"), "{failure}");
    let (sink, _) = rows(&mut source, 2);
    assert_eq!(sink.payloads(), ["1", "2"]);
    let calls = server.calls("SubscribeToShard");
    assert_eq!(calls.len(), 5);
    for two in calls.windows(2) {
        let pause = two[1].at - two[0].at;
        assert!(pause >= Duration::from_millis(390), "{pause:?}");
    }
}

/// A new assignment in the same process keeps the pause too.
#[test]
fn a_restart_waits_until_the_shard_may_be_subscribed_again() {
    let server = Canned::start(streams(vec![
        Answer::Events(vec![event(&[1], 1, 0), Event::Silence]),
        Answer::Events(vec![event(&[1, 2], 2, 0), Event::Silence]),
    ]));
    let settings = with(&json!({
        "kinesis.consumer.arn": CONSUMER, "kinesis.subscribe.interval.ms": 700,
    }));
    let mut source = open(&server.url, &settings);
    assign(&mut source, &[(key(0), horizon())]);
    rows(&mut source, 1);
    assign(&mut source, &[(key(0), value(&json!({"sequenceNumber": "1"})))]);
    assert_eq!(rows(&mut source, 1).0.payloads(), ["2"]);
    let calls = server.calls("SubscribeToShard");
    assert!(calls[1].at - calls[0].at >= Duration::from_millis(690));
    assert_eq!(starts(&server)[1], at_number("AT_SEQUENCE_NUMBER", 1));
}

/// F14: nobody takes rows for longer than the subscription lives. Little is read meanwhile.
#[test]
fn f14_a_blocked_sink_bounds_what_is_read_and_loses_nothing() {
    const EVENTS: u32 = 100;
    let first: Vec<Event> = (0..EVENTS).map(|n| large(n * 2..n * 2 + 2)).collect();
    let mut streams = vec![Answer::Events(first)].into_iter();
    let server = Canned::start(move |operation, input| {
        (operation == "SubscribeToShard").then(|| {
            streams.next().unwrap_or_else(|| {
                // What it is asked for, as a service does.
                let from: u32 =
                    input["StartingPosition"]["SequenceNumber"].as_str().unwrap().parse().unwrap();
                let rest = (from / 2..EVENTS).map(|n| large(n * 2..n * 2 + 2));
                Answer::Events(rest.chain([event(&[], EVENTS * 2, 0), Event::Silence]).collect())
            })
        })
    });
    let mut source = open(&server.url, &given());
    assign(&mut source, &[(key(0), horizon())]);
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1_500) || server.events() < 2 {
        assert!(started.elapsed() < LIMIT, "nothing was read");
        let mut none = Sink::new(0);
        source.poll(&mut none, Duration::from_millis(50)).unwrap();
    }
    // Two pages, one on its way, and what sockets hold; 50 MB are there to be read.
    let read = server.events();
    assert!((2..=30).contains(&read), "{read} events of {EVENTS} were read");
    let (sink, told) = rows(&mut source, (EVENTS * 2) as usize);
    let numbers: Vec<u32> =
        sink.rows.iter().map(|row| row.text("sequenceNumber").parse().unwrap()).collect();
    assert_eq!(numbers, (0..EVENTS * 2).collect::<Vec<_>>());
    assert_eq!(told, []);
}

/// An event of half a MB.
fn large(numbers: std::ops::Range<u32>) -> Event {
    let (next, all) = (numbers.end, numbers.collect::<Vec<_>>());
    let Event::Frame(mut payload) = event(&all, next, 1_000) else { unreachable!() };
    for record in payload["Records"].as_array_mut().unwrap() {
        record["Data"] = json!("AAAA".repeat(64 * 1024));
    }
    Event::Frame(payload)
}

/// A position is the last record, which must still be there.
#[test]
fn an_expired_position_is_noticed() {
    let stands = [(key(0), value(&json!({"sequenceNumber": "5"})))];
    let read = |events: Vec<Event>| {
        let server = Canned::start(streams(vec![Answer::Events(events)]));
        let mut source = open(&server.url, &given());
        assign(&mut source, &stands);
        let read = match read_or_fail(&mut source, 1) {
            Ok(sink) => Ok(sink.payloads()),
            Err(failure) => Err(failure.code),
        };
        assert_eq!(starts(&server)[0], at_number("AT_SEQUENCE_NUMBER", 5));
        read
    };
    let kept = vec![event(&[], 5, 0), event(&[5, 6], 6, 0), Event::Silence];
    assert_eq!(read(kept), Ok(vec!["6".to_owned()]));
    let empty = || event(&[], 9, 0);
    assert_eq!(read(vec![event(&[8, 9], 9, 0), Event::Silence]), Err(Code::OffsetOutOfRange));
    assert_eq!(read(vec![empty(), empty(), empty(), Event::Silence]), Err(Code::OffsetOutOfRange));
}

fn read_or_fail(source: &mut KinesisSource, count: usize) -> Result<Sink, protocol::Failure> {
    let mut sink = Sink::new(usize::MAX);
    poll_until(source, &mut sink, |sink, _| sink.rows.len() >= count).map(|()| sink)
}

/// The end of a shard, told with its children by the last event.
#[test]
fn children_are_told_by_the_last_event() {
    let range = json!({"StartingHashKey": "0", "EndingHashKey": "9"});
    let child = json!({"ShardId": shard(1), "ParentShards": [shard(0)], "HashKeyRange": range});
    let end = json!({
        "Records": page(&[2], 0)["Records"], "MillisBehindLatest": 0, "ChildShards": [child],
        "ContinuationSequenceNumber": null,
    });
    let server =
        Canned::start(streams(vec![Answer::Events(vec![event(&[1], 1, 0), Event::Frame(end)])]));
    let mut source = open(&server.url, &given());
    assign(&mut source, &[(key(0), horizon())]);
    assert_eq!(read_all(&mut source).payloads(), ["1", "2"]);
    let end = value(&json!({"sequenceNumber": "2", "shardEnd": true}));
    assert_eq!(source.position(0), Some(end));
    let news = source.topology().unwrap();
    assert_eq!((news.closed, news.added.len()), (vec![key(0)], 1));
    assert_eq!(server.calls("SubscribeToShard").len(), 1, "nothing is read after the end");
}

/// A place that the service gave and takes no more: the last record is one as well.
#[test]
fn a_refused_mark_goes_back_to_the_last_record() {
    let server = Canned::start(streams(vec![
        Answer::Events(vec![event(&[1], 7, 0)]),
        Answer::Error("InvalidArgumentException"),
        Answer::Events(vec![event(&[8], 8, 0), Event::Silence]),
    ]));
    let mut source = open(&server.url, &given());
    assign(&mut source, &[(key(0), horizon())]);
    assert_eq!(rows(&mut source, 2).0.payloads(), ["1", "8"]);
    let wanted = [at_number("AT_SEQUENCE_NUMBER", 7), at_number("AFTER_SEQUENCE_NUMBER", 1)];
    assert_eq!(starts(&server)[1..], wanted);
}

/// Without permission, over the limit, or where nobody knows it: by polling, or not at all.
#[test]
fn what_can_not_subscribe_polls_if_it_may() {
    // (operation, error, settings)
    let cases = [
        ("SubscribeToShard", "AccessDeniedException", given()),
        ("SubscribeToShard", "UnknownOperationException", given()),
        ("SubscribeToShard", "ResourceNotFoundException", given()),
        ("DescribeStreamConsumer", "ResourceNotFoundException", given()),
        ("DescribeStreamConsumer", "AccessDeniedException", named()),
        ("DescribeStreamConsumer", "UnknownOperationException", named()),
        ("RegisterStreamConsumer", "AccessDeniedException", named()),
        ("RegisterStreamConsumer", "LimitExceededException", named()),
    ];
    for (operation, error, settings) in cases {
        let mut pages = vec![Answer::Ok(page(&[1], 0))].into_iter();
        let server = Canned::start(move |called, _| match called {
            "GetRecords" => pages.next(),
            _ if called == operation => Some(Answer::Error(error)),
            "DescribeStreamConsumer" if operation == "RegisterStreamConsumer" => {
                Some(Answer::Error("ResourceNotFoundException"))
            }
            _ => None,
        });
        let mut source = open(&server.url, &settings);
        assign(&mut source, &[(key(0), horizon())]);
        assert_eq!(rows(&mut source, 1).0.payloads(), ["1"], "{operation} {error}");
        assert!(!server.calls(operation).is_empty());

        let mut strict = settings;
        strict["kinesis.consumer.fallback"] = json!("error");
        let mut source = open(&server.url, &strict);
        assign(&mut source, &[(key(0), horizon())]);
        let (sink, failure) = read_failure(&mut source);
        assert!(!failure.retryable && sink.rows.is_empty(), "{operation} {error}: {failure}");
        assert_eq!(failure.part, Some(0));
    }
}

/// Describing a given consumer needs a permission that reading does not.
#[test]
fn a_given_consumer_needs_no_permission_to_describe_it() {
    let mut subscribed = streams(vec![Answer::Events(vec![event(&[1], 1, 0), Event::Silence])]);
    let server = Canned::start(move |operation, input| match operation {
        "DescribeStreamConsumer" => Some(Answer::Error("AccessDeniedException")),
        other => subscribed(other, input),
    });
    let mut source = open(&server.url, &given());
    assign(&mut source, &[(key(0), horizon())]);
    assert_eq!(rows(&mut source, 1).0.payloads(), ["1"]);
}

/// Credentials that are over are no reason to poll; new ones subscribe where reading stood.
#[test]
fn expired_credentials_are_told_and_cured() {
    let server = Canned::start(streams(vec![
        Answer::Events(vec![event(&[1], 1, 0)]),
        Answer::Error("ExpiredTokenException"),
        Answer::Events(vec![event(&[1, 2], 2, 0), Event::Silence]),
    ]));
    let mut source = open(&server.url, &given());
    assign(&mut source, &[(key(0), horizon())]);
    let (sink, failure) = read_failure(&mut source);
    assert_eq!((sink.payloads(), failure.code), (vec!["1".to_owned()], Code::CredentialsExpired));
    let credentials = json!({"aws.access.key.id": "NEW", "aws.secret.access.key": "n"});
    source.rotate(credentials.as_object().unwrap()).unwrap();
    assert_eq!(rows(&mut source, 1).0.payloads(), ["2"]);
    assert!(server.calls("GetRecords").is_empty());
}

/// F15: two tasks of a pipeline share a consumer, and never a shard.
#[test]
fn f15_two_tasks_with_one_consumer_have_disjoint_shards() {
    let server = Canned::start(|operation, input| match operation {
        "ListShards" => {
            let shards: Vec<_> = (0..4).map(|n| shard_json(n, None, false)).collect();
            Some(Answer::Ok(json!({"Shards": shards})))
        }
        "SubscribeToShard" => {
            let number: u32 =
                input["ShardId"].as_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
            Some(Answer::Events(vec![
                event(&[number + 1], number + 1, 0),
                event(&[], number + 1, 0),
                Event::Silence,
            ]))
        }
        _ => None,
    });
    let mut tasks: Vec<_> = (0..2).map(|_| open(&server.url, &given())).collect();
    for (number, task) in (0..).zip(&mut tasks) {
        assign(task, &[(key(number), horizon()), (key(number + 2), horizon())]);
    }
    let mut payloads: Vec<String> =
        tasks.iter_mut().flat_map(|task| read_all(task).payloads()).collect();
    payloads.sort_unstable();
    assert_eq!(payloads, ["1", "2", "3", "4"]);
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for call in server.calls("SubscribeToShard") {
        assert_eq!(call.input["ConsumerARN"], CONSUMER);
        *taken.entry(call.input["ShardId"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(taken.len(), 4);
    assert!(taken.values().all(|count| *count == 1), "{taken:?}");
}

/// A consumer by its name is registered once, waited for, and stays.
#[test]
fn a_named_consumer_is_registered_on_demand_and_stays() {
    let server = Server::start(2);
    server.put(&records(0..300));
    let parts = [(key(0), horizon()), (key(1), horizon())];
    for _ in 0..2 {
        let mut source = open(&server.url, &named());
        assign(&mut source, &parts);
        let sink = read_all(&mut source);
        assert_once_in_order(&sink.rows, 300);
        assert_eq!(source.lag().ms, Some(0));
    }
    let summary = server.client.describe_stream_summary().stream_name(STREAM);
    let arn = server.wait(summary.send()).unwrap().stream_description_summary.unwrap().stream_arn;
    let consumers = server.client.list_stream_consumers().stream_arn(arn);
    let consumers = server.wait(consumers.send()).unwrap().consumers.unwrap();
    let names: Vec<_> = consumers.iter().map(|it| it.consumer_name.as_str()).collect();
    assert_eq!(names, ["reader"]);
}

/// Renewals while records arrive, and a split; ferrokinesis tells the children with the end.
/// (It leaves out the number that a subscription names and begins at the oldest record, so that a
/// restart inside a shard needs another server; that a renewal brings everything again is no harm.)
#[test]
fn renewals_and_a_split_lose_and_repeat_nothing() {
    let short = StoreOptions { subscribe_to_shard_session_ms: 500, ..options() };
    let server = Server::with(short, 1);
    let mut source = open(&server.url, &named());
    assign(&mut source, &[(key(0), horizon())]);
    let mut all = Vec::new();
    for step in 0..5 {
        server.put(&records(step * 100..step * 100 + 100));
        let (sink, told) = rows(&mut source, 100);
        assert_eq!(told, []);
        all.extend(sink.rows);
        std::thread::sleep(Duration::from_millis(200));
    }
    server.split(&shard(0));
    server.put(&records(500..600));
    let mut added = Vec::new();
    let mut sink = Sink::new(usize::MAX);
    while added.is_empty() {
        source.poll(&mut sink, Duration::from_millis(50)).unwrap();
        added.extend(source.topology().into_iter().flat_map(|news| news.added));
    }
    assert!(source.position(0).unwrap().is_end());
    let parts: Vec<_> = added.into_iter().map(|(split, start)| (split.key, start)).collect();
    assert_eq!(parts.len(), 2);
    assign(&mut source, &parts);
    all.extend(sink.rows);
    all.extend(rows(&mut source, 100).0.rows);
    assert_once_in_order(&all, 600);
}

/// The start is by time, and what came before it is left out; a restart of a quiet shard too.
#[test]
fn a_pinned_time_is_read_from() {
    let server = Server::start(1);
    server.put(&records(0..10));
    std::thread::sleep(Duration::from_millis(3_100));
    let mut source = open(&server.url, &named());
    let start = extractor::source::Start::Latest;
    let values = source.offsets(start, &[key(0)], &Cancel::default()).unwrap();
    assign(&mut source, &[(key(0), values[0].clone())]);
    assert!(read_all(&mut source).rows.is_empty());
    server.put(&records(10..20));
    assert_eq!(
        rows(&mut source, 10).0.payloads(),
        (10..20).map(|n| n.to_string()).collect::<Vec<_>>()
    );
}

/// 100 shards by one source, several to a connection, and until stops each exactly.
#[test]
fn a_hundred_shards_are_subscribed_by_one_source() {
    let server = Server::start(100);
    let sent: Vec<_> = (0..2000).map(|n| (format!("key-{n}"), n.to_string())).collect();
    server.put(&sent);
    let mut source = open(&server.url, &named());
    let splits = source.discover(&Cancel::default()).unwrap().splits;
    let parts: Vec<_> = splits.into_iter().map(|split| (split.key, horizon())).collect();
    assign(&mut source, &parts);
    let sink = read_all(&mut source);
    assert_once_in_order(&sink.rows, 2000);
}

/// A shard of `count` records from 1 on, whose subscriptions begin where they are told, and end
/// after a few events.
fn endless(count: u32) -> Canned {
    Canned::start(move |operation, input| {
        (operation == "SubscribeToShard").then(|| {
            let place = &input["StartingPosition"];
            let number = || place["SequenceNumber"].as_str().unwrap().parse::<u32>().unwrap();
            let first = match place["Type"].as_str().unwrap() {
                "AT_SEQUENCE_NUMBER" => number().max(1),
                "AFTER_SEQUENCE_NUMBER" => number() + 1,
                _ => 1,
            };
            let numbers: Vec<u32> = (first..=count).collect();
            let mut events: Vec<_> = numbers
                .chunks(7)
                .take(3)
                .map(|chunk| event(chunk, *chunk.last().unwrap(), u64::from(count - chunk[0])))
                .collect();
            if numbers.len() <= 21 {
                events.extend([event(&[], count, 0), Event::Silence]);
            }
            Answer::Events(events)
        })
    })
}

/// Each source reads a batch from the offset before, and another one that is never committed.
#[test]
fn renewals_and_restarts_lose_and_repeat_nothing() {
    let server = endless(200);
    let (mut stands, mut payloads) = (horizon(), Vec::new());
    while payloads.len() < 200 {
        let mut source = open(&server.url, &given());
        assign(&mut source, &[(key(0), stands.clone())]);
        for commit in [true, false] {
            let mut sink = Sink::new(33);
            poll_until(&mut source, &mut sink, |sink, polled| {
                sink.room == 0 || polled == Polled::Idle { caught_up: true }
            })
            .unwrap();
            if commit {
                payloads.extend(sink.payloads());
                stands = source.position(0).unwrap();
            }
        }
    }
    assert_eq!(payloads, (1..=200).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(stands, value(&json!({"sequenceNumber": "200"})));
}

#[test]
fn until_stops_exactly_and_reading_goes_on_after_it() {
    let server = endless(100);
    let mut source = open(&server.url, &given());
    assign(&mut source, &[(key(0), horizon())]);
    let mut payloads = Vec::new();
    for until in [1, 61, 100] {
        let end = value(&json!({"sequenceNumber": until.to_string()}));
        source.set_until(&[(0, end.clone())]).unwrap();
        let mut sink = Sink::new(usize::MAX);
        poll_until(&mut source, &mut sink, |_, polled| polled == Polled::ReachedUntil).unwrap();
        payloads.extend(sink.payloads());
        assert_eq!((payloads.len(), source.position(0)), (until, Some(end)));
    }
    assert_eq!(payloads, (1..=100).map(|n| n.to_string()).collect::<Vec<_>>());
}
